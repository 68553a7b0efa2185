# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A snapshot of etcd is kept when it is whole by its own checksum, and else there is no file."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.files import EvidenceProblem
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.snapshot import take_snapshot

PAGES = bytes(range(256)) * 2 * 7
WHOLE = PAGES + hashlib.sha256(PAGES).digest()


def take(path: Path, data: bytes, piece: int) -> dict[str, Any]:
    async def snapshot(write: Callable[[bytes], None]) -> int:
        # It is written beside its place, which it takes in one step.
        (scratch,) = path.parent.iterdir()
        assert scratch.name.startswith(".snapshot.") and scratch.stat().st_mode & 0o777 == 0o600
        for start in range(0, len(data), piece):
            write(data[start : start + piece])
        return len(data)

    return take_snapshot(
        path, lambda question: asyncio.run(question(SimpleNamespace(etcd_snapshot=snapshot))), of="cp-2"
    )


@pytest.mark.parametrize("piece", [1, 31, 32, 33, 512, 10_000])
def test_a_whole_one_is_kept(tmp_path: Path, piece: int) -> None:
    path = tmp_path / "etcd" / "snapshot"
    found = take(path, WHOLE, piece)
    assert (found["size"], found["sha256"]) == (len(WHOLE), hashlib.sha256(WHOLE).hexdigest())
    assert path.read_bytes() == WHOLE


@pytest.mark.parametrize(
    "data",
    [
        b"",
        PAGES,
        WHOLE[:-1],
        WHOLE[512:],
        WHOLE[32:],
        PAGES[:-512] + WHOLE[-32:],
        bytes([WHOLE[0] ^ 1]) + WHOLE[1:],
        WHOLE[:-1] + b"x",
        hashlib.sha256(b"").digest(),
    ],
    ids=["empty", "no checksum", "cut", "no first page", "no start", "no last page", "one bit", "checksum", "no pages"],
)
def test_any_other_is_not(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(EvidenceProblem, match=f"the snapshot from cp-2 .{len(data)} bytes. does not match its own"):
        take(tmp_path / "snapshot", data, 100)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_said_before_etcd_is_asked(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "snapshot", tmp_path / "file" / "etcd" / "snapshot"):
        with pytest.raises(EvidenceProblem, match="cannot be written: Not a directory"):
            take_snapshot(place, lambda _question: pytest.fail("etcd was asked"), of="cp-2")
