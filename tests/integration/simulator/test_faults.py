# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every fault has its consequence on the wire, and is gone once cleared; the rings lose what real rings lose."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from simulator import Simulator, rawclient, rings

SCENARIO: dict[str, Any] = {
    "name": "faults",
    "time_scale": 400,
    "nodes": {
        "cp-1": {"role": "controlplane"},
        "worker-1": {"uptime": "96h", "denials": ["csi_unlabeled"]},
        "worker-2": {"talos": "v1.13.2", "denials": ["hostpath_run"]},
        "worker-3": {"kernel_args": ["enforcing=1"], "enforcing_denials": ["bpf_prog_run"]},
        "worker-4": {},
    },
}
BOOT_ID = ("BootIDs.runtime.talos.dev", "boot-id")


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with Simulator(SCENARIO, tmp_path_factory.mktemp("faults")) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def reader(sim: Simulator) -> ssl.SSLContext:
    return rawclient.client_context(sim.directory, "reader")


class _Fault:
    def __init__(self, sim: Simulator, node: str, fault: str, value: Any = True) -> None:
        self.sim, self.node, self.fault, self.value = sim, node, fault, value

    def __enter__(self) -> str:
        self.sim.set_fault(self.node, self.fault, self.value)
        return self.sim.nodes[self.node].address

    def __exit__(self, *_unused: object) -> None:
        self.sim.clear_fault(self.node, self.fault)


def serials(*texts: bytes) -> list[int]:
    return [int(number) for text in texts for number in re.findall(rb"audit\(\d+\.\d+:(\d+)\)", text)]


def union(address: str, context: ssl.SSLContext) -> list[int]:
    kernel = "".join(rawclient.read_dmesg(address, context)).encode()
    return sorted(set(serials(kernel, rawclient.read_log(address, context))))


def test_a_healthy_node_has_every_serial_from_one(sim: Simulator, reader: ssl.SSLContext) -> None:
    found = union(sim.nodes["worker-1"].address, reader)
    assert found == list(range(1, len(found) + 1))


@pytest.mark.parametrize("fault", ["unreachable", "not_tls", "wrong_certificate", "expired_certificate"])
def test_faults_of_the_port(sim: Simulator, reader: ssl.SSLContext, fault: str) -> None:
    expected = {
        "unreachable": ConnectionRefusedError,
        "not_tls": (ssl.SSLError, ConnectionError),
    }.get(fault, ssl.SSLCertVerificationError)
    path = "/machine.MachineService/Version"
    with _Fault(sim, "worker-1", fault) as address:
        with pytest.raises(expected):
            rawclient.machine(address, reader, "Version")
        with pytest.raises(GRPCError) as error:
            rawclient.call(sim.nodes["cp-1"].address, reader, path, metadata={"node": address})
        assert error.value.status is Status.UNAVAILABLE
    assert rawclient.machine(address, reader, "Version")


def test_a_reset_stream_and_a_torn_one(sim: Simulator, reader: ssl.SSLContext) -> None:
    with _Fault(sim, "worker-1", "reset_mid_stream") as address, pytest.raises((StreamTerminatedError, OSError)):
        rawclient.read_log(address, reader)
    with _Fault(sim, "worker-1", "torn_log") as address, pytest.raises(GRPCError) as error:
        rawclient.read_log(address, reader)
    assert error.value.status is Status.UNKNOWN
    assert rawclient.read_log(address, reader)


def test_a_hanging_stream_ends_by_the_callers_deadline_only(sim: Simulator, reader: ssl.SSLContext) -> None:
    with _Fault(sim, "worker-1", "hanging_stream") as address, pytest.raises(asyncio.TimeoutError):
        rawclient.machine(address, reader, "Logs", namespace="system", id="auditd", tail_lines=-1, timeout=0.3)


def test_permission_denied_and_garbage(sim: Simulator, reader: ssl.SSLContext) -> None:
    with _Fault(sim, "worker-1", "permission_denied") as address, pytest.raises(GRPCError) as error:
        rawclient.machine(address, reader, "Version")
    assert error.value.status is Status.PERMISSION_DENIED
    with _Fault(sim, "worker-1", "garbage_yaml"), pytest.raises(yaml.YAMLError):
        rawclient.get(address, reader, "SecurityStates.talos.dev", "securitystate")


