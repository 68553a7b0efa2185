# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An order to wipe is for what was judged, before any node is asked, and until the last moment before the write."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime as dt
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.actions import Target
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.identity import machine_id_of
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.joined import NotThisNode
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.errors import RequestRefused, VerdictRefused
from ansible_collections.talosops.selinux.plugins.plugin_utils.private_files import NotPrivate
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall import order

from .orders import NOBODY, ORDER, UUID, Node, act


def send(directory: Path, patch: pytest.MonkeyPatch, *, judged: str | None, wiped: str) -> list[str]:
    """Order a wipe for one boot path on evidence of another; who was asked."""
    verdict = directory / "verdict.json"
    verdict.write_text(json.dumps({}))
    asked: list[str] = []
    document = {"node": {"machine_type": "worker"}, "operation": {"boot_path": judged}}
    patch.setattr(order.files, "load", lambda path: document)
    action: Any = SimpleNamespace(ask=lambda question, where: asked.append("node"))
    given = order.Order("evidence.json", str(verdict), wiped, "c", "d", "strict", None, None, None, None, None)
    order.send(action, given, NOBODY)
    return asked


@pytest.mark.parametrize(("judged", "wiped"), [("in_place", "hook"), ("hook", "in_place"), (None, "in_place")], ids=str)
def test_a_node_judged_for_another_boot_path_is_not_wiped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judged: str | None, wiped: str
) -> None:
    with pytest.raises(VerdictRefused, match="was judged for the boot path"):
        send(tmp_path, monkeypatch, judged=judged, wiped=wiped)


def test_the_boot_path_that_was_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert send(tmp_path, monkeypatch, judged="hook", wiped="hook") == ["node"]


@pytest.mark.parametrize(
    ("then", "found"),
    [
        ({"identity": "of another"}, "another machine or boot answers for worker-1"),
        ({"uuid": "of another"}, "another machine or boot answers for worker-1"),
        ({"boot_id": "later"}, "another machine or boot answers for worker-1"),
        ({"boot_id": None}, "another machine or boot answers for worker-1"),
        ({"processes": 3}, "another machine or boot answers for worker-1"),
        ({"silent": True}, "nobody answers"),
    ],
    ids=["machine", "uuid", "boot", "no boot", "a boot that has the id of another", "silent"],
)
def test_what_changed_while_the_intent_was_recorded_is_not_wiped(
    monkeypatch: pytest.MonkeyPatch, then: dict[str, Any], found: str
) -> None:
    told: list[str] = []
    node = Node(**then)
    with pytest.raises(Problem, match=found):
        act(node, monkeypatch, told)
    assert node.resets == []
    assert [entry.partition(":")[0] for entry in told] == ["intent", "unsent"] and found in told[1]


def test_what_stayed_the_same_is_wiped(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    node = Node()
    assert act(node, monkeypatch, told).actor_id == "actor"
    assert len(node.resets) == 1 and told == ["intent", "sent actor"]


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize(
    ("reached", "told"),
    [
        ("nothing", ["taken", "released"]),
        ("intent", ["taken", "intent"]),
        ("unsent", ["taken", "intent", "unsent: it changed", "released"]),
    ],
)
def test_a_control_planes_lock_stays_once_its_reset_may_have_been_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reached: str, told: list[str], broken: bool
) -> None:
    """What happens is recorded with whoever ordered it, whether or not the lock hangs on it."""
    said: list[str] = []
    (tmp_path / "verdict.json").write_text("{}")
    document = {"node": {"machine_type": "controlplane"}, "operation": {"boot_path": "in_place"}}

    def release() -> None:
        said.append("released")
        if broken:
            raise Problem("the API gives no answer", "w", "d")

    lock = SimpleNamespace(release=release, name="lease")
    monkeypatch.setattr(order.files, "load", lambda path: document)
    monkeypatch.setattr(order, "_refuse_own_branch", lambda host, where: None)
    monkeypatch.setattr(order, "_cluster_lock", lambda *_given: lock)
    monkeypatch.setattr(order, "take_control_plane_lock", lambda *_given: said.append("taken"))

    def act(action: Any, recorded: order.Order, *_given: Any) -> None:
        if reached != "nothing":
            recorded.record_intent()
        if reached == "unsent":
            recorded.record_unsent("it changed")
        raise Problem("it broke", "w", "d")

    monkeypatch.setattr(order, "_act", act)
    given = order.Order(
        *("evidence.json", str(tmp_path / "verdict.json"), "in_place", "c", "d", "strict"),
        *(None, None, None, None, None),
        record_intent=lambda: said.append("intent"),
        record_unsent=lambda found: said.append(f"unsent: {found}"),
    )
    action: Any = SimpleNamespace(host="cp-1", check=False, ask=lambda question, where: question(None))
    with pytest.raises(Problem, match="it broke") as raised:
        order.send(action, given, NOBODY)
    assert said == told
    # That its lock could not be released takes the place of no reason, and is not concealed either.
    left = "the Lease lease is still held for this machine (the API gives no answer)"
    assert (left in raised.value.do) is (broken and "released" in told)


