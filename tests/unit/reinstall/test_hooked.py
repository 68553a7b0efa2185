# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A boot hook is run for a machine that answers nobody, and what it brought up unwiped is not called well."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall import before, wipe
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.settle import settle
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.step import fail_and_give_back, take

from .machines import Machine, OneNode

_RUN_HOOK = wipe._run_hook


@pytest.fixture(autouse=True)
def hooks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    run: list[str] = []
    monkeypatch.setattr(wipe, "_run_hook", lambda work: run.append(work.host))
    return run


@pytest.fixture(autouse=True)
def uncordoned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    done: list[str] = []
    monkeypatch.setattr(before, "undo_drain", lambda work: done.append(work.host) or True)
    return done


@pytest.mark.parametrize("stage", ["booting", "rebooting", "resetting", "shutting down"])
def test_an_old_installation_on_its_way_is_not_power_cycled(tmp_path: Path, hooks: list[str], stage: str) -> None:
    """Its reset was aborted, and it was silent while it rebooted."""
    coming = [Machine(stage=stage, boot_id="boot-2")] * 3
    answers = itertools.chain(coming, itertools.repeat(Machine(boot_id="boot-2")))
    with pytest.raises(Problem, match="no effect"):
        take(OneNode(tmp_path, answers).at("boot", boot_path="hook"), "boot")
    assert hooks == []


@pytest.fixture
def hooked(tmp_path: Path, hooks: list[str], monkeypatch: pytest.MonkeyPatch) -> OneNode:
    """An unwiped node that was silent when it was looked for, so that the hook was run."""
    judged = {"talos": {"version": "v1.13.7"}, "selinux": {"kernel_args": ["selinux=1"]}}
    monkeypatch.setattr(wipe.files, "load", lambda path: judged)
    work = OneNode(tmp_path, iter([None])).at("boot", boot_path="hook")
    take(work, "boot")
    assert hooks == [work.host]
    return work


@pytest.mark.parametrize("other", [{"cmdline": "selinux=1 enforcing=1"}, {"version_tag": "v1.14.1"}, {"cmdline": ""}])
def test_an_unwiped_machine_that_the_hook_booted_stays_cordoned(
    hooked: OneNode, uncordoned: list[str], other: dict[str, str]
) -> None:
    hooked.answers = itertools.repeat(Machine(boot_id="boot-2", **other))
    with pytest.raises(Problem, match="the boot hook booted worker-1 over its old installation"):
        take(hooked, "identify")
    assert "stays cordoned" in fail_and_give_back(hooked, "it failed")
    assert uncordoned == []
    assert settle(hooked), "its operation is not closed while it runs another system"


def test_it_is_given_back_when_its_own_system_runs_again(hooked: OneNode, uncordoned: list[str]) -> None:
    hooked.answers = itertools.repeat(Machine(boot_id="boot-3"))
    with pytest.raises(Problem, match="had no effect"):
        take(hooked, "identify")
    fail_and_give_back(hooked, "it failed")
    assert uncordoned == [hooked.host]


@pytest.mark.parametrize(
    "script", ["echo login admin $BMC_PASSWORD refused", "echo $BMC_URL >&2", "printf %0400d$BMC_PASSWORD"]
)
def test_what_a_hook_says_is_shown_without_its_secrets(tmp_path: Path, script: str) -> None:
    work = OneNode(tmp_path, itertools.repeat(None)).at("boot", boot_path="hook")
    secret = "hunter2-" + "x" * 8
    work.params["boot_hook_environment"] = {"BMC_PASSWORD": secret, "BMC_URL": f"https://u:{secret}@bmc", "N": 1}
    work.params["boot_hook"] = ["sh", "-c", f"{script}; exit 7"]
    with pytest.raises(Problem, match="the boot hook ended with 7") as caught:
        _RUN_HOOK(work)
    assert "hunter2" not in str(caught.value)