def test_auditd_that_died_leaves_its_denials_to_the_kernel_log(sim: Simulator, reader: ssl.SSLContext) -> None:
    with _Fault(sim, "worker-2", "auditd_dead") as address:
        services = rawclient.machine(address, reader, "ServiceList").messages[0].services
        assert {service.id: service.state for service in services}["auditd"] == "Failed"
        assert b"type=AVC" not in rawclient.read_log(address, reader)
        assert sum("type=1400" in line for line in rawclient.read_dmesg(address, reader)) == 6


def test_newer_auditd_comes_back_with_a_second_start(sim: Simulator, reader: ssl.SSLContext) -> None:
    with _Fault(sim, "worker-1", "auditd_dead") as address:
        services = rawclient.machine(address, reader, "ServiceList").messages[0].services
        events = next(service for service in services if service.id == "auditd").events.events
        assert [event.msg for event in events].count("Service started as goroutine") == 2


def test_auditd_off_by_either_argument(sim: Simulator, reader: ssl.SSLContext) -> None:
    with _Fault(sim, "worker-1", "auditd_disabled") as address:
        with pytest.raises(GRPCError, match="was not registered"):
            rawclient.read_log(address, reader)
        cmdline = rawclient.get(address, reader, "KernelCmdlines.runtime.talos.dev", "cmdline")["cmdline"]
        assert "talos.auditd.disabled=1" in cmdline
    with _Fault(sim, "worker-1", "audit_disabled") as address:
        assert rawclient.read_log(address, reader) == b""
        assert not any("audit: type=" in line for line in rawclient.read_dmesg(address, reader))


def test_lost_records_leave_a_gap_and_a_trace(sim: Simulator, reader: ssl.SSLContext) -> None:
    with _Fault(sim, "worker-4", "lost_records") as address:
        found = union(address, reader)
        assert found[-1] - len(found) == 137
        assert any("audit_lost=1734" in line for line in rawclient.read_dmesg(address, reader))
    with _Fault(sim, "worker-4", "lost_records", "backlog") as address:
        found = union(address, reader)
        assert found[-1] == len(found)
        assert any("audit_backlog=8193" in line for line in rawclient.read_dmesg(address, reader))


def test_a_wrapped_ring_begins_inside_a_line(sim: Simulator, reader: ssl.SSLContext) -> None:
    with _Fault(sim, "worker-4", "wrapped_ring") as address:
        log = rawclient.read_log(address, reader)
        assert 15 * rings.BLOCK <= len(log) <= 16 * rings.BLOCK
        assert not log.startswith(b"type=")


def test_a_wrapped_kernel_ring_has_lost_its_head(sim: Simulator, reader: ssl.SSLContext) -> None:
    with _Fault(sim, "worker-4", "wrapped_ring", "kernel") as address:
        lines = rawclient.read_dmesg(address, reader)
        assert lines and not any("Linux version" in line for line in lines)


def test_suppressed_early_records_are_a_gap(sim: Simulator, reader: ssl.SSLContext) -> None:
    with _Fault(sim, "worker-4", "lost_records", "printk") as address:
        assert {3, 14}.isdisjoint(union(address, reader))
        assert any("12 callbacks suppressed" in line for line in rawclient.read_dmesg(address, reader))


