# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each built-in check fails alone on one changed value, and is unknown without its value."""

from __future__ import annotations

import copy
import datetime as dt
import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import is_sealed, sealed
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import shape, verdict
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.errors import EvidenceRefused
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.policy import Policy, load_policy
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.verdict import decide, judge, sort_denials, stopping

from .samples import DELETED, NOW, TARGET, changed, denial, evidence, healthy_evidence

# Check -> changes (path in the evidence, value) that fail it and nothing else.
FAILING: dict[str, list[tuple[str, Any]]] = {
    "evidence-fresh": [
        ("collected_at", "2026-11-22T07:59:59Z"),
        ("collected_at", "2026-11-22T12:01:01Z"),
    ],
    "no-read-errors": [("errors", [{"kind": "deadline", "source": "Dmesg", "found": "no answer"}])],
    "identity-known": [("node.identity", ""), ("node.uuid", ""), ("node.hostname", ""), ("boot.time", "")],
    "machine-told-apart": [("node.doubts", ["the UUID identifies no machine"])],
    "kubernetes-same-node": [("kubernetes.joined", False)],
    "not-container-mode": [("talos.mode", "container"), ("talos.mode", "metal-agent")],
    "not-omni-managed": [("cluster.omni", True)],
    "not-under-operation": [("operation.locked_by", "alice"), ("operation.locked_by", "")],
    "stage-running": [("talos.stage", "booting"), ("talos.ready", False)],
    "node-ready": [("kubernetes.node_ready", False)],
    "not-cordoned": [("kubernetes.unschedulable", True)],
    "time-in-sync": [("time.synced", False)],
    "clocks-agree": [("time.offset_seconds", value) for value in (10.1, -10.1, 288000, -288000.0)],
    "factory-overlay-floor": [],
    "target-pinned": [],
    "selinux-permissive": [
        ("selinux.state", "enforcing"),
        ("selinux.state", "disabled"),
        ("selinux.state", "unsupported"),
    ],
    "kernel-args-clean": [
        ("selinux.kernel_args", args)
        for args in (
            [],
            ["selinux=0"],
            ["selinux=0", "selinux=1"],
            ["selinux=1", "selinux=0"],
            ["selinux"],
            ["selinux=1", "audit=0"],
            ["selinux=1", "audit=off"],
            ["selinux=1", "audit"],
            ["selinux=1", "talos.auditd.disabled=1"],
            ["selinux=1", "talos.auditd.disabled"],
            ["selinux=1", "security=apparmor"],
            ["selinux=1", "security=none"],
            ["selinux=1", "lsm=apparmor,selinux"],
            ["selinux=1", "apparmor=1"],
        )
    ],
    "witnesses-agree": [
        ("selinux.disagreements", ["SecurityState says permissive, but the command line asks for enforcing"]),
        ("selinux.policy_loaded", False),
        ("selinux.pid1_label", "system_u:system_r:kernel_t:s0"),
        ("selinux.pid1_label", "system_u:system_r:initramfs_t:s0"),
        ("selinux.pid1_label", ""),
    ],
    "no-unknown-classes": [("selinux.unknown_classes", ["Permission map_read in class bpf not defined in policy"])],
    "auditd-trusted": [
        ("audit.services", {"state": "Failed", "starts": 1}),
        ("audit.services", {"state": "Running", "starts": 2}),
        ("audit.services", {"state": "Running", "starts": 0}),
    ],
    "evidence-complete": [("audit.coverage.reasons", [{"kind": "lost", "text": "records were lost"}])],
    "soak-reached": [("boot.uptime_seconds", 259199), ("audit.coverage.seconds", 259199.9)],
    "no-denials": [
        ("audit.denials", [denial()]),
        ("audit.denials", [denial(permissive=False)]),
        ("audit.denials", [denial(known_benign=True, doubtful=1)]),
        ("audit.denials", [denial(waiver_id="invented")]),
        ("audit.counts.denied", 4),
    ],
    "no-mac-errors": [("audit.mac_errors", [{"type": "SELINUX_ERR"}]), ("audit.counts.mac_errors", 1)],
    "no-doubtful-records": [("audit.counts.doubtful", 1), ("audit.counts.unparsed", 1)],
    "extensions-reviewed": [("talos.extensions", [{"name": "iscsi-tools", "version": "v0.2.0"}])],
    "cni-compatible": [],
    "csi-compatible": [("kubernetes.csi", [{"name": "topolvm.io", "source": "CSIDriver"}])],
    "addons-compatible": [
        ("kubernetes.addons", [{"name": "node-exporter", "version": "1.9.0", "source": "DaemonSet"}]),
        (
            "kubernetes.addons",
            [
                {"name": "falco", "version": "0.41.0", "source": "DaemonSet"},
                {"name": "node-exporter", "version": "1.9.0", "source": "DaemonSet"},
            ],
        ),
    ],
    "new-install-only": [("talos.staged_upgrade", True)],
    "installation-history": [
        ("volumes.META.phase", "waiting"),
        ("volumes.STATE.phase", "failed"),
        ("volumes.EPHEMERAL.phase", "located"),
        ("volumes.META.partition_uuid", ""),
        ("volumes.STATE.partition_uuid", ""),
        ("volumes.EPHEMERAL.partition_uuid", ""),
    ],
    "machine-config-valid": [("config.valid", False), ("config.problems", ["no disk"]), ("config.sha256", "")],
    "config-same-cluster": [("config.cluster.cluster_id", "f" * 64), ("cluster.id", "f" * 64)],
    "config-target-image": [("config.install.image", "ghcr.io/siderolabs/installer:v1.14.1")],
    "install-disk-known": [
        ("config.install_disks", []),
        ("config.install_disks", ["sdb"]),
        ("config.install_disks", ["sda", "sdb"]),
        ("system_disk", "sdb"),
        ("disks", []),
    ],
    "boot-path-known": [("operation.boot_path", "upgrade"), ("operation.boot_path", "")],
    "local-data-reviewed": [("kubernetes.local_data", ["PersistentVolume pv-1"]), ("user_volumes", ["u-data"])],
    "etcd-healthy": [
        ("etcd.agreed", False),
        ("etcd.healthy", False),
        ("etcd.errors", ["no leader"]),
        ("etcd.alarms", [{"member_id": "a1", "alarm": "NOSPACE"}]),
        ("etcd.leader", ""),
    ],
    "etcd-quorum-to-spare": [("etcd.voters", 2), ("etcd.voters", 4)],
}
# Check -> changes that make it unknown and nothing else wrong.
DOUBTFUL: dict[str, list[tuple[str, Any]]] = {
    "selinux-permissive": [("selinux.state", "unknown")],
    "evidence-complete": [
        ("audit.coverage.verdict", "partial"),
        ("audit.coverage.verdict", "none"),
        ("audit.coverage.verdict", "surely"),
    ],
    "workloads-restarted": [
        ("kubernetes.workloads_restarted", {"checked": 3, "stale": ["kube-system/kube-proxy-x"]}),
        ("kubernetes.workloads_restarted", {"checked": 0, "stale": []}),
    ],
    "cni-compatible": [
        ("kubernetes.cni", []),
        ("kubernetes.cni", [{"name": "calico", "version": "3.30.0", "source": "DaemonSet"}]),
        ("kubernetes.cni", [{"name": "brand-new", "version": None, "source": "DaemonSet"}]),
    ],
    "csi-compatible": [("kubernetes.csi", [{"name": "new.csi.example", "source": "CSIDriver"}])],
    "addons-compatible": [("kubernetes.addons", [{"name": "falco", "version": None, "source": "DaemonSet"}])],
}


