# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Over which way a node is asked, and how often a way is tried that fails in passing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import calls
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.calls import Calls
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.client import Deadlines
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import Unreachable


class Way:
    """A way that cannot be opened."""

    alive = False

    def __init__(self, name: str, *, passing: bool = True) -> None:
        self.name, self.passing = name, passing
        self.opened = 0
        self.closed = False

    async def open(self) -> None:
        self.opened += 1
        raise Unreachable(f"{self.name} is away", "w", "d", retryable=self.passing)

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("passing", "again", "seconds", "opened"),
    [
        (True, True, 60, (3, 3)),
        # The node's own port is tried once where there are endpoints, which may be nearer.
        (True, False, 60, (1, 3)),
        (False, True, 60, (1, 1)),
        (True, True, 0, (1, 1)),
    ],
    ids=["in passing", "the first way once", "for good", "no time left"],
)
def test_how_often_each_way_is_tried(
    monkeypatch: pytest.MonkeyPatch, passing: bool, again: bool, seconds: float, opened: tuple[int, int]
) -> None:
    monkeypatch.setattr(calls, "_FIRST_PAUSE", 0.0)
    ways: Any = [Way("its port", passing=passing), Way("an endpoint", passing=passing)]

    async def enter() -> None:
        async with Calls("n-1", ways, Deadlines(call=seconds), retry_first=again):
            raise AssertionError("nobody is there")

    with pytest.raises(Unreachable, match="n-1 cannot be reached on any way: its port is away; an endpoint is away"):
        asyncio.run(enter())
    assert (ways[0].opened, ways[1].opened) == opened
    assert all(way.closed for way in ways)
