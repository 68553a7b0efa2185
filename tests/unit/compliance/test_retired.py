# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines that were taken out of the fleet: excused by UUID and ticket alone, never by silence, and always shown."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import compliance_fleets as fleets
import junitparser
import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import canonical_json, sealed
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance import gather
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.formats import (
    junit,
    openreports,
    oscal,
    page,
    prometheus,
    sarif,
    summary,
    table,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.retired import (
    RetirementProblem,
    in_force,
    read_retirements,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence import files
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger import Ledger

TEXT = "retired since 2026-11-01 (CHG-77): sold to a museum"


def uuid(number: int) -> str:
    return str(fleets.evidence("n", number)["node"]["uuid"])


def entry(number: int, **changes: str) -> dict[str, str]:
    return {
        "uuid": uuid(number), "since": "2026-11-01", "ticket": "CHG-77", "reason": "sold to a museum", **changes,
    }  # fmt: skip


class Fleet:
    """A directory with what was kept, and reports made from it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ledger = directory / "ledger.jsonl"

    def verdict(self, name: str, number: int) -> None:
        place = self.directory / name / str(number) / "verdict.json"
        place.parent.mkdir(parents=True)
        binds = {"identity": f"identity-{number}", "uuid": uuid(number)}
        place.write_bytes(canonical_json(sealed({"node": name, "binds": binds, "issued_at": "2026-10-20T00:00:00Z"})))

    def operated(self, name: str, number: int) -> None:
        ledger = Ledger(self.ledger)
        for step in ("verify", "gate"):
            ledger.begin(name, step, machine_type="worker")
            ledger.finish(name, step, "done", **({"uuid": uuid(number)} if step == "gate" else {}))

    def report(self, hosts=(), evidence=(), retired=(), previous=None):
        listed = read_retirements(retired)
        documents = {name: sealed({**fleets.evidence(name, number)}) for name, number in dict(evidence).items()}
        found = gather.gather(
            hosts,
            {name: files.entry_of(document, None) for name, document in documents.items()},
            {},
            directory=self.directory,
            zones={},
            configs={},
            ledger=self.ledger,
            previous=previous,
            retired=in_force(listed, fleets.NOW) if listed else None,
        )
        return fleets.report(found.subjects, previous=previous, ledger=found.cited, retired=listed)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def statuses(report, name):
    (row,) = [row for row in report["nodes"] if row["node"] == name]
    return {item["status"] for item in row["results"]}


@pytest.mark.parametrize("named_by", ["verdict", "ledger", "previous report", "nothing"])
def test_a_machine_that_only_records_name_is_not_unknown_any_more(fleet: Fleet, named_by: str) -> None:
    previous = None
    if named_by == "verdict":
        fleet.verdict("gone", 7)
    elif named_by == "ledger":
        fleet.operated("gone", 7)
    elif named_by == "previous report":
        previous = fleets.report([fleets.subject("gone", 7)])
    name = uuid(7) if named_by == "nothing" else "gone"
    if named_by != "nothing":
        assert statuses(fleet.report(previous=previous), name) == {"unknown"}
    report = fleet.report(retired=[entry(7, uuid=uuid(7).upper())] if name == "gone" else [entry(7)], previous=previous)
    assert statuses(report, name) == {"not_applicable"}
    assert {item["reason"] for item in report["nodes"][0]["results"]} == {TEXT}
    assert report["counts"]["nodes"]["total"] == report["counts"]["nodes"]["not_applicable"] == 1
    assert report["retired"][0]["node"] == name
    assert report["drift"] == [], "nothing is expected of it, so nothing was lost"
    # It stays in every later report, and is missed again as soon as nobody lists it any more.
    again = fleet.report(retired=[entry(7)], previous=report)
    assert statuses(again, name) == {"not_applicable"}
    assert statuses(fleet.report(previous=again), name) == {"unknown"}


@pytest.mark.parametrize("others", ["inventory", "another machine", "another name's machine"])
def test_what_is_not_known_to_be_that_machine_stays_unknown(fleet: Fleet, others: str) -> None:
    fleet.verdict("w", 7)
    hosts = []
    if others == "inventory":
        hosts = ["w"]
    elif others == "another machine":
        # Two machines had this name, and one of them is unaccounted for.
        fleet.operated("w", 8)
    retired = entry(9) if others == "another name's machine" else entry(7)
    report = fleet.report(hosts, retired=[retired])
    assert statuses(report, "w") == {"unknown"}
    assert statuses(report, retired["uuid"]) == {"not_applicable"}
    if others == "inventory":
        (row,) = [row for row in report["nodes"] if row["node"] == "w"]
        assert row["unread"].endswith(f"the inventory names it, and its machine is {TEXT}")


def test_a_host_that_is_called_like_the_machine_is_not_excused(fleet: Fleet) -> None:
    report = fleet.report([uuid(7)], retired=[entry(7)])
    assert statuses(report, uuid(7)) == {"unknown"}
    assert statuses(report, f"{uuid(7)} (retired)") == {"not_applicable"}


def test_a_retired_machine_that_answers_is_judged_and_is_a_finding(fleet: Fleet) -> None:
    report = fleet.report(["back", "n"], {"back": 7, "n": 1}, [entry(7)])
    found = {row["node"]: item for row in report["nodes"] for item in row["results"] if item["rule"] == "not-retired"}
    assert (found["back"]["status"], found["back"]["observed"]) == ("fail", TEXT)
    assert (found["n"]["status"], found["n"]["observed"]) == ("pass", "not retired")
    assert "pass" in statuses(report, "back")
    assert [row["node"] for row in report["nodes"]] == ["back", "n"]


def test_a_day_that_has_not_come_retires_nothing_and_is_shown(fleet: Fleet) -> None:
    fleet.verdict("gone", 7)
    report = fleet.report(retired=[entry(7, since="2026-11-23")])
    assert statuses(report, "gone") == {"unknown"}
    assert report["retired"] == [{**entry(7, since="2026-11-23"), "node": None}]
    assert statuses(fleet.report(retired=[entry(7, since="2026-11-22")]), "gone") == {"not_applicable"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"uuid": ""}, "the machine has no UUID"),
        ({"uuid": "worker-3"}, "it is no UUID"),
        ({"uuid": "03000200-0400-0500-0006-000700080009"}, "identifies no machine"),
        ({"since": "soon"}, "no day"),
        ({"since": "20261101"}, "no day"),
        ({"since": "2026-11-01T00:00:00Z"}, "no day"),
        ({"ticket": " "}, "no ticket"),
        ({"reason": ""}, "no reason"),
    ],
)
def test_one_that_does_not_say_which_machine_since_when_and_why_is_refused(changes: dict[str, str], why: str) -> None:
    with pytest.raises(RetirementProblem, match=why):
        read_retirements([entry(7, **changes)])


def test_one_machine_is_retired_once_in_whatever_spelling() -> None:
    with pytest.raises(RetirementProblem, match="twice"):
        read_retirements([entry(7), entry(7, uuid=uuid(7).upper())])


def test_every_format_says_who_was_retired_since_when_and_by_which_ticket(fleet: Fleet) -> None:
    fleet.verdict("gone", 7)
    report = fleet.report(["n"], {"n": 1}, [entry(7)])
    texts = {
        "json": canonical_json(report).decode(),
        "junit": junit.render(report).decode(),
        "sarif": sarif.render(report, root="/", fallback="f").decode(),
        "oscal": oscal.render(report).decode(),
        "openreports": b"".join(openreports.render(report, namespace="x").values()).decode(),
        "prometheus": prometheus.render(report).decode(),
        "csv": table.render(report).decode(),
        "html": page.render(report).decode(),
        "table": "\n".join(summary.summary_lines(report)),
    }
    assert [name for name, text in texts.items() if "CHG-77" not in text or "2026-11-01" not in text] == []
    (suite,) = [one for one in junitparser.JUnitXml.fromstring(texts["junit"]) if one.name == "gone"]
    assert suite.skipped == suite.tests == len(report["rules"])
    rows = [row for row in csv.DictReader(io.StringIO(texts["csv"])) if row["node"] == "gone"]
    assert {row["status"] for row in rows} == {"not_applicable"}
    assert oscal.defects(json.loads(texts["oscal"])) == []
