# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import asyncio
import json

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config import dry_run
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.dry_run import (
    DifferenceNotApproved,
    DifferenceNotUnderstood,
    RejectedByNode,
    judge,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.rewrite import Rewrite, rewrite
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.answers import ApplyResult, Version
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import Refused, Unreachable
from dry_runs import dry_runs
from operator_configs import Config, assert_hidden, new_image

RUNS = {f"{run.version} {run.name}": run for run in dry_runs()}
SUMMARY = "Dry run summary:\nApplied configuration without a reboot (skipped in dry-run).\nConfig diff:\n\n"


class Node:
    """A running node that was asked already: it gives one recorded answer, or fails with one error."""

    def __init__(self, answer, running="v1.14.0"):
        self.answer, self.running, self.asked = answer, running, []

    async def version(self):
        return Version(tag=self.running, sha="", platform="metal", mode="metal", rbac=True, arch="amd64")

    async def apply_configuration(self, data, *, dry_run=False):
        self.asked.append((data, dry_run))
        if isinstance(self.answer, Exception):
            raise self.answer
        return ApplyResult(warnings=[], mode="no_reboot", details=self.answer)


def sent(text, before=None):
    return Rewrite(text, True, (), text if before is None else before)


def ask(node, rewritten, target="v1.14.0"):
    return asyncio.run(judge(node, rewritten, target=target, node="worker-1"))


def judged(name):
    run = RUNS[name]
    return ask(Node(run.answer), sent(run.sent.decode()))


@pytest.mark.parametrize(
    "name", [name for name in RUNS if name.endswith(("no-change", "byte-order-mark", "carriage-returns"))]
)
def test_a_file_that_is_what_the_node_runs(name):
    judgement = judged(name)
    assert (judgement.differences, judgement.approval, judgement.image_differs) == ((), None, False)
    judgement.require(None)


@pytest.mark.parametrize("name", [name for name in RUNS if "installer-image" in name])
def test_only_the_installer_image_differs(name):
    node = Node(RUNS[name].answer)
    judgement = ask(node, sent(RUNS[name].sent.decode()))
    assert (judgement.differences, judgement.approval, judgement.image_differs) == ((), None, True)
    judgement.require(None)
    # Nothing but a dry run was asked for.
    assert [dry for _data, dry in node.asked] == [True]
    assert node.asked[0][0] == RUNS[name].sent


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("v1.14 token-is-a-reference", "v1alpha1 machine.token"),
        ("v1.14 token-is-vaulted", "v1alpha1 machine.token"),
        ("v1.14 cluster-id-of-another", "DiscoveryIdentityConfig clusterID"),
        ("v1.14 whole-other-cluster", "v1alpha1 cluster.etcd.ca.key"),
        ("v1.12 whole-other-cluster", "v1alpha1 machine.ca.crt"),
        ("v1.14 file-of-a-worker", "v1alpha1 machine.type"),
        ("v1.14 file-of-a-control-plane", "v1alpha1 machine.type"),
        ("v1.14 host-name", "HostnameConfig hostname"),
        ("v1.10 host-name", "v1alpha1 machine.network.hostname"),
        ("v1.14 another-disk", "UnattendedInstallConfig provisioning.diskSelector.match"),
    ],
)
def test_what_talos_accepts_though_it_would_lose_the_node(name, place):
    judgement = judged(name)
    with pytest.raises(DifferenceNotApproved, match="differs from what the node runs") as caught:
        judgement.require(None, node="worker-1")
    assert [line for line in caught.value.context["differences"] if line.startswith(place)]
    assert caught.value.context["approval"] == judgement.approval
    judgement.require(judgement.approval)


def test_nothing_secret_leaves_the_judgement():
    checked = 0
    for name, run in RUNS.items():
        judgement = judged(name)
        told = json.dumps([judgement.differences, judgement.approval, judgement.remarks]) + repr(judgement)
        if judgement.approval:
            with pytest.raises(DifferenceNotApproved) as caught:
                judgement.require("0" * 64)
            told += str(caught.value) + json.dumps(caught.value.as_dict())
        for secret in ("token: ", "secret: ", "key: ", "clusterSecret: "):
            for line in run.answer.splitlines():
                value = line.partition(secret)[2].strip('"')
                if len(value) > 20:
                    assert value not in told and value[:12] not in told
                    checked += 1
    assert checked > 50


def test_an_approval_is_for_one_list_of_differences_with_its_values():
    first = judged("v1.14 host-name").approval
    assert first == judged("v1.14 host-name").approval and len(first) == 64
    run = RUNS["v1.14 host-name"]
    other = ask(Node(run.answer.replace("other-1", "other-2")), sent(run.sent.decode().replace("other-1", "other-2")))
    assert other.differences != () and other.approval != first
    with pytest.raises(DifferenceNotApproved, match="the approval that was given is for other differences"):
        other.require(first)
    # With the installer image beside it, it still is the same list.
    assert judged("v1.14 image-and-host-name").approval == first


def test_an_approval_is_keyed_by_every_secret_of_the_cluster():
    run = RUNS["v1.14 host-name"]
    others = judged("v1.14 host-name").differences
    assert others
    text = run.sent.decode()
    names = ("cluster_secret", "machine_token", "bootstrap_token", "machine_ca")
    secrets = {name: {found.value for found in dry_run.values(dry_run.Configuration(text), name)} for name in names}
    assert all(secrets.values())
    approvals = {dry_run._approval([], text)}
    for found in secrets.values():
        changed = text
        for value in found:
            changed = changed.replace(value, value[::-1])
        approvals.add(dry_run._approval([], changed))
    assert len(approvals) == 1 + len(names)


