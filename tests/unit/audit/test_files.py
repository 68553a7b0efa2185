# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files in any number, order and form say what the logs in them say."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import audit_streams as streams
import pytest
import real_talos
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.analysis import COUNTS, analyze
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.files import LogFileProblem, analyze_files
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.ring import joined
from ansible_collections.talosops.selinux.plugins.plugin_utils.operator_files import FileProblem, decrypting

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
    denials = analyze_files([tmp_path / "log"], max_samples=0)["denials"]
    assert denials
    for denial in denials:
        assert len(denial["samples"]) == denial["count"]


@pytest.mark.parametrize("keep", [0.5, 0.99])
def test_damaged_gzip_is_told(tmp_path: Path, keep: float) -> None:
    packed = gzip.compress(LOG)
    (tmp_path / "a.gz").write_bytes(packed[: int(len(packed) * keep)])
    (tmp_path / "b").write_bytes(b"type=BPF msg=audit(1.000:1): prog-id=1 op=LOAD\n")
    for paths in ([tmp_path / "a.gz"], [tmp_path / "b", tmp_path / "a.gz"]):
        reasons = analyze_files(paths)["coverage"]["reasons"]
        assert any(reason["id"] == "F33" and "gzip" in reason["text"] for reason in reasons)


def test_gzip_data_that_were_changed_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(streams.service_log())[:-8] + bytes(8))
    reasons = analyze_files([tmp_path / "a.gz"])["coverage"]["reasons"]
    assert any(reason["id"] == "F33" and "the gzip data is damaged" in reason["text"] for reason in reasons)


def test_no_file_at_all_says_nothing() -> None:
    found = analyze_files([])
    assert (found["denials"], found["kernel"], found["coverage"]["verdict"]) == (None, None, "none")


def test_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(LogFileProblem, match="absent"):
        analyze_files([tmp_path / "absent"])
    with pytest.raises(LogFileProblem, match="cannot be read: Is a directory"):
        analyze_files([tmp_path])


def _named(node: bytes, log: bytes) -> list[bytes]:
    return [node + b": " + line + b"\n" for line in log.split(b"\n")[:-1]]


def _mixed(parts: list[list[bytes]], seed: int) -> bytes:
    """Lines of several nodes as they arrive, each node's in order."""
    draw = random.Random(seed)
    places = [place for place, part in enumerate(parts) for _unused in part]
    draw.shuffle(places)
    left = [iter(part) for part in parts]
    return b"".join(next(left[place]) for place in places)


@pytest.mark.parametrize("seed", range(3))
def test_lines_of_several_nodes_in_one_file_are_told_apart(tmp_path: Path, whole: dict[str, Any], seed: int) -> None:
    other = streams.service_log(5, 300)
    (tmp_path / "logs.gz").write_bytes(
        gzip.compress(_mixed([_named(b"10.5.0.2", LOG), _named(b"fd00::3", other)], seed))
    )
    (tmp_path / "dmesg").write_bytes(
        _mixed([_named(b"10.5.0.2", RING), _named(b"fd00::3", streams.kernel_ring())], seed)
    )
    found = analyze_files([tmp_path / "dmesg", tmp_path / "logs.gz"])
    second = analyze(other, streams.kernel_ring())
    assert found["counts"]["denied"] == whole["counts"]["denied"] + second["counts"]["denied"]
    assert found["counts"]["doubtful"] == whole["counts"]["doubtful"]
    assert found["counts"]["unparsed"] == 0
    assert found["coverage"]["nodes"] == {"10.5.0.2": "partial", "fd00::3": "partial"}
    assert found["coverage"]["lost_at_least"] == 0
    assert any(reason["text"].startswith("10.5.0.2: ") for reason in found["coverage"]["reasons"])
    by_node: dict[str, int] = {}
    for denial in found["denials"]:
        for node in denial["nodes"]:
            by_node[node] = by_node.get(node, 0) + 1
    assert by_node == {"10.5.0.2": len(whole["denials"]), "fd00::3": len(second["denials"])}


