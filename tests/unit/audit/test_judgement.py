# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Coverage of a soak comes from the store: the union of its reads, every hole a reason."""

from __future__ import annotations

import gzip
import random
import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.analysis import analyze
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.coverage import CoverageInput
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.judgement import analyze_stored
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.store import AuditStore
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.boots import Look

REAL = Path(__file__).resolve().parents[2] / "data" / "real-kernel"
BOOT = "b1"
START = 1795377000
CONTEXT = CoverageInput(
    services=[{"id": "auditd", "state": "Running", "events": [{"msg": "", "state": "Running", "ts": START + 1}]}],
    cmdline="selinux=1 console=ttyS0",
    talos_version="v1.14.1",
    looks=(Look(BOOT, START), Look(BOOT, START)),
    now=START + 7200,
    uptime_seconds=7200,
    stage="running",
    mode="metal",
    selinux_state="permissive",
    time_synced=True,
)


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(START + seconds, UTC)


def kernel() -> bytes:
    line = b"kern: notice: [2026-11-22T10:00:00.000000000Z]: "
    return b"".join(
        line + text + b"\n"
        for text in (
            b"Linux version 6.18.5-talos",
            b"audit: type=2000 audit(%d.000:1): state=initialized audit_enabled=0 res=1" % START,
            b"audit: type=1403 audit(%d.000:2): auid=4294967295 ses=4294967295 lsm=selinux res=1" % START,
        )
    )


def service() -> list[bytes]:
    lines = [
        b"type=CONFIG_CHANGE msg=audit(%d.000:3): op=set audit_pid=141 old=0 auid=4294967295 ses=4294967295 "
        b"subj=system_u:system_r:init_t:s0 res=1\n" % (START + 1)
    ]
    for n in range(4, 203):
        lines.append(
            b'type=AVC msg=audit(%d.000:%d): avc:  denied  { write } for  pid=%d comm="minio" name="x" dev="sdc" ino=1 '
            b"scontext=system_u:system_r:pod_t:s0 tcontext=system_u:object_r:unlabeled_t:s0 tclass=dir permissive=1\n"
            % (START + n * 30, n, n)
        )
    return lines


def test_a_soak_of_many_reads_is_complete(tmp_path: Path) -> None:
    lines = service()
    store = AuditStore(tmp_path)
    store.merge(BOOT, "kernel", kernel(), collected_at=at(60))
    for end in range(20, len(lines) + 1, 20):
        ring = lines[max(0, end - 50) : end]
        store.merge(BOOT, "service", b"".join(ring), collected_at=at(end * 30 + 100), begins=end <= 50)
    found = analyze_stored(store.read(BOOT), CONTEXT)
    assert found["coverage"]["reasons"] == []
    assert found["coverage"]["verdict"] == "complete"
    assert found["coverage"]["seconds"] == 200 * 30 + 100
    assert found["counts"]["denied"] == 199
    whole = analyze(b"".join(lines), kernel(), CONTEXT)
    assert found["denials"] == whole["denials"]
    assert analyze(b"".join(lines[-50:]), kernel(), CONTEXT)["coverage"]["verdict"] != "complete"


def test_a_hole_makes_the_union_partial_and_covers_less(tmp_path: Path) -> None:
    lines = service()
    store = AuditStore(tmp_path)
    store.merge(BOOT, "kernel", kernel(), collected_at=at(60))
    store.merge(BOOT, "service", b"".join(lines[:50]), collected_at=at(1600))
    store.merge(BOOT, "service", b"".join(lines[100:]), collected_at=at(7000), begins=False)
    coverage = analyze_stored(store.read(BOOT), CONTEXT)["coverage"]
    assert coverage["verdict"] == "partial"
    assert [hole["kind"] for hole in coverage["holes"]] == ["gap"]
    assert any(reason["id"] == "F10" and "do not meet" in reason["text"] for reason in coverage["reasons"])
    assert coverage["seconds"] == 1600 + 7000 - 103 * 30
    assert len([window for window in coverage["windows"] if window["stream"] == "service"]) == 2


