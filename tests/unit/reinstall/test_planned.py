# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node is reinstalled as the plan has it: never without one, and never another machine than the planned one."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.before import _require_planned
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.work import StepProblem

from .machines import OneNode


def check(directory: Path, identity: str | None, **variables: Any) -> None:
    _require_planned(OneNode(directory, itertools.repeat(None), **variables), identity)


@pytest.mark.parametrize("identity", ["one", None])
def test_without_a_plan_nothing_is_done(tmp_path: Path, identity: str | None) -> None:
    with pytest.raises(StepProblem, match="not part of a plan"):
        check(tmp_path, identity)


@pytest.mark.parametrize("identity", ["other", "ONE", "", None])
def test_another_machine_than_the_planned_one_is_refused(tmp_path: Path, identity: str | None) -> None:
    with pytest.raises(StepProblem, match="when the fleet was judged"):
        check(tmp_path, identity, talos_planned_identity="one")


def test_the_planned_machine_and_one_that_is_resumed_pass(tmp_path: Path) -> None:
    check(tmp_path, "one", talos_planned_identity="one")
    check(tmp_path, "one", talos_planned_identity=None)