IDENTITY = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"


def judged(*, unschedulable: bool | None = False) -> dict[str, Any]:
    node = {"hostname": "worker-1", "uuid": UUID, "identity": IDENTITY}
    return {"node": node, "kubernetes": {"boot_id": "b", "unschedulable": unschedulable}}


def kubernetes(patch: pytest.MonkeyPatch, *, cordoned: bool = False, **told: str) -> None:
    """Kubernetes' node is the machine that was judged, but for what it is told to report."""
    info = {"systemUUID": UUID, "machineID": machine_id_of(IDENTITY), "bootID": "b", **told}
    node = {"metadata": {"name": "worker-1"}, "spec": {"unschedulable": cordoned}, "status": {"nodeInfo": info}}
    patch.setattr(order.drain, "look", lambda kubeconfig, context, name: node)


@pytest.mark.parametrize("told", [{"systemUUID": "of another"}, {"machineID": "0" * 32}, {"bootID": "later"}], ids=str)
def test_a_kubeconfig_that_leads_to_another_cluster_by_now(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, str]
) -> None:
    kubernetes(monkeypatch, **told)
    with pytest.raises(NotThisNode, match="is not known to be the machine that was judged"):
        order._require_node(ORDER, judged())


@pytest.mark.parametrize(("own", "was"), [(True, False), (True, None), (False, True)])
def test_a_node_that_lost_the_cordon_it_was_drained_under_is_not_wiped(
    monkeypatch: pytest.MonkeyPatch, own: bool, was: bool | None
) -> None:
    """Uncordoned by a person, or its object was deleted and made anew."""
    given = dataclasses.replace(ORDER, own_cordon=own)
    kubernetes(monkeypatch, cordoned=True)
    order._require_node(given, judged(unschedulable=was))
    kubernetes(monkeypatch, cordoned=False)
    with pytest.raises(VerdictRefused, match="worker-1 is not cordoned any more"):
        order._require_node(given, judged(unschedulable=was))


def test_a_node_that_nobody_cordoned_needs_no_cordon(monkeypatch: pytest.MonkeyPatch) -> None:
    kubernetes(monkeypatch)
    order._require_node(ORDER, judged())


def test_the_lock_of_another_cluster_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    (tmp_path / "verdict.json").write_text("{}")
    document = {**judged(), "operation": {"boot_path": "in_place"}}
    document["node"]["machine_type"] = "controlplane"
    monkeypatch.setattr(order.files, "load", lambda path: document)
    monkeypatch.setattr(order, "_refuse_own_branch", lambda host, where: None)
    monkeypatch.setattr(order, "take_control_plane_lock", lambda *_given: taken.append("lock"))
    kubernetes(monkeypatch, systemUUID="of another")
    given = dataclasses.replace(ORDER, verdict=str(tmp_path / "verdict.json"))
    action: Any = SimpleNamespace(host="cp-1", check=False)
    with pytest.raises(NotThisNode, match="systemUUID is of another"):
        order.send(action, given, NOBODY)
    assert taken == []


