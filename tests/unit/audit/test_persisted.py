# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two generations of the log on a node's disk are one run of bytes, also while Talos renames one."""

from __future__ import annotations

import asyncio
from typing import Any

import audit_streams as streams
import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.keep import persisted_log
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import NotFound

PATH = "/var/log/auditd.log"
LOG = streams.service_log(5, 120)
CUTS = [LOG.index(b"\n", len(LOG) * part // 4) + 1 for part in (1, 2, 3)]


class Disk:
    """A node whose log is renamed after so many reads, and grows with each."""

    def __init__(self, rename_after: int | None = None, older: bool = True) -> None:
        self.files = {PATH: LOG[CUTS[0] : CUTS[1]]}
        if older:
            self.files[f"{PATH}.1"] = LOG[: CUTS[0]]
        self.rename_after = rename_after
        self.reads = 0

    async def read(self, path: str) -> bytes:
        if self.reads == self.rename_after:
            self.files = {f"{PATH}.1": self.files[PATH] + LOG[CUTS[1] : CUTS[2]], PATH: LOG[CUTS[2] :]}
        self.reads += 1
        if path not in self.files:
            raise NotFound("there is no such file", "", "")
        return self.files[path]


def read(disk: Any) -> bytes:
    return asyncio.run(persisted_log(disk))


def test_older_and_newer_are_joined() -> None:
    assert read(Disk()) == LOG[: CUTS[1]]
    assert read(Disk(older=False)) == LOG[CUTS[0] : CUTS[1]]


@pytest.mark.parametrize("rename_after", [0, 1, 2])
def test_a_rename_between_the_reads_hides_nothing(rename_after: int) -> None:
    found = read(Disk(rename_after))
    assert found and found in LOG, "bytes are missing inside"


def test_a_node_without_such_a_log_gives_nothing() -> None:
    disk = Disk()
    disk.files = {}
    assert read(disk) == b""
