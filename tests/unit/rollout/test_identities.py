# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fleets of 1 to 6 machines with every pairwise mix of identities: who is a twin, who joins, whose etcd answers."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.identity import doubts_of
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.joined import Machine, join
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.fleet import judge_fleet
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.members import require_same_etcd
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.work import StepProblem
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.plan import UnsafePlan, make_plan

SHARED = "6f1d0a9e-33aa-4c71-8899-aabbccddeeff"
SWAPPED = str(uuid.UUID(bytes_le=uuid.UUID(SHARED).bytes))
PLACEHOLDERS = ("03000200-0400-0500-0006-000700080009", "ffffffff-ffff-ffff-ffff-ffffffffffff")
#: UUIDs that two machines may carry, None for its own.
UUIDS = (None, SHARED, SWAPPED, SHARED.upper(), *PLACEHOLDERS)
NOW = dt.datetime(2026, 11, 29, tzinfo=dt.UTC)
SIZES = range(1, 7)
#: What no two machines share beside the UUID, in the evidence and in the plan's rows.
FIELDS = ("address", "identity", "boot_id")


def fleet(size: int) -> list[dict[str, Any]]:
    """So many workers, each a machine of its own."""
    return [
        {
            "name": f"w-{n}",
            "machine_type": "worker",
            "zone": None,
            "decision": "eligible",
            "selinux_state": "permissive",
            "reasons": [],
            "address": f"192.0.2.{n}",
            "uuid": f"6f1d0a9e-0000-4000-8000-{n:012}",
            "identity": f"identity-{n}",
            "boot_id": f"boot-{n}",
        }
        for n in range(1, size + 1)
    ]


def mixes(size: int) -> Iterator[tuple[list[dict[str, Any]], set[str], set[str]]]:
    """Every fleet of a size in which two machines carry any two UUIDs: it, its twins, and who has a placeholder."""
    for one, other in itertools.combinations(range(size), 2):
        for uuids in itertools.product(UUIDS, repeat=2):
            rows = fleet(size)
            for index, value in zip((one, other), uuids, strict=True):
                rows[index]["uuid"] = value or rows[index]["uuid"]
            first, second = (uuids[0] or "").lower(), (uuids[1] or "").lower()
            same = bool(first) and (first == second or {first, second} == {SHARED, SWAPPED})
            yield (
                rows,
                {rows[one]["name"], rows[other]["name"]} if same else set(),
                {row["name"] for row in rows if row["uuid"] in PLACEHOLDERS},
            )


def document(row: dict[str, Any]) -> dict[str, Any]:
    """The part of a row's evidence that says which machine it is."""
    node = {key: row[key] for key in ("address", "uuid", "identity")}
    return {"node": {**node, "hostname": row["name"], "serial_number": None}, "boot": {"id": row["boot_id"]}}


def twins_by_gate(rows: list[dict[str, Any]]) -> set[str]:
    """The hosts that the checks of the fleet do not pass."""
    judged = judge_fleet({row["name"]: document(row) for row in rows}, NOW)
    return {host for host, checks in judged.items() if any(check["result"] != "pass" for check in checks)}


def refused_by_plan(rows: list[dict[str, Any]], resume: tuple[str, ...] = ()) -> set[str]:
    """The hosts for which a plan is refused; none when it is made."""
    try:
        plan = make_plan(rows, batch="100%", resume=resume)
    except UnsafePlan as refused:
        return set(refused.context["hosts"])
    assert {name for wave in plan.waves for name in wave.nodes} == {row["name"] for row in rows}
    return set()


@pytest.mark.parametrize("size", SIZES)
def test_twins_are_refused_by_gate_and_plan_alike_and_placeholders_are_doubted(size: int) -> None:
    assert twins_by_gate(fleet(size)) == refused_by_plan(fleet(size)) == set()
    for rows, twins, placeholders in mixes(size):
        assert twins_by_gate(rows) == refused_by_plan(rows) == twins, rows
        assert {row["name"] for row in rows if doubts_of(row["uuid"], "SN-1")} == placeholders, rows


@pytest.mark.parametrize("size", SIZES)
def test_a_node_that_is_resumed_has_no_twin_among_the_judged_either(size: int) -> None:
    for rows, twins, _mix in mixes(size):
        assert refused_by_plan(rows, resume=(rows[0]["name"],)) == twins, rows


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("field", FIELDS)
def test_two_hosts_of_one_address_identity_or_boot_are_twins(size: int, field: str) -> None:
    for one, other in itertools.combinations(range(size), 2):
        rows = fleet(size)
        rows[other][field] = rows[one][field].upper()
        assert twins_by_gate(rows) == refused_by_plan(rows) == {rows[one]["name"], rows[other]["name"]}


@pytest.mark.parametrize("size", SIZES)
def test_a_machine_joins_its_own_node_object_in_its_own_cluster_only(size: int) -> None:
    def objects(cluster: str, order: tuple[int, ...]) -> list[dict[str, Any]]:
        # By name in that order: the machine behind the name w-1 is that of the first number.
        return [
            {"metadata": {"name": f"w-{place}"}, "status": {"nodeInfo": reported(cluster, n)}}
            for place, n in enumerate(order, start=1)
        ]

    def reported(cluster: str, n: int) -> dict[str, str]:
        own = [str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{n}.{cluster}.{what}")) for what in ("uuid", "id", "boot")]
        return dict(zip(("systemUUID", "machineID", "bootID"), own, strict=True))

    numbers = tuple(range(1, size + 1))
    for n in numbers:
        own = reported("home", n)
        machine = Machine(f"w-{n}", own["systemUUID"], own["machineID"], own["bootID"])
        assert join(objects("home", numbers), machine).joined is True
        assert join(objects("away", numbers), machine).joined is False
        for m in set(numbers) - {n}:
            # Two names were changed: the object of this name is another machine.
            order = tuple({n: m, m: n}.get(number, number) for number in numbers)
            assert join(objects("home", order), machine).joined is False
            # Another node reports this machine's UUID.
            doubled = objects("home", numbers)
            doubled[m - 1]["status"]["nodeInfo"]["systemUUID"] = own["systemUUID"]
            assert join(doubled, machine).joined is None


@pytest.mark.parametrize("size", SIZES)
def test_only_the_recorded_member_of_the_same_etcd_is_a_peer(size: int) -> None:
    ids = [0x1000 + n for n in range(size)]
    strangers = [0x2000 + n for n in range(size)]
    peers = [{"id": f"{one:016x}", "hostname": f"cp-{n}", "address": "192.0.2.1"} for n, one in enumerate(ids)][1:]

    def ask(answering: int, listed: list[int], peer: dict[str, Any]) -> None:
        work: Any = SimpleNamespace(
            host="cp-0",
            facts={"peers": peers, "member": f"{ids[0]:016x}"},
            ask=lambda question, target: (f"{answering:016x}", [f"{one:016x}" for one in listed]),
        )
        # A peer's fields are all that is looked at.
        asked: Any = SimpleNamespace(id=peer["id"], hostname=peer["hostname"], target=None)
        require_same_etcd(work, asked)

    for peer in peers:
        own = int(peer["id"], 16)
        ask(own, ids, peer)
        # The node itself has left.
        ask(own, ids[1:], peer)
        for answering, listed in [
            *((other, ids) for other in ids if other != own),
            *((stranger, strangers) for stranger in strangers),
            (own, strangers),
            *((own, [one for one in ids if one != left]) for left in ids[1:]),
        ]:
            with pytest.raises(StepProblem, match=r"answers for cp-|and not all that were recorded"):
                ask(answering, listed, peer)
