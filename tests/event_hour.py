# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet whose nodes lose their connection, reboot and deny at random, and what the event source must tell of it."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from simulator import Simulator

_AVC = re.compile(rb"^type=AVC msg=audit\([0-9.]+:([0-9]+)\)", re.MULTILINE)
_TEMPLATES = ("csi_unlabeled", "hostpath_run", "nfs", "relabelto")
#: More than any visit finds of one signature, so that every record is told individually.
MOST = 100_000


class Hour:
    """Disturbs a fleet step by step, and keeps which denials each boot of each machine really logged.

    Args:
        sim: the fleet.
        chance: what decides.
    """

    def __init__(self, sim: Simulator, chance: random.Random) -> None:
        self.sim, self._chance = sim, chance
        #: By machine UUID: its boots in order, each with the serials of its denials.
        self.boots: dict[str, list[tuple[str, set[int]]]] = {}
        self.reboots = self.disconnects = 0
        self._silent: dict[str, int] = {}
        #: Machines that are starting, by the boot that they ended. They answer once they run: what a simulated node
        #: logged while it starts, it makes up anew when it runs.
        self._starting: dict[str, str] = {}

    def step(self) -> None:
        """What happens in one minute: on a third of the nodes something is denied, a few go away, a few reboot."""
        for name, node in self.sim.nodes.items():
            if name in self._starting:
                if node.state == "running" and node.boot_id != self._starting[name]:
                    self._let_answer(name)
                continue
            if self._chance.random() < 0.3:
                self.sim.add_denial(name, self._chance.choice(_TEMPLATES))
            if name in self._silent:
                self._silent[name] -= 1
                if not self._silent[name]:
                    self._let_answer(name)
            elif self._chance.random() < 0.04:
                self._silent[name] = self._chance.randint(1, 5)
                self.sim.set_fault(name, "unreachable")
                self.disconnects += 1
            if self._chance.random() < 0.02:
                self._remember(name)
                self._silent.pop(name, None)
                self._starting[name] = node.boot_id
                self.sim.set_fault(name, "unreachable")
                self.sim.restart(name)
                self.reboots += 1

    def end(self) -> None:
        """Let every node answer again, and see what its last boot logged."""
        for name in list(self._silent):
            self._let_answer(name)
        while self._starting:
            for name, boot in list(self._starting.items()):
                if self.sim.nodes[name].state == "running" and self.sim.nodes[name].boot_id != boot:
                    self._let_answer(name)
            time.sleep(0.05)
        for name in self.sim.nodes:
            self._remember(name)

    def _let_answer(self, name: str) -> None:
        self._silent.pop(name, None)
        self._starting.pop(name, None)
        self.sim.clear_fault(name, "unreachable")

    def _remember(self, name: str) -> None:
        node = self.sim.nodes[name]

        async def look() -> tuple[str, bytes]:
            ring = node.kernel_logs().auditd
            return node.boot_id, ring.read() if ring is not None else b""

        boot, log = self.sim.run(look())
        boots = self.boots.setdefault(node.uuid.lower(), [])
        if boots and boots[-1][0] == boot:
            boots.pop()
        boots.append((boot, {int(number) for number in _AVC.findall(log)}))


def unreported(boots: Mapping[str, Iterable[tuple[str, set[int]]]], events: Iterable[Mapping[str, Any]]) -> list[str]:
    """What was logged, was not told, and lies in no hole that was told."""
    told: dict[tuple[str, str], set[int]] = {}
    holes: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for event in events:
        place = (event["uuid"], event["boot"])
        if event["type"] in ("denial", "enforced_denial"):
            told.setdefault(place, set()).add(event["serial"])
        elif event["type"] == "hole":
            holes.setdefault(place, []).append(event)
    found = []
    for uuid, known in boots.items():
        later = list(known)
        while later:
            boot, logged = later.pop(0)
            inside = [hole for hole in holes.get((uuid, boot), ()) if hole["before"] is not None]
            missing = {
                serial
                for serial in logged - told.get((uuid, boot), set())
                if not any(hole["after"] < serial < hole["before"] for hole in inside)
            }
            ends = (
                hole for place, _serials in later for hole in holes.get((uuid, place), ()) if hole["before"] is None
            )
            last = next(ends, None)
            if last is not None and (uuid, boot) in told:
                missing = {serial for serial in missing if serial <= last["after"]}
            elif last is not None:
                # A boot that nobody visited: the hole reaches from the one before it to the one after it.
                missing = set()
            found += [f"{uuid} boot {boot}: record {serial}" for serial in sorted(missing)]
    return found


def repeated(events: Iterable[Mapping[str, Any]]) -> list[str]:
    """The ids that were told more than once."""
    return [identifier for identifier, count in Counter(event["id"] for event in events).items() if count > 1]
