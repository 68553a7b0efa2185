# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The proof: only complete knowledge proves, and an upgrade is not a reinstall."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import sealed
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.proof import EvidenceTampered, prove

TARGET = {"version": "v1.14.1", "schematic": "s-enforcing", "installer": "x", "installer_digest": None}


def evidence(generation, machine_type="controlplane"):
    new = generation == "new"
    return {
        "schema": 1,
        "node": {
            "name": "cp-1",
            "identity": f"identity-{generation}",
            "machine_type": machine_type,
            "uuid": "4C4C4544-0042-4E10-8053-B4C04F4B4832",
            "serial_number": "sn1",
        },
        "collected_at": "2026-11-22T13:00:00Z" if new else "2026-11-22T12:00:00Z",
        "boot": {"id": f"boot-{generation}", "time": "2026-11-22T12:50:00Z" if new else "2026-11-19T12:00:00Z"},
        "talos": {"version": "v1.14.1", "schematic": {"id": "s-enforcing" if new else "s-old"}},
        "selinux": {
            "state": "enforcing" if new else "permissive",
            "kernel_args": ["talos.platform=metal", "selinux=1", *(["enforcing=1"] if new else [])],
            "pid1_label": "system_u:system_r:init_t:s0",
            "policy_loaded": True,
        },
        "audit": {"counts": {"denied": 0}, "denials": []},
        "volumes": {name: {"partition_uuid": f"{name}-{generation}"} for name in ("META", "STATE", "EPHEMERAL")},
        "etcd": {"member_id": 1 if new else 2} if machine_type == "controlplane" else None,
        "operation": {"target": None if new else TARGET},
    }


def put(document, path, value):
    document = copy.deepcopy(document)
    place = document
    *way, last = path.split(".")
    for key in way:
        place = place[key]
    place[last] = value
    return document


def proof(before=None, after=None, **options):
    before, after = before or evidence("old"), after or evidence("new")
    return prove(sealed(before), sealed(after), **options)


def item(answer, name):
    return next(entry for entry in [*answer["witnesses"], *answer["reinstall"]] if entry["id"] == name)


def test_a_real_reinstall_is_proven():
    answer = proof()
    assert answer["proven"] is True
    assert answer["before_sha256"] == sealed(evidence("old"))["sha256"]
    assert answer["after_sha256"] == sealed(evidence("new"))["sha256"]
    assert {entry["id"] for entry in answer["witnesses"]} == {
        "selinux_state",
        "kernel_args",
        "pid1_label",
        "policy_loaded",
        "denials",
    }
    assert {entry["id"] for entry in answer["reinstall"]} == {
        *("same_machine", "later", "identity", "meta", "state", "ephemeral", "boot"),
        *("version", "schematic", "etcd_member"),
    }


def test_a_worker_needs_no_etcd_member():
    answer = proof(evidence("old", "worker"), evidence("new", "worker"))
    assert answer["proven"] is True
    assert all(entry["id"] != "etcd_member" for entry in answer["reinstall"])


def test_an_upgrade_that_looks_like_a_reinstall_is_caught():
    # Everything a reboot and another image can change is new; what only a wipe can change is old.
    before = evidence("old")
    after = evidence("new")
    after["node"]["identity"] = before["node"]["identity"]
    after["volumes"] = before["volumes"]
    after["etcd"] = before["etcd"]
    answer = proof(before, after)
    assert answer["enforcing"] is True
    assert answer["reinstalled"] is False
    assert answer["proven"] is False
    for name in ("identity", "meta", "state", "ephemeral", "etcd_member"):
        assert item(answer, name)["ok"] is False


@pytest.mark.parametrize("kept", ["META", "STATE", "EPHEMERAL"])
def test_a_partial_wipe_is_caught(kept):
    assert proof(after=put(evidence("new"), f"volumes.{kept}.partition_uuid", f"{kept}-old".lower()))["proven"] is False


WITNESS_PATHS = {
    "selinux.state": ("selinux_state", ["permissive", "disabled", "unsupported"], [None, "unknown"]),
    "selinux.kernel_args": (
        "kernel_args",
        [
            [],
            ["selinux=1"],
            ["enforcing=1"],
            ["selinux=1", "enforcing=0"],
            ["selinux=1", "enforcing=1", "enforcing=0"],
            ["selinux=0", "selinux=1", "enforcing=1"],
            ["selinux=1", "xenforcing=1"],
        ],
        [None],
    ),
    "selinux.pid1_label": (
        "pid1_label",
        ["", "kernel", "system_u:system_r:kernel_t:s0", "system_u:system_r:initramfs_t:s0"],
        [None],
    ),
    "selinux.policy_loaded": ("policy_loaded", [False], [None]),
    "audit.denials": (
        "denials",
        [
            [{"permissive": True}],
            [{"permissive": False}, {"permissive": True}],
            [{"permissive": None}, {"permissive": True}],
        ],
        [None, [{"permissive": None}], [{}]],
    ),
    "audit.counts": ("denials", [], [None]),
    "node.identity": ("identity", ["identity-old"], [None, ""]),
    "node.uuid": ("same_machine", ["other"], []),
    "node.name": ("same_machine", ["cp-2"], []),
    "collected_at": (
        "later",
        ["2026-11-22T12:00:00Z", "2026-11-21T12:00:00Z"],
        [None, "yesterday", "2026-11-22T13:00"],
    ),
    "boot.id": ("boot", ["boot-old"], [None]),
    "volumes": ("meta", [], [None]),
    "talos.version": ("version", ["v1.14.0"], [None]),
    "talos.schematic": ("schematic", [{"id": "s-old"}], [None]),
    "etcd.member_id": ("etcd_member", [2], [None]),
    "etcd": ("etcd_member", [], [None]),
    "node.machine_type": ("etcd_member", [], [None, "worker"]),
}
CASES = [
    (path, name, value, verdict)
    for path, (name, no, unknown) in WITNESS_PATHS.items()
    for verdict, values in ((False, no), (None, unknown))
    for value in values
]


