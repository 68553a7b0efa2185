# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One visit of the event source: what changed, what is missing, what is waited for, and what is told of denials."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.events import watch
from ansible_collections.talosops.selinux.plugins.plugin_utils.events.cursor import Cursor
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.boots import Look
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import (
    InvalidAnswer,
    NotFound,
    Unreachable,
    Unsupported,
)

ABOUT = {"node": "n", "uuid": "u", "boot": "b"}
FACTS = {"mode": "enforcing", "kernel_args": ["selinux=1", "enforcing=1"], "talos_version": "v1.14.1"}
SEEN_AT = "2026-11-22T12:00:00Z"
UUID = "6f1d0a9e-0000-4000-8000-000000000011"


def cursor(**facts: Any) -> Cursor:
    """What was known of a machine."""
    return Cursor(UUID, "n", Look(boot_id="b"), "b", 7, {**FACTS, **facts}, seen_at=SEEN_AT)


def changes(known: Cursor | None, first_run: bool = False, **facts: Any) -> list[dict[str, Any]]:
    """What is told of new facts."""
    return watch._changes(known, {**FACTS, **facts}, ABOUT, first_run)


def test_nothing_is_new_in_the_first_run_or_where_nothing_changed() -> None:
    assert changes(None, True, mode="permissive") == []
    assert changes(cursor()) == []


@pytest.mark.parametrize(
    ("mode", "drift"), [("enforcing", None), ("permissive", "new-permissive-node"), ("disabled", "new-permissive-node")]
)
def test_a_new_machine_is_told(mode: str, drift: str | None) -> None:
    (told,) = changes(None, mode=mode)
    assert {key: told[key] for key in ("type", "node", "mode", "drift", "serial")} == {
        "type": "new_node",
        "node": "n",
        "mode": mode,
        "drift": drift,
        "serial": None,
    }


@pytest.mark.parametrize(
    ("before", "now", "kind", "drift", "both"),
    [
        ({}, {"mode": "permissive"}, "mode_change", "fell-back-to-permissive", ("enforcing", "permissive")),
        ({"mode": "permissive"}, {}, "mode_change", None, ("permissive", "enforcing")),
        ({"mode": "permissive"}, {"mode": "disabled"}, "mode_change", None, ("permissive", "disabled")),
        ({}, {"talos_version": "v1.15.0"}, "drift", "policy-version-changed", ("v1.14.1", "v1.15.0")),
        ({}, {"kernel_args": ["selinux=1"]}, None, None, None),
        ({}, {"kernel_args": ["quiet"]}, "drift", "command-line-changed", (["selinux=1"], ["quiet"])),
    ],
)
def test_what_changed_is_told_once(
    before: dict[str, Any], now: dict[str, Any], kind: str | None, drift: str | None, both: Any
) -> None:
    told = changes(cursor(**before), **now)
    found = [(one["type"], one["drift"], (one["before"], one["after"])) for one in told]
    assert found == ([] if kind is None else [(kind, drift, both)])


def test_a_drift_says_what_was_found_and_what_to_do() -> None:
    (told,) = changes(cursor(), mode="permissive")
    assert told["found"] == "its mode: enforcing before, permissive now"
    assert told["do"].startswith("find out who booted another image")


def test_a_node_that_does_not_answer_is_told_once() -> None:
    visit = watch.silent(cursor(), "refused")
    (told,) = visit.events
    assert (told["type"], told["drift"], told["found"]) == ("evidence_lost", "evidence-lost", "refused")
    assert (told["node"], told["uuid"], told["boot"]) == ("n", UUID, "b")
    assert told["do"].startswith("find out why the node")
    assert (visit.cursor.lost, visit.cursor.serial, visit.since) == (True, 7, cursor())
    assert watch.silent(visit.cursor, "refused").events == []


def test_a_node_that_never_answered_has_no_machine() -> None:
    told = watch.unseen("n", "refused")
    assert {key: told[key] for key in ("type", "node", "uuid", "boot", "drift", "found")} == {
        "type": "evidence_lost",
        "node": "n",
        "uuid": None,
        "boot": None,
        "drift": None,
        "found": "refused",
    }
    assert told["do"] == "find out why the node cannot be read, or leave it out of the source"


