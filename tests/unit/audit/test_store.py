# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The store joins reads of one stream byte for byte, never hides a hole, and survives a kill at any moment."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store import disk, join
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.boots import split_boots
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.store import (
    RING_MAY_HAVE_WRAPPED,
    AuditStore,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.stream import StoreError
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.boots import Look

BOOT = "2f1c0b9e-6d1c-4b52-9d2e-0c7a5d6f8e11"
NOTICE = b"audit backlog limit reached, some audit events may have been lost\n"
START = 1795377038


def event(serial: int, when: float, rng: random.Random) -> list[bytes]:
    mark = b"msg=audit(%.3f:%d): " % (when, serial)
    lines = [
        b"type=AVC " + mark + b"avc:  denied  { write } for  pid=%d comm=%s " % (rng.randrange(9999), name) + CONTEXTS
        for name in rng.choices([b'"cilium-agent"', b"6120622063", b'"minio"'], k=rng.choice([1, 1, 1, 3]))
    ]
    if rng.random() < 0.8:
        lines.append(b"type=SYSCALL " + mark + b"arch=c000003e syscall=257 success=yes exit=5\n")
        lines.append(b"type=EOE " + mark + b"\n")
    return lines


CONTEXTS = b"scontext=system_u:system_r:pod_t:s0 tcontext=system_u:object_r:run_t:s0 tclass=dir permissive=1\n"


def stream(seed: int = 1, events: int = 300, first: int = 21, start: float = START) -> bytes:
    """A stream with what real ones have: events of several lines, notices, torn and foreign lines, real duplicates."""
    rng = random.Random(seed)
    lines: list[bytes] = []
    serial, when = first, start
    for _unused in range(events):
        serial += rng.choice([1, 1, 1, 1, 1, 1, 2])
        when += rng.random()
        lines += event(serial, when, rng)
        match rng.randrange(40):
            case 0:
                lines += [NOTICE] * rng.choice([1, 2, 5])
            case 1:
                lines.append(b"type=USER_AVC msg=audit(%.3f:%d): pid=1 msg='torn\n" % (when, serial))
                lines.append(b"\xff\xfe not a record at all\r\n")
            case 2:
                lines.append(lines[-1])
            case 3:
                lines.append(b"\n")
    return b"".join(lines)


def stored(store: AuditStore, boot: str = BOOT, name: str = "service") -> bytes:
    return b"".join(store.read(boot).streams[name].chunks())


def borders(data: bytes) -> list[int]:
    return [0] + [index + 1 for index, byte in enumerate(data) if byte == 10]


@pytest.mark.parametrize("seed", range(200))
def test_overlapping_parts_give_the_original(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    data = stream(seed, events=60)
    at_lines = borders(data)
    cuts = [0]
    while cuts[-1] < len(data):
        cuts.append(min(len(data), cuts[-1] + rng.randrange(1, len(data) // 2)))
    parts = []
    for start, end in itertools.pairwise(cuts):
        # An overlap that proves anything holds a whole event; the cut itself may go through a line.
        begin = max(0, start - rng.randrange(2500, 6000))
        if seed % 2:
            begin = max(line for line in at_lines if line <= begin)
            end = min((line for line in at_lines if line >= end), default=end)
        parts.append(data[begin:end])
    if seed % 3 == 0:
        parts += rng.sample(parts, k=min(2, len(parts)))
    if seed % 5 == 0:
        rng.shuffle(parts)
    store = AuditStore(tmp_path)
    appended = sum(store.merge(BOOT, "service", part, begins=data.startswith(part)).appended for part in parts)
    assert stored(store) == data
    assert appended == len(data)
    log = store.read(BOOT)
    assert not log.holes
    assert b"".join(log.streams["service"].lines()) == data


def test_real_log_in_parts(tmp_path: Path) -> None:
    data = stream(7, events=4000)
    store = AuditStore(tmp_path)
    ring = 200_000
    for end in range(50_000, len(data) + 90_000, 90_000):
        end = min(end, len(data))
        result = store.merge(BOOT, "service", data[max(0, end - ring) : end], begins=end <= ring)
    assert stored(store) == data
    assert result.holes == ()
    again = store.merge(BOOT, "service", data[-ring:], begins=False)
    assert again.appended == 0


def test_second_merge_appends_only_what_is_new(tmp_path: Path) -> None:
    data = stream(3)
    half = borders(data)[400]
    store = AuditStore(tmp_path)
    assert store.merge(BOOT, "service", data[:half]).appended == half
    assert store.merge(BOOT, "service", data[:half]).appended == 0
    assert store.merge(BOOT, "service", data).appended == len(data) - half
    assert store.read(BOOT).streams["service"].reads == 3


def test_tail_joins_only_where_it_overlaps(tmp_path: Path) -> None:
    data = stream(4)
    at = borders(data)
    store = AuditStore(tmp_path)
    assert not store.joins(BOOT, "service", data[at[300] :])
    store.merge(BOOT, "service", data[: at[400]])
    assert store.joins(BOOT, "service", data[at[390] :])
    assert not store.joins(BOOT, "service", data[at[430] :])


def test_wrapped_ring_leaves_a_hole_that_stays_reported(tmp_path: Path) -> None:
    data = stream(5, events=400)
    at = borders(data)
    store = AuditStore(tmp_path)
    store.merge(BOOT, "service", data[: at[100]])
    result = store.merge(BOOT, "service", data[at[200] + 7 :], begins=False)
    assert [hole.kind for hole in result.holes] == ["gap"]
    hole = result.holes[0].as_dict()
    assert hole["after_serial"] < hole["before_serial"]
    assert hole["after"] <= hole["before"]
    assert store.merge(BOOT, "service", data[at[190] :], begins=False).holes[0].kind == "gap"
    assert len(store.read(BOOT).windows) == 2
    # What a hole cut is never read as one line with what follows.
    assert stored(store).count(b"type=") == data[: at[100]].count(b"type=") + data[at[190] :].count(b"type=")


def test_a_hole_in_the_middle_of_a_line_ends_the_line(tmp_path: Path) -> None:
    data = stream(5, events=400)
    at = borders(data)
    store = AuditStore(tmp_path)
    store.merge(BOOT, "service", data[: at[100] - 9])
    store.merge(BOOT, "service", data[at[200] + 7 :], begins=False)
    lines = list(store.read(BOOT).streams["service"].lines())
    assert data[at[99] : at[100] - 9] + b"\n" in lines
    assert data[at[200] + 7 : at[201]] in lines


def test_chance_overlap_of_a_few_bytes_hides_no_hole(tmp_path: Path) -> None:
    data = stream(6, events=400)
    ends = [line for line in borders(data)[1:] if data[line - 4 : line] == b"e=1\n"]
    store = AuditStore(tmp_path)
    store.merge(BOOT, "service", data[: ends[100]])
    # Begins with the very bytes that end what is stored.
    tail = data[ends[300] - 4 :]
    assert [hole.kind for hole in store.merge(BOOT, "service", tail, begins=False).holes] == ["gap"]


def test_a_later_read_closes_the_hole(tmp_path: Path) -> None:
    data = stream(8, events=500)
    at = borders(data)
    store = AuditStore(tmp_path)
    store.merge(BOOT, "service", data[: at[200]])
    store.merge(BOOT, "service", data[at[500] :], begins=False)
    store.merge(BOOT, "service", data[at[800] :], begins=False)
    assert store.merge(BOOT, "persisted", data[at[150] : at[520]]).holes == ()
    assert stored(store) == data


def test_missing_head_is_a_hole_until_it_is_found(tmp_path: Path) -> None:
    data = stream(9, events=400)
    at = borders(data)
    store = AuditStore(tmp_path)
    result = store.merge(BOOT, "service", data[at[200] + 3 :], begins=False)
    assert [hole.kind for hole in result.holes] == ["head"]
    result = store.merge(BOOT, "service", data[: at[300]], begins=True)
    assert result.holes == ()
    assert stored(store) == data


def test_size_says_that_the_ring_may_have_wrapped(tmp_path: Path) -> None:
    data = stream(10, events=4000)
    data = data[:RING_MAY_HAVE_WRAPPED]
    assert len(data) == RING_MAY_HAVE_WRAPPED
    store = AuditStore(tmp_path)
    assert [hole.kind for hole in store.merge(BOOT, "service", data).holes] == ["head"]
    assert store.merge("other", "service", data[:-1]).holes == ()


def test_continues_without_overlap_only_where_serials_prove_it(tmp_path: Path) -> None:
    lines = b"".join(b"type=EOE msg=audit(%d.000:%d): \n" % (START + n, n) for n in range(1, 41))
    at = borders(lines)
    store = AuditStore(tmp_path)
    store.merge(BOOT, "service", lines[: at[20]])
    assert store.merge(BOOT, "service", lines[at[20] :], begins=False).holes == ()
    assert stored(store) == lines
    store.merge("b2", "service", lines[: at[20]])
    assert len(store.merge("b2", "service", lines[at[21] :], begins=False).holes) == 1
    store.merge("b3", "service", lines[: at[20]])
    cut = b"rest of a line\n" + lines[at[20] :]
    assert len(store.merge("b3", "service", cut, begins=False).holes) == 1, "what stood before the cut is not known"


def test_a_read_closes_a_hole_in_which_nothing_was_missing(tmp_path: Path) -> None:
    """The kernel gave a number to nobody: until a read covers both sides nothing says so."""
    made = [b"type=EOE msg=audit(%d.000:%d): \n" % (START + n, n) for n in range(1, 61) if n != 21]
    store = AuditStore(tmp_path)
    store.merge(BOOT, "service", b"".join(made[:20]))
    assert len(store.merge(BOOT, "service", b"".join(made[20:40]), begins=False).holes) == 1
    result = store.merge(BOOT, "service", b"".join(made))
    assert (result.holes, result.appended) == ((), len(b"".join(made[40:])))
    assert stored(store) == b"".join(made)


def test_an_older_and_shorter_read_is_found_far_back(tmp_path: Path) -> None:
    made = [b"type=BPF msg=audit(%d.000:%d): %s\n" % (START + n, n, b"0" * 200) for n in range(1, 7001)]
    store = AuditStore(tmp_path)
    store.merge(BOOT, "service", b"".join(made), begins=True)
    result = store.merge(BOOT, "service", b"".join(made[500:600]), begins=False)
    assert (result.appended, result.holes) == (0, ())
    assert stored(store) == b"".join(made)


def test_a_line_beyond_a_piece_comes_in_parts(tmp_path: Path) -> None:
    data = b"x" * (5 << 19) + b"\nend"
    store = AuditStore(tmp_path)
    store.merge(BOOT, "service", data)
    parts = list(store.read(BOOT).streams["service"].lines())
    assert b"".join(parts) == data
    assert [part[-1:] for part in parts] == [b"x", b"\n", b"d"]


def test_a_time_outside_the_calendar_is_told_in_seconds(tmp_path: Path) -> None:
    store = AuditStore(tmp_path)
    store.merge(BOOT, "service", b"type=EOE msg=audit(999999999999.000:7): \n", begins=False)
    assert store.read(BOOT).windows[0]["from"] == "999999999999 s after 1970"


@pytest.mark.parametrize("sources", [["other"], ["service", "persisted"], ["service", "other"]])
def test_sources_that_are_none_or_of_one_stream_are_refused(sources: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one for each stream"):
        AuditStore(tmp_path).merge_all(BOOT, dict.fromkeys(sources, stream(1, events=3)))
    assert list(tmp_path.iterdir()) == []


def test_notices_alone_are_a_stream_too(tmp_path: Path) -> None:
    store = AuditStore(tmp_path)
    data = NOTICE + NOTICE + stream(2, events=5)
    for end in (len(NOTICE), 2 * len(NOTICE), len(data)):
        assert store.merge(BOOT, "service", data[:end]).holes == ()
    assert stored(store) == data


def test_empty_reads_count_but_store_nothing(tmp_path: Path) -> None:
    store = AuditStore(tmp_path)
    assert store.merge(BOOT, "service", b"").appended == 0
    log = store.read(BOOT)
    assert (log.streams["service"].reads, log.streams["kernel"].reads) == (1, 0)
    assert (log.size, log.first_serial, log.last_serial, log.windows) == (0, None, None, [])


def test_windows_tell_the_time_covered(tmp_path: Path) -> None:
    data = stream(11, events=300)
    at = borders(data)
    store = AuditStore(tmp_path)
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    store.merge(BOOT, "service", data[: at[100]], collected_at=noon)
    store.merge(BOOT, "service", data[: at[200]], collected_at=noon.replace(hour=13))
    window = store.read(BOOT).windows[0]
    assert (window["from"], window["to"]) == (None, "2026-11-22T13:00:00Z")
    log = store.read(BOOT)
    assert (window["first_serial"], window["last_serial"]) == (log.first_serial, log.last_serial)
    store.merge(BOOT, "service", data[: at[50]], collected_at=noon.replace(hour=14))
    assert store.read(BOOT).windows[0]["to"] == "2026-11-22T13:00:00Z", "an old part proves nothing about later"


def test_reboot_starts_a_stream_of_its_own(tmp_path: Path) -> None:
    one, two = stream(12), stream(13, start=START + 90000)
    store = AuditStore(tmp_path)
    store.merge("boot-1", "service", one)
    store.merge("boot-2", "service", two)
    assert (stored(store, "boot-1"), stored(store, "boot-2")) == (one, two)
    assert store.boots() == ["boot-1", "boot-2"]


def test_records_of_another_boot_are_refused(tmp_path: Path) -> None:
    store = AuditStore(tmp_path)
    store.merge(BOOT, "service", stream(12, events=400, first=5000))
    with pytest.raises(StoreError) as caught:
        store.merge(BOOT, "service", stream(13, events=50, first=3, start=START + 90000))
    assert "another" in str(caught.value)
    assert store.read(BOOT).streams["service"].reads == 1


def test_forged_numbers_do_not_pass_a_read_off_as_another_boot(tmp_path: Path) -> None:
    data = stream(14, events=400, first=5000)
    at = borders(data)
    forged = b"type=AVC msg=audit(4000000000.000:3): avc:  denied  { x } for  pid=1 " + CONTEXTS
    store = AuditStore(tmp_path)
    store.merge(BOOT, "service", data[: at[100]])
    result = store.merge(BOOT, "service", forged + data[at[300] :], begins=False)
    assert len(result.holes) == 1


def test_a_boot_id_names_the_boot(tmp_path: Path) -> None:
    assert AuditStore(tmp_path).boot_key(Look(BOOT, 1000)) == BOOT


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "a\n", ".hidden", "x" * 200])
def test_boot_ids_cannot_leave_the_directory(name: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not a plain name"):
        AuditStore(tmp_path).merge(name, "service", b"x")


def test_split_boots() -> None:
    boots = [stream(seed, events=80, start=START + seed * 90000) for seed in (20, 21, 22)]
    assert split_boots(b"".join(boots)) == boots
    forged = b"type=AVC msg=audit(1700000001.000:3): avc:  denied  { x } for  pid=1 " + CONTEXTS
    one = stream(23, events=200, first=900)
    middle = borders(one)[150]
    assert len(split_boots(one[:middle] + forged + one[middle:])) == 1
    assert split_boots(b"") == [b""]


def test_a_line_of_two_records_is_cut_from_an_older_boot_once() -> None:
    older = b"".join(b"audit(1.000:%d)\n" % serial for serial in range(1000, 1010))
    newer = b"audit(2.000:200) audit(2.000:100)\n" + b"".join(b"audit(2.000:%d)\n" % n for n in range(101, 110))
    assert split_boots(older + newer) == [older, newer]


def test_persisted_file_of_several_boots(tmp_path: Path) -> None:
    boots = [stream(seed, events=200, start=START + seed * 90000) for seed in (30, 31)]
    data = b"".join(boots)
    ring = boots[1][borders(boots[1])[300] :]
    store = AuditStore(tmp_path)
    assert [h.kind for h in store.merge(BOOT, "service", ring, begins=False).holes] == ["head"]
    assert store.merge(BOOT, "persisted", data).other_boots == len(boots[0])
    assert stored(store) == boots[1]


def test_a_persisted_file_that_has_nothing_of_this_boot(tmp_path: Path) -> None:
    """Talos writes it when /var is there; until then it ends with the boot before, whatever the clock said then."""
    before, now = stream(30, events=200, start=START + 90000), stream(31, events=5, first=3, start=START)
    for ring in (now, b""):
        store = AuditStore(tmp_path / str(len(ring)))
        store.merge(BOOT, "service", ring)
        assert store.merge(BOOT, "persisted", before).other_boots == len(before)
        assert stored(store) == ring


def test_damage_is_noticed_and_never_read_as_evidence(tmp_path: Path) -> None:
    store = AuditStore(tmp_path)
    store.merge(BOOT, "service", stream(40))
    path = tmp_path / BOOT / "service.log"
    good = path.read_bytes()
    for bad in (good[:-1], good[:100] + b"X" + good[101:], b"", None):
        path.unlink() if bad is None else path.write_bytes(bad)
        with pytest.raises(StoreError, match=r"service\.log is missing, cut short or was changed"):
            stored(store)
        if bad is None or len(bad) < 200:
            with pytest.raises(StoreError, match=r"service\.log is missing, cut short or was changed"):
                store.merge(BOOT, "service", good)
    path.write_bytes(good)
    for text in ("{", "[]", '{"schema": 9}'):
        (tmp_path / BOOT / "service.json").write_text(text)
        with pytest.raises(StoreError, match=r"service\.json is missing, cut short or was changed"):
            store.read(BOOT)
    (tmp_path / BOOT / "service.json").unlink()
    with pytest.raises(StoreError, match=r"service\.json is missing, cut short or was changed"):
        store.read(BOOT)


def test_long_streams_without_any_mark_take_linear_time(tmp_path: Path) -> None:
    store = AuditStore(tmp_path)
    store.merge(BOOT, "service", b"a" * 300_000 + b"b")
    assert stored(store) == b"a" * 300_000 + b"b"
    store.merge(BOOT, "service", b"a" * 300_000 + b"c", begins=False)
    assert len(store.read(BOOT).windows) == 2


def _child(work: Callable[[], object]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def test_kill_at_fifty_random_moments_loses_nothing_stored(tmp_path: Path) -> None:
    data = stream(50, events=900)
    at = borders(data)
    rng = random.Random(50)
    killed = 0
    for turn in range(50):
        directory = tmp_path / str(turn)
        receive, send = os.pipe()

        def collect(directory: Path = directory, send: int = send) -> None:
            store = AuditStore(directory)
            for line in range(20, len(at), 20):
                store.merge(BOOT, "service", data[at[max(0, line - 200)] : at[line]], begins=line <= 200)
                os.write(send, b"%d\n" % at[line])

        pid = _child(collect)
        os.close(send)
        with os.fdopen(receive, "rb", buffering=0) as pipe:
            # The moment is counted in merges, so that every kill hits a collector at work on any machine.
            heard = b""
            wanted = rng.randrange(60)
            while heard.count(b"\n") < wanted:
                heard += os.read(receive, 1 << 16)
            time.sleep(rng.random() * 0.003)
            os.kill(pid, signal.SIGKILL)
            _unused, status = os.waitpid(pid, 0)
            killed += os.WIFSIGNALED(status)
            acknowledged = [int(line) for line in (heard + pipe.read()).split()]
        store = AuditStore(directory)
        content = stored(store)
        assert data.startswith(content)
        assert len(content) >= max(acknowledged, default=0)
        assert not store.read(BOOT).holes
        store.merge(BOOT, "service", data)
        assert stored(store) == data
    assert killed >= 25, "most of the kills must hit a collector at work"


@pytest.mark.parametrize("step", ["write", "sync", "state", "rename", "one of two"])
def test_kill_between_the_steps_of_a_commit(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = stream(51)
    half = borders(data)[300]
    store = AuditStore(tmp_path)
    one = b"kern:  notice: [2026-11-22T12:00:00Z]: audit: type=1400 audit(1795348800.000:1): avc\n"
    two = one + b"kern:    info: [2026-11-22T12:00:01Z]: eth0: link up\n"
    store.merge_all(BOOT, {"service": data[:half], "kernel": one})

    class Killed(BaseException):
        pass

    real, renamed = disk.write, Path.replace

    def half_a_write(descriptor: int, content: bytes, offset: int) -> None:
        real(descriptor, content[: len(content) // 2], offset)
        raise Killed

    def stop(*_unused: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        match step:
            case "write":
                patch.setattr(join, "write", half_a_write)
            case "sync":
                patch.setattr(os, "fsync", stop)
            case "state":
                patch.setattr(join, "write_states", stop)
            case "rename":
                patch.setattr(Path, "replace", stop)
            case "one of two":
                patch.setattr(Path, "replace", lambda path, target: (renamed(path, target), stop()))
        with pytest.raises(Killed):
            store.merge_all(BOOT, {"service": data, "kernel": two})
    # Each stream is as it was before or after, and none is torn.
    assert stored(store) == (data if step == "one of two" else data[:half])
    assert b"".join(store.read(BOOT).streams["kernel"].chunks()) == one
    again = store.merge_all(BOOT, {"service": data, "kernel": two})
    assert again["service"].appended == (0 if step == "one of two" else len(data) - half)
    assert b"".join(store.read(BOOT).streams["kernel"].chunks()) == two
    assert stored(store) == data


def test_two_collectors_at_once(tmp_path: Path) -> None:
    data = stream(60, events=600)
    at = borders(data)

    def collect(seed: int) -> None:
        rng = random.Random(seed)
        store = AuditStore(tmp_path)
        line = 0
        while line < len(at) - 1:
            line = min(len(at) - 1, line + rng.randrange(5, 60))
            store.merge(BOOT, "service", data[: at[line]])

    children = [_child(lambda seed=seed: collect(seed)) for seed in (1, 2, 3)]
    reader = AuditStore(tmp_path)
    while children:
        content = stored(reader)
        assert data.startswith(content)
        children = [pid for pid in children if os.waitpid(pid, os.WNOHANG)[0] == 0]
    assert stored(reader) == data
    assert not reader.read(BOOT).holes
