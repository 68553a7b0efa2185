# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The known-denial catalogue: what experts already learnt about a denial, as data.

The data file (``data/catalogue.yml``) is the thing to review; this module only finds the entry for a denial.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .catalogue_file import read
from .entries import Entry

DATA = Path(__file__).parent / "data" / "catalogue.yml"


class Catalogue:
    """The entries, most specific first."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries: tuple[Entry, ...] = tuple(sorted(entries, key=_order))
        self._by_id = {entry.id: entry for entry in self.entries}

    def __getitem__(self, entry_id: str) -> Entry:
        return self._by_id[entry_id]

    def match(self, denial: Mapping[str, Any], talos_version: str | None) -> Entry | None:
        """The most specific entry that fits a denial dict, or None; equal specificity goes by id."""
        for entry in self.entries:
            if entry.match(denial, talos_version):
                return entry
        return None

    def is_benign(self, denial: Mapping[str, Any], talos_version: str | None) -> bool:
        """Whether a denial may be listed as known-benign.

        Doubtful records may be forged, and user messages say what their sender likes: neither is ever benign.
        """
        if denial.get("doubtful") or denial.get("userspace"):
            return False
        entry = self.match(denial, talos_version)
        return entry is not None and entry.benign_for(talos_version)


def load(path: str | Path | None = None) -> Catalogue:
    """Read a catalogue; without a path the one that ships with the collection.

    Raises:
        CatalogueError: see :func:`.catalogue_file.read`.
    """
    return Catalogue(read(Path(path))) if path is not None else _shipped()


@functools.cache
def _shipped() -> Catalogue:
    # Reading it costs more than all other work on a node's logs.
    return Catalogue(read(DATA))


def _order(entry: Entry) -> tuple[Any, ...]:
    return (*(-weight for weight in entry.match.specificity), entry.id)
