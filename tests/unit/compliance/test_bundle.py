# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bundle can be checked by anybody: whatever was done to it afterwards is found."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from pathlib import Path

import compliance_fleets as fleets
import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import canonical_json, sealed
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance import bundle, cited
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence import files
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.files import EvidenceProblem
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def pair():
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private, public


@pytest.fixture
def keys():
    return pair()


@pytest.fixture
def made(tmp_path, keys):
    document = fleets.subject("n", 1).evidence
    path = files.save(str(tmp_path / "evidence"), document, {"auditd.log": lambda: [b"type=1400 msg=..."]})
    one = fleets.subject("n", 1)
    one.evidence_path = str(path)
    report = fleets.report([one])
    return bundle.write_bundle(
        tmp_path / "bundles" / "one",
        {"report.json": canonical_json(report), "openreports/n.json": b"{}"},
        cited.citations(report),
        about={"generated_at": report["generated_at"]},
        signing_key=keys[0],
    )


def test_a_bundle_as_it_was_written_is_sound(made, keys):
    assert bundle.defects(made) == []
    assert bundle.defects(made, keys[1]) == []
    assert sorted(path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()) == [
        "evidence/n/auditd.log", "evidence/n/evidence.json", "manifest.json", "openreports/n.json", "report.json",
    ]  # fmt: skip
    assert {path.stat().st_mode & 0o077 for path in (made, *made.rglob("*"))} == {0}


@pytest.mark.parametrize("name", ["report.json", "evidence/n/auditd.log", "evidence/n/evidence.json", "manifest.json"])
def test_any_flipped_byte_is_found(made, keys, name):
    path = made / name
    data = path.read_bytes()
    chance = random.Random(name)
    for place in {0, len(data) - 1, *(chance.randrange(len(data)) for _unused in range(60))}:
        path.write_bytes(data[:place] + bytes([data[place] ^ (1 << chance.randrange(8))]) + data[place + 1 :])
        assert bundle.defects(made, keys[1]), place
    path.write_bytes(data)
    assert bundle.defects(made, keys[1]) == []


def _link(made):
    (made / "manifest.json").symlink_to(made.parent / "m")


@pytest.mark.parametrize(
    ("how", "found"),
    [
        (lambda made: (made / "report.json").unlink(), "report.json is missing"),
        (lambda made: (made / "more.txt").write_text("x"), "more.txt is not part of the bundle"),
        (lambda made: (made / "evidence" / "x").mkdir() or (made / "evidence" / "x" / ".h").write_text(""), "x/.h"),
        (lambda made: (made / "report.json").rename(made / "renamed.json"), "renamed.json is not part"),
        (lambda made: (made / "manifest.json").unlink(), "manifest.json is missing"),
        (lambda made: (made / "manifest.json").write_text("[]"), "no manifest"),
        (lambda made: (made / "link").symlink_to("/etc/passwd"), "link is not part of the bundle"),
        (lambda made: (made / "folder").symlink_to("/etc"), "folder is not part of the bundle"),
        (lambda made: (made / "nothing").mkdir(), "nothing is not part of the bundle"),
        (lambda made: (made / "openreports" / "n.json").rename(made / "n.json"), "openreports is not part"),
        (lambda made: os.mkfifo(made / "pipe"), "pipe is not part of the bundle"),
        (lambda made: (made / "manifest.json").write_text("[" * 100_000), "not JSON"),
        (lambda made: (made / "manifest.json").write_text('{"kind": "compliance-bundle", "a": NaN}'), "not JSON"),
        (lambda made: (made / "manifest.json").write_bytes(b'{"kind": "\xff"}'), "not JSON"),
        (lambda made: made.joinpath("manifest.json").rename(made.parent / "m") and _link(made), "is a link"),
    ],
)
def test_a_dropped_added_or_renamed_file_is_found(made, how, found):
    how(made)
    assert found in "; ".join(bundle.defects(made))


def test_a_file_replaced_by_a_link_to_the_same_content_is_found(made, tmp_path):
    copy = tmp_path / "copy"
    shutil.copy(made / "report.json", copy)
    (made / "report.json").unlink()
    (made / "report.json").symlink_to(copy)
    assert bundle.defects(made) == ["report.json was changed"]


def test_a_bundle_of_another_owner_is_found_by_the_key(made):
    assert "signed with another key" in "; ".join(bundle.defects(made, pair()[1]))


def test_an_unsigned_bundle_is_refused_where_a_key_is_given(tmp_path, keys):
    report = {"report.json": canonical_json(fleets.report([]))}
    plain = bundle.write_bundle(tmp_path / "plain", report, (), about={})
    assert bundle.defects(plain) == []
    assert "not signed" in "; ".join(bundle.defects(plain, keys[1]))


def test_a_bundle_is_never_written_over_an_older_one(tmp_path):
    bundle.write_bundle(tmp_path / "b", {"a": b"1"}, (), about={})
    with pytest.raises(EvidenceProblem, match="cannot be written"):
        bundle.write_bundle(tmp_path / "b", {"a": b"2"}, (), about={})
    assert (tmp_path / "b" / "a").read_bytes() == b"1"
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