def test_the_ring_loses_whole_blocks() -> None:
    ring = rings.AuditRing()
    line = b"x" * 99 + b"\n"
    for count in range(1, 25_000):
        ring.write(line)
        written = count * len(line)
        lost = max(0, written // rings.BLOCK - rings.COMPRESSED_BLOCKS) * rings.BLOCK
        assert len(ring.read()) == written - lost


def test_the_kernel_ring_drops_its_head() -> None:
    ring = rings.KernelRing()
    for index in range(5000):
        ring.write(rings.KernelRecord(0, 6, index, f"line {index} ".encode() + b"x" * 60))
    records = ring.read()
    assert sum(len(record.text) for record in records) <= rings.KERNEL_RING
    assert records[-1].shown(1_700_000_000).endswith(b"x\n") and b"line 0 " not in records[0].text


def test_boot_during_read_changes_the_boot_id(sim: Simulator, reader: ssl.SSLContext) -> None:
    with _Fault(sim, "worker-4", "boot_during_read") as address:
        before = rawclient.get(address, reader, *BOOT_ID)
        rawclient.read_log(address, reader)
        assert rawclient.get(address, reader, *BOOT_ID) != before


def test_wrong_machine_and_clock_skew(sim: Simulator, reader: ssl.SSLContext) -> None:
    address = sim.nodes["worker-1"].address
    before = rawclient.get(address, reader, "Identities.cluster.talos.dev", "local", "cluster")
    with _Fault(sim, "worker-1", "wrong_machine", "worker-2"):
        after = rawclient.get(address, reader, "Identities.cluster.talos.dev", "local", "cluster")
        assert after != before == {"nodeId": sim.nodes["worker-1"].node_id}
        name = rawclient.get(address, reader, "Nodenames.kubernetes.talos.dev", "nodename", "k8s")["nodename"]
        assert name == "worker-2"
    with _Fault(sim, "worker-1", "clock_skew"):
        assert rawclient.get(address, reader, "TimeStatuses.v1alpha1.talos.dev", "node")["synced"] is False


def test_the_extension_fault_is_an_extension(sim: Simulator, reader: ssl.SSLContext) -> None:
    with _Fault(sim, "worker-4", "extension") as address:
        found = rawclient.get(address, reader, "ExtensionStatuses.runtime.talos.dev", "000")
        assert found["metadata"]["name"] == "iscsi-tools"


def test_enforcing_records_say_so(sim: Simulator, reader: ssl.SSLContext) -> None:
    log = rawclient.read_log(sim.nodes["worker-3"].address, reader)
    assert log.count(b"permissive=0") == 4 and b"permissive=1" not in log


def test_a_node_that_cannot_leave_etcd_says_why(sim: Simulator) -> None:
    admin = rawclient.client_context(sim.directory)
    with _Fault(sim, "cp-1", "member_remove_fails") as address, pytest.raises(GRPCError, match="unhealthy cluster"):
        rawclient.machine(address, admin, "EtcdLeaveCluster")


def test_real_logs_are_replayed_byte_by_byte(tmp_path: Path) -> None:
    log = b'type=AVC msg=audit(1795377039.591:23): avc:  denied  { read } for  pid=1 comm="a\xff"\n' * 12_000
    kernel = (
        b"<5>[    0.000000] Linux version 6.12\n"
        b"<5>[    1.500000] audit: type=2000 audit(1795377026.500:1): state=initialized\n"
    )
    (tmp_path / "audit.log").write_bytes(log)
    (tmp_path / "dmesg.log").write_bytes(kernel)
    node = {"audit_log": str(tmp_path / "audit.log"), "dmesg": str(tmp_path / "dmesg.log")}
    with Simulator({"name": "replay", "nodes": {"worker-1": node}}, tmp_path / "out") as sim:
        reader = rawclient.client_context(sim.directory, "reader")
        address = sim.nodes["worker-1"].address
        assert rawclient.read_log(address, reader) == log
        # The printed time is off by up to a second, in every read by another one.
        first = rawclient.read_dmesg(address, reader)[0]
        assert re.fullmatch(r"kern:  notice: \[2026-11-22T19:50:2[45](\.\d+)?Z\]: Linux version 6\.12\n", first)
        assert rawclient.machine(address, reader, "SystemStat").messages[0].boot_time == 1795377025


@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        ({"nodes": {"a": {"faults": {"no_such": True}}}}, "node a: unknown faults"),
        ({"nodes": {"a": {"no_such": True}}}, "node a: unknown keys"),
        ({"nodes": {"a": {"role": "boss"}}}, "node a: role must be controlplane or worker"),
        ({"nodes": {"a": {"talos": "latest"}}}, "not a Talos version: 'latest'"),
        ({"nodes": {}}, "at least one node under 'nodes'"),
        ({"nodes": {"a": {}}, "no_such": 1}, "no_such"),
    ],
)
def test_a_misspelt_scenario_is_refused(scenario: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=words):
        Simulator(scenario, tmp_path)
