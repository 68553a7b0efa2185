# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No node is taken away while a control plane is, whoever took that one away."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.actions import Target
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.identity import machine_id_of
from ansible_collections.talosops.selinux.plugins.plugin_utils.kube import ClusterProblem
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall import away
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.step import ACTS, take
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.errors import LockHeld

from .machines import HOST, UUID, Machine, OneNode

OTHER, OLD = "5c4c4544-0042-4e10-8053-b4c04f4b4832", "a" * 32
SHARED = "03000200-0400-0500-0006-000700080009"
HELD = LockHeld("cp-1 is away", "w", "d", owner=f"cp-1 ({OTHER})", identity=OLD)


def node(uuid: str = OTHER, *, ready: str = "True", machine_id: str | None = "f" * 32) -> dict[str, Any]:
    info = {"systemUUID": uuid, "machineID": machine_id}
    return {"metadata": {"name": "n"}, "status": {"nodeInfo": info, "conditions": [{"type": "Ready", "status": ready}]}}


@pytest.mark.parametrize(
    ("nodes", "back"),
    [
        ([node(UUID), node()], True),
        ([node(OTHER.upper())], True),
        ([], False),
        ([node(UUID)], False),
        ([node(ready="False")], False),
        ([node(ready="Unknown")], False),
        ([node(machine_id=machine_id_of(OLD))], False),
        ([node(machine_id=None)], False),
        ([node(machine_id="")], False),
        ([node(), node()], False),
        ([{"metadata": {"name": "n"}}], False),
    ],
)
def test_a_control_plane_is_back_by_a_positive_sign_only(nodes: list[dict[str, Any]], back: bool) -> None:
    assert away.is_node_again(nodes, HELD.context) is back


@pytest.mark.parametrize(
    "held",
    [{"identity": None}, {"identity": "?"}, {"owner": "cp-1"}, {"owner": None}, {"owner": f"cp-1 ({'0' * 32})"}],
    ids=str,
)
def test_one_of_which_nobody_told_who_it_was_is_not_known_to_be_back(held: dict[str, Any]) -> None:
    nodes = [node(), node("00000000-0000-0000-0000-000000000000")]
    assert away.is_node_again(nodes, {**HELD.context, **held}) is False


def test_a_uuid_that_many_boards_share_shows_nobodys_return() -> None:
    held = {"owner": "cp-1 (03000200-0400-0500-0006-000700080009)", "identity": "the one before its reset"}
    nobody: Any = SimpleNamespace()
    assert asyncio.run(away.is_voter_again(nobody, nobody, held)) is False


@pytest.mark.parametrize("machine_type", ["worker", "controlplane"])
@pytest.mark.parametrize("step", ["drain", "reset"])
@pytest.mark.parametrize("found", ["away", "no answer", "back", "free"])
def test_no_node_is_taken_away_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: str, step: str, machine_type: str
) -> None:
    """Another ledger took it away, so that this one has no lock of it."""
    acted: list[str] = []
    problems = {"away": HELD, "back": HELD, "no answer": ClusterProblem("the API gives no answer", "w", "d")}

    def check() -> None:
        if found in problems:
            raise problems[found]

    one = OneNode(tmp_path, itertools.repeat(Machine()))
    if machine_type == "controlplane":
        one.take_control_plane_lock()
    one.at(step, machine_type=machine_type)
    one.params["kubeconfig"] = "kubeconfig"
    monkeypatch.setattr(one, "control_plane_lease", lambda holder: SimpleNamespace(check=check))
    monkeypatch.setattr(away, "read_lists", lambda *where, why: [[node()] if found == "back" else []])
    monkeypatch.setitem(ACTS, step, lambda work: acted.append(step) or {})
    if found in ("back", "free"):
        take(one, step)
        assert acted == [step]
    else:
        with pytest.raises(Problem, match=r"is away|no answer"):
            take(one, step)
        assert acted == [] and one.ledger.node(HOST).failed == step


def test_what_may_be_wiped_already_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = OneNode(tmp_path, itertools.repeat(Machine())).at("reset")
    one.ledger.begin(HOST, "reset", machine_type="worker")
    one.ledger.intent(HOST, "reset")
    one.params["kubeconfig"] = "kubeconfig"
    monkeypatch.setitem(ACTS, "reset", lambda work: {})
    assert take(one, "reset")["taken"]


@pytest.mark.parametrize(
    ("holder", "uuid", "found"),
    [
        (None, UUID, None),
        (f"{HOST} ({UUID})", UUID, f"{HOST} ({UUID})"),
        # Where the ledger never learned who the node is, the Lease is its own by the name.
        (f"{HOST} ({UUID})", None, f"{HOST} ({UUID})"),
        (f"{HOST} ({UUID})", "", f"{HOST} ({UUID})"),
        (f"{HOST} ({OTHER})", UUID, "refused"),
        # It had another name when it was reset.
        (f"other ({UUID})", UUID, f"other ({UUID})"),
        (f"other ({UUID})", UUID.upper(), f"other ({UUID})"),
        (f"other ({OTHER})", UUID, None),
        (f"other ({UUID})", None, None),
        # A UUID that many boards share is nobody's.
        (f"other ({SHARED})", SHARED, None),
        (f"{HOST} ({SHARED})", SHARED, f"{HOST} ({SHARED})"),
    ],
)
def test_the_lease_of_a_node_whoever_took_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holder: str | None, uuid: str | None, found: str | None
) -> None:
    made: list[str] = []

    def lease(of: str) -> Any:
        made.append(of)

        def check() -> None:
            if holder is not None:
                raise LockHeld("it is held", "w", "d", owner=holder)

        return SimpleNamespace(check=check, holder=of)

    one = OneNode(tmp_path, itertools.repeat(Machine()))
    one.params["kubeconfig"], one.facts["uuid"] = "kubeconfig", uuid
    monkeypatch.setattr(one, "control_plane_lease", lease)
    if found == "refused":
        with pytest.raises(Problem, match=f"is held for {HOST} .{OTHER}., and the ledger knows {HOST} as {UUID}"):
            away.lease_of(one)
        return
    told = away.lease_of(one)
    assert (None if told is None else told.holder) == found
    assert made == ["", *([found] if found else [])]


