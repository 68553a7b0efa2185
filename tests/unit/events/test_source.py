# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The loop of the event source: what ends it, what does not, and that two ways to one machine tell nothing twice."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.knowledge import catalogue
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.scanner import summarize
from ansible_collections.talosops.selinux.plugins.plugin_utils.events import source, watch
from ansible_collections.talosops.selinux.plugins.plugin_utils.events.cursor import Cursor, CursorProblem, Cursors
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.boots import Look
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import InvalidAnswer, Unreachable

UUID = "6f1d0a9e-0000-4000-8000-000000000001"
FACTS = {"mode": "enforcing", "kernel_args": [], "talos_version": "v1.14.0"}


class Told:
    """A queue that remembers."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    async def put(self, event: dict[str, Any]) -> None:
        self.events.append(event["talos"])
        await asyncio.sleep(0)


class Client:
    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_error: object) -> None:
        return None


def followed(
    monkeypatch: pytest.MonkeyPatch,
    cursors: Any,
    visit: Callable[..., Any],
    until: Callable[[Told], bool],
    nodes: tuple[str, ...] = ("n",),
    waivers: Any = None,
) -> Told:
    """Run a source whose visits are made up, until a condition holds."""
    told = Told()

    async def looked(_client: Any, node: str, known: Any, **_more: Any) -> Any:
        return await visit(node, known)

    monkeypatch.setattr(source, "visit", looked)

    def connect(_node: str) -> Any:
        return Client()

    async def work() -> None:
        task = asyncio.create_task(
            source.Source(
                nodes=nodes,
                connect=connect,
                queue=told,
                cursors=cursors,
                catalogue=catalogue.load(),
                waivers=waivers,
                poll=0.01,
            ).run()
        )
        while not until(told):
            assert not task.done(), task.exception()
            await asyncio.sleep(0.005)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(work(), 60))
    return told


def brought(known: Any) -> watch.Visit:
    before = known.of_machine(UUID)
    serial = before.serial + 1 if before else 1
    return watch.Visit([{"id": str(serial)}], Cursor(UUID, "n", Look("b"), "b", serial, FACTS), before)


def test_two_addresses_of_one_machine_tell_everything_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def visit(_node: str, known: Any) -> watch.Visit:
        found = brought(known)
        await asyncio.sleep(0.003)
        return found

    told = followed(monkeypatch, Cursors(tmp_path), visit, lambda told: len(told.events) > 20, ("n", "vip", "v6"))
    assert [event["id"] for event in told.events] == [str(number) for number in range(1, len(told.events) + 1)]


def test_a_full_disk_ends_nothing_and_repeats_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cursors, tries, threads = Cursors(tmp_path), [0], set()
    real = cursors.keep

    def keep(cursor: Cursor) -> None:
        threads.add(threading.current_thread())
        tries[0] += 1
        if 3 < tries[0] < 8:
            raise CursorProblem("no room", "why", "do")
        real(cursor)

    monkeypatch.setattr(cursors, "keep", keep)

    async def visit(_node: str, known: Any) -> watch.Visit:
        return brought(known)

    told = followed(monkeypatch, cursors, visit, lambda told: len(told.events) > 8)
    assert [event["id"] for event in told.events] == [str(number) for number in range(1, len(told.events) + 1)]
    assert "nothing more is reported until this can be kept: no room" in caplog.text
    assert threading.main_thread() not in threads, "the loop waited for the disk"


def test_what_is_odd_about_the_waivers_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Waivers:
        looks = 0

        def look(self, _now: Any) -> Any:
            self.looks += 1
            raise RuntimeError("odd")

    waivers = Waivers()

    async def visit(_node: str, known: Any) -> watch.Visit:
        return brought(known)

    def both(told: Told) -> bool:
        return waivers.looks > 3 and len(told.events) > 3

    assert followed(monkeypatch, Cursors(tmp_path), visit, both, waivers=waivers).events


@pytest.mark.parametrize("uuid", [None, "", 7, "../../etc/passwd", "x" * 40, "6f1d0a9e\n"])
def test_a_node_that_calls_itself_something_odd_is_one_that_cannot_be_read(uuid: Any) -> None:
    class Odd:
        async def spec(self, _kind: str) -> dict[str, Any]:
            return {"uuid": uuid}

    odd: Any = Odd()
    with pytest.raises(InvalidAnswer, match="does not say its machine UUID"):
        asyncio.run(
            watch.visit(
                odd,
                "n",
                None,
                most=5,
                catalogue=catalogue.load(),
                first_run=True,
            )
        )


def test_a_node_that_never_answers_is_said_once_and_one_that_comes_late_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visits: list[str] = []

    async def visit(node: str, known: Any) -> watch.Visit:
        visits.append(node)
        if node == "gone" or len(visits) < 6:
            raise Unreachable("refused", "why", "do", node=node)
        return brought(known)

    told = followed(
        monkeypatch, Cursors(tmp_path), visit, lambda told: len(told.events) > 4 and len(visits) > 20, ("gone", "late")
    )
    lost = [event for event in told.events if event.get("type") == "evidence_lost"]
    assert sorted((event["node"], event["uuid"], event["found"]) for event in lost) == [
        ("gone", None, "refused"),
        ("late", None, "refused"),
    ]
    assert [event["id"] for event in told.events if event not in lost][:3] == ["1", "2", "3"]


def test_a_node_whose_answer_nobody_foresaw_is_said_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def visit(node: str, known: Any) -> watch.Visit:
        if node == "odd":
            raise KeyError("what the node said")
        return brought(known)

    told = followed(monkeypatch, Cursors(tmp_path), visit, lambda told: len(told.events) > 3, ("odd", "n"))
    (lost,) = (event for event in told.events if event.get("type") == "evidence_lost")
    assert (lost["node"], lost["found"]) == ("odd", "reading odd ended with an unexpected KeyError")
    assert [event["id"] for event in told.events if event is not lost][:2] == ["1", "2"]


LINE = (
    "type=AVC msg=audit(1763812800.{serial:03d}:{serial}): avc:  denied  {{ read }} for  pid=7 comm={comm}"
    ' name="x" dev="sda6" ino=9 scontext=system_u:system_r:pod_t:s0 tcontext=system_u:object_r:etc_t:s0'
    " tclass=file permissive=1\n"
)


def events_of(*records: tuple[int, str]) -> dict[int, set[str]]:
    log = "".join(LINE.format(serial=serial, comm=f'"{comm}"') for serial, comm in records).encode()
    about = {"node": "n", "uuid": UUID, "boot": "b"}
    found = watch._denials(summarize(log, max_samples=0), 0, 99, about, 9, catalogue.load(), "v1.14.0")
    ids: dict[int, set[str]] = {}
    for event in found:
        ids.setdefault(event["serial"], set()).add(event["id"])
    return ids


def test_a_record_that_comes_late_does_not_change_what_others_are_called() -> None:
    before, after = events_of((5, "a"), (7, "b"), (7, "c")), events_of((5, "a"), (6, "late"), (7, "b"), (7, "c"))
    assert {serial: after[serial] for serial in before} == before
    assert len(before[7]) == 2


def test_what_a_visit_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    async def looked(*what: Any, **how: Any) -> str:
        asked.append((what, how))
        return "visit"

    monkeypatch.setattr(source, "visit", looked)
    client, known, all_entries, cursors, store = Client(), object(), object(), object(), object()
    given: dict[str, Any] = {"queue": Told(), "cursors": cursors, "catalogue": all_entries, "store": store, "most": 7}
    one = source.Source(nodes=("n",), connect=lambda node: client if node == "n" else known, **given)
    assert asyncio.run(one._visit("n", True)) == "visit"
    ((what, how),) = asked
    assert what[1:] == ("n", cursors)
    assert how == {"most": 7, "catalogue": all_entries, "first_run": True, "store": store}
