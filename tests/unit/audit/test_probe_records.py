# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records of a probe: exactly its own are left out, whatever else looks like them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.analysis import analyze
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.coverage_logs import read_both
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.probe import attributed, caused, leave_out
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.summary import Summary
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store import probes
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.judgement import analyze_stored, rehearsal
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.store import AuditStore

PIDS = {"pid1": 500, "machined": 510, "state": 520}
TARGETS = {
    "strace": ("init_t", "process", "ptrace"),
    "self": ("pod_t", "process", "ptrace"),
    "socat": ("machine_socket_t", "sock_file", "write"),
    "dd": ("system_state_t", "file", "read"),
}


def line(tool: str, pid: int, serial: int, *, at: str = "1000.500", **changes: str) -> bytes:
    target, tclass, permission = TARGETS[tool]
    known = {"comm": "strace" if tool == "self" else tool, "source": "pod_t", "target": target, "tclass": tclass}
    known |= {"permission": permission, "permissive": "0", **changes}
    return (
        f"type=AVC msg=audit({at}:{serial}): avc:  denied  {{ {known['permission']} }} for  pid={pid}"
        f' comm="{known["comm"]}" scontext=system_u:system_r:{known["source"]}:s0'
        f" tcontext=system_u:object_r:{known['target']}:s0 tclass={known['tclass']} permissive={known['permissive']}"
    ).encode()


OWN = [line("self", 501, 10), line("strace", 500, 11), line("socat", 510, 12), line("dd", 520, 13)]
FILLING = [
    f"type=BPF msg=audit(1000.1{n:02d}:{n}): prog-id={n} op=LOAD\ntype=EOE msg=audit(1000.1{n:02d}:{n}): ".encode()
    for n in range(1, 10)
]


def log(*lines: bytes) -> bytes:
    return b"".join(one + b"\n" for one in lines)


def mine(*lines: bytes) -> list[bytes]:
    return [record.line for record in attributed(log(*lines), PIDS, 1000.0, 1010.0)]


def test_every_record_of_the_probe_is_attributed():
    assert sorted(mine(*FILLING, *OWN)) == sorted(OWN)


@pytest.mark.parametrize(
    "other",
    [
        line("socat", 511, 20),
        line("socat", 510, 20, at="999.999"),
        line("socat", 510, 20, at="1010.000"),
        line("socat", 510, 20, comm="curl"),
        line("socat", 510, 20, source="kubelet_t"),
        line("socat", 510, 20, target="run_t"),
        line("socat", 510, 20, tclass="file"),
        line("socat", 510, 20, permission="write read"),
        line("socat", 510, 20, permissive="1"),
        line("dd", 520, 20, permission="write"),
        line("strace", 501, 20),
        line("self", 509, 20),
        line("self", 499, 20),
        line("socat", 510, 20).replace(b"type=AVC", b"type=USER_AVC"),
        line("socat", 510, 20).replace(b"denied", b"granted"),
        line("socat", 510, 20) + b"'",
        line("socat", 510, 20) + b" trawcon=x:y:z",
        line("socat", 510, 20).replace(b'"socat"', b'"so\xffcat"'),
        b"node: " + line("socat", 510, 20),
    ],
)
def test_what_another_process_or_another_time_wrote_is_not_attributed(other):
    assert mine(*OWN, other) == mine(*OWN)
    assert mine(other) == []


def test_more_than_an_attempt_can_cause_hides_nothing():
    """Somebody who knows the process number writes a record that fits: neither is known to be the probe's."""
    forged = line("socat", 510, 21)
    assert sorted(mine(*OWN, forged)) == sorted([OWN[0], OWN[1], OWN[3]])
    assert mine(*[line("self", 501 + n, 30 + n) for n in range(3)]) == []


def summarize(data: Any, *, kernel: bytes | None = None, probed: Sequence[bytes] = ()) -> Summary:
    found, _kernel = read_both(data, kernel, probed=probed)
    assert found is not None
    # Once more changes nothing.
    counts = dict(found.counts)
    again, _kernel = read_both(found, None, probed=probed)
    assert again is not None
    assert again.counts == counts
    return found


