# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files in any number, order and form say what the logs in them say."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.analysis import COUNTS, analyze
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.files import LogFileProblem, analyze_files

REAL = Path(__file__).resolve().parents[2] / "data" / "real-kernel"
LOG = gzip.decompress((REAL / "permissive.audit.log.gz").read_bytes())
RING = gzip.decompress((REAL / "permissive.dmesg.log.gz").read_bytes())


def told(found: dict[str, Any]) -> tuple[Any, ...]:
    return found["counts"], [(d["signature"], d["count"]) for d in found["denials"]], found["coverage"]["verdict"]


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    return analyze(LOG, RING)


def test_the_kernel_ring_is_recognised_in_any_order(tmp_path: Path, whole: dict[str, Any]) -> None:
    (tmp_path / "one").write_bytes(LOG)
    (tmp_path / "two.gz").write_bytes(gzip.compress(RING))
    for paths in ([tmp_path / "one", tmp_path / "two.gz"], [tmp_path / "two.gz", tmp_path / "one"]):
        found = analyze_files(paths)
        assert told(found) == told(whole)
        assert found["kernel"] is not None
        assert set(found["counts"]) == set(COUNTS)


def test_a_rotated_log_is_read_oldest_first_and_may_be_part_gzip(tmp_path: Path, whole: dict[str, Any]) -> None:
    cut = LOG.index(b"\n", len(LOG) // 2) + 1
    # Cut between two events, since a record of a cut event would be told apart in two files only.
    while LOG[cut:].split(b"audit(", 1)[1][:20] == LOG[:cut].rsplit(b"audit(", 1)[1][:20]:
        cut = LOG.index(b"\n", cut) + 1
    (tmp_path / "auditd.log").write_bytes(LOG[cut:])
    (tmp_path / "auditd.log.1.gz").write_bytes(gzip.compress(LOG[:cut]))
    (tmp_path / "dmesg.log").write_bytes(RING)
    paths = [tmp_path / name for name in ("auditd.log", "auditd.log.1.gz", "dmesg.log")]
    assert told(analyze_files(paths)) == told(whole)


def test_a_cut_end_does_not_run_into_the_next_file(tmp_path: Path) -> None:
    lines = [line + b"\n" for line in LOG.split(b"\n")[:-1]]
    first = next(index for index, line in enumerate(lines) if b"avc:  denied" in line)
    (tmp_path / "a").write_bytes(b"".join(lines[: first + 1])[:-10])
    (tmp_path / "b").write_bytes(b"".join(lines[first + 1 :]))
    counts = analyze_files([tmp_path / "a", tmp_path / "b"])["counts"]
    assert counts["lines"] == len(lines)
    assert counts["parsed"] + counts["ignored"] + counts["unparsed"] == counts["lines"]


def test_every_record_is_kept_on_request(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(LOG)
    for denial in analyze_files([tmp_path / "log"], max_samples=0)["denials"]:
        assert len(denial["samples"]) == denial["count"]


@pytest.mark.parametrize("keep", [0.5, 0.99])
def test_damaged_gzip_is_told(tmp_path: Path, keep: float) -> None:
    packed = gzip.compress(LOG)
    (tmp_path / "a.gz").write_bytes(packed[: int(len(packed) * keep)])
    (tmp_path / "b").write_bytes(b"type=BPF msg=audit(1.000:1): prog-id=1 op=LOAD\n")
    for paths in ([tmp_path / "a.gz"], [tmp_path / "b", tmp_path / "a.gz"]):
        reasons = analyze_files(paths)["coverage"]["reasons"]
        assert any(reason["id"] == "F33" and "gzip" in reason["text"] for reason in reasons)


def test_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(LogFileProblem, match="absent"):
        analyze_files([tmp_path / "absent"])
    with pytest.raises(LogFileProblem):
        analyze_files([tmp_path])
