# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a look at a node says about its reset: three answers, and two of them only by a positive sign."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.looks import (
    Seen,
    effect_of_reset,
    same_machine,
    see,
    status,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import NotFound, Unreachable, Unsupported

from .machines import Machine, OneNode

UUID, SERIAL = "4c4c4544-0042-4e10-8053-b4c04f4b4832", "PK1X7"
OTHER = "5c4c4544-0042-4e10-8053-b4c04f4b4832"
FACTS = {"uuid": UUID, "serial_number": SERIAL, "identity": "old"}


def seen(how: Any = "running", **more: Any) -> Seen:
    known = {"uuid": UUID, "serial_number": SERIAL, "stage": "maintenance" if how == "maintenance" else "running"}
    return Seen(how, "something", **{**known, **({"identity": "old"} if how == "running" else {}), **more})


def test_maintenance_mode_on_the_same_machine_is_a_wipe() -> None:
    assert effect_of_reset(FACTS, seen("maintenance"))[0] == "happened"


def test_a_new_installation_on_the_same_machine_is_a_wipe() -> None:
    assert effect_of_reset(FACTS, seen(identity="new"))[0] == "happened"


@pytest.mark.parametrize("stage", ["running", "maintenance"])
def test_the_old_installation_is_no_wipe(stage: str) -> None:
    assert effect_of_reset(FACTS, seen(stage=stage))[0] == "did_not"


@pytest.mark.parametrize("stage", ["resetting", "rebooting", "shutting down", "booting", None])
def test_on_its_way_the_old_installation_says_nothing_yet(stage: str | None) -> None:
    assert effect_of_reset(FACTS, seen(stage=stage))[0] == "unknown"


@pytest.mark.parametrize("stage", ["installing", "booting", "running", "", None])
def test_a_stranger_that_is_not_in_maintenance_mode_says_nothing(stage: str | None) -> None:
    assert effect_of_reset(FACTS, seen("maintenance", stage=stage))[0] == "unknown"


@pytest.mark.parametrize("how", ["running", "maintenance"])
@pytest.mark.parametrize(
    "other",
    [{"uuid": None}, {"uuid": ""}, {"uuid": UUID.replace("4c", "5c")}, {"serial_number": "PK1X8"}],
    ids=["no UUID", "empty UUID", "another UUID", "another serial number"],
)
def test_another_or_an_unknown_machine_says_nothing(how: Any, other: dict[str, Any]) -> None:
    assert effect_of_reset(FACTS, seen(how, **other))[0] == "unknown"


@pytest.mark.parametrize("how", ["running", "maintenance"])
def test_without_a_recorded_uuid_nothing_is_said(how: Any) -> None:
    assert effect_of_reset({**FACTS, "uuid": None}, seen(how))[0] == "unknown"


@pytest.mark.parametrize(
    ("judged", "told", "same"),
    [(SERIAL, SERIAL, True), (SERIAL, "PK1X8", False), (SERIAL, None, None), (SERIAL, "", None), (None, None, True)],
)
def test_where_boards_share_a_uuid_the_serial_number_has_to_be_told(
    judged: str | None, told: str | None, same: bool | None
) -> None:
    """Without one of its own a machine is told from others by its console (``require_console``)."""
    shared = "03000200-0400-0500-0006-000700080009"
    facts = {"uuid": shared, "serial_number": judged}
    assert same_machine(facts, seen(uuid=shared, serial_number=told)) is same


def test_no_answer_says_nothing() -> None:
    answer, found = effect_of_reset(FACTS, Seen("silent", "connection refused"))
    assert (answer, found) == ("unknown", "nobody answers: connection refused")


@pytest.mark.parametrize("facts", [{**FACTS, "identity": None}, {"uuid": UUID, "serial_number": SERIAL}])
def test_without_a_recorded_identity_nothing_is_said(facts: dict[str, Any]) -> None:
    assert effect_of_reset(facts, seen())[0] == "unknown"


def test_a_node_that_does_not_say_its_identity_says_nothing() -> None:
    assert effect_of_reset(FACTS, seen(identity=None))[0] == "unknown"


def test_a_uuid_in_the_other_byte_order_or_case_is_the_same() -> None:
    assert same_machine(FACTS, seen(uuid=UUID.upper())) is True
    assert same_machine(FACTS, seen(uuid="44454c4c-4200-104e-8053-b4c04f4b4832")) is True


def test_a_serial_number_that_one_side_does_not_say_decides_nothing() -> None:
    assert same_machine(FACTS, seen(serial_number=None)) is True
    assert same_machine({**FACTS, "serial_number": ""}, seen()) is True


class Node:
    """A machine that says this of its stage and of itself."""

    def __init__(self, told: dict[str, Any], system: dict[str, Any] | Problem) -> None:
        self.told, self.system = told, system

    async def spec(self, name: str) -> dict[str, Any]:
        answer = {"machine_status": self.told, "system_information": self.system}[name]
        if isinstance(answer, Problem):
            raise answer
        return answer


def told_by(told: dict[str, Any], system: dict[str, Any] | Problem) -> dict[str, Any]:
    node: Any = Node(told, system)
    return asyncio.run(status(node))


READY = {"stage": "running", "status": {"ready": True, "unmetConditions": []}}
ITSELF = {"uuid": UUID, "serialnumber": SERIAL}


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (READY, ("running", True, [])),
        ({"stage": "running", "status": {"ready": False, "unmetConditions": [{"name": "a\x1b"}]}}, (..., False, ...)),
        ({"stage": "running", "status": {"ready": "yes"}}, ("running", None, [])),
        ({"stage": "running", "status": None}, ("running", None, [])),
        ({"stage": "running", "status": ["ready"]}, ("running", None, [])),
        ({"stage": 5}, (None, None, [])),
        ({}, (None, None, [])),
    ],
)
def test_what_a_machine_does_not_say_of_its_stage_is_not_known(told: dict[str, Any], said: tuple[Any, ...]) -> None:
    found = told_by(told, ITSELF)
    given = (found["stage"], found["ready"], found["unmet_conditions"])
    assert [one for one, two in zip(said, given, strict=True) if one is not ... and one != two] == []
    assert "\x1b" not in str(found) and (found["uuid"], found["serial_number"]) == (UUID, SERIAL)


@pytest.mark.parametrize(
    "system", [NotFound("there is none", "w", "d"), Unsupported("it has none", "w", "d"), {}, {"uuid": 5}], ids=str
)
def test_a_machine_that_does_not_say_which_it_is_is_none(system: dict[str, Any] | Problem) -> None:
    found = told_by(READY, system)
    assert (found["stage"], found["uuid"], found["serial_number"]) == ("running", None, None)


def test_one_that_does_not_answer_says_nothing_at_all() -> None:
    with pytest.raises(Unreachable, match="gone"):
        told_by(READY, Unreachable("gone", "w", "d"))


@pytest.mark.parametrize(
    ("endpoint", "later", "how"),
    [
        (None, OTHER, "running"),
        ("10.0.0.9:50000", UUID.upper(), "running"),
        ("10.0.0.9:50000", OTHER, "unread"),
    ],
)
def test_what_an_endpoint_forwards_comes_from_one_machine(
    tmp_path: Path, endpoint: str | None, later: str, how: str
) -> None:
    """Its address became another machine's between two questions; a direct connection would have ended."""
    machine = Machine(uuid=UUID, identity="new", endpoint=endpoint, later_uuid=later)
    found = see(OneNode(tmp_path, itertools.repeat(machine)))
    assert found.how == how
    assert effect_of_reset(FACTS, found)[0] == ("happened" if how == "running" else "unknown")