def results(document: dict[str, Any], policy: Policy, **arguments: Any) -> dict[str, str]:
    """Check id -> result, of those that did not pass or were skipped."""
    given = judge(document, policy, now=NOW, **arguments)
    return {c["id"]: c["result"] for c in given["checks"] if c["result"] not in ("pass", "skipped")}


@pytest.mark.parametrize("machine_type", ["controlplane", "worker"])
def test_a_healthy_node_is_eligible(strict: Policy, machine_type: str) -> None:
    given = judge(evidence(machine_type), strict, now=NOW, node="node-1")
    assert given["decision"] == "eligible"
    skipped = {check["id"] for check in given["checks"] if check["result"] == "skipped"}
    assert skipped == (set() if machine_type == "controlplane" else {"etcd-healthy", "etcd-quorum-to-spare"})
    assert is_sealed(given)
    assert given["binds"] == {
        "identity": evidence()["node"]["identity"],
        "uuid": evidence()["node"]["uuid"],
        "boot_id": evidence()["boot"]["id"],
        "boot_time": "2026-11-18T12:00:00Z",
        "talos_version": "v1.14.1",
        "evidence_sha256": evidence(machine_type)["sha256"],
        "policy_sha256": strict.sha256,
        "target": TARGET,
        "config_sha256": "c" * 64,
    }
    assert (given["issued_at"], given["expires_at"]) == ("2026-11-22T12:00:00Z", "2026-11-22T16:00:00Z")
    assert given["node"] == "node-1"
    assert given["schema"] == 1
    assert given["policy"] == {"name": "strict", "changes": [], "weakened": False}
    assert given["denials"] == {"open": [], "waived": [], "benign": []}
    assert given["waived"] == []
    assert set(given["checks"][0]) == {"id", "title", "severity", "result", "found", "reason", "remedy", "doc"}