@pytest.mark.parametrize("chunk", [1, 7, 100, 10_000])
def test_own_records_are_counted_as_such_and_as_nothing_else(chunk):
    real = line("socat", 999, 14, at="1003.000")
    data = log(*FILLING, *OWN, real)
    pieces = [data[start : start + chunk] for start in range(0, len(data), chunk)]
    summary, plain = summarize(pieces, probed=OWN), summarize(data)
    assert (summary.counts["probe"], summary.counts["denied"]) == (4, 1)
    assert [(one["signature"], one["count"], one["enforced"]) for one in summary.denials] == [
        ("pod_t:machine_socket_t:sock_file:write", 1, 1)
    ]
    assert [sample["serial"] for sample in summary.denials[0]["samples"]] == [14]
    # The numbers stay: nothing of the log is missing.
    assert (summary.seen, summary.counts["events"]) == (plain.seen, plain.counts["events"])
    assert plain.counts["probe"] == 0
    assert plain.counts["denied"] == 5


def test_a_record_that_is_not_in_the_log_takes_no_other_ones_place():
    real = [line("socat", 510, number, at="1005.000") for number in (14, 15)]
    found = summarize(log(*FILLING, *real), probed=[*OWN, line("socat", 510, 14, at="1005.001")])
    assert (found.counts["probe"], found.counts["denied"]) == (0, 2)


def test_a_record_that_was_not_counted_is_not_taken_out():
    found = read_both(log(*FILLING, OWN[3]), None)[0]
    before = dict(found.counts)
    leave_out(found, [OWN[2], b"no record"])
    assert (found.counts, len(found.groups)) == (before, 1)


def test_a_copy_of_a_record_is_counted():
    found = summarize(log(*FILLING, *OWN, OWN[2]), probed=OWN)
    assert found.counts["denied"] == 1


def test_a_record_that_the_kernel_tells_otherwise_stays_counted():
    """Two records under one number are not both the kernel's, so the probe's own may be the forged one."""
    told = line("socat", 510, 12, target="run_t").partition(b" msg=")[2]
    kernel = b"kern:  notice: [2026-11-22T12:00:00.000000000Z]: audit: type=1400 " + told + b"\n"
    assert summarize(log(*FILLING, *OWN), kernel=kernel, probed=OWN).counts["probe"] == 3
    same = kernel.replace(b"run_t", b"machine_socket_t")
    assert summarize(log(*FILLING, *OWN), kernel=same, probed=OWN).counts["probe"] == 4


def test_a_line_that_ends_early_is_not_the_record():
    data = log(*FILLING, *OWN)[:-1]
    assert summarize(data, probed=OWN).counts["probe"] == 3
    cut = log(*FILLING, *OWN[:3]) + OWN[3][:-1]
    assert summarize(cut, probed=OWN).counts["probe"] == 3


def test_a_record_within_a_message_of_a_process_stays_counted():
    """A process can write lines of any content as its message; these are doubtful, and none of them is left out."""
    message = b"type=USER_CMD msg=audit(1000.400:9): pid=7 uid=0 msg='x\n" + OWN[2] + b"\nres=success'\n"
    data = log(*FILLING[:8]) + message
    with_it, without = summarize(data, probed=OWN), summarize(data)
    assert with_it.counts["denied"] == without.counts["denied"]
    assert with_it.counts["probe"] == 0


def document(**changes: Any) -> dict[str, Any]:
    known = {
        "schema": 1,
        "kind": "enforcement-probe",
        "id": "0123456789abcdef",
        "machine": {"uuid": "u", "identity": "i"},
        "boot_id": "b",
        "started_at": "2026-11-22T12:00:00Z",
        "expires_at": "2026-11-22T12:04:00Z",
        "finished_at": "2026-11-22T12:01:00Z",
        "outcome": "refused",
        "attempts": [{"id": "pid1", "outcome": "refused", "observed": "x"}],
        "records": [one.decode() for one in OWN],
    }
    return known | changes


