# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many pairs of looks at a node: whether each pair is taken for one boot."""

from __future__ import annotations

import itertools
import random
from typing import Any

from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.boots import Look, compare, uptime
from expected import require_expected

BASE: dict[str, Any] = {
    "boot_id": "a",
    "boot_time": 1000,
    "cpu_seconds": 500.0,
    "processes": 90,
    "context_switches": 900,
    "marks": {1: "1000.100", 2: "1000.200"},
    "at": 1500.0,
}
#: What the later look may say otherwise; the boundaries of each tolerance are among it.
LATER: dict[str, tuple[Any, ...]] = {
    "boot_id": ("a", "b", None),
    "boot_time": (1000, 1002, 1003, 998, 997, None),
    "cpu_seconds": (500.0, 495.0, 494.9, 600.0, 585.0, 584.9, 615.0, 615.1, None),
    "processes": (90, 91, 89, None),
    "context_switches": (900, 899, None),
    "marks": (
        {1: "1000.100", 2: "1000.200"},
        {2: "1000.200"},
        {2: "1000.300"},
        {1: "1000.100", 2: "1000.300"},
        {3: "9"},
        {},
    ),
    "at": (1600.0, 1500.0, 1499.0, None),
}


def shown(look: dict[str, Any], base: dict[str, Any]) -> str:
    """Where a look differs from the usual one."""
    return ", ".join(f"{key} {value}" for key, value in look.items() if value != base[key]) or "as ever"


def test_many_pairs() -> None:
    draw = random.Random(9)
    pairs: list[tuple[dict[str, Any], dict[str, Any]]] = []
    without_id = {**BASE, "boot_id": None}
    plain = {**without_id, "marks": {}}
    for base, key in itertools.product((BASE, without_id, plain), LATER):
        usual = {**base, "cpu_seconds": 600.0, "at": 1600.0}
        pairs += [(base, {**usual, key: value}) for value in LATER[key]]
        pairs += [({**base, key: None if key != "marks" else {}}, usual)]
    for _again in range(350):
        base = draw.choice((without_id, plain))
        later = {key: draw.choice(values) for key, values in LATER.items()}
        unsaid = draw.choice([None, "cpu_seconds", "boot_time", "processes", "at"])
        pairs.append(({**base, unsaid: None} if unsaid else base, later))
    # A young machine: what it counted before it rebooted may be less than the tolerance.
    for young, elapsed in itertools.product((9.9, 10.0, 10.1, 16.0), (0.0, 100.0, 120.0)):
        pairs.append(
            (
                {**plain, "cpu_seconds": young, "processes": None, "context_switches": None},
                {**plain, "cpu_seconds": young + elapsed, "at": 1500.0 + elapsed, "boot_time": None},
            )
        )
    lines = []
    for earlier, later in pairs:
        lines.append(f"{compare(Look(**earlier), Look(**later))}: {shown(earlier, BASE)} | {shown(later, BASE)}")
    require_expected("talos/boots.txt", "\n".join([*lines, ""]))


def test_how_long_a_node_is_up() -> None:
    for boot_time, cpu, seconds in (
        (None, 5.0, None),
        (1000, None, 1000),
        (1000, 900.0, 1000),
        (1000, 840.0, 1000),
        (1000, 839.9, 839),
        (1000, 5000.0, 1000),
        (3000, None, -1000),
    ):
        assert uptime(Look(boot_time=boot_time, cpu_seconds=cpu), 2000.0) == seconds