def summary(seen: list[tuple[int, int]], doubtful: set[int] | None = None, **more: Any) -> Any:
    """What a log says, as far as it is asked here."""
    first = seen[0][0] if seen else None
    last = seen[-1][1] if seen else None
    return SimpleNamespace(
        **{"seen": seen, "first_serial": first, "last_serial": last, "doubtful_serials": doubtful or set(), **more}
    )


@pytest.mark.parametrize(
    ("seen", "early", "after", "missing"),
    [
        ([], None, 0, []),
        ([(1, 9)], None, 0, []),
        ([(3, 9)], None, 0, [(1, 2)]),
        ([(3, 9)], [(1, 2)], 0, []),
        ([(3, 9)], [(1, 1)], 0, [(2, 2)]),
        ([(1, 4), (7, 9)], None, 4, [(5, 6)]),
        ([(1, 4), (7, 9)], None, 5, [(6, 6)]),
        ([(1, 4), (7, 9)], None, 6, []),
        ([(1, 4), (7, 9)], None, 9, []),
        ([(1, 2), (5, 6), (9, 9)], None, 0, [(3, 4), (7, 8)]),
    ],
)
def test_what_is_missing_after_the_cursor(seen: Any, early: Any, after: int, missing: Any) -> None:
    assert watch._missing(summary(seen), summary(early) if early else None, after) == missing


def test_what_is_in_doubt_is_not_lost() -> None:
    assert watch._missing(summary([(1, 4), (7, 9)], {5, 6}), None, 0) == []
    assert watch._missing(summary([(1, 4), (7, 9)], {5}), None, 0) == [(5, 6)]
    assert watch._missing(summary([(1, 4), (7, 9)], {6}), None, 0) == [(5, 6)]
    many = summary([(1, 4), (205, 209)], set(range(5, 105)))
    # Who can forge a hundred records is not asked for more.
    assert watch._missing(many, None, 0) == []
    assert watch._missing(summary([(1, 4), (205, 209)], set(range(5, 104))), None, 0) == [(5, 204)]


@pytest.mark.parametrize(
    ("last", "missing", "after", "waited", "settled"),
    [
        (100, [], 50, None, (100, None)),
        (100, [(90, 91)], 50, None, (89, 90)),
        (100, [(90, 91)], 50, 90, (100, None)),
        (100, [(90, 91), (95, 95)], 50, 90, (94, 95)),
        (100, [(37, 37)], 30, None, (36, 37)),
        (100, [(36, 36)], 30, None, (100, None)),
        (None, [], 50, None, (50, None)),
        (40, [], 50, None, (50, None)),
        (None, [], 0, None, (0, None)),
    ],
)
def test_a_number_near_the_end_is_waited_for_once(
    last: int | None, missing: Any, after: int, waited: int | None, settled: Any
) -> None:
    assert watch._settled(summary([], last_serial=last), missing, after, waited) == settled


@pytest.mark.parametrize(
    ("first", "gap", "cause"),
    [
        (5, (1, 4), "the log's ring dropped its oldest records"),
        (1, (3, 4), "records did not reach the log"),
        (3, (3, 4), "records did not reach the log"),
        (None, (1, 4), "records did not reach the log"),
    ],
)
def test_a_hole_has_its_bounds_and_its_cause(first: int | None, gap: tuple[int, int], cause: str) -> None:
    told = watch._lost(summary([], first_serial=first), ABOUT, gap)
    found = {key: told[key] for key in ("type", "after", "before", "cause", "serial")}
    assert found == {"type": "hole", "after": gap[0] - 1, "before": gap[1] + 1, "cause": cause, "serial": gap[1] + 1}


def denial(*serials: int | None, permissive: bool | None = True) -> dict[str, Any]:
    """A denial with its records."""
    samples = [
        {"serial": serial, "timestamp": f"t{serial}", "comm": "c", "path": "p", "name": "n", "doubtful": False, "x": 1}
        for serial in serials
    ]
    named = {"signature": "a:b:c:d", "source_type": "a", "target_type": "b", "class": "c", "permissions": ["d"]}
    return {**named, "permissive": permissive, "samples": samples}


