# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was saved of a node before: newest first, and nothing that cannot be believed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import sealed
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence import files
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.files import (
    EvidenceProblem,
    earlier,
    load,
    safe_name,
    save,
)

UUID = "6f1d0a9e-0000-4000-8000-000000000011"


def document(moment: str, *, node: str = "worker-1", schema: int = 1, uuid: str | None = UUID) -> dict[str, Any]:
    about = {"name": node, "uuid": uuid}
    return sealed({"schema": schema, "node": about, "collected_at": moment, "audit": {"sources": []}})


def test_earlier_documents_come_newest_first_and_sound(tmp_path: Path) -> None:
    moments = [f"2026-11-2{day}T10:00:00Z" for day in range(1, 6)]
    paths = {moment: save(str(tmp_path), document(moment), {}) for moment in moments}
    save(str(tmp_path), document("2026-11-20T10:00:00Z", schema=2), {})
    save(str(tmp_path), document("2026-11-20T11:00:00Z", node="worker-2"), {})
    paths[moments[0]].write_text("{")
    paths[moments[1]].write_bytes(paths[moments[1]].read_bytes().replace(b"audit", b"audio"))

    def seen(now: str) -> list[str]:
        return [found["collected_at"] for found in earlier(tmp_path, document(now))]

    assert seen("2026-11-30T10:00:00Z") == [moments[4], moments[3], moments[2]]
    # The document itself, and what came after it, are no past.
    assert seen(moments[3]) == [moments[2]]
    assert list(earlier(tmp_path / "nowhere", document(moments[3]))) == []


@pytest.mark.parametrize(
    "audit",
    [
        None,
        {},
        {"sources": "auditd.log"},
        {"sources": ["auditd.log"]},
        {"sources": [{"name": None, "sha256": "x"}]},
        {"sources": [{"name": "a\0b", "sha256": "x"}]},
        {"sources": [{"name": "../evidence.json", "sha256": "x"}]},
        {"sources": [{"name": "", "sha256": "x"}]},
    ],
)
def test_a_document_of_another_form_is_no_evidence_whoever_sealed_it(tmp_path: Path, audit: Any) -> None:
    path = tmp_path / "evidence.json"
    path.write_text(json.dumps(sealed({"schema": 1, "audit": audit})))
    with pytest.raises(EvidenceProblem, match="does not list its logs"):
        load(path)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": NaN}', '{"a": 1e999, "sha256": "x"}', "\ufeff{}"])
def test_what_is_no_json_is_no_evidence_and_hides_no_earlier_one(tmp_path: Path, text: str) -> None:
    before, now = document("2026-11-22T10:00:00Z"), document("2026-11-22T12:00:00Z")
    save(str(tmp_path), before, {})
    path = save(str(tmp_path), document("2026-11-22T11:00:00Z"), {})
    path.write_text(text)
    with pytest.raises(EvidenceProblem, match="it is not JSON"):
        load(path)
    assert list(earlier(tmp_path, now)) == [before]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"node": "rack 1"}, {"node": "rack/1"}),
        ({"node": "rack_1"}, {"node": "rack 1"}),
        # Another machine under the same name, and a machine that tells no UUID, have no past together.
        ({"uuid": "6f1d0a9e-0000-4000-8000-000000000012"}, {}),
        ({"uuid": None}, {}),
        ({}, {"uuid": None}),
        ({"uuid": None}, {"uuid": None}),
    ],
)
def test_another_nodes_past_is_not_this_nodes(tmp_path: Path, before: dict[str, Any], after: dict[str, Any]) -> None:
    save(str(tmp_path), document("2026-11-21T10:00:00Z", **before), {})
    assert list(earlier(tmp_path, document("2026-11-22T10:00:00Z", **after))) == []


def test_a_document_that_was_put_into_another_nodes_directory_is_left_out(tmp_path: Path) -> None:
    path = save(str(tmp_path), document("2026-11-21T10:00:00Z", node="worker-2"), {})
    place = tmp_path / "worker-1" / path.parent.name
    place.mkdir(parents=True)
    (place / path.name).write_bytes(path.read_bytes())
    assert list(earlier(tmp_path, document("2026-11-22T10:00:00Z"))) == []
    assert len(list(earlier(tmp_path, document("2026-11-22T10:00:00Z", node="worker-2")))) == 1


NAMES = [
    "rack/1", "rack 1", "rack_1", "rack=1", "rack=2F1", "rack%2F1", "rack:1", "Rack 1", "..", ".", "", "=", ".a", "a",
    "../a", "\u00e9", "e\u0301", "[fd00::1]", "fd00::1", "x" * 300, "x" * 301, "y/" * 150, "y/" * 151, "a\n", "a\x00",
]  # fmt: skip


def test_two_names_never_share_a_directory() -> None:
    files = {safe_name(name): name for name in NAMES}
    assert len(files) == len(NAMES)
    for name in files:
        assert 0 < len(name) <= 200 and "/" not in name and "\x00" not in name and not name.startswith(".")
    # A plain name stays as it is, so that people find it.
    assert safe_name("worker-1.example.org") == "worker-1.example.org"


WHEN = "2026-11-22T10:00:00Z"


