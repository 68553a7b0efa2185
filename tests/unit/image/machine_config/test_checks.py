# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config import checks
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.checks import (
    host_name,
    mismatches,
    role,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.document import Configuration
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.kinds import CONTROL_PLANE_ONLY
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.places import CONFLICTS
from operator_configs import VERSIONS, Config, assert_hidden, problems_in
from rejected_configs import judged_configs


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["controlplane", "worker"])
def test_good_configurations(version, kind):
    config = Config(version, kind)
    assert problems_in(config.text, version=version, machine_type=kind, hostname="node-1") == []


def test_a_kind_that_the_release_does_not_know():
    config = Config("v1.14.1", unattended=True)
    assert problems_in(config.text, version="v1.14.1") == []
    problems = problems_in(config.text, version="v1.13.9")
    assert "UnattendedInstallConfig is not known to Talos v1.13.9" in problems


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("    type: controlplane", "    type: bastion", "machine.type is neither"),
        ("    type: controlplane", "    type: init", "bootstraps a new cluster"),
        ("endpoint: https", "endpint: https", "cluster.controlPlane.endpoint or KubeClusterConfig endpoint is missing"),
        ("    token:", "    tokn:", "machine.token is missing"),
        (
            "    serviceAccount:",
            "    account:",
            "cluster.serviceAccount.key or KubeServiceAccountConfig issuer.privateKey is missing",
        ),
        (
            "secretboxEncryptionSecret",
            "boxSecret",
            "cluster.secretboxEncryptionSecret or cluster.aescbcEncryptionSecret or",
        ),
        (
            "    aggregatorCA:",
            "    otherCA:",
            "cluster.aggregatorCA.crt or KubeAggregatorCAConfig issuingCA.cert is missing",
        ),
        ("        disk: /dev/sda", "        legacyBIOSSupport: true", "neither disk nor diskSelector"),
        (":v1.14.1", ":latest", "names no exact release"),
        (":v1.14.1", ":v1.13.9", "is for v1.13.9, not for the target version v1.14.1"),
        ('        image: "factory', '        imag: "factory', "left to the boot medium"),
        ("    install:", "    installation:", "nothing would be installed"),
        (
            "    clusterName: demo",
            "    clusterName: ENC[AES256_GCM,data:x]",
            "cluster.clusterName is a value encrypted by SOPS",
        ),
        ("version: v1alpha1", "$patch: delete", "is not a configuration, but a patch"),
        (
            "        wipe: false",
            "        wipe: false\n        grubUseUKICmdline: true\n        extraKernelArgs: [a]",
            "which Talos refuses",
        ),
    ],
)
def test_what_validation_finds(old, new, expected):
    config = Config()
    assert old in config.text
    problems = problems_in(config.text.replace(old, new, 1 if "token" in old else -1), version="v1.14.1")
    assert any(expected in problem for problem in problems), problems
    assert_hidden(config, problems)


def test_what_validation_finds_in_workers_and_old_versions():
    worker = Config(kind="worker").text
    assert any(
        "must not be in a worker" in problem
        for problem in problems_in(worker.replace('        key: ""', "        key: abc"))
    )
    old = Config("v1.11.6", grub_key="true").text
    assert any("not known to Talos v1.11.6" in problem for problem in problems_in(old, version="v1.11.6"))
    assert any("no v1alpha1 document" in p for p in problems_in("kind: HostnameConfig\nhostname: a\n"))


def test_a_configuration_of_another_machine():
    config = Configuration(Config(kind="worker").text)
    assert mismatches(config, machine_type="worker", hostname="node-1.example.org") == []
    assert mismatches(config, machine_type="controlplane", hostname="node-2") == [
        "the configuration is for a worker, the node is a controlplane",
        "the configuration's host name is 'node-1', the node's is 'node-2'",
    ]
    assert mismatches(config, machine_type=None, hostname=None) == []


