# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""etcd is asked through the task's node, and each other member by that node's settings."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.action import etcd_info

from .made import made


def test_whom_it_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[Any] = []

    def target(self: Any, host: str | None = None, *, address: str | None = None) -> Any:
        return SimpleNamespace(host=host or "n-1", connect=lambda: connected.append((host, address)))

    async def read_etcd(visit: Any, peer: Any) -> dict[str, Any]:
        visit.errors.append({"resource": "EtcdStatus", "found": f"of {visit.client}"})
        peer("192.0.2.2")
        return {"voters": 3}

    def ask(self: Any, question: Any, where: Any) -> Any:
        assert where.host == "n-1"
        return asyncio.run(question("the client"))

    monkeypatch.setattr(etcd_info.ActionModule, "target", target)
    monkeypatch.setattr(etcd_info.ActionModule, "ask", ask)
    monkeypatch.setattr(etcd_info, "read_etcd", read_etcd)
    assert made(etcd_info).act() == {
        "etcd": {"voters": 3},
        "errors": [{"resource": "EtcdStatus", "found": "of the client"}],
        "changed": False,
    }
    assert connected == [("n-1", "192.0.2.2")]