def test_a_document_that_is_saved_twice_lies_there_once(tmp_path: Path) -> None:
    path = save(str(tmp_path), document(WHEN), {"auditd.log": lambda: [b"x"]})
    assert save(str(tmp_path), document(WHEN), {"auditd.log": lambda: [b"y"]}) == path
    assert list(path.parent.parent.iterdir()) == [path.parent]
    assert (path.parent / "auditd.log").read_bytes() == b"x"


@pytest.mark.parametrize(
    ("error", "raised"), [(OSError(28, "No space left on device"), EvidenceProblem), (KeyError("a"), KeyError)]
)
def test_what_cannot_be_written_whole_is_not_there(tmp_path: Path, error: Exception, raised: type[Exception]) -> None:
    def log() -> Iterator[bytes]:
        yield b"type=1400"
        raise error

    with pytest.raises(raised) as caught:
        save(str(tmp_path), document(WHEN), {"auditd.log": log})
    assert list((tmp_path / "worker-1").iterdir()) == []
    if isinstance(caught.value, EvidenceProblem):
        assert caught.value.found.endswith(f"cannot be written below {tmp_path}: No space left on device")


def test_evidence_below_what_is_no_directory_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EvidenceProblem, match=r"cannot be written below .*: Not a directory"):
        save(str(tmp_path / "file"), document(WHEN), {})


def _directory(log: Path) -> None:
    log.unlink()
    log.mkdir()


@pytest.mark.parametrize("spoil", [Path.unlink, lambda log: log.write_bytes(b"z"), _directory])
def test_a_document_whose_log_is_missing_or_altered_is_no_evidence(
    tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    sources = [{"name": "auditd.log", "sha256": hashlib.sha256(b"x").hexdigest()}]
    path = save(
        str(tmp_path), sealed({**document(WHEN), "audit": {"sources": sources}}), {"auditd.log": lambda: [b"x"]}
    )
    assert load(path)["audit"] == {"sources": sources}
    spoil(path.parent / "auditd.log")
    with pytest.raises(EvidenceProblem, match=r"auditd\.log is missing or was altered"):
        load(path)


@pytest.mark.parametrize("path", [None, Path("d/evidence.json")])
@pytest.mark.parametrize(
    ("denials", "count", "enforced"),
    [(None, None, None), ([], 0, 0), ([{"enforced": 2}, {"enforced": None}, {"enforced": 1}], 3, 3)],
)
@pytest.mark.parametrize("etcd", [None, {"agreed": True, "voters": 3, "more": 1}])
def test_what_is_handed_from_task_to_task(
    path: Path | None, denials: Any, count: int | None, enforced: int | None, etcd: Any
) -> None:
    coverage = {
        "verdict": "partial",
        "seconds": 7,
        "lost_at_least": 1,
        "more": 1,
        "reasons": [{"id": "F1", "text": "it wrapped"}],
    }
    document = sealed(
        {
            "node": {"name": "n-1", "uuid": "u"},
            "boot": {"id": "b", "more": 1},
            "talos": {"version": "v1.14.0", "more": 1},
            "selinux": {"state": "permissive", "disagreements": ["d"], "more": 1},
            "audit": {"coverage": coverage, "denials": denials},
            "etcd": etcd,
        }
    )
    summary = {
        "node": {"name": "n-1", "uuid": "u"},
        "boot_id": "b",
        "talos_version": "v1.14.0",
        "selinux_state": "permissive",
        "disagreements": ["d"],
        "coverage": {"verdict": "partial", "seconds": 7, "lost_at_least": 1, "reasons": ["it wrapped"]},
        "denials": count,
        "enforced": enforced,
        "etcd": {"agreed": True, "voters": 3} if etcd else None,
    }
    entry = {"path": str(path) if path else None, "sha256": document["sha256"], "summary": summary}
    assert files.entry_of(document, path) == (entry if path else {**entry, "evidence": document})


@pytest.mark.parametrize("fails", [False, True])
def test_a_document_is_written_beside_its_place_and_takes_it_in_one_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    place = tmp_path / "worker-1"
    seen: list[list[str]] = []
    synced: list[Path] = []
    monkeypatch.setattr(files, "sync_directory", synced.append)

    def log() -> list[bytes]:
        seen.append([path.name for path in place.iterdir()])
        if fails:
            raise OSError(28, "No space left on device")
        return [b"a line\n"]

    given = document("2026-11-22T10:00:00Z")
    if fails:
        with pytest.raises(EvidenceProblem, match="No space left on device") as raised:
            save(str(tmp_path), given, {"auditd.log": log})
        assert Path(raised.value.context["path"]).parent == place
        assert (list(place.iterdir()), synced) == ([], [])
    else:
        path = save(str(tmp_path), given, {"auditd.log": log})
        assert path == place / f"20261122T100000Z-{given['sha256'][:12]}" / "evidence.json"
        assert (path.parent / "auditd.log").read_bytes() == b"a line\n"
        assert synced == [place]
        # The same document once more stays the one that is there.
        assert save(str(tmp_path), given, {}) == path
        assert [one.name for one in place.iterdir()] == [path.parent.name]
        assert (path.parent / "auditd.log").exists()
    ((scratch,),) = seen
    assert scratch.startswith(".writing-")
