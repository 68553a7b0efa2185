# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How fast the logs fill, how long a pause may be, and what is said before something is lost and after."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import real_talos
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log import ring
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.judgement import analyze_stored
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.rates import (
    Rate,
    as_dicts,
    often,
    rates,
    table,
    warnings,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.store import AuditStore
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import wire

BOOT = "b"
START = 1_795_000_000
NODE_KEEPS = 15 * 64 * 1024


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(START + seconds, UTC)


def service(first: int, last: int) -> bytes:
    """Records of exactly 200 bytes, one a second."""
    made = []
    for serial in range(first, last):
        head = b"type=BPF msg=audit(%d.000:%d): prog-id=" % (START + serial, serial)
        made.append(head + b"0" * (199 - len(head)) + b"\n")
    return b"".join(made)


def test_rates_between_reads(tmp_path: Path) -> None:
    store = AuditStore(tmp_path)
    store.merge(BOOT, "service", service(1, 1001), collected_at=at(1000))
    one = rates(store.read(BOOT), uptime=1000)["service"]
    assert (one.bytes_per_hour, one.new_percent) == (720_000, None), "by the uptime, after a single read"
    for end in (1500, 3300, 3400):
        store.merge(BOOT, "service", service(1, end + 1), collected_at=at(end))
    found = rates(store.read(BOOT))["service"]
    assert (found.capacity, found.bytes_per_hour) == (NODE_KEEPS, 720_000)
    assert found.longest_pause_seconds == NODE_KEEPS // 200
    assert found.new_percent == 2
    assert warnings(rates(store.read(BOOT))) == []


def test_the_fastest_of_the_pauses_counts(tmp_path: Path) -> None:
    store = AuditStore(tmp_path)
    for end, seconds in ((101, 1000), (201, 2000), (1201, 3000), (1301, 4000)):
        store.merge(BOOT, "service", service(1, end), collected_at=at(seconds))
    assert rates(store.read(BOOT))["service"].bytes_per_hour == 720_000


def test_reads_of_one_minute_are_one(tmp_path: Path) -> None:
    store = AuditStore(tmp_path)
    for end in range(100, 1100, 100):
        store.merge(BOOT, "service", service(1, end + 1), collected_at=at(1041 + end / 100))
    assert len(store.read(BOOT).streams["service"].history) == 1
    assert rates(store.read(BOOT))["service"].bytes_per_hour is None, "nothing was measured yet"


def test_a_warning_comes_before_the_log_wraps(tmp_path: Path) -> None:
    store = AuditStore(tmp_path)
    store.merge(BOOT, "service", service(1, 101), collected_at=at(100))
    store.merge(BOOT, "service", service(1, 3101), collected_at=at(3100))
    assert [text for text in warnings(rates(store.read(BOOT))) if "61 %" in text and "every 40 minutes" in text]


def test_a_hole_says_what_was_lost_and_how_often_to_collect(tmp_path: Path) -> None:
    store = AuditStore(tmp_path)
    store.merge(BOOT, "service", service(1, 101), collected_at=at(100))
    store.merge(BOOT, "service", service(1, 3601), collected_at=at(3600))
    store.merge(BOOT, "service", service(9000, 13000), collected_at=at(13000), begins=False)
    found = analyze_stored(store.read(BOOT))
    [reason] = [one for one in found["coverage"]["reasons"] if "do not meet" in one["text"]]
    for said in (
        "serial 3600",
        "serial 9000",
        "(5399 events)",
        "2026-11-18T12:06:40Z",
        "T14:43:20Z",
        "every 40 minutes",
    ):
        assert said in reason["text"], said
    [hole] = found["coverage"]["holes"]
    assert (hole["read_before"], hole["read_after"]) == ("2026-11-18T12:06:40Z", "2026-11-18T14:43:20Z")


@pytest.mark.parametrize(
    ("head", "size"),
    [
        (b"printk: log buffer data + meta data: 131072 + 458752 = 589824 bytes", 131072),
        (b"Command line: console=ttyS0 log_buf_len=1M selinux=1", 1 << 20),
        (b"Kernel command line: log_buf_len=4096", 1 << 18),
        (b"nothing of it", 1 << 18),
    ],
)
def test_the_size_of_the_kernel_ring(head: bytes, size: int, tmp_path: Path) -> None:
    lines = ring.lines([b"kern:    info: [2026-11-29T11:19:18.8Z]: " + text for text in (b"Linux version 6\n", head)])
    AuditStore(tmp_path).merge(BOOT, "kernel", lines)
    assert rates(AuditStore(tmp_path).read(BOOT))["kernel"].capacity == size


def test_a_real_ring_that_had_wrapped_is_as_large_as_its_kernel_s_buffer() -> None:
    """The laboratory's kernel has 128 KiB; what it still held takes nearly all of them by this measure."""
    answer = next(one for one in real_talos.answers("maintenance") if one.method.endswith("/Dmesg"))
    records = [wire.message("common.Data").FromString(message).bytes for message in answer.messages]
    taken = sum(ring.occupied(line) for line in ring.lines(records).split(b"\n")[:-1])
    assert 0.9 * (1 << 17) < taken <= 1 << 17


@pytest.mark.parametrize("times", [3, 10, 100])
def test_what_a_hole_lost_counts_in_the_rate(times: int, tmp_path: Path) -> None:
    """Else who collects much too seldom would be told to collect a little less seldom."""
    store = AuditStore(tmp_path)
    store.merge(BOOT, "service", service(1, 101), collected_at=at(100))
    fills = NODE_KEEPS // 200
    end = 100 + times * fills
    store.merge(BOOT, "service", service(end - fills, end + 1), collected_at=at(end), begins=False)
    rate = rates(store.read(BOOT))["service"]
    assert rate.bytes_per_hour is not None and rate.longest_pause_seconds is not None
    assert abs(rate.bytes_per_hour - 720_000) < 7200
    assert 0.98 * fills < rate.longest_pause_seconds <= fills
    [reason] = [one for one in analyze_stored(store.read(BOOT))["coverage"]["reasons"] if "do not meet" in one["text"]]
    assert "collect every 40 minutes" in reason["text"]


def test_a_pause_that_lost_nobody_knows_how_much_is_halved(tmp_path: Path) -> None:
    store = AuditStore(tmp_path)
    store.merge(BOOT, "service", service(1, 101), collected_at=at(100))
    store.merge(BOOT, "service", b"no record\n", collected_at=at(8100), begins=False)
    assert rates(store.read(BOOT))["service"].longest_pause_seconds == 4000


def test_reads_on_both_sides_of_a_full_minute_are_as_one(tmp_path: Path) -> None:
    for host, moments in (("one", (50, 55)), ("two", (75, 85))):
        assert (at(moments[0]).minute == at(moments[1]).minute) == (host == "one")
        store = AuditStore(tmp_path / host)
        for end, moment in zip((100, 150), moments, strict=True):
            store.merge(BOOT, "service", service(1, end + 1), collected_at=at(moment))
    found = {host: rates(AuditStore(tmp_path / host).read(BOOT), 7200.0)["service"] for host in ("one", "two")}
    assert found["one"].bytes_per_hour == found["two"].bytes_per_hour == len(service(1, 151)) // 2


def test_the_table_names_who_forgets_soonest_and_how_often_to_collect(tmp_path: Path) -> None:
    nodes = {}
    for host, each in (("slow", 10), ("fast", 1)):
        store = AuditStore(tmp_path / host)
        for end in (100, 3700):
            store.merge(BOOT, "service", service(1, end + 1), collected_at=at(end * each))
        log = store.read(BOOT)
        nodes[host] = {"rates": as_dicts(rates(log)), "holes": [hole.as_dict() for hole in log.holes]}
    assert table(nodes, ["gone"]) == [
        "gone: not read",
        "fast: auditd's log fills by 704 KiB an hour, and lasts 81 minutes",
        "slow: auditd's log fills by 71 KiB an hour, and lasts 13 hours",
        "collect all of them every 40 minutes or more often",
    ]
    assert table({}) == ["how fast the logs fill is known after a second collection"]


def test_the_table_is_short_for_many_nodes() -> None:
    rate = {"service": {"longest_pause_seconds": 7200, "bytes_per_hour": 1, "capacity": 1, "new_percent": 1}}
    lines = table({f"n{number:04}": {"rates": rate, "holes": []} for number in range(1000)})
    assert len(lines) == 12 and lines[-2:] == [
        "990 more logs last longer",
        "collect all of them every 60 minutes or more often",
    ]


def test_a_hole_between_reads_that_measured_nothing_asks_for_twice_as_many(tmp_path: Path) -> None:
    store = AuditStore(tmp_path)
    # Of two minutes, so that they are two reads, and too near one another to measure.
    store.merge(BOOT, "service", service(1, 101), collected_at=at(130))
    store.merge(BOOT, "service", service(9000, 9100), collected_at=at(150), begins=False)
    [reason] = [one for one in analyze_stored(store.read(BOOT))["coverage"]["reasons"] if "do not meet" in one["text"]]
    assert reason["text"].endswith("collect twice as often as until now")


@pytest.mark.parametrize(
    ("pause", "words"),
    [
        (None, "twice as often as until now"),
        (0, "every 1 minutes"),
        (239, "every 1 minutes"),
        (240, "every 2 minutes"),
        (14399, "every 119 minutes"),
        (14400, "every 2 hours"),
        (21600, "every 3 hours"),
    ],
)
def test_how_often_in_words(pause: int | None, words: str) -> None:
    assert often(Rate(1, 1, pause, 1)) == words
