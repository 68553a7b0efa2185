# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of the steps, and everything that must agree with it."""

from __future__ import annotations

from pathlib import Path

import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.steps import (
    BY_NAME,
    DISRUPTIVE,
    FIRST_CHANGE,
    POINT_OF_NO_RETURN,
    STEP_NAMES,
    STEPS,
)

ROOT = Path(__file__).resolve().parents[3]


def test_the_steps_and_their_order():
    assert " ".join(STEP_NAMES) == "verify gate save drain reset boot identify apply install prove rejoin soak"
    assert [step.name for step in STEPS if step.changes_world] == ["drain", "reset", "boot", "apply", "rejoin", "soak"]
    assert (FIRST_CHANGE, POINT_OF_NO_RETURN) == ("drain", "reset")
    assert set(DISRUPTIVE) <= {step.name for step in STEPS if step.changes_world}
    assert len(BY_NAME) == len(STEPS)


def test_a_step_needs_only_what_an_earlier_one_left():
    left: set[str] = set()
    for step in STEPS:
        assert set(step.needs) <= left, step.name
        left |= set(step.leaves)


def test_the_documentation_shows_the_table():
    text = (ROOT / "docs" / "rollout.md").read_text()
    for step in STEPS:
        assert f"| {step.name} | {step.what} | {step.repeats} |" in text
    assert text.count("\n| verify |") == 1


def test_the_modules_offer_these_steps():
    text = (ROOT / "plugins" / "modules" / "reinstall_step.py").read_text()
    documentation = yaml.safe_load(text.split('"""')[1])
    assert documentation["options"]["step"]["choices"] == list(STEP_NAMES)
