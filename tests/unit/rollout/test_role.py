# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role is the table of steps as tasks, and nothing else (what plays give it: ``unit/collection/test_plays.py``)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.steps import STEP_NAMES

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles" / "reinstall" / "tasks" / "main.yml"
STEP = "talosops.selinux.reinstall_step"


def block() -> dict[str, Any]:
    (only,) = yaml.safe_load(ROLE.read_text())
    return dict(only)


def test_a_task_for_each_step_in_their_order() -> None:
    tasks = block()["block"]
    assert [task[STEP]["step"] for task in tasks] == list(STEP_NAMES)
    # What a step needs are options of the play, not of the task.
    assert all(set(task[STEP]) == {"step"} for task in tasks)
    assert len(tasks) + len(block()["rescue"]) <= 16
    assert sorted(path.name for path in ROLE.parent.rglob("*")) == ["announce.yml", "main.yml"]


def test_no_control_flow_by_failures_and_no_facts_by_variables() -> None:
    text = ROLE.read_text()
    for word in ("failed_when", "is defined", "set_fact", "hostvars", "lookup("):
        assert word not in text
    assert yaml.safe_load((ROOT / "roles/reinstall/defaults/main.yml").read_text()) == {}
    assert re.findall(r"{{.*?}}", text) == [
        "{{ ansible_failed_result.msg | default('a task failed without a message') }}"
    ]


def test_what_failed_is_released_in_the_same_run() -> None:
    (task,) = block()["rescue"]
    assert task[STEP]["state"] == "released"