@pytest.mark.parametrize(("held_for", "refused"), [(None, False), ("other", False), (HOST, True)])
def test_without_a_kubeconfig_a_lease_that_there_may_be_is_not_forgotten(
    tmp_path: Path, held_for: str | None, refused: bool
) -> None:
    one = OneNode(tmp_path, itertools.repeat(Machine()))
    if held_for is not None:
        one.host = held_for
        one.take_control_plane_lock()
        one.host = HOST
    if refused:
        with pytest.raises(Problem, match=f"{HOST} is a control plane in flight, and no kubeconfig was given"):
            away.lease_of(one)
    else:
        assert away.lease_of(one) is None


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(("held", "back"), [(False, None), (True, True), (True, False)])
def test_the_lock_is_taken_for_a_reset_also_from_one_that_is_back(
    monkeypatch: pytest.MonkeyPatch, held: bool, back: bool | None, check: bool
) -> None:
    done: list[Any] = []
    problem = LockHeld("cp-1 is away", "w", "d", owner="cp-1 (u)", version="7")

    def is_free() -> None:
        if held:
            raise problem

    async def voter(client: Any, where: Any, told: Any) -> bool | None:
        done.append((client, where, told))
        return back

    lock: Any = SimpleNamespace(check=is_free, acquire=lambda *given, **how: done.append((given, how)))
    action: Any = SimpleNamespace(
        host=HOST, check=check, ask=lambda question, where: asyncio.run(question(f"client of {where}"))
    )
    where: Any = "there"
    monkeypatch.setattr(away, "is_voter_again", voter)
    evidence = {"node": {"identity": OLD}}
    if held and not back:
        with pytest.raises(LockHeld, match="cp-1 is away"):
            away.take_control_plane_lock(action, lock, where, evidence)
    else:
        away.take_control_plane_lock(action, lock, where, evidence)
    how = {"about": f"the reinstall of {HOST}", "identity": OLD, "settled": "7" if held else None}
    asked = [("client of there", "there", problem.context)] if held else []
    assert done == [*asked, *([] if check or (held and not back) else [((None,), how)])]


class Member:
    """A member of etcd, asked by its address."""

    def __init__(
        self,
        uuid: str | None,
        stage: str = "running",
        ready: Any = True,
        identity: str | None = "new",
        number: int | None = None,
    ) -> None:
        self.told = {"uuid": uuid, "stage": stage, "ready": ready}
        self.identity, self.number = identity, number

    async def etcd_status(self) -> Any:
        return SimpleNamespace(member_id=self.number)

    async def __aenter__(self) -> Member:
        return self

    async def __aexit__(self, *_error: object) -> None:
        return None

    async def spec(self, name: str) -> dict[str, Any]:
        assert name == "identity"
        return {"nodeId": self.identity}


@pytest.mark.parametrize(
    ("members", "again"),
    [
        ([Member(OTHER)], True),
        ([Member(UUID), None, Member(OTHER.upper())], True),
        ([], False),
        ([None], False),
        ([Member(UUID)], False),
        ([Member(OTHER, "booting")], False),
        ([Member(OTHER, ready=None)], False),
        ([Member(OTHER, identity=OLD)], False),
        ([Member(OTHER, identity=None)], False),
        # The first that is the machine decides.
        ([Member(OTHER, "booting"), Member(OTHER)], False),
        (["learner"], False),
        # Back, but what votes at that address is another machine's member.
        ([Member(OTHER, number=99)], False),
        ([Member(OTHER, number=99), Member(OTHER)], True),
    ],
)
def test_a_control_plane_votes_again_by_another_installation_and_not_before(
    monkeypatch: pytest.MonkeyPatch, members: list[Any], again: bool
) -> None:
    def connect(self: Target) -> Any:
        member = members[int(self.address.rpartition(".")[2])]
        if member is None:
            raise Problem("nobody answers", "w", "d")
        found = Member(OTHER) if member == "learner" else member
        found.number = found.number or int(self.address.rpartition(".")[2]) + 1
        return found

    async def listed() -> list[Any]:
        return [
            SimpleNamespace(
                id=number + 1, client_urls=[f"https://10.0.0.{number}:2379"], is_learner=member == "learner"
            )
            for number, member in enumerate(members)
        ]

    async def status(other: Member) -> dict[str, Any]:
        return other.told

    monkeypatch.setattr(Target, "connect", connect)
    monkeypatch.setattr(away, "status", status)
    context: Any = None
    where = Target("cp-2", "10.0.0.9", context, "direct", None)
    client: Any = SimpleNamespace(etcd_members=listed)
    assert asyncio.run(away.is_voter_again(client, where, HELD.context)) is again
    for unknown in ({"identity": None}, {"identity": ""}, {"owner": "cp-1"}):
        assert asyncio.run(away.is_voter_again(client, where, {**HELD.context, **unknown})) is False