def test_a_process_cannot_write_lines_of_another_node(tmp_path: Path) -> None:
    """In a log without node names a line that names one is text; it must stay in its message's shadow."""
    text = b"hi'\n10.9.9.9: " + streams.avc(21, target="etcd_pki_t") + b"10.9.9.8: " + streams.avc(3)[:-1]
    events = streams.service_events(5, 60)
    events[15] = [streams.user(20, text)]
    (tmp_path / "log").write_bytes(b"".join(line for one in events for line in one))
    found = analyze_files([tmp_path / "log"])
    assert "nodes" not in found["coverage"]
    assert found["counts"]["doubtful"] >= 2


def test_a_last_line_that_names_no_node_and_has_no_end_makes_the_file_one_log(tmp_path: Path) -> None:
    logs = _named(b"10.5.0.2", streams.service_log(5, 20)) + _named(b"10.5.0.3", streams.service_log(5, 20))
    (tmp_path / "log").write_bytes(b"".join(logs))
    assert set(analyze_files([tmp_path / "log"])["coverage"]["nodes"]) == {"10.5.0.2", "10.5.0.3"}
    (tmp_path / "log").write_bytes(b"".join(logs) + streams.avc(30)[:-1])
    assert "nodes" not in analyze_files([tmp_path / "log"])["coverage"]


def test_a_node_s_ring_beside_a_part_of_another_one_s_log(tmp_path: Path) -> None:
    """Only what is read again of a file is fed again: the ring in it was read whole the first time."""
    one, other = streams.service_log(5, 30), streams.service_log(5, 40, 2)
    cut = other.index(b"type=AVC msg=audit" + streams.key(20))
    (tmp_path / "a").write_bytes(
        b"".join(_named(b"10.5.0.3", other[:cut]) + _named(b"10.5.0.2", streams.kernel_ring()))
    )
    (tmp_path / "b").write_bytes(b"".join(_named(b"10.5.0.2", one) + _named(b"10.5.0.3", other[cut:])))
    found = analyze_files([tmp_path / "b", tmp_path / "a"])
    first, second = analyze(one, streams.kernel_ring()), analyze(other, None)
    assert found["counts"] == {name: first["counts"][name] + second["counts"][name] for name in COUNTS}
    assert found["coverage"]["nodes"] == {"10.5.0.2": "partial", "10.5.0.3": "partial"}


@pytest.mark.parametrize("form", [b"%d:10.5.0.2: %s\n", b"%d:fd00::3: %s\n", b"%d:%s\n"])
def test_line_numbers_are_no_nodes(tmp_path: Path, whole: dict[str, Any], form: bytes) -> None:
    lines = LOG.split(b"\n")[:-1]
    (tmp_path / "log").write_bytes(b"".join(form % (number, line) for number, line in enumerate(lines, 1)))
    (tmp_path / "dmesg").write_bytes(RING)
    found = analyze_files([tmp_path / "log", tmp_path / "dmesg"])
    assert "nodes" not in found["coverage"]
    assert found["counts"]["denied"] == whole["counts"]["denied"]
    assert found["counts"]["doubtful"] == whole["counts"]["doubtful"]


def test_the_kernels_own_words_are_no_nodes(tmp_path: Path) -> None:
    ring = b"audit: type=1400 audit" + streams.avc(3)[18:]
    (tmp_path / "ring").write_bytes(ring + ring.replace(b":3)", b":4)"))
    (tmp_path / "log").write_bytes(b"".join(_named(b"worker-1", streams.service_log())))
    found = analyze_files([tmp_path / "ring", tmp_path / "log"])
    assert "nodes" not in found["coverage"]
    assert found["kernel"] is not None


def _forwarded(log: bytes, ring: bytes) -> bytes:
    """All logs of a node as Talos forwards them, the kernel's and the services' lines in turn."""
    lines = [{"msg": line.decode("utf-8", "replace"), "talos-service": "auditd"} for line in log.split(b"\n")[:-1]]
    kernel = [
        {"facility": "kern", "msg": line.split(b"] ", 1)[1].decode(), "priority": "info"}
        for line in ring.split(b"\n")[:-1]
    ]
    others = [{"msg": "started", "talos-service": "kubelet"}] * 50
    mixed = lines[:3000] + others
    for number, line in enumerate(kernel):
        mixed.insert(number * 4, line)
    return b"".join(json.dumps(line).encode() + b"\n" for line in mixed + lines[3000:])


