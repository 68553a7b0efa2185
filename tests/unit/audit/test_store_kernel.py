# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads of the kernel ring are joined record for record, though the time of every record moves with every read."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
import real_talos
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log import ring
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.store import AuditStore
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.stream import StoreError
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import wire
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.boots import Look

BOOT = "2f1c0b9e-6d1c-4b52-9d2e-0c7a5d6f8e11"
START = 1_795_000_000
AVC = (
    'avc:  denied  { write } for  pid=9 comm="a" scontext=system_u:system_r:pod_t:s0'
    " tcontext=system_u:object_r:run_t:s0 tclass=dir permissive=1"
)
Entry = tuple[float, str, str]
"""A record: seconds after boot, facility and priority, text."""


def entries(count: int = 400, seed: int = 1, start: int = START) -> list[Entry]:
    """What a node's ring holds over time: the boot, audit records, repeated lines, followers, records of two lines."""
    draw = random.Random(seed)
    made: list[Entry] = [(0.0, "kern:  notice", f"Linux version 6.18.5-talos #{seed}")]
    when, serial = 0.5, 0
    while len(made) < count:
        when += draw.random() * 3
        match draw.randrange(8):
            case 0:
                serial += 1
                made.append((when, "kern:  notice", f"audit: type=1400 audit({start + when:.3f}:{serial}): {AVC}"))
            case 1:
                made.append((when, "kern:    info", f"acpi {len(made)}: text\n SUBSYSTEM=acpi\n DEVICE=+acpi:PNP"))
            case 2:
                made.append((when, "kern:  notice", f"calibrate {len(made)} failed.\nProbably due to interrupts."))
            case 3 | 4:
                made.append((when, "user: warning", "[talos] hello failed"))
            case _:
                made.append((when, "user: warning", f"[talos] service[x{draw.randrange(50)}](Running): up"))
    return made


def read(made: list[Entry], *, boot: float = START, seed: int = 0) -> bytes:
    """One read: each record's time wavers by itself below a second, and the time is printed without trailing zeros."""
    draw = random.Random(seed)
    records = []
    for when, head, text in made:
        moment = boot + when - draw.random()
        fraction = f"{moment % 1:.9f}"[1:].rstrip("0").rstrip(".")
        stamp = datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%S") + fraction
        records.append(f"{head}: [{stamp}Z]: {text}\n".encode())
    return ring.lines(records)


def look(step: float = 0, uptime: float = 3600) -> Look:
    return Look(boot_time=int(START + step), cpu_seconds=uptime, processes=int(uptime), at=START + uptime)


def keys(store: AuditStore, boot: str = BOOT) -> list[bytes]:
    return [ring.key(line.rstrip(b"\n")) for line in store.read(boot).streams["kernel"].lines()]


def wanted(made: list[Entry]) -> list[bytes]:
    return [ring.key(line) for line in read(made).split(b"\n")[:-1]]


def recorded(state: str) -> list[bytes]:
    answer = next(one for one in real_talos.answers(state) if one.method.endswith("/Dmesg"))
    return [wire.message("common.Data").FromString(message).bytes for message in answer.messages]


def test_an_unchanged_ring_is_stored_once(tmp_path: Path) -> None:
    made = entries()
    store = AuditStore(tmp_path)
    store.merge(BOOT, "kernel", read(made, seed=1), looks=(look(),))
    for seed in range(2, 22):
        result = store.merge(BOOT, "kernel", read(made, seed=seed), looks=(look(),))
        assert (result.appended, result.holes) == (0, ())
    assert keys(store) == wanted(made)


@pytest.mark.parametrize("states", [("permissive", "permissive-reader"), ("permissive-reader", "permissive")])
def test_two_real_reads_of_one_ring(states: tuple[str, str], tmp_path: Path) -> None:
    store = AuditStore(tmp_path)
    for state in states:
        holes = store.merge(BOOT, "kernel", ring.lines(recorded(state))).holes
    longest = max((recorded(state) for state in states), key=len)
    assert holes == ()
    assert keys(store) == [ring.key(line) for line in ring.lines(longest).split(b"\n")[:-1]]


def test_three_real_reads_that_were_kept_as_text(tmp_path: Path) -> None:
    store = AuditStore(tmp_path)
    for number in (1, 2, 3):
        text = real_talos.text(f"dmesg-read-{number}.txt").replace(b"10.5.0.11: ", b"")
        result = store.merge(BOOT, "kernel", b"".join(ring.joined([text])))
    assert result.holes == ()
    assert len(keys(store)) == text.count(b"Z]: ")
    assert store.merge(BOOT, "kernel", b"".join(ring.joined([text]))).appended == 0


