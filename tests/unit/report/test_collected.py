# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person sees of a collection: unread nodes first, then gaps, then denials, and nothing taken for zero."""

from __future__ import annotations

from typing import Any

from ansible_collections.talosops.selinux.plugins.plugin_utils.report.collected import render


def node(
    verdict: str | None = "complete", denials: int | None = 0, enforced: int = 0, **coverage: Any
) -> dict[str, Any]:
    return {
        "coverage": {"verdict": verdict, "seconds": 345600.0, "lost_at_least": 0, "reasons": [], **coverage},
        "denials": denials,
        "enforced": enforced,
    }


def test_what_needs_a_look_comes_first() -> None:
    nodes = {
        "a-fine": node(),
        "b-denies": node(denials=2, enforced=3),
        "c-gap": node("partial", lost_at_least=7, reasons=["a hole", "another"]),
        "d-mute": node("none", denials=None, seconds=None, lost_at_least=None),
    }
    unread = {name: {"found": f"node {name} does not answer", "do": "start it"} for name in ("x", "y")}
    lines = render(nodes, unread).splitlines()
    assert lines[0] == "6 nodes: 2 without a gap, 2 not read; 1 with denials, 1 of which they are not known"
    assert lines[2:5] == ["not read: x, y", "  the node does not answer", "  do: start it"]
    rows = [line.split() for line in lines[7:]]
    assert [row[0] for row in rows] == ["d-mute", "c-gap", "b-denies", "a-fine"]
    assert rows[0][1:] == ["none", "-", "unknown", "unknown"]
    assert rows[1][1:6] == ["partial", "96.0", "h", "-", "7"] and lines[8].endswith("a hole (and 1 more)")
    assert "2 kinds, 3 enforced" in lines[9]
    assert rows[3][1:] == ["complete", "96.0", "h", "-", "-"]


def test_how_fast_logs_fill_stands_in_the_same_table() -> None:
    def rate(pause: int | None, per_hour: int | None) -> dict[str, Any]:
        return {"longest_pause_seconds": pause, "bytes_per_hour": per_hour}

    logs = {
        "a": {"rates": {"service": rate(36_900, 97_000), "kernel": rate(4_860, 720_000)}},
        "b": {"rates": {"service": rate(None, None), "kernel": rate(None, None)}},
    }
    lines = render({"a": node(), "b": node(), "c": node()}, {}, logs).splitlines()
    assert lines[2].split("  ")[-1] == "why it is not complete" and "log lasts" in lines[2]
    assert lines[3].endswith("81 minutes, 704 KiB/h")
    assert lines[4].endswith("unknown") and lines[5].endswith("unknown")
    assert lines[6:] == ["", "collect all of them every 40 minutes or more often"]
    assert "log lasts" not in render({"a": node()}, {})
    assert render({"a": node()}, {}, {}).endswith("\nhow fast the logs fill is known after a second collection\n")


def test_what_is_not_known_is_never_complete() -> None:
    assert render({"n": node(None)}, {}).startswith("1 node: 0 without a gap\n")
    unknown = {"a": node("none", denials=None), "b": node()}
    assert render(unknown, {}).startswith("2 nodes: 1 without a gap; the denials of 1 are not known\n")


def test_texts_of_nodes_reach_no_terminal_as_they_are() -> None:
    text = render(
        {"n\x1b[2J": node("partial", reasons=["\x1b]0;x\x07\u202e"])}, {"m": {"found": "\x1b[1m", "do": "\r"}}
    )
    assert all(escaped in text for escaped in ("n\\x1b[2J", "\\u202e", "\\x1b[1m"))
    assert all(character.isprintable() or character == "\n" for character in text)


def test_where_nobody_could_be_read_there_is_no_table() -> None:
    text = render({}, {"a": {"found": "node a does not answer", "do": "start it"}}, {})
    assert text.splitlines() == [
        "1 node: 0 without a gap, 1 not read",
        "",
        "not read: a",
        "  the node does not answer",
        "  do: start it",
        "",
        "how fast the logs fill is known after a second collection",
    ]
