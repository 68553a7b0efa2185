# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A boot hook is run for a machine that surely went down to be wiped, and what it brought up unwiped is named."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall import before, wipe
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.hook import run_hook
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.settle import settle
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.step import fail_and_release, take
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.work import NotKnown
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout import ledger
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.errors import LockHeld
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger_file import entries
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import boots
from ansible_collections.talosops.selinux.plugins.plugin_utils.waiting import poll

from .machines import Machine, OneNode


@pytest.fixture(autouse=True)
def hooks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    run: list[str] = []
    monkeypatch.setattr(wipe, "run_hook", lambda work: run.append(work.host))
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


def test_a_machine_that_waits_already_needs_no_hook(tmp_path: Path, hooks: list[str]) -> None:
    waiting = Machine(how="maintenance", stage="maintenance")
    work = OneNode(tmp_path, itertools.repeat(waiting)).at("boot", boot_path="hook")
    assert take(work, "boot")["taken"]
    assert hooks == [] and "boot" not in work.ledger.node(work.host).writes


@pytest.fixture
def hooked(tmp_path: Path, hooks: list[str], monkeypatch: pytest.MonkeyPatch) -> OneNode:
    """An unwiped node that was silent when it was looked for, so that the hook was run."""
    judged = {"talos": {"version": "v1.13.7"}, "selinux": {"kernel_args": ["selinux=1"]}}
    monkeypatch.setattr(OneNode, "judged", lambda work: judged)
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
    assert "stays cordoned" in fail_and_release(hooked, "it failed")
    assert uncordoned == []
    assert settle(hooked), "its operation is not closed while it runs another system"


def test_it_is_released_when_its_own_system_runs_again(hooked: OneNode, uncordoned: list[str]) -> None:
    hooked.answers = itertools.repeat(Machine(boot_id="boot-3"))
    with pytest.raises(Problem, match="had no effect"):
        take(hooked, "identify")
    fail_and_release(hooked, "it failed")
    assert uncordoned == [hooked.host]


@pytest.mark.parametrize(
    "script",
    [
        "echo login admin $BMC_PASSWORD refused",
        "echo $BMC_URL >&2",
        "printf %0400d$BMC_PASSWORD",
        "printf admin:$BMC_PASSWORD | base64",
        "echo $BMC_PASSWORD | tr a-z A-Z",
        "printf $BMC_PASSWORD | od -An -tu1",
    ],
)
def test_what_a_hook_says_is_shown_without_its_secrets(tmp_path: Path, script: str) -> None:
    work = OneNode(tmp_path, itertools.repeat(None)).at("boot", boot_path="hook")
    secret = "hunter2-" + "x" * 8
    work.params["boot_hook_environment"] = {"BMC_PASSWORD": secret, "BMC_URL": f"https://u:{secret}@bmc", "N": 1}
    work.params["boot_hook"] = ["sh", "-c", f"{script}; exit 7"]
    with pytest.raises(Problem, match="the boot hook ended with 7") as caught:
        run_hook(work)
    shown = str(caught.value)
    assert not [quoted for quoted in ("hunter2", "HUNTER2", "aHVudGVyMi", "104 117 110") if quoted in shown]
    assert "<masked>" in shown or "%0400d" in script


@pytest.mark.parametrize("problem", [None, LockHeld("another controller has it", "w", "d")], ids=["time", "lock"])
def test_a_hook_that_is_stopped_leaves_nothing_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: Problem | None
) -> None:
    """What it started could power-cycle the machine while another run installs it."""
    work = OneNode(tmp_path, itertools.repeat(None)).at("boot", boot_path="hook")
    started = tmp_path / "started"

    def runs() -> bool:
        try:
            return Path(f"/proc/{int(started.read_text())}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        except (FileNotFoundError, ProcessLookupError):
            return False

    work.params["wipe_timeout"] = 0.0
    work.params["boot_hook"] = ["sh", "-c", f"sleep 600 & echo $! > {started}; wait"]

    def held(*_given: Any) -> None:
        if problem is not None:
            raise problem

    monkeypatch.setattr(work, "hold_cluster", held)
    with pytest.raises(Problem, match="another controller has it" if problem else "did not end within 0 seconds"):
        run_hook(work)
    # The kernel delivers a signal when it comes to it.
    poll(runs, lambda running: not running, timeout=60, sleep=0.05, waiting_for="what the hook started to end", do="")


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["no-such-program"], "no-such-program cannot be run: No such file or directory"),
        (["/"], "/ cannot be run: Permission denied"),
        (["sh", "-c", "true", "\0"], "sh cannot be run: a word of it or of its environment holds a zero byte"),
    ],
)
def test_a_hook_that_cannot_be_run_is_named(tmp_path: Path, command: list[str], why: str) -> None:
    work = OneNode(tmp_path, itertools.repeat(None)).at("boot", boot_path="hook")
    work.params["boot_hook"] = command
    with pytest.raises(Problem, match=f"the boot hook {why}") as raised:
        run_hook(work)
    assert raised.value.context == {"node": work.host}


GOING = Machine(stage="resetting", tasks=("drain", "stopAllServices"))
BOOTING = Machine(stage="booting", boot_id="boot-2")


