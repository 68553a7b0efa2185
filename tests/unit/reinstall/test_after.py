# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is proven, and what passes a soak: the step fails on anything less, and says what it found."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall import after
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.step import take
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.labels import PARENTS
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import NotFound

from .machines import HOST, Machine, OneNode

WHOLE: dict[str, Any] = {
    "coverage": {"verdict": "complete", "reasons": []},
    "counts": {"doubtful": 0, "unparsed": 0, "mac_errors": 0},
    "denials": [],
}
DENIAL = {"signature": "pod_t etc_t file read", "permissive": False, "known_benign": False}


def work_at(directory: Path, step: str) -> OneNode:
    """The work on a node that is about to be proven or to soak."""
    return OneNode(directory, itertools.repeat(Machine(identity="new"))).at(step)


def collected(document: dict[str, Any]) -> Any:
    async def answer(work: OneNode, client: Any) -> Any:
        return SimpleNamespace(document=document, logs={})

    return answer


class Soak:
    """A node in its soak, with a log and a boot."""

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch, audit: dict[str, Any], boot: dict[str, Any]) -> None:
        self.uncordoned: list[str] = []
        patch.setattr(after, "_collected", collected({"audit": audit, "boot": boot}))
        patch.setattr(after, "undo_drain", lambda work: self.uncordoned.append(work.host))
        self.work = work_at(directory, "soak")


def test_a_whole_log_of_the_proven_boot_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soak = Soak(tmp_path, monkeypatch, WHOLE, {"id": "boot-2"})
    assert take(soak.work, "soak")["facts"] == {"watched_seconds": 0, "coverage": "complete", "enforced": []}
    assert soak.uncordoned == ["worker-1"]
    assert soak.work.ledger.node("worker-1").complete


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"coverage": {"verdict": "unknown", "reasons": [{"text": "it wrapped"}]}},
            "of this boot is unknown: it wrapped",
        ),
        ({"coverage": {"verdict": "incomplete", "reasons": []}}, "of this boot is incomplete: it was not read"),
        ({"denials": None}, "it was not read"),
        ({"counts": None}, "it was not read"),
        (
            {"counts": {"doubtful": 1, "unparsed": 0, "mac_errors": 0}},
            r"records of its log may be denials \(doubtful: 1\)",
        ),
        ({"counts": {"doubtful": 0, "mac_errors": 2}}, r"\(unparsed: None, mac errors: 2\)"),
        ({"denials": [DENIAL]}, "it enforces, and denied pod_t etc_t file read"),
        ({"denials": [{**DENIAL, "permissive": True}]}, "it is not known to have enforced what it denied: pod_t"),
        ({"denials": [{**DENIAL, "permissive": None, "known_benign": True}]}, "not known to have enforced"),
    ],
)
def test_less_than_that_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], told: str
) -> None:
    soak = Soak(tmp_path, monkeypatch, {**WHOLE, **change}, {"id": "boot-2"})
    with pytest.raises(Problem, match=f"worker-1 did not pass its soak: .*{told}"):
        take(soak.work, "soak")
    assert soak.uncordoned == []
    known = soak.work.ledger.node("worker-1")
    assert known.failed == "soak" and "prove" in known.done


def test_a_denial_that_somebody_reviewed_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soak = Soak(tmp_path, monkeypatch, {**WHOLE, "denials": [{**DENIAL, "known_benign": True}]}, {"id": "boot-2"})
    assert take(soak.work, "soak")["taken"]


@pytest.mark.parametrize("boot", [{"id": "boot-3"}, {"id": None}, {}])
def test_another_boot_or_an_unknown_one_is_proven_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, boot: dict[str, Any]
) -> None:
    soak = Soak(tmp_path, monkeypatch, WHOLE, boot)
    with pytest.raises(Problem, match="not known to be in the boot that was proven"):
        take(soak.work, "soak")
    assert soak.uncordoned == []
    known = soak.work.ledger.node("worker-1")
    assert "prove" not in known.done and "install" in known.done


def test_a_node_whose_cordon_is_not_ours_stays_cordoned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soak = Soak(tmp_path, monkeypatch, WHOLE, {"id": "boot-2"})
    soak.work.facts["cordoned"] = False
    assert after.soak(soak.work)["coverage"] == "complete"
    assert soak.uncordoned == []