def told_of(found: list[dict[str, Any]], after: int = 0, until: int = 99, most: int = 9) -> list[dict[str, Any]]:
    """The events of some denials."""
    catalogue: Any = SimpleNamespace(is_benign=lambda one, version: (one["signature"], version) == ("a:b:c:d", "v1"))
    whole: Any = SimpleNamespace(denials=found)
    return watch._denials(whole, after, until, ABOUT, most, catalogue, "v1")


def test_each_record_since_the_cursor_is_told() -> None:
    told = told_of([denial(9, 4, None, 5, 12)], after=4, until=9)
    assert [one["serial"] for one in told] == [5, 9]
    keys = ("type", "signature", "source_type", "target_type", "class", "permissions", "permissive", "benign")
    assert [told[0][key] for key in keys] == ["denial", "a:b:c:d", "a", "b", "c", ["d"], True, True]
    assert [told[0][key] for key in ("timestamp", "comm", "path", "name", "doubtful")] == ["t5", "c", "p", "n", False]
    assert "x" not in told[0]


@pytest.mark.parametrize(("permissive", "kind"), [(True, "denial"), (False, "enforced_denial"), (None, "denial")])
def test_what_was_denied_in_earnest_is_another_kind(permissive: bool | None, kind: str) -> None:
    told = told_of([denial(1, 2, permissive=permissive)], most=1)
    assert [(one["type"], one.get("of")) for one in told] == [(kind, None), ("denial_summary", kind)]


def test_what_is_more_than_the_most_is_summed_up() -> None:
    told = told_of([denial(1, 2, 3, 4, 5)], most=2)
    assert [one["serial"] for one in told] == [1, 2, 5]
    assert {key: told[-1][key] for key in ("count", "first_serial", "last_serial", "signature", "benign")} == {
        "count": 3,
        "first_serial": 3,
        "last_serial": 5,
        "signature": "a:b:c:d",
        "benign": True,
    }
    assert len(told_of([denial(1, 2)], most=2)) == 2


def test_records_of_one_serial_are_told_apart_and_a_late_one_renames_none() -> None:
    one, two = told_of([denial(3, 3)])
    assert one["id"] != two["id"]
    assert [event["id"] for event in told_of([denial(2, 3, 3)])][1:] == [one["id"], two["id"]]


