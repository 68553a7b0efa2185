# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a follower got is stored, whenever and however the stream ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import audit_streams as streams
import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.store import AuditStore
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence import keep
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.keep import BootChanged, Follower, persisted_log
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import boots
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.answers import SystemStat
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import NotFound, TornStream

LINES = streams.service_log(count=6).splitlines(keepends=True)


RECORDS = [
    b"kern:    info: [2026-11-18T11:06:%02d.0Z]: %s %d\n" % (n % 60, b"port" if n else b"Linux version", n)
    for n in range(3000)
]


class Node:
    """A node whose auditd log comes in pieces; an error among them breaks the stream, None is a quiet moment."""

    def __init__(
        self, *pieces: bytes | Exception | None, boot: str = "boot-1", files: dict[str, bytes] | None = None
    ) -> None:
        self.pieces, self.boot, self.files = pieces, boot, files or {}
        self.reads = 0

    async def follow_logs(self, service: str) -> AsyncGenerator[bytes, None]:
        assert service == "auditd"
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            if piece is None:
                await asyncio.sleep(60)
            else:
                yield piece

    async def dmesg(self) -> list[bytes]:
        """A ring that keeps five records, of which each read finds three new."""
        self.reads += 1
        return [RECORDS[number] for number in range(max(0, 3 * self.reads - 5), 3 * self.reads)]

    async def get(self, name: str) -> Any:
        assert name == "boot_id"
        return SimpleNamespace(spec={"bootID": self.boot})

    async def system_stat(self) -> SystemStat:
        return SystemStat(boot_time=1)

    async def read(self, path: str) -> bytes:
        if path not in self.files:
            raise NotFound("no such file", "w", "d")
        return self.files[path]


def follow(node: Node, directory: Path, *, seconds: float = 60, before: str = "boot-1") -> tuple[dict[str, Any], bytes]:
    """Follow a node; what the follower says, and what is stored."""
    store, look = AuditStore(directory), boots.Look(boot_id=before)
    key = store.boot_key(look)
    said = asyncio.run(Follower(node, store, key, look, "worker-1").follow(seconds))  # type: ignore[arg-type]  # as much of a client as is used
    return said, b"".join(store.read(key).streams["service"].chunks())


def test_the_last_pieces_are_stored_when_the_node_ends_the_stream(tmp_path: Path) -> None:
    said, stored = follow(Node(*LINES), tmp_path)
    assert said["ended"] == "the node ended the stream"
    assert stored == b"".join(LINES)
    assert said["appended"] == len(stored)


def test_they_are_when_the_stream_breaks(tmp_path: Path) -> None:
    said, stored = follow(Node(*LINES, TornStream("it broke", "w", "d")), tmp_path)
    assert (said["ended"], stored) == ("it broke", b"".join(LINES))


def test_they_are_when_the_time_is_over(tmp_path: Path) -> None:
    said, stored = follow(Node(*LINES, None), tmp_path, seconds=0.2)
    assert (said["ended"], stored) == (None, b"".join(LINES))
    assert said["seconds"] < 60


def test_a_quiet_moment_stores_what_came(tmp_path: Path) -> None:
    said, stored = follow(Node(*LINES[:3], None), tmp_path, seconds=0.9)
    assert stored == b"".join(LINES[:3]) and said["appended"] == len(stored)


def test_nothing_that_came_is_nothing_stored(tmp_path: Path) -> None:
    said, stored = follow(Node(), tmp_path)
    assert (said["appended"], stored) == (0, b"")


def test_the_kernel_ring_is_read_before_it_wraps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keep, "KERNEL_SECONDS", 0.02)
    node = Node(*LINES[:3], None)
    said, _stored = follow(node, tmp_path, seconds=0.9)
    stream = AuditStore(tmp_path).read("boot-1").streams["kernel"]
    assert said["ended"] is None and node.reads >= 2 and stream.holes == ()
    assert b"".join(stream.chunks()) == b"".join(RECORDS[: 3 * node.reads])


def test_another_boot_than_the_one_that_was_asked_for_is_not_stored(tmp_path: Path) -> None:
    with pytest.raises(BootChanged, match="worker-1 rebooted while its logs were read"):
        follow(Node(*LINES, boot="boot-2"), tmp_path)
    assert not list(tmp_path.rglob("*.log"))


@pytest.mark.parametrize(
    ("files", "whole"),
    [
        ({}, b""),
        ({"/var/log/auditd.log": b"new"}, b"new"),
        ({"/var/log/auditd.log.1": b"old "}, b"old "),
        ({"/var/log/auditd.log": b"new", "/var/log/auditd.log.1": b"old "}, b"old new"),
        # It was renamed between the two reads.
        ({"/var/log/auditd.log": b"new", "/var/log/auditd.log.1": b"new and more"}, b"new and more"),
    ],
)
def test_both_generations_of_the_log_on_disk_are_one(files: dict[str, bytes], whole: bytes) -> None:
    assert asyncio.run(persisted_log(Node(files=files))) == whole  # type: ignore[arg-type]  # likewise


class Whole(Node):
    """A node whose service gives its log at once, whole or its end."""

    async def version(self) -> None:
        """That it answers is all that is asked."""

    async def logs(self, service: str, *, tail_lines: int | None = None) -> bytes:
        assert service == "auditd"
        return b"".join(LINES[-tail_lines:] if tail_lines else LINES)


@pytest.mark.parametrize(("persisted", "check"), [(False, False), (True, False), (True, True)])
def test_what_is_added_of_each_log(tmp_path: Path, persisted: bool, check: bool) -> None:
    files = {"/var/log/auditd.log": b"".join(LINES[:2])}
    client: Any = Whole(files=files)
    found = asyncio.run(keep.keep(client, "worker-1", tmp_path, persisted=persisted, check=check))
    ring = b"".join(RECORDS[:3])
    sizes = {"kernel": len(ring), "service": len(b"".join(LINES))}
    assert found["read"] == sizes | ({"persisted": len(files["/var/log/auditd.log"])} if persisted else {})
    # What the disk has stands in the service's log already.
    assert found["appended"] == sizes | ({"persisted": 0} if persisted else {})
    assert (found["boot"], found["holes"], found["followed"], found["persisted_unread"]) == ("boot-1", [], None, None)
    assert set(found["rates"]) == {"service", "kernel"}
    stored = AuditStore(tmp_path / "worker-1").boots()
    assert stored == ([] if check else ["boot-1"])
    if not check:
        again = asyncio.run(keep.keep(client, "worker-1", tmp_path, persisted=persisted))
        twice = {"kernel": len(b"".join(RECORDS[3:6])), "service": 0} | ({"persisted": 0} if persisted else {})
        assert again["appended"] == twice
