# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module alone orders: all of its options, and no cordon that would be its own."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.action import machine_reset
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.order import Order, Sent
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.boots import Look

from .made import made

OPTIONS = (
    *("evidence", "verdict", "boot_path", "config_sha256", "installer_digest", "policy", "public_key", "waivers"),
    *("store", "kubeconfig", "kube_context"),
)


def test_an_order(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    boot = Look(boot_id="b", boot_time=dt.datetime(2026, 11, 30, tzinfo=dt.UTC))

    def send(action: Any, order: Order, where: Any) -> Sent:
        sent.append((action.host, order, where))
        return Sent("actor", ("STATE", "EPHEMERAL"), boot)

    monkeypatch.setattr(machine_reset, "send", send)
    monkeypatch.setattr(machine_reset.ActionModule, "target", lambda self: "where")
    options = {name: f"the {name}" for name in OPTIONS}
    found = made(machine_reset, **options).act()
    assert found == {
        "actor_id": "actor",
        "labels": ["STATE", "EPHEMERAL"],
        "boot": boot.as_dict(),
        "changed": True,
    }
    ((host, order, where),) = sent
    assert (host, where) == ("n-1", "where")
    assert {name: getattr(order, name) for name in OPTIONS} == options
    assert (order.evidence_sha256, order.own_cordon) == (None, False)
    assert [order.record_intent(), order.record_sent("a"), order.record_unsent("f")] == [None] * 3
