# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A configuration is handed out once, and again only to a machine that surely waits for it again."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.masking import MASK
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall import install
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.work import NotKnown
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger_file import entries
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import (
    PermissionRefused,
    TlsFailure,
    Unreachable,
)

from .machines import HOST, Machine, OneNode

WAITING = Machine(how="maintenance", stage="maintenance", fingerprint="first")
ANEW = Machine(how="maintenance", stage="maintenance", fingerprint="second")
UP = Machine(identity="new")
TEXT = "machine: {type: worker, token: hunter2hunter2}\n"


@pytest.fixture(autouse=True)
def _told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def status(client: Machine) -> dict[str, Any]:
        return {"uuid": client.uuid, "serial_number": client.serial_number, "stage": client.stage}

    config = SimpleNamespace(facts={"sha256": "c" * 64}, rewritten=SimpleNamespace(text=TEXT))
    monkeypatch.setattr(install, "prepared", lambda work, target: config)
    monkeypatch.setattr(install, "status", status)

    async def judged(*_given: Any) -> None:
        """Its own tests are with those of the configuration."""

    monkeypatch.setattr(install, "require_judged_disk", judged)


def work_at(directory: Path, step: str, *answers: Machine | None, **facts: Any) -> OneNode:
    work = OneNode(directory, itertools.chain(answers, itertools.repeat(answers[-1]))).at(step, **facts)
    work.ledger.begin(HOST, step)
    return work


def seen_by(patch: pytest.MonkeyPatch, *machines: Machine | None) -> None:
    """What each look sees, the last one for ever."""
    looks = itertools.chain(machines, itertools.repeat(machines[-1]))

    def see(work: OneNode) -> install.Seen:
        machine = next(looks)
        if machine is None:
            return install.Seen("silent", "nobody answers")
        return install.Seen(
            machine.how,
            machine.how,
            uuid=machine.uuid,
            serial_number=machine.serial_number,
            identity=machine.identity if machine.how == "running" else None,
            stage=machine.stage,
            ready=machine.ready,
            fingerprint=machine.fingerprint,
        )

    patch.setattr(install, "see", see)


@pytest.mark.parametrize(
    ("machine", "again", "failed", "given"),
    [
        (WAITING, False, False, None),
        (ANEW, False, True, None),
        (ANEW, True, False, "second"),
        (WAITING, True, True, "first"),
        # The same start of the machine, whose installation was only interrupted here: it may be about to install.
        (WAITING, True, False, None),
        # It is on its way; what it does is not known.
        (Machine(how="maintenance", stage="booting", fingerprint="second"), True, True, None),
        (UP, True, True, None),
        (None, True, True, None),
    ],
)
def test_who_waits_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    machine: Machine | None,
    again: bool,
    failed: bool,
    given: str | None,
) -> None:
    seen_by(monkeypatch, machine)
    work = work_at(tmp_path, "install", machine)
    work.again, work.failed_before = again, failed
    assert install._waits_again(work) == given


@pytest.mark.parametrize("other", [{"serial_number": "another"}, {"uuid": "0" * 8 + "-0042-4e10-8053-b4c04f4b4832"}])
def test_the_configuration_reaches_the_machine_that_was_wiped_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: dict[str, str]
) -> None:
    machine = Machine(how="maintenance", stage="maintenance", **other)
    seen_by(monkeypatch, machine)
    work = work_at(tmp_path, "apply", machine)
    with pytest.raises(Problem, match=r"has the (UUID|serial number)"):
        install.apply(work)
    assert machine.sent == [] and "apply" not in work.ledger.node(HOST).writes and work.changed is False


def test_another_machine_that_waits_is_not_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Machine(how="maintenance", stage="maintenance", uuid="0" * 8 + "-0042-4e10-8053-b4c04f4b4832")
    seen_by(monkeypatch, other)
    work = work_at(tmp_path, "install", other)
    work.again = work.failed_before = True
    with pytest.raises(Problem, match="has the UUID"):
        install._waits_again(work)


