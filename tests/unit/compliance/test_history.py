# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reports of before, whatever else lies beside them."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import compliance_fleets as fleets
import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import canonical_json, sealed
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance import history


def kept(output: Path, name: str, report) -> dict:
    (output / name).mkdir(parents=True)
    (output / name / "report.json").write_bytes(canonical_json(report) + b"\n")
    return report


def day(number: int, **more):
    return fleets.report([fleets.subject("n", 1)], now=fleets.NOW + dt.timedelta(days=number), **more)


def earlier(output: Path, before="2027-01-01T00:00:00Z", profile="talos-selinux-enforcing"):
    last, line = history.earlier_reports(output, profile, before)
    return last["generated_at"][:10] if last else None, [row["generated_at"][8:10] for row in line]


def test_the_history_needs_the_directory_alone_and_has_what_was_put_there_later(tmp_path):
    for number in (0, 1, 3):
        kept(tmp_path, history.directory_name(day(number)["generated_at"]), day(number))
    kept(tmp_path, "brought-from-elsewhere", day(2))
    assert earlier(tmp_path) == ("2026-11-25", ["22", "23", "24", "25"])
    assert earlier(tmp_path, "2026-11-24T12:00:00Z") == ("2026-11-23", ["22", "23"])
    assert earlier(tmp_path / "nowhere") == (None, [])


def test_a_long_history_is_not_read_again_and_the_line_ends_somewhere(tmp_path, monkeypatch):
    counts = day(0)["counts"]["results"]
    told = [{"generated_at": f"2026-09-{number:02d}T00:00:00Z", "counts": counts} for number in range(1, 31)]
    told += [{"generated_at": f"2026-10-{number:02d}T00:00:00Z", "counts": counts} for number in range(1, 26)]
    newest = kept(tmp_path, history.directory_name(day(0)["generated_at"]), day(0, history=told))
    kept(tmp_path, "2026-08-01T000000Z", day(-100))
    read = []
    real = history._report
    monkeypatch.setattr(history, "_report", lambda path: read.append(path) or real(path))
    last, line = history.earlier_reports(tmp_path, "talos-selinux-enforcing", "2027-01-01T00:00:00Z")
    assert last == newest
    assert line == [*told[-49:], {"generated_at": newest["generated_at"], "counts": counts}]
    assert len(read) == 1


FOREIGN = {
    "torn": lambda report: canonical_json(report)[:-20],
    "changed": lambda report: canonical_json(report).replace(b"enforcing", b"Enforcing", 1),
    "not JSON": lambda _report: b"\xff\x00",
    "empty": lambda _report: b"",
    "deep": lambda _report: b"[" * 100_000,
    "no number": lambda report: canonical_json(report).replace(b"{", b'{"a":NaN,', 1),
    "a list": lambda _report: b"[]",
    "another kind": lambda report: canonical_json(sealed({**report, "kind": "rollout"})),
    "a later schema": lambda report: canonical_json(sealed({**report, "schema": 2})),
    "no profile": lambda report: canonical_json(sealed({**report, "profile": None})),
    "no rows": lambda report: canonical_json(sealed({key: report[key] for key in report if key != "nodes"})),
    "rows without results": lambda report: canonical_json(sealed({**report, "nodes": [{"node": "n"}]})),
    "no counts": lambda report: canonical_json(sealed({**report, "counts": {"results": {}}})),
    "odd history": lambda report: canonical_json(sealed({**report, "history": [1]})),
    "odd waivers": lambda report: canonical_json(sealed({**report, "waivers": ["w"]})),
    "the future": lambda _report: canonical_json(day(1000)),
}


@pytest.mark.parametrize("how", FOREIGN)
def test_what_is_no_report_of_ours_is_none(tmp_path, how):
    kept(tmp_path, history.directory_name(day(0)["generated_at"]), day(0))
    (tmp_path / "2026-12-01T120000Z").mkdir()
    (tmp_path / "2026-12-01T120000Z" / "report.json").write_bytes(FOREIGN[how](day(9)))
    assert earlier(tmp_path) == ("2026-11-22", ["22"])


def test_a_bundle_that_is_being_written_another_profiles_and_a_directory_are_no_reports(tmp_path):
    kept(tmp_path, ".writing-abc", day(1))
    kept(tmp_path, "observed", day(2, profile="talos-selinux-permissive-observed"))
    (tmp_path / "odd" / "report.json").mkdir(parents=True)
    manifest = {"about": {"profile": {"name": "talos-selinux-permissive-observed"}}}
    (tmp_path / "observed" / "manifest.json").write_text(json.dumps(manifest))
    assert earlier(tmp_path) == (None, [])
    assert earlier(tmp_path, profile="talos-selinux-permissive-observed") == ("2026-11-24", ["24"])