def test_the_logs_of_a_node_in_one_forwarded_stream_are_told_apart(tmp_path: Path, whole: dict[str, Any]) -> None:
    ring = RING + b"<4>[   55.000000] audit: audit_lost=4711 audit_rate_limit=4096 audit_backlog_limit=8192\n"
    (tmp_path / "node.jsonl").write_bytes(_forwarded(LOG, ring))
    found = analyze_files([tmp_path / "node.jsonl"])
    assert found["kernel"] is not None
    assert found["kernel"]["head"].startswith("Linux version ")
    assert found["coverage"]["lost_at_least"] == 4711
    assert found["ignored_types"]["other service"] == 50
    for name in ("denied", "granted", "doubtful", "mac_errors", "unparsed"):
        assert found["counts"][name] == whole["counts"][name], name
    assert {d["signature"]: d["count"] for d in found["denials"]} == {
        d["signature"]: d["count"] for d in whole["denials"]
    }


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_text_behind_forwarded_lines_makes_them_one_log(tmp_path: Path, end: str) -> None:
    log = streams.service_log().decode().splitlines()
    lines = b"".join(json.dumps({"msg": line, "talos-service": "auditd"}).encode() + b"\n" for line in log)
    (tmp_path / "node.jsonl").write_bytes(lines + b"avc: of no form" + end.encode())
    counts = analyze_files([tmp_path / "node.jsonl"])["counts"]
    assert (counts["lines"], counts["unparsed"]) == (lines.count(b"\n") + 1, 1)
    assert counts["denied"] == streams.service_log().count(b"avc:  denied")


def test_a_message_cannot_pass_for_the_kernels_line_in_a_forwarded_stream(tmp_path: Path) -> None:
    text = b'x","facility":"kern","y":"' + b"audit: audit_lost=99 audit_rate_limit=1 audit_backlog_limit=1"
    line = {"msg": streams.user(35, text).decode().rstrip("\n"), "talos-service": "auditd"}
    log = [{"msg": one.decode(), "talos-service": "auditd"} for one in streams.service_log().split(b"\n")[:-1]]
    (tmp_path / "node.jsonl").write_text("".join(json.dumps(one) + "\n" for one in [*log, line]))
    found = analyze_files([tmp_path / "node.jsonl"])
    assert found["kernel"] is None
    assert found["coverage"]["lost_at_least"] == 0


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("packed", [False, True])
def test_files_that_were_written_on_windows(encoding: str, end: str, packed: bool, tmp_path: Path) -> None:
    logs = {"auditd.log": streams.service_log(), "dmesg.log": streams.kernel_ring()}
    given = []
    for name, data in logs.items():
        text = data.decode().replace("\n", end)
        mark = "\ufeff" if encoding in ("utf-16-be", "utf-16-le") else ""
        raw = (mark + text).encode(encoding)
        given.append(tmp_path / name)
        given[-1].write_bytes(gzip.compress(raw) if packed else raw)
    found, plain = analyze_files(given), analyze(logs["auditd.log"], logs["dmesg.log"])
    assert found["counts"] == plain["counts"]
    assert found["counts"]["unparsed"] == 0 and found["unparsed_examples"] == []
    assert [one["signature"] for one in found["denials"]] == [one["signature"] for one in plain["denials"]]
    assert found["kernel"]["policy_loaded"] is True


def test_files_with_marks_that_were_joined_to_one(tmp_path: Path) -> None:
    lines = streams.service_log().splitlines(keepends=True)
    middle = next(number for number, line in enumerate(lines) if number and b"type=AVC" in line)
    file = tmp_path / "joined.log"
    file.write_bytes(b"\xef\xbb\xbf" + b"".join(lines[:middle]) + b"\xef\xbb\xbf" + b"".join(lines[middle:]))
    assert analyze_files([file])["counts"] == analyze(b"".join(lines), None)["counts"]