@pytest.mark.parametrize(
    ("identifier", "path", "value"),
    [(identifier, *change) for identifier, changes in FAILING.items() for change in changes],
)
def test_each_check_fails_alone(strict: Policy, identifier: str, path: str, value: Any) -> None:
    document = sealed(changed(healthy_evidence(), path, value))
    assert results(document, strict) == {identifier: "fail"}
    severity = next(check.severity for check in strict.checks if check.id == identifier)
    assert judge(document, strict, now=NOW)["decision"] == ("refused" if severity == "block" else "eligible")


@pytest.mark.parametrize(
    ("identifier", "path", "value"),
    [(identifier, *change) for identifier, changes in DOUBTFUL.items() for change in changes],
)
def test_each_doubt_is_unknown_alone(strict: Policy, identifier: str, path: str, value: Any) -> None:
    document = sealed(changed(healthy_evidence(), path, value))
    assert results(document, strict) == {identifier: "unknown"}
    assert judge(document, strict, now=NOW)["decision"] == "inconclusive"


# Changes that one value of the evidence cannot make alone, or that are made to the target.
SPECIAL: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "talos-version-floor": (
        {"talos__version": "v1.9.6"},
        {"target": {**TARGET, "version": "v1.9.6"}},
        "talos-version-floor factory-overlay-floor auditd-trusted cni-compatible",
    ),
    "factory-overlay-floor": (
        {"talos__version": "v1.13.9"},
        {"target": {**TARGET, "version": "v1.13.9"}},
        "factory-overlay-floor",
    ),
    "same-version-as-target": ({}, {"target": {**TARGET, "version": "v1.14.2"}}, "same-version-as-target"),
    "target-pinned": ({}, {"target": {**TARGET, "installer_digest": "sha256:beef"}}, "target-pinned"),
    "auditd-trusted": (
        {"talos__version": "v1.13.6"},
        {"target": {**TARGET, "version": "v1.13.6"}},
        "factory-overlay-floor auditd-trusted",
    ),
    "cni-compatible": (
        {
            "talos__version": "v1.13.9",
            "kubernetes__cni": [{"name": "cilium", "version": "1.18.0", "source": "DaemonSet"}],
        },
        {"target": {**TARGET, "version": "v1.13.9"}},
        "factory-overlay-floor cni-compatible",
    ),
}


@pytest.mark.parametrize("identifier", SPECIAL)
def test_checks_on_versions_and_targets(strict: Policy, identifier: str) -> None:
    changes, arguments, expected = SPECIAL[identifier]
    found = results(evidence(**changes), strict, **arguments)
    assert set(found) == set(expected.split())
    assert found[identifier] == "fail"


