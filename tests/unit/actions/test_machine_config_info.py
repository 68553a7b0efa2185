# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A configuration is prepared by the task's options, and where asked for held against the running node."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.action import machine_config_info
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.dry_run import APPROVED

from .made import made

OPTIONS = {
    "installer": "i",
    "version": "v1.14.1",
    "boot": "grub",
    "kernel_args": ["a=1"],
    "machine_type": "worker",
    "hostname": "h",
}
APPROVED_BY_HOST = {"n-1": {APPROVED: ["of the host"]}}


@pytest.mark.parametrize(
    ("options", "approved"),
    [
        ({"dry_run": False}, None),
        ({"dry_run": True}, ["of the host"]),
        ({"dry_run": True, "approve": ["of the task"]}, ["of the task"]),
        ({"dry_run": True, "approve": []}, []),
    ],
)
def test_a_configuration(options: dict[str, Any], approved: list[str] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    rewritten = SimpleNamespace(diff=("+ enforcing=1",))

    def prepare(text: str, **how: Any) -> Any:
        asked.append((text, how))
        prepared = SimpleNamespace(facts={"sha256": "s", "more": 1}, rewritten=rewritten)
        return SimpleNamespace(require_usable=lambda host: asked.append(host) or prepared)

    judgement = SimpleNamespace(
        differences=("d",), remarks=("r",), require=lambda approve, node: asked.append((approve, node))
    )
    monkeypatch.setattr(machine_config_info, "prepare", prepare)
    monkeypatch.setattr(machine_config_info.ActionModule, "ask", lambda _self, _question: judgement)
    monkeypatch.setattr(
        machine_config_info.ActionModule, "required_machine_config_text", lambda _self, *which: ", ".join(which)
    )
    found = made(machine_config_info, APPROVED_BY_HOST, src="of the task", **OPTIONS, **options).act()
    judged = approved is not None
    assert found == {
        "sha256": "s",
        "facts": {"sha256": "s", "more": 1},
        "rewritten": ["+ enforcing=1"],
        "differences": ["d"] if judged else None,
        "remarks": ["r"] if judged else None,
        "changed": False,
    }
    assert asked == [("n-1, of the task", OPTIONS), "n-1", *([(approved, "n-1")] if judged else [])]