def reset(
    directory: Path,
    patch: pytest.MonkeyPatch,
    answers: Sequence[Machine | None],
    *,
    writes: Sequence[str] = ("intent", "sent"),
    actor: str | None = "actor",
    **params: Any,
) -> OneNode:
    """Take the step ``reset`` of a hooked node that is silent after its ``answers``."""
    work = OneNode(directory, itertools.chain(answers, itertools.repeat(None))).at("reset", boot_path="hook")
    work.params |= params

    def order(work: OneNode) -> tuple[str | None, boots.Look]:
        for write in writes:
            getattr(work.ledger, write)(work.host, "reset")
        return actor, boots.Look(boot_id="boot-1")

    patch.setattr(wipe, "_order", order)
    patch.setattr(wipe._wait_until_gone, "__kwdefaults__", {"silent_looks": 3})
    take(work, "reset")
    return work


def test_a_machine_that_stopped_for_its_reset_is_gone_when_it_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = reset(tmp_path, monkeypatch, [GOING, GOING])
    assert "stopped all services" in work.ledger.node(work.host).results["reset"]["gone"]


@pytest.mark.parametrize(
    "answers",
    [
        [],
        [Machine(stage="resetting", tasks=("drain", "cordonAndDrainNode")), Machine(stage="resetting")],
        [Machine(stage="resetting"), Machine(stage="resetting")],
        # It stopped, came back in another boot, and went silent on its way up.
        [GOING, GOING, BOOTING],
    ],
    ids=["at once", "in its drain", "without a report", "after another boot"],
)
def test_silence_alone_is_no_sign_of_a_wipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hooks: list[str], answers: list[Machine]
) -> None:
    with pytest.raises(NotKnown, match="whether worker-1 was wiped is not known") as caught:
        reset(tmp_path, monkeypatch, answers)
    assert "rollout_confirm_wiped" in caught.value.do
    known = ledger.Ledger(tmp_path / "ledger.jsonl").node("worker-1")
    assert (known.open, known.done[-1], hooks) == ("reset", "drain", [])


def test_a_lost_answer_and_silence_are_no_sign_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotKnown, match="whether worker-1 was wiped is not known"):
        reset(tmp_path, monkeypatch, [GOING, GOING], writes=["intent"], actor=None)


SEEN = {"worker-1": "its console finds nothing to boot"}


@pytest.mark.parametrize("writes", [[], ["intent"], ["intent", "sent"]], ids=str)
def test_what_a_person_said_before_a_reset_was_sent_says_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: list[str]
) -> None:
    """A word may be left in the inventory from the wipe of another day."""
    with pytest.raises(NotKnown, match="whether worker-1 was wiped is not known"):
        reset(tmp_path, monkeypatch, [], writes=writes, confirm_wiped=SEEN)


def resumed(directory: Path, patch: pytest.MonkeyPatch, writes: Sequence[str]) -> OneNode:
    """The work on a silent node whose reset an earlier run began, and could not tell whether it wiped."""
    patch.setattr(wipe._wait_until_gone, "__kwdefaults__", {"silent_looks": 3})
    work = OneNode(directory, itertools.repeat(None)).at("reset", boot_path="hook")
    work.ledger.begin(work.host, "reset", machine_type="worker")
    for write in writes:
        getattr(work.ledger, write)(work.host, "reset")
    with pytest.raises(NotKnown, match="whether worker-1 was wiped is not known"):
        take(work, "reset")
    return work


@pytest.mark.parametrize("writes", [["intent"], ["intent", "sent"]], ids=["before its answer", "after it"])
def test_a_run_that_was_stopped_goes_on_with_what_a_person_confirms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: list[str]
) -> None:
    work = resumed(tmp_path, monkeypatch, writes)
    work.params["confirm_wiped"] = SEEN
    assert "nothing to boot" in take(work, "reset")["facts"]["gone"]
    looks = [entry for entry in entries(tmp_path / "ledger.jsonl") if entry["kind"] == "look"]
    assert [look["facts"]["because"] for look in looks if "because" in look["facts"]] == list(SEEN.values())


@pytest.mark.parametrize("confirmed", [{"worker-2": "seen"}, {"worker-1": " "}], ids=["of another", "without a word"])
def test_no_other_word_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, confirmed: dict[str, str]) -> None:
    work = resumed(tmp_path, monkeypatch, ["intent", "sent"])
    work.params["confirm_wiped"] = confirmed
    with pytest.raises(NotKnown, match="whether worker-1 was wiped is not known"):
        take(work, "reset")


@pytest.mark.parametrize("how", ["refusing", "maintenance"])
def test_what_answers_and_tells_nothing_is_not_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hooks: list[str], how: str
) -> None:
    """Its reset failed, and it came back while our certificate ended, or in a stage that says nothing."""
    back = Machine(how=how, stage="booting", boot_id="boot-2")
    with pytest.raises(NotKnown, match="whether worker-1 was wiped is not known"):
        reset(tmp_path, monkeypatch, [GOING, GOING, *[back] * 200])
    work = OneNode(tmp_path / "boot", itertools.repeat(back)).at("boot", boot_path="hook")
    with pytest.raises(Problem, match="to be up or gone"):
        take(work, "boot")
    assert hooks == []


def test_no_hook_is_run_while_another_machine_has_the_address(tmp_path: Path, hooks: list[str]) -> None:
    other = Machine(uuid="5c4c4544-0042-4e10-8053-b4c04f4b4832", identity="of another")
    with pytest.raises(Problem, match="the machine at the address of worker-1 has the UUID"):
        take(OneNode(tmp_path, itertools.repeat(other)).at("boot", boot_path="hook"), "boot")
    assert hooks == []


def test_a_confirmation_is_no_answer_to_what_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Problem, match="no effect"):
        reset(
            tmp_path,
            monkeypatch,
            [Machine(boot_id="boot-2")] * 9,
            confirm_wiped={"worker-1": "its console finds nothing to boot"},
        )