@pytest.mark.parametrize(
    "changes",
    [
        {"schematic": "latest"},
        {"schematic": TARGET["schematic"] + "0"},
        {"installer_digest": "d" * 64},
        {"installer": ""},
        {"installer": "factory.talos.dev/metal-installer/x:latest"},
    ],
)
def test_an_unpinned_target_is_refused(strict: Policy, changes: dict[str, str]) -> None:
    assert results(evidence(), strict, target={**TARGET, **changes})["target-pinned"] == "fail"


@pytest.mark.parametrize(
    ("running", "target"),
    [
        # Another build of the same number.
        ("v1.14.1+fork", "v1.14.1"),
        ("v1.14.1", "v1.14.1+fork"),
        ("v1.14.1+fork", "v1.14.1+fork"),
        ("v1.14.1-dirty", "v1.14.1-dirty"),
        ("v1.14.1-5-gabcdef0", "v1.14.1-5-gabcdef0"),
        ("v1.14.1-rc.1-3-gabcdef0-dirty", "v1.14.1-rc.1-3-gabcdef0-dirty"),
        ("v1.14.1-rc.1", "v1.14.1"),
    ],
)
def test_a_build_that_is_not_the_release_to_install_proves_nothing(strict: Policy, running: str, target: str) -> None:
    found = results(evidence(talos__version=running), strict, target={**TARGET, "version": target})
    assert found["same-version-as-target"] == "fail"


@pytest.mark.parametrize(("running", "target"), [("v1.14.1", "1.14.1"), ("v1.15.0-beta.0", "v1.15.0-beta.0")])
def test_the_same_release_is_the_same(strict: Policy, running: str, target: str) -> None:
    found = results(evidence(talos__version=running), strict, target={**TARGET, "version": target})
    assert "same-version-as-target" not in found


@pytest.mark.parametrize("key", ["schematic", "installer_digest"])
def test_a_line_break_behind_a_pin_is_no_pin(strict: Policy, key: str) -> None:
    assert results(evidence(), strict, target={**TARGET, key: f"{TARGET[key]}\n"})["target-pinned"] == "fail"


def test_cilium_works_from_1_14(strict: Policy) -> None:
    document = evidence(kubernetes__cni=[{"name": "cilium", "version": "1.18.0", "source": "DaemonSet"}])
    assert results(document, strict) == {}


def test_no_check_of_strict_is_left_untried(strict: Policy) -> None:
    tried = {identifier for identifier, changes in FAILING.items() if changes} | set(DOUBTFUL) | set(SPECIAL)
    assert {check.id for check in strict.checks} == tried | {"policy-decides"}


def _leaves(policy: Policy) -> list[tuple[str, str]]:
    """(check, path of the evidence it reads) for everything that could be missing from a control plane's evidence."""
    pairs = []
    for check in policy.checks:
        expressions = [check.assertion, check.applies_when, check.unknown_when]
        for path in sorted({path for expression in expressions if expression for path in expression.paths}):
            if path[0] in shape.EVIDENCE and not set(path) & {"[]", "*"}:
                pairs.append((check.id, shape.text_of(path)))
    return pairs


@pytest.mark.parametrize("value", [None, DELETED, 7.5], ids=["null", "missing", "wrong type"])
@pytest.mark.parametrize(("identifier", "path"), _leaves(load_policy("strict")))
def test_each_check_is_unknown_without_what_it_reads(strict: Policy, identifier: str, path: str, value: Any) -> None:
    if value is None and path == "operation.locked_by":
        # Null is an answer here: nobody holds the lock.
        return
    if value == 7.5 and shape.at(shape.EVIDENCE, shape.path_of(path)) == "number":
        value = "seven"
    document = sealed(changed(healthy_evidence(), path, value))
    arguments = {"target": TARGET} if path == "operation" else {}
    found = judge(document, strict, now=NOW, **arguments)
    assert next(check["result"] for check in found["checks"] if check["id"] == identifier) == "unknown"
    if next(check.severity for check in strict.checks if check.id == identifier) == "block":
        assert found["decision"] != "eligible"