@pytest.mark.parametrize(
    ("host", "node", "same"),
    [
        ("Node_1", "node-1", True),
        ("NODE-1.Example.org", "node-1.example.org", True),
        ("n\u00f6de-1-", "nde-1", True),
        ("node_1", "node-2", False),
        ("\u212a8s-1", "k8s-1", False),
    ],
)
def test_a_node_is_called_in_kubernetes_what_talos_makes_of_its_host_name(host, node, same):
    config = Configuration(f"machine: {{type: worker}}\n---\nkind: HostnameConfig\nhostname: {host}\n")
    assert (mismatches(config, machine_type="worker", hostname=node) == []) is same
    empty = Configuration("machine: {}")
    assert host_name(empty) is None and role(empty) is None


# --- what Talos rejects, and what it accepts though the node would be lost --------------------------------------------

RELEASE = {"v1.10": "v1.10.9", "v1.12": "v1.12.11", "v1.13": "v1.13.9", "v1.14": "v1.14.0"}
JUDGED = judged_configs()
REJECTED = [one for one in JUDGED if one.dry_run is not None]
#: What an installed node accepts, and the same node rejects after its wipe.
LATE = [one for one in JUDGED if one.dry_run is None and one.after_wipe is not None]
ACCEPTED = [one for one in JUDGED if one.dry_run is None and one.after_wipe is None]
#: What Talos accepts and may be meant; everything else that it accepts would lose the node.
HARMLESS = {
    "machine.type: an anchor",
    "machine.certSANs: an alias of an anchor",
    "machine.install.diskSelector: beside disk",
    "machine.install.extraKernelArgs: without grubUseUKICmdline",
    "hostname: with a blank",
    "hostname: with an underscore",
    ": an empty document",
    ": a byte order mark in front",
    "version: v1beta1",
    "version: taken out",
    # Found by the difference to what the node runs.
    "machine.ca.key: of another CA",
    "issuingCA.key: of another CA",
}


def test_more_than_half_of_what_talos_rejects_is_found_before_anybody_asks_a_node():
    assert len(REJECTED) > 90
    found = [one for one in REJECTED if problems_in(one.sent, version=RELEASE.get(one.judge))]
    assert len(found) * 2 > len(REJECTED)


@pytest.mark.parametrize("one", LATE, ids=str)
def test_what_only_a_wiped_node_rejects_is_found_here(one):
    """A dry run cannot find these: an installed node does not look at the installation."""
    assert problems_in(one.sent)


def test_there_are_configurations_that_only_a_wiped_node_rejects():
    assert len(LATE) >= 3


@pytest.mark.parametrize("one", ACCEPTED, ids=str)
def test_what_talos_accepts_though_the_node_would_be_lost(one):
    change = f"{one.path}: {one.value}"
    assert bool(problems_in(one.sent)) is (change not in HARMLESS), change


@pytest.mark.parametrize("one", JUDGED, ids=str)
def test_no_problem_quotes_a_secret(one):
    problems = " ".join(problems_in(one.sent))
    values = [line.split(": ", 1)[-1].strip('" ') for line in one.sent.splitlines() if len(line) > 40]
    secrets = [value for value in values if len(value) > 20]
    assert secrets
    assert not [secret for secret in secrets if secret[:12] in problems]


@pytest.mark.parametrize("conflict", CONFLICTS, ids=lambda one: f"{one.kind} {'.'.join(one.path)}")
def test_the_same_in_both_places_is_refused(conflict):
    def written(value):
        body = value
        for key in reversed(conflict.path):
            body = f"{{{key}: {body}}}"
        return f"{body}\n---\napiVersion: v1alpha1\nkind: {conflict.kind}\n"

    found = f"{'.'.join(conflict.path)} stands beside {conflict.kind}: Talos refuses the same in both places"
    assert found in problems_in(written("{a: b}"))
    assert (found in problems_in(written("{}"))) == conflict.empty_counts
    assert found not in problems_in(written("null"))
    assert found not in problems_in(written("{a: b}").partition("---")[0])


