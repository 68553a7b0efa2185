# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a report is made of: every source's nodes once, and the rollout's waves."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path
from typing import Any

import compliance_fleets as fleets
import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import canonical_json, sealed
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance import gather
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence import files
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger import Ledger
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.steps import STEP_NAMES

LATER = fleets.NOW + dt.timedelta(hours=1)


def entry(document, directory: Path | None = None):
    if directory is None:
        return files.entry_of(document, None)
    return files.entry_of(document, files.save(str(directory), document, {"auditd.log": lambda: [b""]}))


def gathered(tmp_path, hosts=(), evidence=None, **more):
    options = {"zones": {}, "configs": {}, "ledger": None, "previous": None, **more}
    unread = options.pop("unread", {})
    found = gather.gather(hosts, evidence or {}, unread, directory=tmp_path, **options)
    return found.subjects, found.waves


def names(subjects):
    return {subject.name: sorted(subject.sources) for subject in subjects}


def no_logs(document):
    return sealed({**document, "audit": {**document["audit"], "sources": []}})


def test_a_renamed_machine_has_one_row_and_a_machine_that_is_gone_has_its_own(tmp_path):
    previous = fleets.report([fleets.subject("old-name", 1), fleets.subject("gone", 2)])
    document = no_logs(fleets.evidence("new-name", 1, collected_at="2026-11-22T12:55:00Z"))
    subjects, _waves = gathered(
        tmp_path, ["new-name"], {"new-name": entry(document, tmp_path / "e")}, previous=previous
    )
    assert names(subjects) == {"new-name": ["evidence", "inventory"], "gone": ["previous report"]}
    report = fleets.report(subjects, now=LATER, previous=previous)
    assert [(item["kind"], item["node"]) for item in report["drift"]] == [("evidence-lost", "gone")]
    # By reports alone no node stays for ever.
    assert names(gathered(tmp_path, ["new-name"], previous=report)[0]) == {"new-name": ["inventory"]}


def test_a_node_that_only_a_verdict_names_has_a_row_and_one_that_is_here_has_no_second(tmp_path):
    for name, number in (("decided", 3), ("before-its-new-name", 1)):
        uuid = fleets.evidence(name, number)["node"]["uuid"] if number == 1 else None
        binds = {"identity": f"identity-{number}", "uuid": uuid}
        place = tmp_path / name / "1" / "verdict.json"
        place.parent.mkdir(parents=True)
        place.write_bytes(canonical_json(sealed({"node": name, "binds": binds, "issued_at": "2026-11-20T00:00:00Z"})))
    document = no_logs(fleets.evidence("n", 1))
    subjects, _waves = gathered(tmp_path, ["n", "silent"], {"n": entry(document, tmp_path / "e")})
    assert names(subjects) == {"n": ["evidence", "inventory"], "silent": ["inventory"], "decided": ["verdict"]}


def test_evidence_that_was_not_saved_is_judged_all_the_same(tmp_path):
    document = fleets.evidence("n", 1)
    (one,), _waves = gathered(tmp_path, ["n"], {"n": entry(document)})
    assert (one.unread, one.evidence, one.evidence_path) == (None, document, None)
    wrong = {**entry(document), "sha256": "0" * 64}
    assert "not the one that was collected" in gathered(tmp_path, ["n"], {"n": wrong})[0][0].unread


def test_the_evidence_of_another_node_is_none_of_this_one(tmp_path):
    other = entry(no_logs(fleets.evidence("m", 1)), tmp_path / "e")
    (one,), _waves = gathered(tmp_path, ["n"], {"n": other})
    assert (one.evidence, one.unread) == (None, f"the evidence {other['path']} is of m")


WAVES = [
    {"number": 1, "kind": "canary", "zone": None, "nodes": ["a"]},
    {"number": 2, "kind": "workers", "zone": "x", "nodes": ["b", "c"]},
]


def rolled_out(tmp_path, uuid=None, **changes):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for name in ("a", "b"):
        for step in STEP_NAMES[: None if name == "a" else 3]:
            ledger.begin(name, step, wave="canary", machine_type="worker")
            ledger.finish(name, step, "done", **({"uuid": uuid} if uuid and step == "verify" else {}))
    model = sealed({"schema": 1, "waves": WAVES, **changes})
    (tmp_path / "report.json").write_bytes(canonical_json(model))
    return tmp_path / "ledger.jsonl"