@pytest.mark.parametrize("key", sorted(set(shape.EVIDENCE) - {"schema", "sha256"}))
@pytest.mark.parametrize("value", [None, DELETED, [], "text", 0])
def test_no_top_level_part_can_be_lost(strict: Policy, key: str, value: Any) -> None:
    if (key, value) in (("errors", []), ("user_volumes", [])):
        return
    found = judge(sealed(changed(healthy_evidence(), key, value)), strict, target=TARGET, now=NOW)
    if key == "errors":
        assert next(c["result"] for c in found["checks"] if c["id"] == "no-read-errors") == "unknown"
    else:
        assert found["decision"] != "eligible"


@pytest.mark.parametrize("key", sorted(TARGET))
@pytest.mark.parametrize("value", [None, DELETED, 1])
def test_no_part_of_the_target_can_be_lost(strict: Policy, key: str, value: Any) -> None:
    assert judge(evidence(), strict, target=changed(TARGET, key, value), now=NOW)["decision"] != "eligible"


def test_a_worker_needs_no_etcd_and_an_unknown_machine_type_needs_it(strict: Policy) -> None:
    document = sealed(changed(healthy_evidence("worker"), "node.machine_type", None))
    assert results(document, strict) == {"etcd-healthy": "unknown", "etcd-quorum-to-spare": "unknown"}


def test_a_learner_is_not_healthy(strict: Policy) -> None:
    document = healthy_evidence()
    document["etcd"]["members"].append({"id": "a4", "hostname": "node-4", "is_learner": True})
    assert results(sealed(document), strict) == {"etcd-healthy": "fail"}


@pytest.mark.parametrize(
    ("volumes", "data", "passes"),
    [
        (["u-data"], ["PersistentVolume pv-1"], True),
        ([], ["u-data", "PersistentVolume pv-1"], True),
        (["u-data"], ["PersistentVolume pv-2"], False),
        (["u-data", "u-late"], ["PersistentVolume pv-1"], False),
        (["u-data"], ["PersistentVolume pv-1", "PersistentVolume pv-1 (which node holds it is not known)"], False),
        (["u-data"], [], False),
    ],
)
def test_local_data_is_approved_as_the_list_that_was_read(
    strict: Policy, volumes: list[str], data: list[str], passes: bool
) -> None:
    listed = evidence(user_volumes=["u-data"], kubernetes__local_data=["PersistentVolume pv-1"])
    (stop,) = stopping(judge(listed, strict, now=NOW)["checks"])
    approval = stop["found"].partition('talos_approved_local_data: "')[2].rstrip('"')
    assert len(approval) == 64 and "approved: nothing" in stop["found"]
    document = evidence(user_volumes=volumes, kubernetes__local_data=data, operation__approved_local_data=approval)
    assert results(document, strict) == ({} if passes else {"local-data-reviewed": "fail"})


def test_what_one_node_was_approved_for_holds_for_no_other(strict: Policy) -> None:
    """As where the hash stands in the variables of a group."""
    listed = evidence(user_volumes=["u-data"])
    (stop,) = stopping(judge(listed, strict, now=NOW)["checks"])
    approval = stop["found"].partition('talos_approved_local_data: "')[2].rstrip('"')
    for identity, stops in ((listed["node"]["identity"], {}), ("another", {"local-data-reviewed": "fail"})):
        document = evidence(user_volumes=["u-data"], operation__approved_local_data=approval, node__identity=identity)
        assert results(document, strict) == stops


@pytest.mark.parametrize("yes", ["True", "yes", "[]", "u-data"])
def test_a_yes_approves_no_local_data(strict: Policy, yes: str) -> None:
    document = evidence(user_volumes=["u-data"], operation__approved_local_data=yes)
    assert results(document, strict) == {"local-data-reviewed": "fail"}


def test_benign_denials_pass_and_are_told(strict: Policy) -> None:
    document = evidence(audit__denials=[denial(known_benign=True)], audit__counts__denied=3)
    given = judge(document, strict, now=NOW)
    assert given["decision"] == "eligible"
    assert given["denials"]["benign"] == ["pod_t:run_t:dir:write"]


