# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many plans: every wave, note and refusal of each, to the letter."""

from __future__ import annotations

import random
from typing import Any

from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.plan import make_plan
from expected import require_expected


def row(draw: random.Random, number: int) -> dict[str, Any]:
    """A node, most often one that may go."""
    given = draw.random() < 0.3
    return {
        "name": f"n-{number}",
        "machine_type": draw.choice(["worker"] * 6 + ["controlplane", "init", None]),
        "zone": draw.choice(["a", "b", "zone-10", "zone-9", None, ""]),
        "decision": draw.choice(["eligible"] * 6 + ["refused", "inconclusive", None]),
        "selinux_state": draw.choice(["permissive"] * 6 + ["enforcing", "disabled", None]),
        "reasons": [{"id": "soak-reached"}] if given else draw.choice([[], None]),
        "address": draw.choice([f"192.0.2.{number}", None]),
        "uuid": f"6f1d0a9e-0000-4000-8000-{draw.choice([number, number, number, 1]):012d}",
    }


def test_many_plans() -> None:
    draw = random.Random(11)
    lines = []
    for number in range(80):
        names = draw.sample([1, 2, 3, 9, 10, 11, 20, 100], draw.randrange(0, 8))
        rows = [row(draw, name) for name in names]
        zoned = draw.random() < 0.7
        rows = [{**one, "zone": one["zone"] if zoned else None} for one in rows]
        how: dict[str, Any] = {
            "canary": draw.choice([1, 1, 2, 3, 0, True]),
            "batch": draw.choice([1, 2, 3, "50%", "1%"]),
            "max_failures": draw.choice([0, 1, "20%"]),
            "control_planes": draw.choice([True, True, False]),
            "control_plane_batch": draw.choice([1] * 9 + [2]),
            "etcd_voters": draw.choice([3, 3, 5, 4, 2, 1, None]),
            "resume": [f"n-{name}" for name in draw.sample(names, draw.randrange(0, 2)) if names] if names else [],
            "after_entry": draw.choice([0, 7]),
        }
        lines.append(f"{number}: {how}")
        lines += [f"  {one['name']}: {list(one.values())[1:]}" for one in rows]
        try:
            plan = make_plan(rows, **how)
        except Problem as problem:
            lines.append(f"  {type(problem).__name__}: {problem} {problem.context}")
            continue
        lines += [
            f"  wave {wave.number} {wave.kind} of zone {wave.zone}: {', '.join(wave.nodes)}" for wave in plan.waves
        ]
        lines.append(f"  canaries {plan.canaries}, done {plan.done}, etcd {plan.etcd}, after {plan.after_entry}")
        lines += [f"  left out: {one}" for one in plan.not_eligible]
        lines += [f"  note: {note}" for note in plan.notes]
        assert [one["name"] for one in plan.nodes] == [f"n-{name}" for name in sorted(names)]
        assert plan.settings == {key: how[key] for key in ("canary", "batch", "max_failures", "control_planes")}
    require_expected("rollout/plans.txt", "\n".join([*lines, ""]))