def test_records_of_another_real_boot_are_a_conflict(tmp_path: Path) -> None:
    store = AuditStore(tmp_path)
    store.merge(BOOT, "kernel", ring.lines(recorded("permissive")))
    result = store.merge(BOOT, "kernel", ring.lines(recorded("permissive-uki-factory")))
    assert [hole.kind for hole in result.holes] == ["conflict"]


STEPS = [0, 90, -90, 4379, -4379, 30 * 3600, -30 * 3600]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("ring_size", [400, 120, 40])
def test_a_ring_that_is_trimmed_and_grows_while_the_clock_is_stepped(step: int, ring_size: int, tmp_path: Path) -> None:
    made = entries(1000)
    store = AuditStore(tmp_path)
    draw = random.Random(ring_size)
    end = stepped = 0
    while end < len(made):
        end = min(len(made), end + draw.randrange(0, ring_size - 5))
        moved = step if draw.random() < 0.3 else 0
        stepped += moved
        looks = (look(stepped - moved), look(stepped))
        data = read(made[max(0, end - ring_size) : end], boot=START + stepped, seed=end)
        assert store.merge(BOOT, "kernel", data, looks=looks).holes == ()
    assert keys(store) == wanted(made)


def test_a_ring_of_repeated_lines_alone_is_told_by_their_times(tmp_path: Path) -> None:
    made = [(10.0 * n, "user: warning", "[talos] hello failed") for n in range(700)]
    store = AuditStore(tmp_path)
    for end in range(50, 500, 37):
        data = read(made[end - 50 : end], boot=START + 40 * end, seed=end)
        result = store.merge(BOOT, "kernel", data, begins=end == 50, looks=(look(40 * end),))
        assert result.holes == ()
    assert len(keys(store)) == end
    # All that was stored is overwritten, by lines that look the same.
    gone = store.merge(BOOT, "kernel", read(made[end + 40 :], boot=START + 40 * end), looks=(look(40 * end),))
    assert [hole.kind for hole in gone.holes] == ["gap"]


@pytest.mark.parametrize("texts", [["nvme0: timeout"], ["nvme0: timeout", "nvme0: reset"]])
@pytest.mark.parametrize("step", [0, 4379, -4379])
def test_a_ring_full_of_a_message_is_stored_once(texts: list[str], step: int, tmp_path: Path) -> None:
    """More is new than the nearest places that two ends could meet at, and no record tells which it is."""
    made = [(10.0 * n, "kern:     err", texts[n % len(texts)]) for n in range(900)]
    store = AuditStore(tmp_path)
    for number, end in enumerate((300, 300, 420, 540, 540, 800)):
        data = read(made[end - 300 : end], boot=START + step * number, seed=end + number)
        result = store.merge(BOOT, "kernel", data, begins=end == 300, looks=(look(step * number),))
        assert result.holes == ()
    assert len(keys(store)) == 800


def test_one_repeated_line_in_common_joins_nothing_when_its_time_says_otherwise(tmp_path: Path) -> None:
    made = [*entries(100, 1), (900.0, "kern:    info", "eth0: link down")]
    later = [(9000.0, "kern:    info", "eth0: link down"), (9001.0, "kern:    info", "eth0: link up")]
    store = AuditStore(tmp_path)
    store.merge(BOOT, "kernel", read(made), looks=(look(),))
    assert [hole.kind for hole in store.merge(BOOT, "kernel", read(later), looks=(look(),)).holes] == ["gap"]
    assert len(keys(store)) == len(made) + 2


def test_a_wrapped_ring_leaves_a_hole(tmp_path: Path) -> None:
    made = entries(900)
    store = AuditStore(tmp_path)
    store.merge(BOOT, "kernel", read(made[:300]), looks=(look(),))
    holes = store.merge(BOOT, "kernel", read(made[400:700], seed=2), looks=(look(),)).holes
    assert [hole.kind for hole in holes] == ["gap"]
    holes = store.merge(BOOT, "kernel", read(made[650:], seed=3), looks=(look(),)).holes
    assert [hole.kind for hole in holes] == ["gap"], "an old hole stays one"
    holes = store.merge(BOOT, "kernel", read(made[250:450], seed=4), looks=(look(),)).holes
    assert holes == (), "another collector's read fills it"
    assert keys(store) == wanted(made)


def test_a_first_read_without_the_kernel_s_first_line_has_lost_its_head(tmp_path: Path) -> None:
    store = AuditStore(tmp_path)
    assert [hole.kind for hole in store.merge(BOOT, "kernel", read(entries()[5:])).holes] == ["head"]


