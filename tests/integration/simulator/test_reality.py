# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The simulated node against recorded answers of real ones: every difference is listed, or it is none."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import quick_yaml
import real_talos
from simulator import Simulator, compare, rawclient

_NODE: dict[str, Any] = {"role": "controlplane", "talos": real_talos.RELEASE, "user_disks": [], "uptime": "10m"}
_PLAIN_ROOT = {"/": "rootfs_t", "/usr": "usr_t"}
#: By state: the node's name, what it is, and which certificate asks (None: none, as in maintenance mode).
STATES: dict[str, tuple[str, dict[str, Any], str | None]] = {
    "permissive-uki-factory": ("n2", {"extra": {"not_ready": True}}, "admin"),
    "permissive-reader": (
        "n1",
        {"bootloader": "grub", "extra": {"not_ready": True, "labels": _PLAIN_ROOT}},
        "reader",
    ),
    "enforcing": (
        "n1",
        {"bootloader": "grub", "kernel_args": ["enforcing=1"], "extra": {"not_ready": True, "labels": _PLAIN_ROOT}},
        "admin",
    ),
    "permissive": ("n1", {"bootloader": "grub", "extra": {"not_ready": True, "labels": _PLAIN_ROOT}}, "admin"),
    "enforcing-overlay": (
        "w2",
        {"bootloader": "grub", "kernel_args": ["enforcing=1"], "extra": {"not_ready": True}},
        "admin",
    ),
    "maintenance": ("n1", {"state": "maintenance", "extra": {"labels": _PLAIN_ROOT}}, None),
    "maintenance-after-label-reset": ("n2", {}, None),
}
ALLOWED: list[dict[str, Any]] = quick_yaml.load((real_talos.DIRECTORY / "differences.yml").read_text(encoding="utf-8"))


@contextmanager
def _simulated(state: str, directory: Path) -> Iterator[tuple[Simulator, str]]:
    name, node, _who = STATES[state]
    scenario = {"name": "real", "time_scale": 400, "nodes": {name: {**_NODE, **node}}}
    with Simulator(scenario, directory) as sim:
        if state == "maintenance-after-label-reset":
            admin = rawclient.client_context(sim.directory)
            labels = [{"label": label, "wipe": True} for label in ("META", "STATE", "EPHEMERAL")]
            rawclient.machine(sim.nodes[name].address, admin, "Reset", reboot=True, system_partitions_to_wipe=labels)
            sim.wait_for(name, "maintenance")
        yield sim, name


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """By state: every difference, as ``question | difference``."""
    result: dict[str, list[str]] = {}
    for state, (_name, _node, who) in STATES.items():
        questions = real_talos.answers(state)
        with _simulated(state, tmp_path_factory.mktemp(state)) as (sim, name):
            context = rawclient.insecure_context() if who is None else rawclient.client_context(sim.directory, who)
            answers = compare.ask(sim.nodes[name].address, context, questions)
        result[state] = [
            f"{question.name} | {difference}"
            for question in questions
            for difference in compare.differences(question, answers[question.name])
        ]
    return result


def _allowed(state: str, difference: str) -> list[int]:
    return [
        index
        for index, entry in enumerate(ALLOWED)
        if state in entry.get("states", STATES)
        and fnmatch.fnmatchcase(difference.replace("[", "(").replace("]", ")"), entry["difference"])
    ]


@pytest.mark.parametrize("state", STATES)
def test_a_simulated_node_answers_like_a_real_one(found: dict[str, list[str]], state: str) -> None:
    assert len(real_talos.answers(state)) > 90
    assert [difference for difference in found[state] if not _allowed(state, difference)] == []


def test_every_allowed_difference_has_a_reason_and_is_one(found: dict[str, list[str]]) -> None:
    assert [entry["difference"] for entry in ALLOWED if len(entry.get("reason", "").split()) < 4] == []
    used = {index for state, lines in found.items() for line in lines for index in _allowed(state, line)}
    assert [entry["difference"] for index, entry in enumerate(ALLOWED) if index not in used] == []


def test_the_comparison_finds_what_differs() -> None:
    (recorded,) = [one for one in real_talos.answers("enforcing") if one.name == "Version"]
    reply = compare.message_class("machine.VersionResponse").FromString(recorded.messages[0])
    assert list(compare.differences(recorded, (None, [reply]))) == []
    changed = compare.message_class("machine.VersionResponse")()
    changed.CopyFrom(reply)
    changed.messages[0].platform.mode = "cloud"
    changed.messages[0].version.ClearField("tag")
    assert list(compare.differences(recorded, (None, [changed]))) == [
        "missing: .messages[].version.tag",
        ".messages[].platform.mode: recorded str metal, simulated str cloud",
    ]
    assert list(compare.differences(recorded, (("UNKNOWN", "no"), []))) == [
        "error: recorded None, simulated ('UNKNOWN', 'no')"
    ]