class Client:
    """Answers with what it was told to."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __getattr__(self, method: str) -> Any:
        async def call(*args: Any, **how: Any) -> Any:
            name = "_".join([method, *args, *(f"{key}{value}" for key, value in how.items())])
            self.asked.append(name)
            answer = self.answers[name]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


GONE = [NotFound("f", "w", "d"), Unsupported("f", "w", "d")]


@pytest.mark.parametrize(
    ("cmdline", "args"),
    [({"cmdline": "a  b=1"}, ["a", "b=1"]), ({}, None), ({"cmdline": ""}, []), *((error, None) for error in GONE)],
)
def test_the_facts_of_a_node(cmdline: Any, args: Any) -> None:
    state = SimpleNamespace(selinux="enforcing")
    client: Any = Client(spec_kernel_cmdline=cmdline, security_state=state, talos_version="v1.14.1")
    assert asyncio.run(watch._facts(client)) == {"mode": "enforcing", "kernel_args": args, "talos_version": "v1.14.1"}


def record(serial: int) -> bytes:
    """A record that is no denial."""
    return b"type=DAEMON_START msg=audit(1795000000.%03d:%d): op=start\n" % (serial, serial)


def log(*serials: int) -> bytes:
    return b"".join(map(record, serials))


@pytest.mark.parametrize(
    ("after", "tail", "read"),
    [
        (0, None, ["logs_auditd"]),
        (4, log(4, 5, 6), ["logs_auditd_tail_lines400"]),
        (4, log(5, 6), ["logs_auditd_tail_lines400"]),
        (4, log(6, 7), ["logs_auditd_tail_lines400", "logs_auditd"]),
        (4, log(4, 6), ["logs_auditd_tail_lines400", "logs_auditd"]),
        (4, b"", ["logs_auditd_tail_lines400", "logs_auditd"]),
    ],
)
def test_the_end_of_a_log_is_enough_where_it_reaches_back_without_a_hole(
    after: int, tail: bytes | None, read: list[str]
) -> None:
    client: Any = Client(logs_auditd_tail_lines400=tail, logs_auditd=log(1, 2, 3, 4, 5, 6, 7, 8))
    found = asyncio.run(watch._read(client, after))
    assert client.asked == read
    assert found.last_serial == (8 if read[-1] == "logs_auditd" else 6)


def test_a_service_that_has_written_nothing_has_an_empty_log() -> None:
    client: Any = Client(logs_auditd=GONE[0])
    assert asyncio.run(watch._read(client, 0)).last_serial is None
    lost: Any = Client(logs_auditd=Unreachable("f", "w", "d"))
    with pytest.raises(Unreachable):
        asyncio.run(watch._read(lost, 0))


def test_probes_are_looked_for_only_in_a_store_and_a_boot_that_has_a_name(tmp_path: Any) -> None:
    whole = summary([], groups=[])
    for store, look in ((None, Look(boot_id="b")), (tmp_path, Look()), (tmp_path, Look(boot_id="../x"))):
        assert watch._without_probes(whole, 0, store, look) is None


def visited(known: Cursor | None, look: Look, monkeypatch: pytest.MonkeyPatch, **how: Any) -> tuple[watch.Visit, Any]:
    """A visit to a node with a short log."""
    answers: dict[str, Any] = {
        "spec_system_information": {"uuid": UUID.upper()},
        "spec_kernel_cmdline": {"cmdline": "selinux=1 enforcing=1"},
        "security_state": SimpleNamespace(selinux="enforcing"),
        "talos_version": "v1.14.1",
        "logs_auditd": log(*range(1, 10)),
        "logs_auditd_tail_lines400": log(*range(6, 10)),
        "dmesg": [],
        **how,
    }
    client: Any = Client(**answers)

    async def seen(_client: Any) -> Look:
        return look

    monkeypatch.setattr(watch.boots, "look", seen)
    cursors = SimpleNamespace(of_machine=lambda uuid: known if uuid == UUID else None)
    catalogue: Any = SimpleNamespace(is_benign=lambda *_of: False)
    return asyncio.run(watch.visit(client, "n", cursors, most=5, catalogue=catalogue, first_run=False)), client


def test_a_visit_in_the_same_boot_goes_on_where_the_last_one_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    known = cursor()
    visit, client = visited(known, Look(boot_id="b"), monkeypatch)
    assert visit.events == []
    assert (visit.cursor.serial, visit.cursor.name, visit.cursor.uuid, visit.since) == (9, "b", UUID, known)
    assert (visit.cursor.facts, visit.cursor.lost, visit.cursor.waiting) == (FACTS, False, None)
    assert visit.cursor.seen_at is not None
    assert visit.cursor.seen_at[:13] == time.strftime("%Y-%m-%dT%H", time.gmtime())
    assert [name for name in client.asked if name.startswith(("logs", "dmesg"))] == ["logs_auditd_tail_lines400"]


def test_a_visit_after_a_reboot_begins_anew_and_says_that_it_does_not_know_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    visit, client = visited(cursor(), Look(boot_id="c"), monkeypatch)
    (told,) = visit.events
    assert (told["type"], told["after"], told["before"], told["cause"]) == ("hole", 7, None, "reboot")
    assert (told["boot"], visit.cursor.name, visit.cursor.serial) == ("c", "c", 9)
    assert "dmesg" in client.asked
    unknown, _client = visited(cursor(), Look(), monkeypatch)
    assert unknown.events[0]["cause"] == "it is not known whether the node rebooted"
    assert unknown.cursor.name == "None"


def test_a_first_visit_tells_the_machine_and_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    visit, _client = visited(None, Look(boot_id="b"), monkeypatch, logs_auditd=log(3, 4, *range(70, 200)))
    assert [(one["type"], one["serial"]) for one in visit.events] == [("new_node", None), ("hole", 3), ("hole", 70)]
    assert (visit.since, visit.cursor.serial) == (None, 199)


def test_a_machine_that_does_not_say_who_it_is_has_no_events(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidAnswer, match="node n does not say its machine UUID") as raised:
        visited(None, Look(), monkeypatch, spec_system_information={"uuid": ""})
    assert raised.value.node == "n"