def test_a_machine_that_waits_again_gets_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen_by(monkeypatch, ANEW, UP)
    work = work_at(tmp_path, "install", ANEW)
    work.again = True
    assert install.install(work) == {"applied_again": True, "applied_sha256": "c" * 64, "repaired": None}
    assert ANEW.sent == [TEXT.encode()]
    assert work.ledger.node(HOST).writes["install"] == "sent"
    writes = [entry for entry in entries(work.ledger.path) if entry.get("step") == "install"][-2:]
    assert [entry["facts"] for entry in writes] == [{}, {"config_sha256": "c" * 64}]
    assert work.changed is True
    ANEW.sent.clear()


def test_one_that_comes_up_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen_by(monkeypatch, None, Machine(identity="new", ready=False), UP)
    work = work_at(tmp_path, "install", UP)
    assert install.install(work) == {"applied_again": False}
    assert "install" not in work.ledger.node(HOST).writes


@pytest.mark.parametrize(
    ("last", "told"),
    [
        (None, "0.2 seconds: nobody answers"),
        (Machine(identity="new", ready=False, stage="booting"), "it is in stage booting and not ready"),
    ],
)
def test_one_that_does_not_come_back_is_told_by_its_last_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: Machine | None, told: str
) -> None:
    seen_by(monkeypatch, last)
    with pytest.raises(Problem, match=told) as raised:
        install.install(work_at(tmp_path, "install", last))
    assert raised.value.context["last_seen"] == ("silent" if last is None else "running")


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ({"phase": "failed", "error": "failed to pull image"}, "its installation is failed: failed to pull image."),
        ({"phase": "pending", "error": "no disk matched"}, "its installation is pending: no disk matched."),
        ({"phase": "installing"}, "its installation is installing."),
        ({"phase": "failed", "error": "bad key hunter2hunter2"}, f"its installation is failed: bad key {MASK}."),
        # What is over, or is none of Talos' words, says nothing about what keeps the node.
        ({"phase": "installed"}, "it is in stage booting and not ready."),
        ({"phase": 7, "error": "x"}, "it is in stage booting and not ready."),
        (None, "it is in stage booting and not ready."),
    ],
)
def test_an_unattended_installation_says_what_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: dict[str, Any] | None, told: str
) -> None:
    machine = Machine(identity="new", ready=False, stage="booting", unattended=status)
    seen_by(monkeypatch, machine)
    with pytest.raises(Problem, match="did not come back") as raised:
        install.install(work_at(tmp_path, "install", machine))
    assert f"0.2 seconds: {told}" in f"{raised.value.found}."
    assert ("restart the machine" in raised.value.do) is ("installation" in told)


def test_what_cannot_be_masked_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(identity="new", ready=False, stage="booting", unattended={"phase": "failed", "error": "quoted"})
    seen_by(monkeypatch, machine)

    def lost(work: OneNode, target: object) -> None:
        raise Problem("the file is gone", "w", "d")

    monkeypatch.setattr(install, "prepared", lost)
    with pytest.raises(Problem, match="did not come back") as raised:
        install.install(work_at(tmp_path, "install", machine))
    assert "installation is failed" in raised.value.found and "quoted" not in str(raised.value)


@pytest.mark.parametrize("step", ["apply", "install"])
def test_another_configuration_than_the_judged_one_is_a_repair_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    seen_by(monkeypatch, ANEW, UP)
    cluster = {"cluster_id": "i"}
    judged = {"sha256": "a" * 64, "machine_type": "worker", "hostname": HOST, "install": {"disk": "d"}}
    work = work_at(tmp_path, step, ANEW, config_sha256="a" * 64)
    monkeypatch.setattr(work, "judged", lambda: {"config": {**judged, "cluster": cluster}})
    work.again = True
    for name, problems in ((HOST, ()), ("other", ("has another host name",))):
        facts = {**judged, "sha256": "c" * 64, "hostname": name, "cluster": cluster, "problems": []}
        config = SimpleNamespace(facts=facts, rewritten=SimpleNamespace(text=TEXT))
        monkeypatch.setattr(install, "prepared", lambda work, target, config=config: config)
        if problems:
            with pytest.raises(Problem, match=problems[0]):
                getattr(install, step)(work)
            continue
        seen_by(monkeypatch, ANEW, UP)
        repaired = getattr(install, step)(work)["repaired"]
        assert (repaired["from"], repaired["to"]) == ("a" * 64, "c" * 64)
        seen_by(monkeypatch, ANEW, UP)
    assert ANEW.sent == [TEXT.encode()]
    ANEW.sent.clear()


