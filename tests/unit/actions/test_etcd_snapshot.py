# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""In check mode no snapshot is taken, nor is anybody asked for one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.action import etcd_snapshot

from .made import made


@pytest.mark.parametrize("check", [True, False])
def test_only_without_check_mode_a_snapshot_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: bool
) -> None:
    asked: list[Any] = []
    path = tmp_path / "etcd.snapshot"
    taken = {"path": str(path), "size": 7, "sha256": "s", "taken_at": "t"}
    monkeypatch.setattr(etcd_snapshot, "take_snapshot", lambda path, _ask, *, of: asked.append((path, of)) or taken)
    monkeypatch.setattr(etcd_snapshot.ActionModule, "target", lambda self: asked.append("target") or self)
    found = made(etcd_snapshot, check=check, path=str(path)).act()
    if check:
        assert found == {**dict.fromkeys(taken), "path": str(path), "changed": True} and asked == []
    else:
        assert found == {**taken, "changed": True} and asked == ["target", (path, "n-1")]