def test_sort_denials() -> None:
    listed = [
        denial("a_t:b_t:file:read"),
        denial("b_t:b_t:file:read", known_benign=True),
        denial("c_t:b_t:file:read", waiver_id="w"),
        denial("d_t:b_t:file:read", known_benign=None),
        denial("e_t:b_t:file:read", known_benign=True, doubtful=2),
        denial("f_t:b_t:file:read", known_benign=True, doubtful=None),
    ]
    assert sort_denials({"denials": listed[::-1]}) == {
        "open": ["a_t:b_t:file:read", "d_t:b_t:file:read", "e_t:b_t:file:read", "f_t:b_t:file:read"],
        "waived": ["c_t:b_t:file:read"],
        "benign": ["b_t:b_t:file:read"],
    }
    assert sort_denials(None) is None
    assert sort_denials({}) is None
    assert sort_denials({"denials": ["text"]}) is None


def test_the_configuration_and_plan_of_the_call_replace_those_of_the_evidence(strict: Policy) -> None:
    document = evidence(
        config=None,
        operation={"locked_by": None, "boot_path": None, "approved_local_data": "", "identify_by": "uuid"},
    )
    config = {**healthy_evidence()["config"], "sha256": "e" * 64}
    given = judge(document, strict, target=TARGET, now=NOW, config=config, operation={"boot_path": "hook"})
    assert given["decision"] == "eligible"
    assert given["binds"]["config_sha256"] == "e" * 64
    given = judge(document, strict, target=TARGET, now=NOW, config=config, config_sha256="f" * 64)
    assert given["binds"]["config_sha256"] == "f" * 64
    assert given["decision"] == "inconclusive"
    plan = healthy_evidence()["operation"]
    for none in (None, "text"):
        given = judge(evidence(operation=none), strict, now=NOW, operation=plan)
        assert (given["decision"], given["binds"]["target"]) == ("eligible", TARGET)
        given = judge(evidence(operation__target=none), strict, now=NOW)
        assert (given["decision"], given["binds"]["target"]) == ("inconclusive", dict.fromkeys(TARGET))


def test_an_image_with_its_digest_is_the_target_too(strict: Policy) -> None:
    pinned = f"{TARGET['installer']}@{TARGET['installer_digest']}"
    assert results(evidence(config__install__image=pinned), strict) == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 2}, "schema 2"),
        ({"schema": None}, "schema None"),
        ({"sha256": "0" * 64}, "its own hash"),
        ({"errors": [{}]}, "its own hash"),
    ],
)
def test_evidence_that_is_not_what_it_says_is_not_judged(strict: Policy, change: dict[str, Any], words: str) -> None:
    document = {**evidence(), **change}
    if "schema" in change:
        document = sealed(document)
    with pytest.raises(EvidenceRefused, match=words) as caught:
        judge(document, strict, now=NOW)
    assert caught.value.context == {"node": "node-1"}
    assert caught.value.kind == "evidence_refused"


def test_evidence_of_another_node_is_not_judged(strict: Policy) -> None:
    with pytest.raises(EvidenceRefused, match="node-1, not of node-2"):
        judge(evidence(), strict, now=NOW, node="node-2")
    with pytest.raises(EvidenceRefused, match="an unnamed node, not of node-2"):
        judge(sealed({"schema": 1}), strict, now=NOW, node="node-2")


def test_evidence_with_nothing_in_it_is_inconclusive_and_bound_to_nothing(strict: Policy) -> None:
    given = judge(sealed({"schema": 1}), strict, now=NOW)
    assert given["decision"] == "inconclusive"
    assert {c["id"] for c in given["checks"] if c["result"] == "pass"} == {"policy-decides"}
    assert given["node"] is None
    assert given["binds"]["identity"] is None
    assert given["denials"] is None


