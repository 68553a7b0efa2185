# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Time on a simulated node: what moves with the clock, what stays, and what passes at once."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from simulator import Simulator, rawclient, rings

_SHOWN = re.compile(r"(\w+: +\w+): \[([^\]]+)Z\]: (.*)\Z", re.DOTALL)
_SERIAL = re.compile(rb"audit\(\d+\.\d+:(\d+)\)")


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    nodes: dict[str, Any] = {
        "new": {"talos": "v1.14.0", "uptime": "2h"},
        "old": {"talos": "v1.13.2", "uptime": "2h"},
        "late": {"uptime": "30m", "clock_offset": -4379},
        "busy": {"uptime": "1h", "pods_per_hour": 10},
    }
    with Simulator({"name": "clock", "nodes": nodes}, tmp_path_factory.mktemp("clock")) as running:
        yield running


@pytest.fixture(scope="module")
def reader(sim: Simulator) -> ssl.SSLContext:
    return rawclient.client_context(sim.directory, "reader")


def read(sim: Simulator, name: str, reader: ssl.SSLContext) -> list[tuple[str, str, str]]:
    """Priority, time and text of every record."""
    records = rawclient.read_dmesg(sim.nodes[name].address, reader)
    found = [_SHOWN.match(record) for record in records]
    return [(match[1], match[2], match[3]) for match in found if match is not None]


def boot_time(sim: Simulator, name: str, reader: ssl.SSLContext) -> int:
    return int(rawclient.machine(sim.nodes[name].address, reader, "SystemStat").messages[0].boot_time)


def test_times_of_kernel_records_move_with_every_read_and_nothing_else_does(
    sim: Simulator, reader: ssl.SSLContext
) -> None:
    reads = [read(sim, "new", reader) for _unused in range(4)]
    assert len({lines[0][1] for lines in reads}) == 4
    assert len({tuple((head, text) for head, _time, text in lines) for lines in reads}) == 1
    assert any(text.count("\n") > 1 for _head, _time, text in reads[0])


def test_one_kernel_record_is_one_message(sim: Simulator, reader: ssl.SSLContext) -> None:
    records = rawclient.read_dmesg(sim.nodes["new"].address, reader)
    assert len(records) == len(sim.nodes["new"].kernel_logs().kernel.read())
    assert any("\n SUBSYSTEM=acpi\n DEVICE=+acpi:PNP0A08:00\n" in record for record in records)
    assert sum("not defined in policy." in record for record in records) == 15


@pytest.mark.parametrize("seconds", [4379.0, -7200.0, 90.0])
def test_a_step_of_the_clock_moves_the_time_of_boot_and_no_record(
    sim: Simulator, reader: ssl.SSLContext, seconds: float
) -> None:
    node = sim.nodes["old"]
    before, ring, boot = boot_time(sim, "old", reader), read(sim, "old", reader), node.boot_id
    log = rawclient.read_log(node.address, reader)
    sim.step_clock("old", seconds)
    try:
        assert boot_time(sim, "old", reader) == before + seconds
        after = read(sim, "old", reader)
        assert [(head, text) for head, _time, text in after[: len(ring)]] == [(head, text) for head, _t, text in ring]
        assert "adjusting time (jump)" in after[-1][2]
        assert rawclient.read_log(node.address, reader) == log and node.boot_id == boot
    finally:
        sim.step_clock("old", -seconds)


def test_audit_records_keep_the_time_that_was_shown_when_they_were_written(
    sim: Simulator, reader: ssl.SSLContext
) -> None:
    node = sim.nodes["late"]

    def stamps() -> list[float]:
        data = rawclient.read_log(node.address, reader)
        return [float(found) for found in re.findall(rb"msg=audit\((\d+\.\d+):", data)]

    early = stamps()
    sim.step_clock("late", 4379)
    sim.add_denial("late", {"template": "nfs", "count": 1})
    late = stamps()
    assert late[: len(early)] == early
    assert late[-1] - early[-1] > 4379
    assert abs(late[-1] - sim.fleet.clock.wall()) < 30


def test_serials_start_as_on_a_real_node(sim: Simulator, reader: ssl.SSLContext) -> None:
    kernel = "".join(rawclient.read_dmesg(sim.nodes["new"].address, reader)).encode()
    log = rawclient.read_log(sim.nodes["new"].address, reader)
    assert b"type=2000" in kernel and [int(one) for one in _SERIAL.findall(kernel)][:2] == [1, 2]
    settings = [line for line in (kernel + log).split(b"\n") if b"op=set" in line]
    assert [int(_SERIAL.findall(line)[0]) for line in settings] == [3, 4, 5]
    assert b"audit_rate_limit=4096 old=0" in settings[0] and b"audit_pid=1 old=0" in settings[2]
    serials = [int(one) for one in _SERIAL.findall(kernel + log)]
    assert sorted(set(serials)) == list(range(1, max(serials) + 1))


def test_time_passes_at_once_and_the_rings_go_on(sim: Simulator, reader: ssl.SSLContext) -> None:
    address = sim.nodes["busy"].address
    log, ring = rawclient.read_log(address, reader), read(sim, "busy", reader)
    before, uptime = boot_time(sim, "busy", reader), sim.fleet.clock.running()
    sim.advance(1800)
    after = rawclient.read_log(address, reader)
    assert after.startswith(log) and after.count(b"type=ANOM_PROMISCUOUS") == log.count(b"type=ANOM_PROMISCUOUS") + 5
    assert [text for _h, _t, text in read(sim, "busy", reader)][: len(ring)] == [text for _h, _t, text in ring]
    assert boot_time(sim, "busy", reader) == before and sim.fleet.clock.running() - uptime >= 1800
    sim.advance(72 * 3600)
    wrapped = rawclient.read_log(address, reader)
    assert len(wrapped) < rings.BLOCK * 16 and not wrapped.startswith(log[:2000])
    numbers = [int(one) for one in _SERIAL.findall(wrapped)]
    assert sorted(set(numbers)) == list(range(min(numbers), max(numbers) + 1))
    assert "Linux version" not in read(sim, "busy", reader)[0][2]


def test_time_that_passes_in_pieces_brings_what_it_brings_in_one_go(tmp_path: Path) -> None:
    counts = []
    for pieces in (1, 24):
        nodes = {"busy": {"uptime": "1h", "pods_per_hour": 7}}
        with Simulator({"name": "pieces", "nodes": nodes}, tmp_path / str(pieces)) as running:
            logs = running.nodes["busy"].kernel_logs()
            before = logs.serial, logs.kernel.written
            for _unused in range(pieces):
                running.advance(3600 * 24 / pieces)
            counts.append((logs.serial - before[0], logs.kernel.written - before[1]))
    assert counts[0] == counts[1] and counts[0][0] > 1000
