# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records of an enforcement probe are no events; one that only looks like them is told when the probe ended."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.knowledge import catalogue
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.probe import caused
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.store import AuditStore
from ansible_collections.talosops.selinux.plugins.plugin_utils.events.cursor import Cursors
from ansible_collections.talosops.selinux.plugins.plugin_utils.events.watch import visit
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import fleet as runner
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.client import connect
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.config import Talosconfig
from simulator import Simulator

DENIAL = {"scontext": "pod_t", "tcontext": "machine_socket_t", "tclass": "sock_file", "perms": "write", "comm": "socat"}
OTHER = {**DENIAL, "comm": "curl"}


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Simulator]:
    nodes = {"worker-1": {"kernel_args": ["enforcing=1"]}}
    with Simulator({"name": "probe-events", "uptime": "1h", "nodes": nodes}, tmp_path / "sim") as it:
        yield it


class Watcher:
    """Visits to the one node, one by one."""

    def __init__(self, sim: Simulator, directory: Path) -> None:
        self.sim = sim
        self.cursors = Cursors(directory / "cursors")
        self.stores = directory / "audit"
        self.store = AuditStore(self.stores / "worker-1")
        self.context = Talosconfig.load(str(sim.directory / "talosconfig")).context(None)

    def ask(self, question: Any) -> Any:
        async def work() -> Any:
            async with connect(self.context, self.sim.nodes["worker-1"].address) as client:
                return await question(client)

        return runner.run(work())

    def visit(self) -> list[dict[str, Any]]:
        """The denials of a visit, all kept."""

        async def look(client: Any) -> Any:
            book = catalogue.load()
            return await visit(
                client, "worker-1", self.cursors, most=5, catalogue=book, first_run=True, store=self.stores
            )

        found = self.ask(look)
        self.cursors.keep(found.cursor)
        return [event for event in found.events if event["type"] in ("enforced_denial", "denial_summary")]

    def lines(self) -> list[bytes]:
        """The records in the node's log that can be a probe's."""
        log: bytes = self.ask(lambda client: client.logs("auditd"))
        return [line for line in log.split(b"\n") if caused(line) is not None]

    def keep(self, *records: bytes, ended: bool, minutes: float = 4) -> None:
        now = dt.datetime.now(dt.UTC)
        document = {
            "schema": 1,
            "kind": "enforcement-probe",
            "id": "0123456789abcdef",
            "machine": {"uuid": None, "identity": None},
            "boot_id": self.sim.nodes["worker-1"].boot_id,
            "started_at": (now - dt.timedelta(minutes=1)).isoformat(),
            "expires_at": (now + dt.timedelta(minutes=minutes)).isoformat(),
            "finished_at": now.isoformat() if ended else None,
            "outcome": "refused",
            "attempts": [],
            "records": [record.decode() for record in records],
        }
        self.store.keep_probe(self.sim.nodes["worker-1"].boot_id, document)


@pytest.fixture
def watcher(sim: Simulator, tmp_path: Path) -> Watcher:
    found = Watcher(sim, tmp_path)
    found.visit()
    return found


def test_its_records_are_no_events_and_another_one_of_the_kind_is(watcher: Watcher) -> None:
    watcher.sim.add_denial("worker-1", DENIAL)
    watcher.sim.add_denial("worker-1", DENIAL)
    own, real = watcher.lines()
    watcher.keep(own, ended=True)
    (event,) = watcher.visit()
    assert event["serial"] == caused(real).serial  # type: ignore[union-attr]  # lines() holds nothing else
    assert watcher.visit() == []


def test_while_a_probe_is_under_way_what_may_be_its_own_waits(watcher: Watcher) -> None:
    watcher.keep(ended=False)
    watcher.sim.add_denial("worker-1", OTHER)
    watcher.sim.add_denial("worker-1", DENIAL)
    watcher.sim.add_denial("worker-1", DENIAL)
    # What came before is told at once, and waits for nobody.
    assert [event["comm"] for event in watcher.visit()] == ["curl"]
    assert watcher.visit() == []
    own, _real = watcher.lines()
    watcher.keep(own, ended=True)
    assert [event["comm"] for event in watcher.visit()] == ["socat"]
    assert watcher.visit() == []


def test_nobody_waits_for_a_probe_that_was_killed_longer_than_it_could_last(watcher: Watcher) -> None:
    watcher.keep(ended=False, minutes=-0.1)
    watcher.sim.add_denial("worker-1", DENIAL)
    assert len(watcher.visit()) == 1


def test_a_probe_of_another_boot_explains_nothing(watcher: Watcher) -> None:
    watcher.sim.add_denial("worker-1", DENIAL)
    (line,) = watcher.lines()
    watcher.keep(line, ended=True)
    place = watcher.store.directory
    (place / watcher.sim.nodes["worker-1"].boot_id).rename(place / "00000000-1111-4222-8333-444444444444")
    assert len(watcher.visit()) == 1