@pytest.mark.parametrize("write", ["intent", "sent"])
def test_what_was_sent_is_not_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: str) -> None:
    seen_by(monkeypatch, UP)
    work = work_at(tmp_path, "apply", WAITING)
    work.writes = {"apply": write}
    work.look_first = True
    assert install.apply(work) == {"applied_sha256": None, "repaired": None}
    assert WAITING.sent == []


def test_what_may_have_been_sent_is_sent_to_a_machine_that_still_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen_by(monkeypatch, WAITING)
    work = work_at(tmp_path, "apply", WAITING)
    work.writes, work.look_first = {"apply": "intent"}, True
    assert install.apply(work) == {"applied_sha256": "c" * 64, "repaired": None}
    assert WAITING.sent == [TEXT.encode()]
    WAITING.sent.clear()


def test_silence_is_no_sign_of_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen_by(monkeypatch, None)
    work = work_at(tmp_path, "apply", WAITING)
    work.writes, work.look_first = {"apply": "intent"}, True
    with pytest.raises(NotKnown, match="whether worker-1 has its machine configuration is not known"):
        install.apply(work)
    assert WAITING.sent == []


@pytest.mark.parametrize("stage", ["booting", "installing", ""])
def test_a_machine_that_does_not_wait_gets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    busy = Machine(how="maintenance", stage=stage)
    seen_by(monkeypatch, busy)
    work = work_at(tmp_path, "apply", busy)
    with pytest.raises(Problem, match=f"does not wait in maintenance mode .stage {stage or 'unknown'}"):
        install.apply(work)
    assert busy.sent == [] and "apply" not in work.ledger.node(HOST).writes


def test_a_new_certificate_of_the_same_machine_is_followed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen_by(monkeypatch, ANEW)
    work = work_at(tmp_path, "apply", ANEW)
    assert install.apply(work)["applied_sha256"] == "c" * 64
    assert ANEW.sent == [TEXT.encode()]
    ANEW.sent.clear()


def test_a_refusal_leaves_the_step_without_effect_and_a_lost_answer_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error, write in ((install.Refused("no such key", "w", "d"), None), (Unreachable("gone", "w", "d"), "intent")):
        refusing = Machine(how="maintenance", stage="maintenance")

        async def refuse(data: bytes, error: Problem = error) -> None:
            raise error

        monkeypatch.setattr(refusing, "apply_configuration", refuse)
        seen_by(monkeypatch, refusing)
        work = work_at(tmp_path / type(error).__name__, "apply", refusing)
        with pytest.raises(type(error), match=error.found):
            install.apply(work)
        assert work.ledger.node(HOST).writes.get("apply") == write


def test_a_permission_that_is_missing_is_shown_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = Machine(how="maintenance", stage="maintenance")

    async def refuse(data: bytes) -> None:
        raise PermissionRefused("not for you", "w", "d")

    monkeypatch.setattr(refusing, "apply_configuration", refuse)
    seen_by(monkeypatch, refusing)
    with pytest.raises(PermissionRefused, match="not for you"):
        install.apply(work_at(tmp_path, "apply", refusing))


@pytest.mark.parametrize("seen", [WAITING, UP], ids=["the pinned certificate", "an installation"])
def test_a_certificate_that_is_not_the_machines_new_one_gets_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: Machine
) -> None:
    """Whoever answered was another; the machine itself still shows the pinned one, or does not wait any more."""
    seen_by(monkeypatch, seen)
    work = work_at(tmp_path, "apply", ANEW)
    with pytest.raises(TlsFailure, match="another certificate"):
        install.apply(work)
    assert ANEW.sent == [] and "apply" not in work.ledger.node(HOST).writes
