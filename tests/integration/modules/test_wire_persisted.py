# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The log on the node's disk closes the holes of what its memory held, for those who may read it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.store import AuditStore
from integration import playbook
from simulator import Simulator
from simulator.services import files

#: More events than fit into the memory of the node.
FLOOD = 3000
PATHS = ("/var/log/auditd.log.1", "/var/log/auditd.log")


class Disk:
    """What Talos' log persistence writes: everything, over several boots, in two generations."""

    def __init__(self, sim: Simulator) -> None:
        ring = sim.nodes["worker-1"].kernel_logs().auditd
        self.boot = bytearray(ring.read())
        write = ring.write

        def both(data: bytes) -> None:
            self.boot += data
            write(data)

        ring.write = both

    def file(self, path: str) -> bytes:
        # An earlier boot, whose numbers were higher and whose times are older.
        other = b"".join(
            b"type=EOE msg=audit(%d.000:%d): \n" % (1_600_000_000 + number, 90_000 + number) for number in range(50)
        )
        cut = self.boot.index(b"\n", len(self.boot) // 2) + 1
        return other + bytes(self.boot[:cut]) if path == PATHS[0] else bytes(self.boot[cut:])


@pytest.fixture
def flooded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Simulator, Disk]]:
    nodes = {"cp-1": {"role": "controlplane"}, "worker-1": {"uptime": "96h"}}
    with Simulator({"name": "disk", "time_scale": 400, "nodes": nodes}, tmp_path / "fleet") as sim:
        disk, content = Disk(sim), files.content
        monkeypatch.setattr(
            files,
            "content",
            lambda node, path: disk.file(path) if path in PATHS and node.name == "worker-1" else content(node, path),
        )
        assert playbook.play(sim, tmp_path / "0", [keep(tmp_path)], hosts="worker-1").code == 0
        sim.add_denial("worker-1", {"template": "hostpath_run", "count": FLOOD, "comm": "flood"})
        yield sim, disk


def keep(directory: Path, **more: Any) -> dict[str, Any]:
    return {"name": "Keep", "talosops.selinux.audit_log": {"directory": str(directory / "audit"), **more}}


def kept(run: playbook.Run) -> dict[str, Any]:
    assert run.code == 0, run.output
    return run.of("Keep")["nodes"]["worker-1"]


def stored(directory: Path) -> bytes:
    store = AuditStore(directory / "audit" / "worker-1")
    (boot,) = store.boots()
    return b"".join(store.read(boot).streams["service"].chunks())


def test_the_disk_closes_the_hole_and_no_other_boot_comes_along(
    flooded: tuple[Simulator, Disk], tmp_path: Path
) -> None:
    sim, disk = flooded
    without = kept(playbook.play(sim, tmp_path / "1", [keep(tmp_path)], hosts="worker-1"))
    assert [hole["kind"] for hole in without["holes"]] == ["gap"]
    assert without["persisted_unread"] is None and "persisted" not in without["read"]
    found = kept(playbook.play(sim, tmp_path / "2", [keep(tmp_path, persisted=True)], hosts="worker-1"))
    assert found["persisted_unread"] is None
    assert found["holes"] == []
    assert stored(tmp_path) == bytes(disk.boot)


def test_who_may_not_read_files_keeps_what_memory_holds_and_is_told(
    flooded: tuple[Simulator, Disk], tmp_path: Path
) -> None:
    sim, _unused = flooded
    task = keep(tmp_path, persisted=True, context="reader")
    found = kept(playbook.play(sim, tmp_path / "1", [task], hosts="worker-1"))
    assert "not authorized" in found["persisted_unread"]
    assert found["appended"]["service"] > 0
    assert [hole["kind"] for hole in found["holes"]] == ["gap"]