@pytest.mark.parametrize("kind", sorted(CONTROL_PLANE_ONLY))
def test_documents_for_control_planes_only(kind):
    document = f"---\napiVersion: v1alpha1\nkind: {kind}\n"
    found = f"{kind} must not be in a worker's configuration"
    assert found in problems_in(Config(kind="worker").text + document)
    assert found not in problems_in(Config(kind="controlplane").text + document)


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ("kind: KubeAPIServerCAConfig\nissuingCA: {cert: x, key: %s}", "KubeAPIServerCAConfig issuingCA.key"),
        ("kind: KubeAggregatorCAConfig\nissuingCA: {cert: x, key: %s}", "KubeAggregatorCAConfig issuingCA.key"),
        ("kind: KubeServiceAccountConfig\nissuer: {privateKey: %s}", "KubeServiceAccountConfig issuer.privateKey"),
        (
            "kind: KubeEtcdEncryptionConfig\nconfig: {resources: [{providers: [{secretbox: {keys: [{secret: %s}]}}]}]}",
            "KubeEtcdEncryptionConfig config.resources.*.providers.*.secretbox.keys.*.secret",
        ),
    ],
)
def test_a_key_of_the_cluster_in_a_workers_new_document(document, where):
    text = Config(kind="worker").text + "---\napiVersion: v1alpha1\n" + document % "AAAA" + "\n"
    assert f"{where} must not be in a worker's configuration" in problems_in(text)


@pytest.mark.parametrize("key", ["ca", "aggregatorCA", "etcd.ca"])
def test_a_key_of_the_cluster_in_a_workers_old_place(key):
    body = "{crt: x, key: AAAA}"
    for part in reversed(key.split(".")):
        body = f"{{{part}: {body}}}"
    text = f"machine: {{type: worker, ca: {{key: AAAA}}}}\ncluster: {body}\n"
    problems = problems_in(text)
    assert f"cluster.{key}.key must not be in a worker's configuration" in problems
    assert "machine.ca.key must not be in a worker's configuration" in problems


def test_documents_of_no_kind_that_talos_knows():
    for text, found in (
        ("apiVersion: v1alpha1\nkind: HostNameConfig\n", "HostNameConfig is no kind of document that Talos knows"),
        ("apiVersion: v1\nkind: Secret\n", "Secret is no kind of document that Talos knows"),
        ("kind: HostnameConfig\nhostname: a\n", "the document HostnameConfig has no apiVersion v1alpha1"),
        ("apiVersion: v1alpha2\nkind: OOMConfig\n", "the document OOMConfig has no apiVersion v1alpha1"),
        ("apiVersion: v1alpha1\nkind: hunter2 hunter2\n", "<masked> is no kind of document that Talos knows"),
    ):
        assert [one for one in problems_in(text, version="v1.14.1") if one.startswith(found)], found
    # A later release may know more than this one of ours does; the node is asked.
    later = "apiVersion: v1alpha1\nkind: TomorrowConfig\n"
    assert not [one for one in problems_in(later, version="v1.16.0") if "Tomorrow" in one]


@pytest.mark.parametrize("text", ["x-notes: {rack: '7'}", "machine: {systemExtensions: []}", "cluster: {podSubnet: a}"])
def test_keys_that_talos_does_not_know(text):
    where = text.partition(":")[0] if text[0] == "x" else text.replace(": {", ".").partition(":")[0]
    assert f"{where} is no key that Talos knows, which it refuses" in problems_in(text, version="v1.14.1")
    assert f"{where} is no key that Talos knows, which it refuses" not in problems_in(text, version="v1.16.0")


def test_a_secret_that_became_a_key_is_not_shown():
    problems = problems_in("hunter2 hunter2 hunter2:\nmachine: {'hunter2.hunter2': x}\n")
    assert "<masked> is no key that Talos knows, which it refuses" in problems and "hunter2" not in str(problems)


@pytest.mark.parametrize(
    ("version", "known"), [("v1.10.9", False), ("v1.11.9", False), ("v1.12.0", True), ("v1.14.1", True)]
)
def test_a_key_of_a_later_release(version, known):
    found = problems_in("machine: {install: {grubUseUKICmdline: true}}", version=version)
    assert any("grubUseUKICmdline" in one for one in found) is not known


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("sops", []),
        ("$patch", []),
        ("sops_", ["machine.sops_ is no key that Talos knows, which it refuses"]),
        ("type", []),
    ],
)
def test_a_key_that_is_no_word_of_talos_is_named_unless_another_check_names_it(key: str, found: list[str]) -> None:
    told = list(checks._key_problems({"machine": {key: "x"}}, "v1.14.1", None))
    assert [one for one in told if "machine." in one] == found