def test_what_was_found_is_bounded_and_printable(strict: Policy) -> None:
    document = evidence(talos__stage="\x1b[31mrunning\n" + "x" * 5000)
    found = next(c["found"] for c in judge(document, strict, now=NOW)["checks"] if c["id"] == "stage-running")
    assert found.isascii() and found.isprintable()
    assert "\\x1b[31mrunning\\n" in found
    assert len(found) < 1000


def test_the_clock_is_the_given_one(strict: Policy) -> None:
    later = NOW + dt.timedelta(hours=4)
    assert judge(evidence(), strict, now=later)["decision"] == "refused"
    assert judge(evidence(), strict, now=NOW - dt.timedelta(minutes=6))["decision"] == "eligible"
    assert judge(evidence(), strict, now=NOW - dt.timedelta(minutes=6, seconds=1))["decision"] == "refused"
    edge = NOW + dt.timedelta(hours=3, minutes=55)
    assert judge(evidence(), strict, now=edge)["decision"] == "eligible"


def test_observe_never_lets_a_node_move() -> None:
    given = judge(evidence(), load_policy("observe"), now=NOW + dt.timedelta(days=300))
    assert [c["id"] for c in given["checks"] if c["result"] == "fail"] == ["policy-decides"]
    assert given["decision"] == "refused"


def test_canary_moves_workers_with_unknown_but_not_broken_components() -> None:
    canary = load_policy("canary")
    unknown = [{"name": "calico", "version": None, "source": "DaemonSet"}]
    assert judge(evidence("worker", kubernetes__cni=unknown), canary, now=NOW)["decision"] == "eligible"
    assert results(evidence(), canary) == {"canary-is-worker": "fail"}
    assert results(evidence("worker", kubernetes__cni=[]), canary) == {"cni-compatible": "unknown"}
    broken = [{"name": "topolvm.io", "source": "CSIDriver"}]
    assert results(evidence("worker", kubernetes__csi=broken), canary) == {"csi-compatible": "fail"}
    addon = [{"name": "kubevirt", "version": None, "source": "DaemonSet"}]
    assert results(evidence("worker", kubernetes__addons=addon), canary) == {"addons-compatible": "fail"}
    assert judge(evidence("worker"), canary, now=NOW)["policy"]["weakened"] is True
    young = evidence("worker", boot__uptime_seconds=86400, audit__coverage__seconds=86400)
    assert results(young, canary) == {}


# ---------------------------------------------------------------- the decision

RESULTS = ("pass", "fail", "unknown", "waived", None)


def rows() -> list[tuple[tuple[str | None, ...], tuple[str | None, ...]]]:
    """Every combination of results for up to four blocking and up to four warning checks (order does not matter)."""
    sides = [combination for size in range(5) for combination in itertools.combinations_with_replacement(RESULTS, size)]
    return list(itertools.product(sides, sides))


def test_the_truth_table_of_decisions() -> None:
    table = rows()
    assert len(table) > 1000
    for blocking, warning in table:
        checks = [{"severity": "block", "result": r} for r in blocking] + [
            {"severity": "warn", "result": r} for r in warning
        ]
        for check in checks:
            if check["result"] is None:
                del check["result"]
        expected = (
            "refused"
            if "fail" in blocking
            else "eligible"
            if blocking and all(result in ("pass", "waived") for result in blocking)
            else "inconclusive"
        )
        assert decide(checks) == expected, (blocking, warning)
        assert decide(list(reversed(checks))) == expected


def test_decisions_at_the_edges() -> None:
    block = "block"
    assert decide([]) == "inconclusive"
    assert decide([{"severity": "warn", "result": "pass"}]) == "inconclusive"
    assert decide([{"severity": block, "result": "skipped"}]) == "inconclusive"
    assert decide([{"severity": block, "result": "skipped"}, {"severity": block, "result": "pass"}]) == "eligible"
    assert decide([{"severity": block, "result": "skipped"}, {"severity": block, "result": "waived"}]) == "eligible"
    assert decide([{"severity": block, "result": "yes"}, {"severity": block, "result": "pass"}]) == "inconclusive"
    assert decide([{"severity": block, "result": True}]) == "inconclusive"