#: One address, as IPv6 writes it, as older systems read it, and a name in other letters.
MAPPED = [["::ffff:10.0.0.1"], ["[::ffff:a00:1]:50000"], ["10.1"], ["https://10.0.0.1"]]


@pytest.mark.parametrize(
    "endpoints", [["10.0.0.1"], ["10.0.0.1:50000"], ["localhost"], ["10.0.0.2", "10.0.0.1"], [], *MAPPED]
)
def test_a_control_plane_is_not_reset_through_itself_however_it_is_written(endpoints: list[str]) -> None:
    own = "127.0.0.1" if "localhost" in endpoints else "10.0.0.1"
    context: Any = SimpleNamespace(endpoints=endpoints)
    where: Any = SimpleNamespace(route="endpoint", address=own, context=context)
    with pytest.raises(RequestRefused, match="was to be sent through endpoint"):
        order._refuse_own_branch("cp-1", where)


class Endpoint:
    """What forwards, asked who it is."""

    def __init__(self, identity: str | None) -> None:
        self.identity = identity

    async def __aenter__(self) -> Endpoint:
        return self

    async def __aexit__(self, *_given: object) -> None:
        """It is closed."""

    async def spec(self, name: str) -> dict[str, Any]:
        return {"nodeId": self.identity} if name == "identity" else {}


@pytest.mark.parametrize(("identity", "refuses"), [("judged", True), ("of another", False)])
def test_an_endpoint_that_is_the_node_by_another_address_is_none(
    monkeypatch: pytest.MonkeyPatch, identity: str, refuses: bool
) -> None:
    asked: list[tuple[str, str]] = []

    def connect(self: Target) -> Endpoint:
        asked.append((self.route, self.address))
        return Endpoint(identity)

    monkeypatch.setattr(Target, "connect", connect)
    context: Any = SimpleNamespace(endpoints=["fd00::7"])
    where = Target(host="cp-1", address="10.0.0.1", context=context, route="endpoint", server_name=None)
    client: Any = SimpleNamespace(endpoint="[fd00::7]:50000")
    looked = order._refuse_own_endpoint("cp-1", client, where, {"node": {"identity": "judged"}})
    with contextlib.ExitStack() as stack:
        if refuses:
            stack.enter_context(pytest.raises(RequestRefused, match="which is the node itself"))
        asyncio.run(looked)
    assert asked == [("direct", "[fd00::7]:50000")]


def test_a_control_plane_is_reset_through_others() -> None:
    context: Any = SimpleNamespace(endpoints=["10.0.0.2", "10.0.0.3:50000"])
    where: Any = SimpleNamespace(route="endpoint", address="10.0.0.1", context=context)
    order._refuse_own_branch("cp-1", where)
    where.route = "direct"
    with pytest.raises(RequestRefused, match="was to be sent through direct"):
        order._refuse_own_branch("cp-1", where)


@pytest.mark.parametrize("listed", [[], [1, 2], [1, 2, 3, 4], [1, 2, 5]], ids=str)
def test_members_that_nobody_judged_are_not_passed_over(monkeypatch: pytest.MonkeyPatch, listed: list[int]) -> None:
    """Whoever is not in the second list would not be asked whether it runs."""

    async def read(visit: Any, peer: Any) -> dict[str, Any]:
        return {"member_id": f"{1:016x}", "members": [{"id": f"{one:016x}"} for one in (1, 2, 3)]}

    async def members() -> list[Any]:
        return [SimpleNamespace(id=one, hostname=f"cp-{one}", client_urls=[]) for one in listed]

    monkeypatch.setattr(order, "read_etcd", read)
    monkeypatch.setattr(order, "may_remove", lambda member, etcd: None)
    client: Any = SimpleNamespace(etcd_members=members)
    with pytest.raises(RequestRefused, match="lists other members now"):
        asyncio.run(order._spare(client, NOBODY))


def test_a_verdict_that_others_can_write_is_not_believed(tmp_path: Path) -> None:
    verdict = tmp_path / "verdict.json"
    verdict.write_text("{}")
    verdict.chmod(0o666)
    with pytest.raises(NotPrivate, match="can be written by others"):
        order._load_verdict(str(verdict))


