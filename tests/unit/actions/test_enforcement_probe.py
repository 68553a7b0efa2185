# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A probe is of the task's node, and its result goes into that node's store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.action import enforcement_probe
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.files import safe_name
from ansible_collections.talosops.selinux.plugins.plugin_utils.probe.run import Settings

from .made import made


@pytest.mark.parametrize("check", [True, False])
def test_what_is_asked_for(check: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def probe(ask: Any, store: Any, settings: Settings) -> dict[str, Any]:
        asked.append((ask, store.directory, settings))
        return {"changed": not check}

    monkeypatch.setattr(enforcement_probe, "probe", probe)
    given = {"image": "i@sha256:0", "kubeconfig": "k", "kube_context": "c", "wait_timeout": 9, "wait_sleep": 2.5}
    action = made(enforcement_probe, {"worker/1": {}}, check=check, store=str(tmp_path), **given)
    assert action.act() == {"changed": not check}
    settings = Settings("worker/1", "i@sha256:0", "k", "c", 9, 2.5, check)
    assert asked == [(action.ask, tmp_path / safe_name("worker/1"), settings)]