def test_a_stored_boot_is_judged_without_the_records_of_its_probes(tmp_path: Path):
    store = AuditStore(tmp_path / "node")
    real = line("dd", 999, 14, at="1003.000")
    store.merge("boot", "service", log(*FILLING, *OWN, real))
    before = analyze_stored(store.read("boot"))
    store.keep_probe("boot", document())
    after = analyze_stored(store.read("boot"))
    assert (before["counts"]["denied"], before["counts"]["probe"]) == (5, 0)
    assert (after["counts"]["denied"], after["counts"]["probe"]) == (1, 4)
    assert [denial["signature"] for denial in after["denials"]] == ["pod_t:system_state_t:file:read"]
    assert before["coverage"]["reasons"] == after["coverage"]["reasons"]
    # Another boot of the same machine knows nothing of it.
    store.merge("other", "service", log(*FILLING, *OWN))
    assert analyze_stored(store.read("other"))["counts"]["denied"] == 4


@pytest.mark.parametrize(
    "change",
    [
        {"records": [line("socat", 1, 2, source="kubelet_t").decode()]},
        {"records": [one.decode() for one in OWN] * 2},
        {"records": ["avc"]},
        {"records": None},
        {"kind": "other"},
        {"schema": 2},
        {"id": "0123456789abcdeg"},
        {"started_at": "yesterday"},
        {"finished_at": 5},
        {"expires_at": "2026-11-22T12:04:00"},
        {"machine": None},
        {"attempts": [{"id": "pid1"}]},
        {"outcome": None},
    ],
)
def test_a_document_of_another_form_explains_nothing(tmp_path: Path, change: dict[str, Any]):
    place = probes.keep(tmp_path, document())
    assert len(probes.load(tmp_path)) == 1
    changed = document(**change)
    from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import canonical_json, sealed

    place.write_bytes(canonical_json(sealed(changed)))
    assert probes.load(tmp_path) == []


def test_a_document_that_was_changed_explains_nothing(tmp_path: Path):
    place = probes.keep(tmp_path, document())
    place.write_bytes(place.read_bytes().replace(b"pid=510", b"pid=511"))
    assert probes.load(tmp_path) == []
    place.write_bytes(b"\xff{")
    assert probes.load(tmp_path) == []


def test_a_probe_is_under_way_until_it_ended_or_its_time_is_over():
    assert probes.open_until([document()]) is None
    end = dt.datetime(2026, 11, 22, 12, 4, tzinfo=dt.UTC).timestamp()
    assert probes.open_until([document(), document(finished_at=None)]) == end
    long = document(finished_at=None, expires_at="2027-11-22T12:00:00Z")
    assert probes.open_until([long]) == dt.datetime(2026, 11, 22, 13, tzinfo=dt.UTC).timestamp()


def test_analysis_of_one_read_knows_nothing_of_probes():
    assert analyze(log(*FILLING, *OWN), None)["counts"]["denied"] == 4


def test_a_record_is_read_whole():
    record = caused(OWN[2])
    assert record is not None
    assert (record.serial, record.time, record.pid, record.kind.attempt) == (12, 1000.5, 510, "machined")


def test_check_mode_knows_the_probes(tmp_path: Path):
    store = AuditStore(tmp_path / "node")
    store.merge("boot", "service", log(*FILLING, *OWN))
    store.keep_probe("boot", document())
    with rehearsal(store, "boot") as copy:
        assert copy.probes("boot") == store.probes("boot") != []
        assert analyze_stored(copy.read("boot"))["counts"] == analyze_stored(store.read("boot"))["counts"]


@pytest.mark.parametrize("name", ["../0123456789abcdef", "0123456789ABCDEF", "0123456789abcdef\n", ""])
def test_a_probe_of_another_name_is_not_kept(tmp_path: Path, name: str):
    with pytest.raises(ValueError, match="is no id of a probe"):
        probes.keep(tmp_path, document(id=name))
    assert list(tmp_path.iterdir()) == []