def test_a_thousand_nodes_with_one_wrong_value_each(strict: Policy) -> None:
    """No leaf of the evidence that any blocking check reads can be nulled without losing eligibility."""
    blocking = {c.id for c in strict.checks if c.severity == "block"}
    paths = [path for identifier, path in _leaves(strict) if identifier in blocking and path != "operation.locked_by"]
    assert len(paths) > 30
    for path in paths:
        document = copy.deepcopy(healthy_evidence())
        given = judge(sealed(changed(document, path, None)), strict, target=TARGET, now=NOW)
        assert given["decision"] != verdict.ELIGIBLE, path


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("collected_at", "2026-11-22T08:00:00Z"),
        ("collected_at", "2026-11-22T12:01:00Z"),
        ("time.offset_seconds", 10),
        ("time.offset_seconds", -10.0),
        ("boot.uptime_seconds", 259200),
        ("audit.coverage.seconds", 259200.0),
        ("kubernetes.workloads_restarted", {"checked": 1, "stale": []}),
        ("selinux.kernel_args", ["selinux=1", "audit=on", "security=selinux", "apparmor=0", "talos.auditd.disabled=0"]),
        ("selinux.pid1_label", "system_u:system_r:init_t"),
        ("talos.mode", "cloud"),
        ("operation.boot_path", "in_place"),
        ("audit.counts", {**healthy_evidence()["audit"]["counts"], "granted": 5, "ignored": 7, "probe": 1}),
        ("kubernetes.csi", []),
        ("etcd.voters", 3),
    ],
)
def test_what_is_just_good_enough(strict: Policy, path: str, value: Any) -> None:
    assert results(sealed(changed(healthy_evidence(), path, value)), strict) == {}


@pytest.mark.parametrize(
    ("version", "trusted"),
    [
        ("v1.13.6", False),
        ("v1.13.7-rc.1", False),
        ("v1.13.7", True),
        ("v1.13.99", True),
        ("v1.14.0-alpha.2", False),
        ("v1.14.0-beta.0", True),
        ("v1.14.0", True),
        ("v1.15.0-alpha.0", True),
        ("v1.12.99", False),
    ],
)
def test_from_which_version_auditd_is_trusted(strict: Policy, version: str, trusted: bool) -> None:
    found = results(evidence(talos__version=version), strict, target={**TARGET, "version": version})
    assert ("auditd-trusted" not in found) is trusted


def test_five_voters_are_enough_and_a_learner_is_no_voter(strict: Policy) -> None:
    voters = [{"id": f"{n}", "hostname": f"cp-{n}", "is_learner": False} for n in range(5)]
    assert results(evidence(etcd__members=voters, etcd__voters=5), strict) == {}
    learner = {"id": "9", "hostname": "cp-9", "is_learner": True}
    found = results(evidence(etcd__members=[*voters[:2], learner], etcd__voters=2), strict)
    assert found == {"etcd-healthy": "fail", "etcd-quorum-to-spare": "fail"}
    assert results(evidence(etcd__members=[*voters[:3], learner], etcd__voters=4), strict) == {
        "etcd-healthy": "fail",
        "etcd-quorum-to-spare": "fail",
    }


def test_an_extension_that_was_reviewed_passes_unless_it_is_known_to_break(tmp_path: Path) -> None:
    path = tmp_path / "ours.yml"
    by = {"who": "ada", "why": "tested"}
    names = ["iscsi-tools", "ours"]
    document = {"schema": 1, "name": "ours", "extends": "strict", "weakened_by": by, "reviewed_extensions": names}
    path.write_text(yaml.safe_dump({**document, "target_floor": "v1.13.0"}))
    ours = load_policy(path)
    both = [{"name": name, "version": "v1"} for name in names]
    assert results(evidence(talos__extensions=both), ours) == {}
    old = {"talos__version": "v1.13.9", "operation__target__version": "v1.13.9"}
    assert results(evidence(talos__extensions=both, **old), ours) == {"extensions-reviewed": "fail"}
    other = [*both, {"name": "other", "version": "v1"}]
    assert results(evidence(talos__extensions=other), ours) == {"extensions-reviewed": "fail"}