def test_an_approval_cannot_be_guessed_from_a_short_value():
    """The same differences of another cluster have another hash."""
    old, new = Config(kind="worker"), Config(kind="worker")
    approvals = set()
    for config in (old, new):
        diff = "--- a\n+++ b\n@@ -1,2 +1,2 @@\n-version: v1alpha0\n+version: v1alpha1\n debug: false\n"
        approvals.add(ask(Node(SUMMARY + diff), sent(config.text)).approval)
    assert len(approvals) == 2 and None not in approvals


def test_what_the_rewrite_itself_changes_needs_no_approval():
    config = Config("v1.14.0", args=("console=ttyS0",))
    args = ("enforcing=1", "console=ttyS0")
    rewritten = rewrite(config.text, new_image("v1.14.0"), boot="grub", schematic_args=args)
    assert rewritten.problems == ()
    diff = (
        "--- a\n+++ b\n@@ -30,5 +30,4 @@\n         disk: /dev/sda\n"
        "-        extraKernelArgs:\n-            - {}\n"
        f"-        image: x.io/y:v1.14.0\n+        image: {new_image('v1.14.0')}\n         wipe: false\n"
        "+        grubUseUKICmdline: true\n"
    )
    judgement = ask(Node(SUMMARY + diff.replace("{}", "console=ttyS0")), rewritten)
    assert judgement.differences == () and judgement.image_differs
    # The node has an argument that the operator's file does not have: nobody looked whether it gets lost.
    judgement = ask(Node(SUMMARY + diff.replace("{}", "net.ifnames=0")), rewritten)
    assert judgement.differences == ("v1alpha1 machine.install.extraKernelArgs.[]: removed net.ifnames=0",)


def test_another_version_than_the_target_is_said():
    run = RUNS["v1.14 no-change"]
    judgement = ask(Node(run.answer, "v1.14.0"), sent(run.sent.decode()), target="v1.14.1")
    assert judgement.remarks == ("the configuration was judged by Talos v1.14.0, which the node runs, not by v1.14.1",)
    assert ask(Node(run.answer, "v1.14.1"), sent(run.sent.decode()), target="v1.14.1").remarks == ()


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "No changes.",
        "Applied configuration without a reboot",
        SUMMARY,
        SUMMARY + "No changes, really.",
        SUMMARY.replace("Config diff", "Some diff") + "No changes.",
        SUMMARY.replace("Dry run summary:", "") + "No changes.",
        SUMMARY.replace("(skipped in dry-run)", "") + "No changes.",
        SUMMARY + "@@ -1,80000 +1,80000 @@ diff too large to display\n",
        SUMMARY + "--- a\n+++ b\n@@ -1,1 +1,1 @@\n-a: hunter2hunter2\n+b: hunter2hunter2\n",
    ],
)
def test_an_answer_that_is_not_understood_refuses(answer):
    with pytest.raises(DifferenceNotUnderstood) as caught:
        ask(Node(answer), sent(Config().text))
    assert "hunter2" not in str(caught.value) and caught.value.context == {"node": "worker-1"}


def refusal(text):
    return Refused(f"the node refused ApplyConfiguration: {text}", "why", "do", node="10.0.0.9", method="Apply")


def test_what_the_node_rejects_is_told_without_the_values():
    config = Config()
    secret = config.words[5]
    node = Node(refusal(f"unknown keys found during decoding:\nx-notes:\n    token: {secret}\n"))
    with pytest.raises(RejectedByNode, match="unknown keys found during decoding") as caught:
        ask(node, sent(config.text))
    assert "rejects the machine configuration" in caught.value.found and "x-notes" in caught.value.found
    assert_hidden(config, str(caught.value), caught.value.as_dict())
    # Not in what Python keeps of the first error either.
    assert caught.value.__cause__ is None and caught.value.__context__ is None


def test_a_node_that_cannot_be_asked_keeps_its_error_without_the_values():
    config = Config()
    error = Unreachable(f"10.0.0.9 went away after {config.words[7]}", "why", "do", node="10.0.0.9")
    with pytest.raises(Unreachable, match=r"10\.0\.0\.9 went away after <masked>") as caught:
        ask(Node(error), sent(config.text))
    assert_hidden(config, str(caught.value), repr(caught.value), caught.value.as_dict())


@pytest.mark.parametrize(
    ("name", "document", "path"),
    [
        ("v1.12 file-with-tabs", "v1alpha1", "machine.files"),
        ("v1.10 file-with-tabs", "v1alpha1", "machine.files"),
        ("v1.14 no-break-space", "KubeNodeConfig", "annotations"),
    ],
)
def test_tabs_and_blanks_of_another_kind_are_no_reason_not_to_understand(name, document, path):
    judgement = judged(name)
    assert judgement.image_differs == ("v1.10" not in name)
    assert judgement.differences and all(found.startswith(f"{document} {path}") for found in judgement.differences)


def test_a_diff_with_escape_sequences_is_not_understood():
    run = RUNS["v1.12 file-with-tabs"]
    for character in "\x1b\x07\r\u202e":
        with pytest.raises(DifferenceNotUnderstood, match="control characters"):
            ask(Node(run.answer.replace("\t", character)), sent(run.sent.decode()))
