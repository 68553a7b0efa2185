# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of states: unread nodes first, a shared problem once, nothing that could move a terminal's cursor."""

from __future__ import annotations

from typing import Any

from ansible_collections.talosops.selinux.plugins.plugin_utils.report.status import render


def node(selinux: str = "permissive", **changes: Any) -> dict[str, Any]:
    """A node's state."""
    return {"selinux": selinux, "talos_version": "v1.14.1", "disagreements": [], **changes}


def test_what_needs_a_look_comes_first() -> None:
    doubt = "SecurityState says permissive, but the kernel command line asks for enforcing"
    nodes = {"a": node(), "b": node("enforcing"), "c": node(disagreements=[doubt])}
    unread = {"d": {"found": "192.0.2.4 cannot be connected", "do": "check that the node runs"}}
    assert render(nodes, unread).splitlines() == [
        "4 nodes: 2 permissive, 1 enforcing, 1 not read; the witnesses of 1 disagree",
        "",
        "not read: d",
        "  192.0.2.4 cannot be connected",
        "  do: check that the node runs",
        "",
        "node  version  mode        witnesses that disagree",
        f"c     v1.14.1  permissive  {doubt}",
        "a     v1.14.1  permissive",
        "b     v1.14.1  enforcing",
    ]


def test_a_problem_that_nodes_share_is_told_once() -> None:
    unread = {
        name: {"found": f"node {name} has no usable talosconfig", "do": "set talos_config", "node": name}
        for name in ("w-1", "w-2")
    }
    # Whatever names the node there, its host is another name of it.
    unread["w-3"] = {"found": "node k-3 has no usable talosconfig", "do": "set talos_config", "node": "k-3"}
    assert render({}, unread).splitlines() == [
        "3 nodes: 3 not read",
        "",
        "not read: w-1, w-2, w-3",
        "  the node has no usable talosconfig",
        "  do: set talos_config",
    ]


def test_nothing_from_a_node_moves_the_cursor() -> None:
    text = render({"a\x1b[2J": node("\x1b[31mx", talos_version="v1\r\n2")}, {"b": {"found": "\x07", "do": "\x9b1m"}})
    assert all(escaped in text for escaped in ("a\\x1b[2J", "\\x1b[31mx", "v1\\r\\n2", "\\x07", "\\x9b1m"))
    assert not [letter for letter in text if letter != "\n" and not letter.isprintable()]
