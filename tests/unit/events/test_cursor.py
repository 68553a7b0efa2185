# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is kept between two visits: only a cursor of the machine that its file is named after is one."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.events import cursor as cursors
from ansible_collections.talosops.selinux.plugins.plugin_utils.events.cursor import Cursor, CursorProblem, Cursors
from ansible_collections.talosops.selinux.plugins.plugin_utils.events.waivers import WaiverWatch
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.boots import Look

UUID = "6f1d0a9e-0000-4000-8000-000000000001"
FACTS = {"mode": "enforcing", "kernel_args": ["enforcing=1"], "talos_version": "v1.14.0"}
ONE = Cursor(UUID, "10.0.0.1", Look("boot", marks={7: "1.000"}), "boot", 7, FACTS, 9, False, "2026-11-22T12:00:00Z")


def test_a_cursor_is_read_as_it_was_kept(tmp_path: Path) -> None:
    Cursors(tmp_path).keep(ONE)
    again = Cursors(tmp_path)
    assert again.of_machine(UUID.upper()) == again.of_node("10.0.0.1") == ONE
    assert again.first_run is False
    assert [path.name for path in tmp_path.iterdir()] == [f"{UUID}.json"]


@pytest.mark.parametrize(
    "change",
    [
        {"serial": "7"},
        {"serial": -1},
        {"serial": True},
        {"serial": None},
        {"waiting": "9"},
        {"lost": 1},
        {"seen_at": 5},
        {"node": None},
        {"name": None},
        {"boot": None},
        {"boot": []},
        {"facts": {}},
        {"facts": {**FACTS, "mode": None}},
        {"facts": {**FACTS, "more": 1}},
        {"facts": []},
        {"uuid": UUID.replace("1", "2")},
        {"uuid": "../../etc/passwd"},
        {"more": 1},
    ],
)
def test_a_cursor_of_another_form_ends_the_source_at_its_start(tmp_path: Path, change: dict[str, Any]) -> None:
    Cursors(tmp_path).keep(ONE)
    path = tmp_path / f"{UUID}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CursorProblem, match="it is not the cursor of the machine"):
        Cursors(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", "[" * 100_000, "\xff"])
def test_a_file_that_is_no_cursor_ends_the_source_at_its_start(tmp_path: Path, text: str) -> None:
    (tmp_path / f"{UUID}.json").write_text(text, encoding="latin-1")
    with pytest.raises(CursorProblem, match="it is not the cursor of the machine"):
        Cursors(tmp_path)


def test_a_copy_of_a_cursor_is_not_another_machines(tmp_path: Path) -> None:
    Cursors(tmp_path).keep(ONE)
    shutil.copy(tmp_path / f"{UUID}.json", tmp_path / f"{UUID[:-1]}2.json")
    with pytest.raises(CursorProblem, match=f"{UUID[:-1]}2"):
        Cursors(tmp_path)


def test_what_cannot_be_kept_leaves_nothing_and_moves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Cursors(tmp_path)
    kept.keep(ONE)

    def full(*_arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cursors, "write_private", full)
    with pytest.raises(CursorProblem, match="No space left"):
        kept.keep(ONE.moved(serial=8))
    assert kept.of_machine(UUID) == ONE


@pytest.mark.parametrize("text", ["{", "[1]", '[{"id": "w"}]', '[{"id": 1, "in_force": true}]', "[" * 100_000])
def test_waivers_that_were_kept_in_another_form_end_the_source_at_its_start(tmp_path: Path, text: str) -> None:
    (tmp_path / "waivers.yml").write_text("schema: 1\nwaivers: []\n")
    (tmp_path / "waivers").write_text(text)
    with pytest.raises(CursorProblem, match="what is kept of the waivers"):
        WaiverWatch(tmp_path / "waivers.yml", tmp_path)


def test_a_place_that_cannot_be_used_ends_the_source_at_its_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CursorProblem, match="cannot be used: Not a directory"):
        Cursors(tmp_path / "file" / "state")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(CursorProblem, match="can be written by others"):
        Cursors(tmp_path / "open")


def test_waivers_that_cannot_be_read_back_end_the_source_at_its_start(tmp_path: Path) -> None:
    (tmp_path / "waivers.yml").write_text("schema: 1\nwaivers: []\n")
    (tmp_path / "waivers").mkdir()
    with pytest.raises(CursorProblem, match="cannot be used: Is a directory"):
        WaiverWatch(tmp_path / "waivers.yml", tmp_path)


def _others_write(state: Path) -> None:
    state.chmod(0o777)


def _no_directory(state: Path) -> None:
    state.rmdir()
    state.write_text("")


@pytest.mark.parametrize(
    ("spoil", "why"), [(_others_write, "can be written by others"), (_no_directory, "Not a directory")]
)
def test_waivers_that_cannot_be_kept_are_a_problem_that_the_source_waits_out(
    tmp_path: Path, spoil: Callable[[Path], None], why: str
) -> None:
    waiver = {"id": "w", "signature": "pod_t:etcd_t:dir:write", "scope": {"nodes": ["*"]}, "reason": "r", "owner": "o"}
    waiver |= {"ticket": "T-1", "granted": "2026-11-01", "expires": "2026-12-01"}
    (tmp_path / "waivers.yml").write_text(json.dumps({"schema": 1, "waivers": [waiver]}))
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    watched = WaiverWatch(tmp_path / "waivers.yml", state)
    now = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
    _events, keep = watched.look(now)
    spoil(state)
    with pytest.raises(CursorProblem, match=why):
        keep()
    if state.is_dir():
        state.chmod(0o700)
    else:
        state.unlink()
    keep()
    again = WaiverWatch(tmp_path / "waivers.yml", state)
    (event,), _keep = again.look(now + dt.timedelta(days=30))
    assert (event["type"], event["before"]) == ("drift", "w")
