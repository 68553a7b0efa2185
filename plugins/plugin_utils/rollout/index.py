# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An index beside a ledger, so that a step does not read what all other nodes did before it.

It holds nothing that the ledger does not: each node's state is bound to the node's last line by the line's place and
hash, and the whole to the ledger's last line, size and time of change. Where anything else wrote to the ledger, or a
part does not fit, the index is not used and the ledger is replayed from its first line.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Any

from ..canonical import canonical_json, is_sealed, parse_json, sealed
from .owner import this_boot
from .state import LedgerState, NodeState

FORMAT = 2


class Index:
    """The index of one ledger, in the directory ``<ledger>.index``: one file for each node, and one for the whole."""

    def __init__(self, ledger: Path) -> None:
        self.directory = ledger.with_name(f"{ledger.name}.index")
        #: How long the ledger was when the index was written, and of how many nodes it knew.
        self.size = 0
        self._count = 0
        #: Whether it does not fit the ledger, and is to be made anew.
        self.stale = True
        #: The number of each node's last entry, of those that were read from the index or written to it.
        self._saved: dict[str, int] = {}

    def load(self, descriptor: int, state: LedgerState) -> None:
        """Fill a new state as far as the index fits the ledger; leave it empty when it does not.

        Args:
            descriptor: the open ledger, locked.
        """
        head = self._read("head.json")
        if head is None or head.get("format") != FORMAT:
            return
        found = os.fstat(descriptor)
        self.size = head["size"]
        # Its files are not synced: after a start of this machine some may be older than others.
        fits = head["boot"] == this_boot() and [found.st_ino, found.st_size, found.st_mtime_ns] == head["file"]
        if not fits or not _is_line(descriptor, *head["last"]):
            return
        self.stale, self._count = False, head["nodes"]
        state.entries, state.size = head["entries"], head["size"]
        state.last = tuple(head["last"])
        state.head = state.last[2]
        state.locks, state.halts, state.recovered = head["locks"], head["halts"], head["recovered"]

    def node(self, descriptor: int, name: str) -> NodeState | None:
        """The state of a node that was not replayed; None for one that the ledger does not know.

        Raises:
            Stale: the index does not fit the ledger.
        """
        document = self._read(_file(name))
        try:
            if document is None:
                # A node's file that is missing does not make it unknown.
                files = sum(1 for entry in os.scandir(self.directory) if entry.name.endswith(".json"))
                if files == self._count + 1 and not (self.directory / _file(name)).exists():
                    return None
            elif document["name"] == name and _is_line(descriptor, *document["place"]):
                state = NodeState.restored(document["state"])
                self._saved[name] = state.seq
                return state
        except (OSError, KeyError, TypeError):
            pass
        raise Stale(name)

    def save(self, descriptor: int, state: LedgerState) -> None:
        """Write what changed; a failure only costs the next reader a replay."""
        with contextlib.suppress(OSError):
            self.directory.mkdir(mode=0o700, exist_ok=True)
            if self.stale:
                for old in self.directory.glob("*.json"):
                    old.unlink()
                self.stale, self._count, self._saved = False, 0, {}
            for name, (seq, place) in state.places.items():
                if self._saved.get(name) != seq:
                    self._count += not (self.directory / _file(name)).exists()
                    stored = state.nodes[name].stored()
                    self._write(_file(name), {"name": name, "place": place, "state": stored})
                    self._saved[name] = seq
            found = os.fstat(descriptor)
            head = {
                "format": FORMAT,
                "boot": this_boot(),
                "entries": state.entries,
                "size": state.size,
                "file": [found.st_ino, found.st_size, found.st_mtime_ns],
                "last": state.last,
                "nodes": self._count,
                "locks": state.locks,
                "halts": state.halts,
                "recovered": state.recovered,
            }
            self._write("head.json", head)
            self.size = state.size

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            document = parse_json((self.directory / name).read_bytes())
        except (OSError, ValueError):
            return None
        return document if isinstance(document, dict) and is_sealed(document) else None

    def _write(self, name: str, document: dict[str, Any]) -> None:
        scratch = self.directory / f".{name}"
        with open(scratch, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(canonical_json(sealed(document)))
        scratch.replace(self.directory / name)


class Stale(Exception):
    """The index does not fit the ledger, which must be replayed."""


def _file(name: str) -> str:
    return f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.json"


def _is_line(descriptor: int, offset: int, length: int, digest: str) -> bool:
    """Whether the ledger has a line of that hash at that place."""
    data = os.pread(descriptor, length + 1, offset)
    return data[-1:] == b"\n" and hashlib.sha256(data[:-1]).hexdigest() == digest