def test_a_ring_without_audit_records_has_no_serials(tmp_path: Path) -> None:
    store = AuditStore(tmp_path)
    store.merge(BOOT, "kernel", read([entry for entry in entries() if "audit: " not in entry[2]]))
    log = store.read(BOOT)
    assert log.size > 0
    assert (log.first_serial, log.last_serial) == (None, None)


def test_a_first_line_that_a_process_wrote_is_none(tmp_path: Path) -> None:
    forged = [(0.0, "user:  notice", "Linux version 6.18.5-talos"), *entries()[5:]]
    assert [hole.kind for hole in AuditStore(tmp_path).merge(BOOT, "kernel", read(forged)).holes] == ["head"]


def test_a_record_that_differs_is_a_conflict(tmp_path: Path) -> None:
    made = entries()
    store = AuditStore(tmp_path)
    store.merge(BOOT, "kernel", read(made), looks=(look(),))
    place = next(n for n, entry in enumerate(made) if "audit: type=1400" in entry[2])
    other = list(made)
    other[place] = (made[place][0], made[place][1], made[place][2].replace("write", "unlink"))
    holes = store.merge(BOOT, "kernel", read(other, seed=2), looks=(look(),)).holes
    assert [hole.kind for hole in holes] == ["conflict"]


def test_a_reader_that_was_overtaken_by_the_writer(tmp_path: Path) -> None:
    """It got some records, then those behind them were overwritten, and it went on where the ring begins now."""
    made = entries(600)
    store = AuditStore(tmp_path)
    store.merge(BOOT, "kernel", read(made[:400]), looks=(look(),))
    torn = read([*made[200:207], *made[215:500]], seed=2)
    assert store.merge(BOOT, "kernel", torn, looks=(look(),)).holes == ()
    assert keys(store) == wanted(made[:500])


def test_a_cleared_ring_and_an_empty_read(tmp_path: Path) -> None:
    made = entries()
    store = AuditStore(tmp_path)
    store.merge(BOOT, "kernel", read(made), looks=(look(),))
    assert store.merge(BOOT, "kernel", b"", looks=(look(),)).holes == ()
    after = read([(5000.0, "kern:    info", "eth1: renamed")])
    assert [hole.kind for hole in store.merge(BOOT, "kernel", after, looks=(look(),)).holes] == ["gap"]


def test_a_process_moves_no_mark(tmp_path: Path) -> None:
    made = entries(60)
    forged = (500.0, "user:  notice", f"audit: type=1400 audit({START + 9}.000:99999): {AVC}")
    store = AuditStore(tmp_path)
    store.merge(BOOT, "kernel", read([*made, forged]))
    last = store.read(BOOT).streams["kernel"].segments[-1].last
    assert last is not None and last.serial < 99999


def test_a_boot_without_an_id_is_found_again_after_a_clock_step(tmp_path: Path) -> None:
    store = AuditStore(tmp_path)
    first = look()
    key = store.boot_key(first)
    store.merge(key, "kernel", read(entries()), looks=(first,))
    for step in (90, 4379, -7200):
        assert store.boot_key(look(step, uptime=9000)) == key
    other = Look(boot_time=START, cpu_seconds=50.0, processes=40, at=START + 9000)
    again = store.boot_key(other)
    assert again != key, "the clock of a machine without a battery says the same after a reboot"
    store.merge(again, "kernel", read(entries(seed=2)), looks=(other,))
    assert sorted(store.boots()) == sorted([key, again])


def test_a_boot_that_is_not_known_is_nobody_s(tmp_path: Path) -> None:
    store = AuditStore(tmp_path)
    with pytest.raises(StoreError, match="neither the boot id nor the boot time"):
        store.boot_key(Look())


@pytest.mark.parametrize("head", [b"", b"kern:    info: [2026-99-99T12:00:00.000000000Z]: "])
def test_repeated_lines_without_a_readable_time_join_nothing(head: bytes, tmp_path: Path) -> None:
    store = AuditStore(tmp_path)
    data = (head + b"[talos] hello failed\n") * 5
    store.merge(BOOT, "kernel", data, begins=True, looks=(look(),))
    assert [hole.kind for hole in store.merge(BOOT, "kernel", data, begins=False, looks=(look(),)).holes] == ["gap"]
    assert len(keys(store)) == 10


def test_an_empty_tail_joins_nothing(tmp_path: Path) -> None:
    store = AuditStore(tmp_path)
    store.merge(BOOT, "kernel", read(entries(50)), looks=(look(),))
    assert store.joins(BOOT, "kernel", read(entries(50)[20:]))
    assert not store.joins(BOOT, "kernel", b"")
