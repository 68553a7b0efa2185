# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An order to wipe is for what was judged, before any node is asked."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.errors import VerdictRefused
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall import order


def send(directory: Path, patch: pytest.MonkeyPatch, *, judged: str | None, wiped: str) -> list[str]:
    """Order a wipe for one boot path on evidence of another; who was asked."""
    verdict = directory / "verdict.json"
    verdict.write_text(json.dumps({}))
    asked: list[str] = []
    document = {"node": {"machine_type": "worker"}, "operation": {"boot_path": judged}}
    patch.setattr(order.files, "load", lambda path: document)
    action: Any = SimpleNamespace(ask=lambda question, where: asked.append("node"))
    given = order.Order("evidence.json", str(verdict), wiped, "c", "d", "strict", None, None, None, None, None)
    order.send(action, given, SimpleNamespace())  # type: ignore[arg-type]  # nobody is reached
    return asked


@pytest.mark.parametrize(("judged", "wiped"), [("in_place", "hook"), ("hook", "in_place"), (None, "in_place")], ids=str)
def test_a_node_judged_for_another_boot_path_is_not_wiped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judged: str | None, wiped: str
) -> None:
    with pytest.raises(VerdictRefused, match="was judged for the boot path"):
        send(tmp_path, monkeypatch, judged=judged, wiped=wiped)


def test_the_boot_path_that_was_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert send(tmp_path, monkeypatch, judged="hook", wiped="hook") == ["node"]