@pytest.mark.parametrize("proven", [True, False, None])
def test_only_what_is_proven_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proven: bool | None) -> None:
    witnesses = [{"id": "selinux_state", "ok": True, "found": "it enforces"}]
    reinstall = [{"id": "meta", "ok": proven, "found": "META is as it was"}]
    answer = {"proven": proven, "witnesses": witnesses, "reinstall": reinstall}
    asked: dict[str, Any] = {}
    node = {"uuid": "u-1", "identity": "new", "name": "worker-1"}
    monkeypatch.setattr(after, "_collected", collected({"boot": {"id": "boot-2"}, "node": node}))
    monkeypatch.setattr(after.files, "save", lambda directory, document, logs: tmp_path / "after.json")
    monkeypatch.setattr(after.files, "load", lambda path: {"of": path})
    monkeypatch.setattr(after, "prove", lambda before, now, **more: asked.update(before=before, **more) or answer)
    work = work_at(tmp_path, "prove")
    asked_of: list[Any] = []

    async def labels(client: Any) -> dict[str, str]:
        return {"/": "root_t"}

    def ask(question: Any) -> Any:
        asked_of.append(question)
        return asyncio.run(question(None))

    monkeypatch.setattr(after, "_labels", labels)
    monkeypatch.setattr(work, "ask", ask)
    if proven is True:
        facts = take(work, "prove")["facts"]
        assert facts == {
            "proven": True,
            "witnesses": witnesses,
            "reinstall": reinstall,
            "evidence_after": str(tmp_path / "after.json"),
            "boot_after": {"id": "boot-2"},
            "installation": {"uuid": "u-1", "identity": "new"},
        }
    else:
        with pytest.raises(Problem, match=r"not proven to enforce after a reinstall: META is as it was\. What"):
            take(work, "prove")
        assert work.ledger.node("worker-1").failed == "prove"
    assert len(asked_of) == 1, "a machine is proven by what one visit found"
    assert asked == {"before": {"of": "evidence.json"}, "target": work.facts["target"], "labels": {"/": "root_t"}}


#: What every member says of an etcd in which the node's new member votes.
AGREED: dict[str, Any] = {
    "agreed": True,
    "healthy": True,
    "problems": [],
    "members": [{"id": "other", "is_learner": False}, {"id": "own", "is_learner": False}],
}


@pytest.mark.parametrize(
    ("own", "change", "why"),
    [
        ({"memberID": "own"}, {}, ""),
        (None, {}, "it has no member yet"),
        ({}, {}, "it has no member yet"),
        ({"memberID": "own"}, {"agreed": False, "problems": ["a", "b"]}, "cp-2 says: a; b"),
        ({"memberID": "own"}, {"agreed": None, "problems": ["a"]}, "cp-2 says: a"),
        ({"memberID": "own"}, {"healthy": None, "problems": ["b"]}, "cp-2 says: b"),
        ({"memberID": "new"}, {}, "cp-2 does not count it as a voter"),
        ({"memberID": "own"}, {"members": []}, "cp-2 does not count it as a voter"),
        ({"memberID": "own"}, {"members": [{"id": "own", "is_learner": True}]}, "cp-2 does not count it as a voter"),
        ({"memberID": "own"}, {"members": [{"id": "own", "is_learner": None}]}, "cp-2 does not count it as a voter"),
    ],
)
def test_a_control_plane_is_back_once_another_says_that_its_member_votes(
    monkeypatch: pytest.MonkeyPatch, own: dict[str, str] | None, change: dict[str, Any], why: str
) -> None:
    class Node:
        async def spec(self, name: str) -> dict[str, str]:
            assert name == "etcd_member"
            if own is None:
                raise NotFound("it has none", "w", "d")
            return own

    answer = ({**AGREED, **change}, SimpleNamespace(hostname="cp-2"))
    monkeypatch.setattr(after, "ask_a_peer", lambda _work, _ask, *, what: answer)
    work: Any = SimpleNamespace(ask=lambda question: asyncio.run(question(Node())))
    assert after._votes(work) == why


def test_what_is_collected_of_the_new_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    async def collect(client: Any, **how: Any) -> str:
        asked.append((client, how))
        return "collected"

    monkeypatch.setattr(after, "collect", collect)
    work = OneNode(tmp_path, itertools.repeat(None))
    ways: list[str | None] = []

    def where(address: str | None = None) -> Any:
        ways.append(address)
        return SimpleNamespace(address="10.0.0.1", context=SimpleNamespace(name="c"), connect=lambda: f"to {address}")

    monkeypatch.setattr(work, "where", where)
    work.action.audit_terms = lambda host: {"baseline_missing": 3, "strict_messages": host == HOST}
    client: Any = SimpleNamespace(endpoint="10.0.0.9")
    collection: Any = asyncio.run(after._collected(work, client))
    assert collection == "collected"
    ((told, how),) = asked
    assert told is client
    store, peer = how.pop("store"), how.pop("peer")
    assert store.directory == tmp_path / "audit" / HOST
    assert peer("10.0.0.2") == "to 10.0.0.2"
    assert ways == [None, "10.0.0.2"]
    assert how == {
        "name": HOST,
        "address": "10.0.0.1",
        "endpoint": "10.0.0.9",
        "kubernetes": None,
        "config": None,
        "operation": {"target": work.facts["target"]},
        "cluster": {"name": "c"},
        "baseline_missing": 3,
        "strict_messages": True,
    }