@pytest.mark.parametrize(
    ("raw", "form"),
    [
        (streams.service_log().decode().encode("utf-16-le"), "UTF-16 or UTF-32 without a byte order mark"),
        (streams.kernel_ring().decode().encode("utf-16-be"), "UTF-16 or UTF-32 without a byte order mark"),
        (streams.service_log().decode().encode("utf-32-be"), "UTF-16 or UTF-32 without a byte order mark"),
        (b"\x28\xb5\x2f\xfd" + bytes(100), "compressed by zstd"),
        (b"age-encryption.org/v1\n-> X25519 x", "encrypted by age"),
    ],
)
def test_a_file_that_is_no_text_is_called_what_it_is(raw: bytes, form: str, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(raw)
    with pytest.raises(LogFileProblem, match=form):
        analyze_files([tmp_path / "log"])


def test_a_vaulted_log_is_decrypted(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"$ANSIBLE_VAULT;1.1;AES256\n3132\n")
    with pytest.raises(FileProblem, match="encrypted by Ansible Vault"):
        analyze_files([tmp_path / "log"])
    with decrypting(lambda path: b"\xef\xbb\xbf" + streams.service_log()):
        found = analyze_files([tmp_path / "log"])
    assert found["counts"] == analyze(streams.service_log(), None)["counts"]


def test_a_log_that_a_crash_filled_up_with_zeros_is_read(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(bytes(4096) + b"\n" + streams.service_log())
    assert (
        analyze_files([tmp_path / "log"])["counts"]["denied"]
        == analyze(streams.service_log(), None)["counts"]["denied"]
    )


def test_a_mark_alone_is_an_empty_log(tmp_path: Path) -> None:
    for number, mark in enumerate((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"")):
        file = tmp_path / f"{number}.log"
        file.write_bytes(mark)
        assert analyze_files([file])["counts"]["lines"] == 0


@pytest.mark.parametrize("prefix", [b"", b"10.5.0.11: "])
def test_a_real_ring_that_was_kept_as_text_is_read_record_for_record(prefix: bytes, tmp_path: Path) -> None:
    file = tmp_path / "dmesg.log"
    text = real_talos.text("dmesg-read-1.txt").replace(b"10.5.0.11: ", prefix)
    file.write_bytes(text)
    found = analyze_files([file])
    assert found["counts"]["unparsed"] == 0, found["unparsed_examples"]
    assert found["counts"]["lines"] == text.count(b"Z]: ")
    assert found["kernel"]["head"].startswith("Linux version ")
    assert len(found["kernel"]["undefined_permissions"]) == 15


def test_a_long_ring_is_joined_whatever_pieces_it_comes_in() -> None:
    text = real_talos.text("dmesg-read-1.txt")
    whole = b"".join(joined([text]))
    for size in (997, 4096, 70_000):
        pieces = [text[start : start + size] for start in range(0, len(text), size)]
        assert b"".join(joined(pieces)) == whole


def test_a_record_of_the_ring_without_end_is_not_held_back() -> None:
    head = b"kern:    info: [2026-11-18T11:06:40.000000000Z]: "
    pieces = [head + b"x" * 600, b"y" * (1 << 22), b"z\n" + head + b"next\n"]
    found = list(joined(pieces))
    assert b"".join(found) == b"".join(pieces)
    assert sum(len(one) > 1 << 22 for one in found) == 1


def test_a_log_behind_a_ring_in_one_file_is_a_record_without_end_and_denials_are_unknown(tmp_path: Path) -> None:
    file = tmp_path / "both.log"
    file.write_bytes(streams.kernel_ring() + streams.service_log(5, 30))
    found = analyze_files([file])
    assert (found["denials"], found["counts"]["unparsed"], found["coverage"]["verdict"]) == (None, 1, "none")
    assert {"F1", "F26"} <= {reason["id"] for reason in found["coverage"]["reasons"]}