class Member(Endpoint):
    """A control plane that says this of its stage."""

    def __init__(self, stage: str, ready: bool | None, number: int = 1) -> None:
        self.told, self.number = {"stage": stage, "status": {"ready": ready}}, number

    async def etcd_status(self) -> Any:
        return SimpleNamespace(member_id=self.number)

    async def spec(self, name: str) -> dict[str, Any]:
        return {"machine_status": self.told, "system_information": {}}[name]

    async def etcd_members(self) -> list[Any]:
        urls = {1: ["https://10.0.0.1:2379"], 2: ["https://10.0.0.2:2379"], 3: []}
        return [SimpleNamespace(id=one, hostname=f"cp-{one}", client_urls=urls[one]) for one in self.listed]

    listed = (1, 2)


@pytest.mark.parametrize(
    ("own", "other", "listed", "told"),
    [
        (("running", True), ("running", True), (1, 2), None),
        (("running", False), ("running", True), (1, 2), "member cp-1 is in stage running and not ready"),
        (("running", True), ("booting", True), (1, 2), "member cp-2 is in stage booting and ready"),
        (("running", True), ("running", None), (1, 2), "member cp-2 is in stage running and not ready"),
        (("running", True), ("", False), (1, 2), "member cp-2 is in stage unknown and not ready"),
        (("running", True), ("running", True), (1, 2, 3), "etcd lists no address for cp-3"),
        # Another machine has its address, and it may be away itself.
        (("running", True), ("running", True, 3), (1, 2), "member 0000000000000003 answers for cp-2, which is"),
    ],
)
def test_every_control_plane_runs_before_one_is_wiped(
    monkeypatch: pytest.MonkeyPatch, own: Any, other: Any, listed: tuple[int, ...], told: str | None
) -> None:
    async def read(visit: Any, peer: Any) -> dict[str, Any]:
        peer("10.0.0.7")
        # Each other member's own word is asked of that member.
        assert asked.pop() == "10.0.0.7"
        return {"member_id": f"{1:016x}", "members": [{"id": f"{one:016x}"} for one in listed]}

    asked: list[str] = []

    def connect(self: Target) -> Member:
        asked.append(self.address)
        return Member(*(*other, 2)[:3])

    monkeypatch.setattr(order, "read_etcd", read)
    monkeypatch.setattr(order, "may_remove", lambda member, etcd: None)
    monkeypatch.setattr(Target, "connect", connect)
    where = Target(host="cp-1", address="10.0.0.1", context=NOBODY, route="endpoint", server_name=None)
    client: Any = Member(*own)
    client.listed = listed
    with contextlib.ExitStack() as stack:
        if told is not None:
            caught = stack.enter_context(pytest.raises(RequestRefused, match=told))
        asyncio.run(order._spare(client, where))
    assert asked == ([] if own[1] is False else ["10.0.0.2"])
    assert told is None or caught.value.context["checks"] == ["control-planes-running"]


NOW = dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("waived", "refuses"),
    [
        ({"expires": "2026-11-30T12:00:01Z"}, False),
        ({"expires": "2026-11-30T12:00:00Z"}, True),
        ({"expires": "2026-11-30T12:00:01"}, True),
        ({"expires": "some day"}, True),
        ({"expires": None}, True),
        ({"expires": 1}, True),
        ({}, True),
    ],
    ids=str,
)
def test_a_waiver_that_is_not_known_to_hold_does_not(waived: dict[str, Any], refuses: bool) -> None:
    verdict = {"waived": [{"waiver_id": "w-0", "expires": "2027-01-01T00:00:00Z"}, {"waiver_id": "w-1", **waived}]}
    with contextlib.ExitStack() as stack:
        if refuses:
            stack.enter_context(pytest.raises(VerdictRefused, match=f"the waiver w-1 .* at {waived.get('expires')}"))
        order._refuse_expired_waivers(verdict, NOW)
    for nothing in ({}, {"waived": None}, {"waived": []}):
        order._refuse_expired_waivers(nothing, NOW)
