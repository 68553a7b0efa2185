# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A machine whose UUID many boards share gets its configuration only while it has the certificate of its console."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall import install
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.step import take

from .machines import Machine, OneNode

PLACEHOLDER = "03000200-0400-0500-0006-000700080009"
FACTS = {"uuid": PLACEHOLDER, "serial_number": None}


@pytest.fixture(autouse=True)
def _prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = SimpleNamespace(facts={"sha256": "c" * 64}, rewritten=SimpleNamespace(text="machine: {}"))
    monkeypatch.setattr(install, "prepared", lambda work, target: prepared)

    async def judged(*_given: Any) -> None:
        """Its own tests are with those of the configuration."""

    monkeypatch.setattr(install, "require_judged_disk", judged)


def stranger(**more: Any) -> Machine:
    known = {"how": "maintenance", "stage": "maintenance", "fingerprint": "second"}
    return Machine(**{**known, "uuid": PLACEHOLDER, "serial_number": None, **more})


def work(directory: Path, machine: Machine, **variables: Any) -> OneNode:
    return OneNode(directory, itertools.repeat(machine), talos_identify_by="console", **variables)


def test_another_certificate_while_it_is_applied(tmp_path: Path) -> None:
    other = stranger()
    with pytest.raises(Problem, match="console"):
        take(work(tmp_path, other, talos_console_fingerprint="first").at("apply", **FACTS), "apply")
    assert other.sent == []


def test_another_certificate_while_it_waits_again(tmp_path: Path) -> None:
    other = stranger()
    one = work(tmp_path, other, talos_console_fingerprint="first").at("install", **FACTS)
    one.ledger.begin(one.host, "install")
    one.ledger.finish(one.host, "install", "failed", found="f", why="w", do="d", kind="k")
    with pytest.raises(Problem, match="console"):
        take(one, "install")
    assert other.sent == []


def test_what_was_judged_by_its_console_stays_so_where_the_variable_is_gone(tmp_path: Path) -> None:
    """A run that is resumed may be given other variables than the one that the gate let pass."""
    other = stranger()
    resumed = OneNode(tmp_path, itertools.repeat(other), talos_console_fingerprint="first").at("identify", **FACTS)
    with pytest.raises(Problem, match="console"):
        take(resumed, "identify")
    resumed.action.variable = lambda host, name: None
    with pytest.raises(Problem, match="is to be compared with its console"):
        take(resumed, "identify")


def test_the_certificate_that_the_console_shows_now(tmp_path: Path) -> None:
    machine = stranger()
    take(work(tmp_path, machine, talos_console_fingerprint="second").at("apply", **FACTS), "apply")
    assert machine.sent == [b"machine: {}"]


def test_a_machine_with_a_uuid_of_its_own_is_recognised_by_it(tmp_path: Path) -> None:
    machine = Machine(how="maintenance", stage="maintenance", fingerprint="second")
    take(OneNode(tmp_path, itertools.repeat(machine)).at("apply"), "apply")
    assert machine.sent == [b"machine: {}"]
