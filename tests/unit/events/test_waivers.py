# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The waivers of a fleet over time: each end is said once, and a file that is lost until it is back."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
import waiver_file
from ansible_collections.talosops.selinux.plugins.plugin_utils.events import waivers
from ansible_collections.talosops.selinux.plugins.plugin_utils.events.cursor import CursorProblem

EXPIRES = dt.datetime(2026, 11, 30, tzinfo=dt.UTC)
BEFORE, AFTER = EXPIRES - dt.timedelta(days=1), EXPIRES + dt.timedelta(days=1)


def written(directory: Path, expires: dt.datetime = EXPIRES) -> Path:
    changes = {"granted": dt.date(2026, 11, 1), "expires": expires.date(), "scope": {"clusters": ["lab"]}}
    return waiver_file.write(directory, waiver_file.waiver("pod_t:etc_t:file:read", **changes))


def looks(watch: waivers.WaiverWatch, *moments: dt.datetime) -> list[list[dict[str, Any]]]:
    """What each look told, all of which was taken."""
    told = []
    for moment in moments:
        events, taken = watch.look(moment)
        taken()
        told.append(events)
    return told


def test_an_end_is_said_once_also_to_a_source_that_was_started_again(tmp_path: Path) -> None:
    path = written(tmp_path)
    watch = waivers.WaiverWatch(path, tmp_path)
    nothing, (told,), again = looks(watch, BEFORE, AFTER, AFTER)
    assert (nothing, again) == ([], [])
    assert told.keys() == {"id", "type", "serial", "node", "uuid", "boot", "drift", "found", "before", "after", "do"}
    about = {key: told[key] for key in ("type", "serial", "node", "uuid", "boot", "drift", "before", "after")}
    assert about == {
        "type": "drift",
        "serial": None,
        "node": None,
        "uuid": None,
        "boot": None,
        "drift": "waiver-expired",
        "before": "w-1",
        "after": None,
    }
    assert looks(waivers.WaiverWatch(path, tmp_path), AFTER) == [[]]
    # Renewed, it may end again, and that is another end.
    written(tmp_path, AFTER)
    _back, (later,) = looks(watch, AFTER - dt.timedelta(days=1), AFTER + dt.timedelta(days=1))
    assert later["id"] != told["id"]


def test_what_was_not_taken_is_said_again(tmp_path: Path) -> None:
    watch = waivers.WaiverWatch(written(tmp_path), tmp_path)
    looks(watch, BEFORE)
    first, _taken = watch.look(AFTER)
    second, taken = watch.look(AFTER)
    assert first == second and len(first) == 1
    taken()
    assert watch.look(AFTER)[0] == []


def test_a_file_that_is_lost_is_said_once_until_it_is_back(tmp_path: Path) -> None:
    path = written(tmp_path)
    watch = waivers.WaiverWatch(path, tmp_path)
    path.write_text("schema: 2")
    (lost,), again = looks(watch, BEFORE, BEFORE)
    assert (lost["type"], lost["node"], lost["drift"], again) == ("evidence_lost", None, None, [])
    assert "waivers.yml" in lost["found"] and lost["do"]
    written(tmp_path)
    assert looks(watch, BEFORE) == [[]]
    path.unlink()
    (once,), twice = looks(watch, BEFORE, BEFORE)
    assert (once["type"], twice) == ("evidence_lost", [])


@pytest.mark.parametrize(
    "kept", ["{", "[1]", '[{"id": 1, "in_force": true}]', '[{"id": "w", "in_force": 1}]', "[{}]", "7"]
)
def test_what_is_no_memory_of_waivers_is_none(tmp_path: Path, kept: str) -> None:
    (tmp_path / "waivers").write_text(kept)
    with pytest.raises(CursorProblem, match="cannot be used: it is not what was kept there"):
        waivers.WaiverWatch(written(tmp_path), tmp_path)


def test_what_is_kept(tmp_path: Path) -> None:
    looks(waivers.WaiverWatch(written(tmp_path), tmp_path), BEFORE)
    (row,) = json.loads((tmp_path / "waivers").read_text())
    assert (row["id"], row["in_force"]) == ("w-1", True)