def test_the_labels_of_all_that_a_new_system_makes() -> None:
    asked: list[Any] = []

    class Node:
        async def list_files(self, parent: str, *, xattrs: bool) -> list[Any]:
            asked.append((parent, xattrs))
            return []

    node: Any = Node()
    assert asyncio.run(after._labels(node)) == {}
    assert asked == [(parent, True) for parent in PARENTS]
    assert len(asked) > 1


@pytest.mark.parametrize("machine_type", ["worker", "controlplane"])
def test_a_node_has_rejoined_when_it_is_ready_and_a_control_plane_votes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine_type: str
) -> None:
    work = OneNode(tmp_path, itertools.repeat(None))
    work.facts["machine_type"] = machine_type
    waits: list[Any] = []
    looked: list[Any] = []

    def wait(look: Any, done: Any, **how: Any) -> None:
        waits.append(how)
        # The machine is recognised at each look, before anything is believed of it.
        looked.append(look())
        looked.append([done(one) for one in ("up", "", "down")])

    monkeypatch.setattr(work, "wait", wait)
    monkeypatch.setattr(after, "see", lambda _work: "seen")
    monkeypatch.setattr(after, "require_machine", lambda _work, seen: looked.append(f"required {seen}"))
    monkeypatch.setattr(after, "is_up", lambda _work, seen: seen == "up")
    monkeypatch.setattr(after, "_votes", lambda _work: "not yet")
    assert after.rejoin(work) == {}
    ready = {
        "timeout": 0.2,
        "waiting_for": "worker-1 to be ready",
        "do": "look at the services of worker-1 (talosctl services), then run the rollout again",
    }
    voting = {
        "timeout": 0.2,
        "waiting_for": "the new etcd member of worker-1 to vote",
        "do": "look at etcd on the control planes (talosctl etcd members, talosctl logs etcd), then run it again",
    }
    control_plane = machine_type == "controlplane"
    assert waits == [ready, voting][: 2 if control_plane else 1]
    assert looked[:3] == ["required seen", "seen", [True, False, False]]
    assert looked[3:] == (["not yet", [False, True, False]] if control_plane else [])


@pytest.mark.parametrize(("seconds", "naps"), [(0, []), (20, [20.0]), (60, [30.0, 30.0]), (75, [30.0, 30.0, 15.0])])
def test_a_soak_is_watched_for_its_time_with_the_lock_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int, naps: list[float]
) -> None:
    work = OneNode(tmp_path, itertools.repeat(None))
    work.params["soak_seconds"] = seconds
    clock, slept, held = [100.0], [], []

    def sleep(nap: float) -> None:
        assert nap > 0
        slept.append(nap)
        clock[0] += nap

    monkeypatch.setattr(after, "time", SimpleNamespace(monotonic=lambda: clock[0], sleep=sleep))
    monkeypatch.setattr(work, "hold_cluster", lambda: held.append(clock[0]))
    after._watch(work)
    assert slept == naps and len(held) == len(naps)


def test_who_is_asked_about_a_vote_and_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = OneNode(tmp_path, itertools.repeat(None))
    asked: list[Any] = []
    peer: Any = SimpleNamespace(hostname="cp-2", target="to cp-2")

    class Node:
        async def spec(self, name: str) -> dict[str, str]:
            return {"memberID": "own"}

    async def read(visit: Any, connect: Any) -> dict[str, Any]:
        asked.append((type(visit.client), connect("10.0.0.3")))
        return AGREED

    def ask(question: Any, target: Any = None) -> Any:
        asked.append(target)
        return asyncio.run(question(Node()))

    def ask_a_peer(_work: Any, question: Any, *, what: str) -> Any:
        asked.append(what)
        return question(peer), peer

    monkeypatch.setattr(work, "ask", ask)
    monkeypatch.setattr(work, "where", lambda address: SimpleNamespace(connect=lambda: f"to {address}"))
    monkeypatch.setattr(after, "read_etcd", read)
    monkeypatch.setattr(after, "ask_a_peer", ask_a_peer)
    assert after._votes(work) == ""
    assert asked == [None, "the state of etcd", "to cp-2", (Node, "to 10.0.0.3")]