@pytest.mark.parametrize(
    ("second", "kind", "number"),
    [
        (b"kern: info: [2026-11-22T10:20:00.000000000Z]: much later\n", "gap", "F11"),
        (kernel().replace(b"type=1403", b"type=1404"), "conflict", "F31"),
    ],
)
def test_a_hole_of_the_kernel_log_has_its_own_number(second: bytes, kind: str, number: str, tmp_path: Path) -> None:
    store = AuditStore(tmp_path)
    store.merge(BOOT, "service", b"".join(service()), collected_at=at(6200))
    store.merge(BOOT, "kernel", kernel(), collected_at=at(60))
    assert analyze_stored(store.read(BOOT), CONTEXT)["coverage"]["reasons"] == []
    store.merge(BOOT, "kernel", second, collected_at=at(6300))
    coverage = analyze_stored(store.read(BOOT), CONTEXT)["coverage"]
    assert [(hole["stream"], hole["kind"]) for hole in coverage["holes"]] == [("kernel", kind)]
    assert number in {reason["id"] for reason in coverage["reasons"]}
    assert coverage["verdict"] == "partial"


def test_a_hole_without_missing_serials_is_still_a_hole(tmp_path: Path) -> None:
    """Serials alone could call this complete: the events around the hole are neighbours."""
    lines = service()
    store = AuditStore(tmp_path)
    store.merge(BOOT, "kernel", kernel())
    store.merge(BOOT, "service", b"".join(lines[:100]))
    cut = lines[100][40:]
    store.merge(BOOT, "service", cut + b"".join(lines[101:]), begins=False)
    assert analyze_stored(store.read(BOOT), CONTEXT)["coverage"]["verdict"] == "partial"


@pytest.mark.parametrize("streams", [(), ("kernel",), ("service",)])
def test_what_was_never_collected_is_never_complete(streams: tuple[str, ...], tmp_path: Path) -> None:
    store = AuditStore(tmp_path)
    for stream in streams:
        store.merge(BOOT, stream, {"kernel": kernel(), "service": b"".join(service())}[stream])
    coverage = analyze_stored(store.read(BOOT), CONTEXT)["coverage"]
    assert coverage["verdict"] != "complete"
    assert coverage["reasons"]


def test_an_empty_read_is_a_failure_and_not_a_pass(tmp_path: Path) -> None:
    store = AuditStore(tmp_path)
    store.merge(BOOT, "kernel", kernel())
    store.merge(BOOT, "service", b"")
    assert analyze_stored(store.read(BOOT), CONTEXT)["coverage"]["verdict"] == "none"


def as_talos_serves_it(ring: bytes) -> bytes:
    """A ring that dmesg printed (``<5>[    0.123456] text``) with facility, priority and time in Talos' form."""

    def line(found: re.Match[bytes]) -> bytes:
        moment = at(int(found[2])).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{'kern' if int(found[1]) < 8 else 'user'}:    info: [{moment}.{found[3].decode()}Z]: ".encode()

    return re.sub(rb"(?m)^<(\d+)>\[ *(\d+)\.(\d{6})\] ", line, ring)


@cache
def whole() -> dict[str, bytes]:
    """The real logs of a boot."""
    service, kernel = (
        gzip.decompress((REAL / f"permissive.{name}.log.gz").read_bytes()) for name in ("audit", "dmesg")
    )
    return {"service": service, "kernel": as_talos_serves_it(kernel)}


@cache
def analyzed() -> dict[str, Any]:
    return analyze(whole()["service"], whole()["kernel"])


@pytest.mark.parametrize("seed", range(8))
def test_real_logs_in_parts_say_what_the_whole_says(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    store = AuditStore(tmp_path)
    for source, data in whole().items():
        cuts = sorted({0, len(data), *(rng.randrange(len(data)) for _unused in range(6))})
        if source == "kernel":
            # A read of the ring is whole records.
            cuts = sorted({data.rfind(b"\n", 0, cut) + 1 for cut in cuts})
        begins = [max(0, start - rng.randrange(3000, 60000)) for start in cuts[:-1]]
        if source == "kernel":
            begins = [data.rfind(b"\n", 0, begin) + 1 for begin in begins]
        parts = [data[begin:end] for begin, end in zip(begins, cuts[1:], strict=True)]
        if seed % 2:
            rng.shuffle(parts)
        for part in parts:
            store.merge(BOOT, source, part, begins=data.startswith(part))
    log = store.read(BOOT)
    assert {source: b"".join(log.streams[source].chunks()) for source in whole()} == whole()
    assert log.holes == []
    stored = analyze_stored(log)
    assert stored["counts"] == analyzed()["counts"]
    assert stored["denials"] == analyzed()["denials"]