def test_the_waves_are_those_of_the_newest_rollout_and_who_moved_is_the_ledgers_word(tmp_path):
    _subjects, waves = gathered(tmp_path, ["a", "b", "c"], ledger=rolled_out(tmp_path))
    assert waves == [
        {"number": 1, "kind": "canary", "nodes": ["a"], "moved": ["a"]},
        {"number": 2, "kind": "workers", "nodes": ["b", "c"], "moved": []},
    ]
    fallen = no_logs(fleets.evidence("a", 1, selinux__state="permissive"))
    _subjects, waves = gathered(tmp_path, ["a"], {"a": entry(fallen, tmp_path / "e")}, ledger=tmp_path / "ledger.jsonl")
    assert waves[0]["moved"] == []


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, True),
        ({"uuid": "another machine of this name"}, False),
        ({"uuid": None}, False),
        ({"identity": "installed anew since"}, False),
        ({"identity": None}, False),
        (None, False),
    ],
)
def test_a_proof_is_of_one_installation_of_one_machine(tmp_path, changes, counts):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    document = no_logs(fleets.evidence("n", 1))
    proven = {key: document["node"][key] for key in ("uuid", "identity")}
    told = {"installation": {**proven, **changes}} if changes is not None else {}
    for step in STEP_NAMES:
        ledger.begin("n", step, machine_type="worker")
        ledger.finish("n", step, "done", **({"proven": True, **told} if step == "prove" else {}))
    for found, expected in (({"n": entry(document, tmp_path / "e")}, counts), ({}, False)):
        ((one,), _waves) = gathered(tmp_path, ["n"], found, ledger=ledger.path)
        assert (one.proof is not None) is expected
        assert one.timeline[-1]["what"] in ("soak done", "evidence collected")


def test_the_lines_of_the_ledger_that_were_read_are_cited(tmp_path):
    path = rolled_out(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"torn')
    found = gather.gather([], {}, {}, directory=tmp_path, zones={}, configs={}, ledger=path, previous=None)
    assert found.ledger == whole
    sha256 = hashlib.sha256(whole).hexdigest()
    assert found.cited == {"path": str(path), "sha256": sha256, "entries": whole.count(b"\n")}
    path.unlink()
    none = gather.gather([], {}, {}, directory=tmp_path, zones={}, configs={}, ledger=path, previous=None)
    assert (none.ledger, none.cited) == (b"", None)


@pytest.mark.parametrize("same", [True, False])
def test_what_another_machine_of_the_name_went_through_is_not_told_of_this_one(tmp_path, same):
    document = no_logs(fleets.evidence("a", 1))
    of = document if same else fleets.evidence("a", 2)
    ledger = rolled_out(tmp_path, uuid=of["node"]["uuid"].upper())
    subjects, waves = gathered(tmp_path, ["a"], {"a": entry(document, tmp_path / "e")}, ledger=ledger)
    steps = {item["what"] for item in subjects[0].timeline}
    assert ("prove done" in steps, waves[0]["moved"]) == (same, ["a"] if same else [])


@pytest.mark.parametrize("how", ["missing", "changed", "torn", "deep", "no number", "no waves", "odd waves"])
def test_a_rollouts_report_that_is_none_gives_no_waves(tmp_path, how):
    path = tmp_path / "report.json"
    odd = {"no waves": {"waves": {}}, "odd waves": {"waves": [{"number": 1}]}}
    ledger = rolled_out(tmp_path, **odd.get(how, {}))
    if how == "missing":
        path.unlink()
    elif how == "changed":
        path.write_bytes(path.read_bytes().replace(b"canary", b"Canary"))
    elif how == "torn":
        path.write_bytes(path.read_bytes()[:-5])
    elif how == "deep":
        path.write_bytes(b"[" * 100_000)
    elif how == "no number":
        path.write_bytes(path.read_bytes().replace(b"{", b'{"a":NaN,', 1))
    assert gathered(tmp_path, ["a"], ledger=ledger)[1] == []


def test_the_newest_probe_that_ended_of_this_machine_and_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = {"uuid": "u", "identity": "i"}

    def probe(name: str, finished: str | None, **changes: Any) -> dict[str, Any]:
        return {"id": name, "finished_at": finished, "machine": machine, "boot_id": "b", **changes}

    kept = {
        "b": [
            probe("old", "2026-11-22T12:00:00Z"),
            probe("newest", "2026-11-22T12:02:00Z"),
            probe("middle", "2026-11-22T12:01:00Z"),
            probe("under-way", None),
            probe("of-another", "2026-11-22T13:00:00Z", machine={"uuid": "u", "identity": "other"}),
        ],
        "c": [probe("of-another-boot", "2026-11-22T13:00:00Z", boot_id="c")],
    }

    class Store:
        def __init__(self, directory: Path) -> None:
            self.directory = directory

        def boots(self) -> list[str]:
            return list(kept)

        def probes(self, key: str) -> list[dict[str, Any]]:
            return kept[key]

    monkeypatch.setattr(gather, "AuditStore", Store)
    subject = fleets.subject("n-1", 1)
    subject.evidence = {"node": machine, "boot": {"id": "b"}}
    found = gather._newest_probe(subject, tmp_path)
    assert found is not None and found["id"] == "newest"
    assert found["path"] == str(gather.kept_probes.path_of(tmp_path / "n-1" / "b", "newest"))
    subject.evidence = {"node": machine, "boot": {"id": None}, "kubernetes": {"boot_id": "c"}}
    other = gather._newest_probe(subject, tmp_path)
    assert other is not None and other["id"] == "of-another-boot"
    for nothing in ({"node": machine, "boot": {"id": "d"}}, {"node": machine, "boot": {"id": None}}, {}, None):
        subject.evidence = nothing
        assert gather._newest_probe(subject, tmp_path) is None