class Cited:
    """A report that cites one of everything, with the files that it cites."""

    def __init__(self, tmp_path, name="../../up"):
        document = fleets.evidence(name, 1)
        self.evidence = files.save(str(tmp_path / "evidence"), document, {"auditd.log": lambda: [b"type=1400 msg=..."]})
        self.probe, self.verdict = tmp_path / "probe.json", tmp_path / "old-verdict.json"
        self.ledger = b'{"seq":1}\n'
        probe = sealed({"id": "0a", "outcome": "refused", "finished_at": "2026-11-22T11:59:00Z", "attempts": []})
        verdict = sealed({"decision": "eligible", "issued_at": "i", "expires_at": "e", "checks": []})
        self.probe.write_bytes(canonical_json(probe))
        self.verdict.write_bytes(canonical_json({**verdict, "signature": "outside"}))
        one = fleets.subject(name, 1)
        one.evidence, one.evidence_path = document, str(self.evidence)
        one.probe, one.verdict = {**probe, "path": str(self.probe)}, {**verdict, "path": str(self.verdict)}
        sha256 = hashlib.sha256(self.ledger).hexdigest()
        self.report = fleets.report([one], ledger={"path": "/srv/ledger.jsonl", "sha256": sha256, "entries": 1})

    def write(self, place):
        reports = {"report.json": canonical_json(self.report), cited.LEDGER: self.ledger}
        reports = {name: data for name, data in reports.items() if data is not None}
        return bundle.write_bundle(place, reports, cited.citations(self.report), about={})


def test_what_the_report_cites_comes_along_and_a_nodes_name_leads_nowhere_else(tmp_path):
    made = Cited(tmp_path).write(tmp_path / "bundles" / "one")
    assert {path.name for path in tmp_path.iterdir()} == {"evidence", "probe.json", "old-verdict.json", "bundles"}
    place = made / "evidence" / files.safe_name("../../up")
    found = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    assert found == {"auditd.log", "evidence.json", "gate/verdict.json", "probe-0a.json"}
    assert bundle.defects(made) == []
    (place / "probe-0a.json").write_text("{} ")
    assert bundle.defects(made) == [f"evidence/{files.safe_name('../../up')}/probe-0a.json was changed"]


OTHER = canonical_json(sealed({"collected_at": "of another run"}))


@pytest.mark.parametrize(
    ("what", "instead"),
    [
        *(("evidence", data) for data in (OTHER, b"", b"{", b"[]", b"\xff", b"[" * 100_000)),
        ("verdict", OTHER),
        ("probe", OTHER),
        ("ledger", b"{}"),
        ("ledger", None),
    ],
)
def test_what_was_changed_before_the_bundle_was_written_is_found_too(tmp_path, what, instead):
    made = Cited(tmp_path)
    if what == "ledger":
        made.ledger = instead
    else:
        getattr(made, what).write_bytes(instead)
    (found,) = bundle.defects(made.write(tmp_path / "bundles" / "one"))
    assert what in found
    assert "that the report cites" in found


def test_a_verdict_beside_its_evidence_is_in_the_bundle_once(tmp_path):
    made = Cited(tmp_path, "n")
    beside = made.evidence.with_name("verdict.json")
    made.verdict.rename(beside)
    made.report["nodes"][0]["gate"]["path"] = str(beside)
    made.report = sealed(made.report)
    written = made.write(tmp_path / "bundles" / "one")
    assert [path.relative_to(written).as_posix() for path in written.rglob("verdict.json")] == [
        "evidence/n/verdict.json"
    ]
    assert bundle.defects(written) == []


def test_a_file_that_the_disk_does_not_give_back_is_found(made, monkeypatch):
    opened = Path.open

    def broken(path, *how, **more):
        if path.name == "auditd.log":
            raise OSError(5, "Input/output error")
        return opened(path, *how, **more)

    monkeypatch.setattr(Path, "open", broken)
    assert bundle.defects(made) == ["evidence/n/auditd.log was changed"]


@pytest.mark.parametrize(
    "report",
    [
        None,
        b"",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b"{}",
        canonical_json(fleets.report([])).replace(b"{", b'{"a":NaN,', 1),
        *(
            canonical_json(sealed({**fleets.report([]), **change}))
            for change in ({"nodes": [{"node": "n"}]}, {"kind": "x"})
        ),
    ],
)
def test_a_bundle_without_a_report_of_ours_is_none(tmp_path, report):
    files_of_it = {"other.json": b"{}"} if report is None else {"report.json": report}
    made = bundle.write_bundle(tmp_path / "b", files_of_it, (), about={})
    assert bundle.defects(made) == ["report.json is no compliance report"]


def test_it_is_written_beside_its_place_and_takes_it_in_one_step(tmp_path, monkeypatch):
    place, seen = tmp_path / "kept" / "bundle", []
    real = bundle._hashes

    def hashes(scratch):
        seen.append((scratch.parent, scratch.name.startswith(".writing-"), place.exists()))
        return real(scratch)

    monkeypatch.setattr(bundle, "_hashes", hashes)
    assert bundle.write_bundle(place, {"report.json": b"{}"}, [], about={"by": "ada"}) == place
    assert seen == [(place.parent, True, False)]
    assert sorted(path.name for path in place.iterdir()) == ["manifest.json", "report.json"]
    assert list(place.parent.iterdir()) == [place]
    # A bundle is never written over another, and what was begun for it is gone.
    with pytest.raises(EvidenceProblem, match=r"the compliance bundle .*bundle cannot be written"):
        bundle.write_bundle(place, {"report.json": b"[]"}, [], about={})
    assert ((place / "report.json").read_bytes(), list(place.parent.iterdir())) == (b"{}", [place])
