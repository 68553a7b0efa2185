# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Twenty collections of one boot while its clock is stepped: one stream, exact counts, complete, BootID or not."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.store import AuditStore
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.collect import collect
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.keep import keep
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import fleet
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.client import NodeClient, connect
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.config import Talosconfig
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import PeerChanged
from simulator import Simulator

REAL = "pod_t:run_t:dir:write"
STEPS = [0.0, 0.0, 90.0, 0.0, -90.0, 4379.0, 0.0, -4379.0, 7200.0, -7200.0] * 2
NODES: dict[str, Any] = {
    "cp-1": {"role": "controlplane"},
    "with-id": {"talos": "v1.14.1", "uptime": "96h"},
    "without-id": {"talos": "v1.13.7", "uptime": "96h"},
}


@pytest.mark.parametrize("name", ["with-id", "without-id"])
def test_one_boot_is_one_stream_whatever_its_clock_does(name: str, tmp_path: Path) -> None:
    with Simulator({"name": "steps", "nodes": NODES}, tmp_path / "fleet") as sim:
        sim.add_denial(name, {"template": "hostpath_run", "count": 2})
        context = Talosconfig.load(str(tmp_path / "fleet" / "talosconfig")).context(None)

        async def look(client: NodeClient) -> dict[str, Any]:
            return (
                await collect(
                    client,
                    name=name,
                    address=sim.nodes[name].address,
                    endpoint=None,
                    peer=lambda address: connect(context, address),
                    kubernetes=None,
                    config=None,
                    operation={},
                    cluster={"name": "steps"},
                    store=AuditStore(tmp_path / "audit" / name),
                )
            ).document["audit"]

        async def soak() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
            kept, judged = [], []
            for step in STEPS:
                sim.nodes[name].step_clock(step)
                async with connect(context, sim.nodes[name].address) as client:
                    kept.append(await keep(client, name, tmp_path / "audit"))
                    judged.append(await look(client))
            return kept, judged

        kept, judged = fleet.run(soak())
    assert len({one["boot"] for one in kept}) == 1
    assert [one["holes"] for one in kept] == [[]] * len(STEPS)
    assert kept[1]["appended"]["service"] == 0, "nothing is stored twice"
    for audit in judged:
        assert audit["coverage"]["reasons"] == []
        assert audit["coverage"]["verdict"] == "complete"
        assert [(one["count"], one["enforced"]) for one in audit["denials"] if one["signature"] == REAL] == [(2, 0)]
        assert abs(audit["coverage"]["seconds"] - 96 * 3600) < 7300 + 600
    assert judged[-1]["counts"]["denied"] == judged[0]["counts"]["denied"]


def test_a_reboot_without_an_id_starts_a_stream_of_its_own(tmp_path: Path) -> None:
    nodes = {"cp-1": {"role": "controlplane"}, "without-id": {"talos": "v1.13.7", "uptime": "96h"}}
    with Simulator({"name": "reboot", "time_scale": 400, "nodes": nodes}, tmp_path / "fleet") as sim:

        async def once() -> dict[str, Any]:
            # A visit of its own: a rebooted machine has a new key.
            context = Talosconfig.load(str(tmp_path / "fleet" / "talosconfig")).context(None)
            async with connect(context, sim.nodes["without-id"].address) as client:
                return await keep(client, "without-id", tmp_path / "audit")

        def again() -> dict[str, Any]:
            """Once more until the machine keeps its key, which it makes anew while its addresses arrive."""
            for _unused in range(50):
                with contextlib.suppress(PeerChanged):
                    return fleet.run(once())
                time.sleep(0.1)
            raise AssertionError("the machine makes a new key for every question")

        first = fleet.run(once())
        sim.restart("without-id")
        sim.wait_for("without-id", "running", ready=True)
        second = again()
        sim.nodes["without-id"].step_clock(-3600)
        third = again()
    assert first["boot"] != second["boot"] == third["boot"]
    assert second["holes"] == third["holes"] == []