@pytest.mark.parametrize(("path", "name", "value", "verdict"), CASES)
def test_one_wrong_or_unknown_answer_is_no_proof(path, name, value, verdict):
    answer = proof(after=put(evidence("new"), path, value))
    assert item(answer, name)["ok"] is verdict
    assert answer["proven"] is False


def test_enforced_denials_do_not_count_against_enforcing():
    after = put(evidence("new"), "audit.denials", [{"permissive": False}])
    assert proof(after=after)["proven"] is True


#: What SystemStat and the kernel's first audit stamps said before the wipe.
THEN = {
    "boot_time": 1795089600,
    "cpu_seconds": 260000.0,
    "processes": 90000,
    "context_switches": 10**9,
    "marks": {"2": "1795089601.120", "3": "1795089601.121"},
    "at": 1795350000.0,
}


def later(**told):
    """The look of the same boot an hour later, changed by ``told``."""
    grown = {"cpu_seconds": 263600.0, "processes": 91000, "context_switches": 10**9 + 5, "at": 1795353600.0}
    return {**THEN, **grown, **told}


YOUNG = {"cpu_seconds": 600.0, "processes": 900, "context_switches": 10**6}


@pytest.mark.parametrize(
    ("look", "ok"),
    [
        (later(**YOUNG, boot_time=1795353000, marks={"2": "1795353001.007"}), True),
        (later(**YOUNG, boot_time=1795353000, marks={}), True),
        (later(), False),
        # Its clock was set forward past the evidence, and back: the boot seems younger, and is not.
        (later(boot_time=1795089600 + 300000), False),
        (later(boot_time=1795089600 - 4379), False),
        ({"boot_time": 1795353000}, None),
        (None, None),
    ],
    ids=["another", "without marks", "the same", "set forward", "set back", "only its time", "nothing"],
)
def test_without_boot_ids_a_new_boot_is_told_from_a_step_of_the_clock(look, ok):
    before = put(put(evidence("old"), "boot.id", None), "boot.look", THEN)
    after = put(put(evidence("new"), "boot.id", None), "boot.look", look)
    answer = proof(before, after)
    assert item(answer, "boot")["ok"] is ok
    assert answer["proven"] is (ok is True)


def test_two_releases_are_two_boots():
    before = put(put(evidence("old"), "boot.id", None), "talos.version", "v1.13.8")
    assert item(proof(before), "boot")["ok"] is True


def test_the_serial_number_stands_in_for_the_uuid():
    before, after = put(evidence("old"), "node.uuid", None), put(evidence("new"), "node.uuid", None)
    assert proof(before, after)["proven"] is True
    assert item(proof(before, put(after, "node.serial_number", None)), "same_machine")["ok"] is None


def test_the_target_must_be_known():
    before = put(evidence("old"), "operation.target", None)
    assert item(proof(before), "version")["ok"] is None
    assert proof(before, target=TARGET)["proven"] is True
    assert item(proof(before, target={**TARGET, "version": "v1.15.0"}), "version")["ok"] is False


@pytest.mark.parametrize("side", [0, 1])
def test_changed_evidence_proves_nothing(side):
    documents = [sealed(evidence("old")), sealed(evidence("new"))]
    documents[side]["node"]["hostname"] = "forged"
    with pytest.raises(EvidenceTampered, match="the reinstall does not match its own hash"):
        prove(*documents)


@pytest.mark.parametrize("empty", [{}, {"node": None, "selinux": [], "audit": "x"}])
def test_empty_documents_prove_nothing_and_break_nothing(empty):
    answer = prove(sealed(empty), sealed(empty))
    assert answer["proven"] is False
    assert not any(entry["ok"] for entry in answer["witnesses"])


@pytest.mark.parametrize("key", ["uuid", "serial_number"])
def test_a_machine_is_another_by_its_uuid_or_by_its_serial_number(key):
    after = put(evidence("new"), f"node.{key}", "other")
    assert item(proof(after=after), "same_machine")["ok"] is False


@pytest.mark.parametrize("key", ["uuid", "serial_number"])
def test_one_of_the_two_is_enough_where_the_other_is_not_known(key):
    after = put(evidence("new"), f"node.{key}", None)
    assert item(proof(after=after), "same_machine")["ok"] is True


@pytest.mark.parametrize(("serial", "ok"), [("sn1", True), ("sn2", False), (None, None)])
def test_a_uuid_that_many_boards_share_is_not_enough(serial, ok):
    shared = "03000200-0400-0500-0006-000700080009"
    before, after = (put(evidence(one), "node.uuid", shared) for one in ("old", "new"))
    assert item(proof(before, put(after, "node.serial_number", serial)), "same_machine")["ok"] is ok


def test_a_node_that_does_not_say_its_name_any_more_is_not_known_to_be_the_same():
    before = put(evidence("old"), "node.hostname", "w-1")
    assert item(proof(before, evidence("new")), "same_machine")["ok"] is None


def test_a_machine_of_another_host_name_is_another():
    before, after = (put(evidence(one), "node.hostname", f"w-{one}") for one in ("old", "new"))
    assert item(proof(before, after), "same_machine")["ok"] is False
    assert item(proof(put(before, "node.hostname", "w-new"), after), "same_machine")["ok"] is True
