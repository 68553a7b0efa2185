# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a reset with each combination of labels leads to, and what an installation writes."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from simulator import Simulator, rawclient, versions
from simulator.proto import make

ENFORCING = {"customization": {"extraKernelArgs": ["enforcing=1"]}}
ENFORCING_ID = versions.schematic_id(versions.canonical_schematic(ENFORCING))
THREE = {f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)}


def installer(version: str = "v1.14.1") -> str:
    return f"factory.example/metal-installer/{ENFORCING_ID}:{version}"


def authority(role: str) -> dict[str, str]:
    """An issuing CA of a control plane, an accepted one of a worker; nothing here looks into it."""
    return {"crt": "QUFB", "key": "QUFB" if role == "controlplane" else ""}


def config(role: str = "worker", *, version: str = "v1.14.1", **install: Any) -> bytes:
    machine = {"type": role, "install": {"disk": "/dev/sda", "image": installer(version), **install}}
    machine["ca"] = authority(role)
    return yaml.safe_dump({"version": "v1alpha1", "machine": machine, "cluster": {}}).encode()


class Operator:
    """Resets and configures nodes the raw way."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        self.admin = rawclient.client_context(sim.directory)
        sim.fleet.factory.put(ENFORCING)

    def reset(self, name: str, *labels: str, wipe: bool = True, reboot: bool = True, **fields: Any) -> Any:
        partitions = [make("machine.ResetPartitionSpec", label=label, wipe=wipe) for label in labels]
        fields = {"graceful": True, **fields}
        address = self.sim.nodes[name].address
        return rawclient.machine(
            address, self.admin, "Reset", reboot=reboot, system_partitions_to_wipe=partitions, **fields
        )

    def apply(self, name: str, data: bytes) -> Any:
        address = self.sim.nodes[name].address
        return rawclient.machine(address, rawclient.insecure_context(), "ApplyConfiguration", data=data, mode=1)

    def identity(self, name: str) -> tuple[Any, ...]:
        node = self.sim.nodes[name]
        return node.node_id, *(node.partitions[label].partition_uuid for label in ("META", "STATE", "EPHEMERAL"))


@pytest.fixture
def fleet(tmp_path: Any, request: pytest.FixtureRequest) -> Iterator[Operator]:
    scenario = {"name": "life", "time_scale": 400, "nodes": {**THREE, "worker-1": {}}, **getattr(request, "param", {})}
    with Simulator(scenario, tmp_path) as sim:
        yield Operator(sim)
        assert sim.upgrades() == []


def test_path_a_needs_a_medium_and_ends_enforcing(fleet: Operator) -> None:
    sim, before = fleet.sim, fleet.identity("worker-1")
    fleet.reset("worker-1")
    node = sim.wait_for("worker-1", "dead")
    assert node.partitions == {}
    sim.boot_medium("worker-1", version="v1.14.1")
    sim.wait_for("worker-1", "maintenance")
    assert not node.meta_installed
    fleet.apply("worker-1", config())
    sim.wait_for("worker-1", "running", ready=True)
    assert node.selinux == "enforcing"
    assert all(old != new for old, new in zip(before, fleet.identity("worker-1"), strict=True))


def test_path_b_keeps_the_command_line(fleet: Operator) -> None:
    sim, before = fleet.sim, fleet.identity("worker-1")
    fleet.reset("worker-1", "STATE", "EPHEMERAL")
    node = sim.wait_for("worker-1", "maintenance")
    assert node.meta_installed
    fleet.apply("worker-1", config())
    sim.wait_for("worker-1", "running", ready=True)
    after = fleet.identity("worker-1")
    assert node.selinux == "permissive"
    assert [old == new for old, new in zip(before, after, strict=True)] == [False, True, False, False]


def test_path_c_reinstalls_in_place(fleet: Operator) -> None:
    sim, before = fleet.sim, fleet.identity("worker-1")
    fleet.reset("worker-1", "META", "STATE", "EPHEMERAL")
    node = sim.wait_for("worker-1", "maintenance")
    assert not node.meta_installed and node.disk is not None and node.selinux == "permissive"
    fleet.apply("worker-1", config())
    sim.wait_for("worker-1", "running", ready=True)
    assert node.selinux == "enforcing"
    assert all(old != new for old, new in zip(before, fleet.identity("worker-1"), strict=True))


@pytest.mark.parametrize("fleet", [{"talos": "v1.11.6"}], indirect=True)
def test_up_to_1_11_a_wiped_meta_still_counts_as_installed(fleet: Operator) -> None:
    fleet.reset("worker-1", "META", "STATE", "EPHEMERAL")
    node = fleet.sim.wait_for("worker-1", "maintenance")
    assert node.meta_installed
    fleet.apply("worker-1", config(version="v1.11.6"))
    fleet.sim.wait_for("worker-1", "running", ready=True)
    assert node.selinux == "permissive"


def test_labels_without_wipe_only_reboot(fleet: Operator) -> None:
    before, boot = fleet.identity("worker-1"), fleet.sim.nodes["worker-1"].boot_id
    fleet.reset("worker-1", "STATE", wipe=False)
    fleet.sim.wait_for("worker-1", "rebooting")
    node = fleet.sim.wait_for("worker-1", "running", ready=True)
    assert node.boot_id != boot
    assert fleet.identity("worker-1") == before


def test_without_reboot_the_machine_is_off(fleet: Operator) -> None:
    fleet.reset("worker-1", "STATE", "EPHEMERAL", "META", reboot=False)
    node = fleet.sim.wait_for("worker-1", "off")
    assert not node.gateway.is_open
    fleet.sim.power_on("worker-1")
    fleet.sim.wait_for("worker-1", "maintenance")


@pytest.mark.parametrize(
    ("fields", "labels", "text"),
    [
        ({}, ("EFI",), 'failed to get volume status with label "EFI"'),
        ({"mode": 2}, ("STATE",), "wipe mode USER_DISKS doesn't support"),
        ({"mode": 1, "user_disks_to_wipe": ["/dev/sdb"]}, (), "wipe mode SYSTEM_DISK doesn't support"),
        ({"user_disks_to_wipe": ["/dev/sda"]}, (), "is the system disk"),
        ({"user_disks_to_wipe": ["/dev/sdz"]}, (), "wasn't found"),
        ({}, ("CRI",), 'cannot be wiped without wiping "EPHEMERAL"'),
    ],
)
def test_reset_refuses_what_talos_refuses(fleet: Operator, fields: Any, labels: tuple[str, ...], text: str) -> None:
    with pytest.raises(GRPCError) as error:
        fleet.reset("worker-1", *labels, **fields)
    assert error.value.status is Status.UNKNOWN
    assert text in str(error.value.message)
    assert fleet.sim.nodes["worker-1"].state == "running"


def test_a_control_plane_leaves_and_comes_back_as_a_voter(fleet: Operator) -> None:
    sim = fleet.sim
    old = sim.fleet.etcd.members["cp-2"].id
    fleet.reset("cp-2", "META", "STATE", "EPHEMERAL")
    sim.wait_for("cp-2", "maintenance")
    assert set(sim.fleet.etcd.members) == {"cp-1", "cp-3"}
    fleet.apply("cp-2", config("controlplane"))
    node = sim.wait_for("cp-2", "running", ready=True)

    async def promoted() -> None:
        while sim.fleet.etcd.members["cp-2"].learner:
            await node.changed.wait()

    sim.run(promoted())
    assert sim.fleet.etcd.members["cp-2"].id != old


@pytest.mark.parametrize("fleet", [{"nodes": {"cp-1": {"role": "controlplane"}}}], indirect=True)
def test_the_only_member_cannot_leave(fleet: Operator) -> None:
    before = fleet.identity("cp-1")
    fleet.reset("cp-1", "META", "STATE", "EPHEMERAL")
    fleet.sim.wait_for("cp-1", "rebooting")
    fleet.sim.wait_for("cp-1", "running", ready=True)
    assert fleet.identity("cp-1") == before


def test_a_failed_install_ends_in_maintenance_again(fleet: Operator) -> None:
    sim = fleet.sim
    fleet.reset("worker-1", "META", "STATE", "EPHEMERAL")
    node = sim.wait_for("worker-1", "maintenance")
    sim.set_fault("worker-1", "install_fails")
    fleet.apply("worker-1", config())
    sim.wait_for("worker-1", "installing")
    sim.wait_for("worker-1", "maintenance")
    assert node.selinux == "permissive"
    sim.clear_fault("worker-1", "install_fails")
    fleet.apply("worker-1", config())
    sim.wait_for("worker-1", "running", ready=True)
    assert node.selinux == "enforcing"


@pytest.mark.parametrize("fleet", [{"bootloader": "grub", "talos": "v1.13.9"}], indirect=True)
@pytest.mark.parametrize(("uki", "selinux"), [(True, "enforcing"), (None, "permissive")])
def test_grub_takes_the_schematics_arguments_only_when_told(fleet: Operator, uki: bool | None, selinux: str) -> None:
    fleet.reset("worker-1", "META", "STATE", "EPHEMERAL")
    node = fleet.sim.wait_for("worker-1", "maintenance")
    options = {} if uki is None else {"grubUseUKICmdline": uki}
    fleet.apply("worker-1", config(version="v1.13.9", **options))
    fleet.sim.wait_for("worker-1", "running", ready=True)
    assert (node.selinux, node.bootloader) == (selinux, "grub")


def unattended(image: str, **settings: object) -> bytes:
    document = {
        "apiVersion": "v1alpha1",
        "kind": "UnattendedInstallConfig",
        "installer": {"image": image},
        "provisioning": {"diskSelector": {"match": 'disk.dev_path == "/dev/sda"'}},
        **settings,
    }
    main = {"version": "v1alpha1", "machine": {"type": "worker", "ca": authority("worker")}, "cluster": {}}
    return yaml.safe_dump_all([main, document]).encode()


@pytest.fixture
def phases(fleet: Operator, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What the node's state and the phase of its unattended installation were, one after the other."""
    node, seen = fleet.sim.nodes["worker-1"], [("", "")]
    real = node.notify

    def notify() -> None:
        now = (node.state, node.install_phase[1] if node.install_phase else "")
        if now != seen[-1]:
            seen.append(now)
        real()

    monkeypatch.setattr(node, "notify", notify)
    return seen


@pytest.mark.parametrize("fails", [False, True])
def test_an_unattended_install_runs_while_the_machine_boots_until_it_succeeds(
    fleet: Operator, phases: list[tuple[str, str]], fails: bool
) -> None:
    fleet.reset("worker-1", "META", "STATE", "EPHEMERAL")
    node = fleet.sim.wait_for("worker-1", "maintenance")
    boot = node.boot_id
    if fails:
        fleet.sim.set_fault("worker-1", "install_fails")
    fleet.apply("worker-1", unattended(installer()))
    if fails:
        _wait_for(fleet, lambda: phases.count(("booting", "failed")) == 2)
        assert (node.ready, node.boot_id) == (False, boot)
        state = rawclient.get(node.address, fleet.admin, "VolumeStatuses.block.talos.dev", "STATE")
        assert (state["phase"], state["preFailPhase"]) == ("failed", "missing")
        fleet.sim.clear_fault("worker-1", "install_fails")
    fleet.sim.wait_for("worker-1", "running", ready=True)
    assert node.selinux == "enforcing"
    tried = [phase for state, phase in phases if state == "booting" and phase]
    again = ["installing", "failed"] * tried.count("failed")
    assert tried == ["pending", *again, "installing", "waiting-for-reboot"] and ("failed" in tried) is fails


def test_an_unattended_install_that_must_not_reboot_ends_as_installed(fleet: Operator) -> None:
    fleet.reset("worker-1", "META", "STATE", "EPHEMERAL")
    node = fleet.sim.wait_for("worker-1", "maintenance")
    fleet.apply("worker-1", unattended(installer(), reboot=False))
    _wait_for(fleet, lambda: node.install_phase is not None and node.install_phase[1] == "installed")
    assert (node.state, node.ready, node.selinux) == ("booting", False, "permissive")
    rawclient.machine(node.address, fleet.admin, "Reboot")
    fleet.sim.wait_for("worker-1", "running", ready=True)
    assert node.selinux == "enforcing"


def _wait_for(fleet: Operator, met: Callable[[], bool]) -> None:
    node = fleet.sim.nodes["worker-1"]

    async def wait() -> None:
        while not met():
            await node.changed.wait()

    fleet.sim.run(asyncio.wait_for(wait(), 60))


def test_a_second_reset_is_locked_out(fleet: Operator) -> None:
    fleet.sim.set_fault("worker-1", "drain_blocked")
    fleet.reset("worker-1", "STATE")
    actor = fleet.reset("worker-1").messages[0].actor_id
    event = next(event for event in fleet.sim.nodes["worker-1"].events if event.actor == actor)
    assert b"locked" in event.payload


def test_a_reset_that_talos_forgets_changes_nothing(fleet: Operator) -> None:
    fleet.sim.set_fault("worker-1", "reset_ignored")
    assert fleet.reset("worker-1").messages[0].actor_id
    assert fleet.sim.nodes["worker-1"].state == "running"


def test_events_follow_one_actor(fleet: Operator) -> None:
    actor = fleet.reset("worker-1", "STATE", "EPHEMERAL").messages[0].actor_id
    fleet.sim.wait_for("worker-1", "maintenance")
    events = [event for event in fleet.sim.nodes["worker-1"].events if event.actor == actor]
    assert [event.type for event in (events[0], events[-1])] == ["machine.SequenceEvent"] * 2


def test_writes_are_counted_and_dry_runs_are_not(fleet: Operator) -> None:
    address = fleet.sim.nodes["worker-1"].address
    rawclient.machine(address, fleet.admin, "ApplyConfiguration", data=config(), mode=1, dry_run=True)
    assert fleet.sim.writes() == []
    rawclient.machine(address, fleet.admin, "ApplyConfiguration", data=config(), mode=1)
    assert [call.method for call in fleet.sim.writes()] == ["/machine.MachineService/ApplyConfiguration"]


def test_a_graceful_reset_of_the_only_etcd_member_aborts(tmp_path: Any) -> None:
    nodes = {"cp-1": {"role": "controlplane"}}
    with Simulator({"name": "alone", "time_scale": 4000, "nodes": nodes}, tmp_path) as sim:
        operator, node = Operator(sim), sim.nodes["cp-1"]
        before, boot, member = operator.identity("cp-1"), node.boot_id, sim.fleet.etcd.members["cp-1"].id
        operator.reset("cp-1", "META", "STATE", "EPHEMERAL")

        async def rebooted() -> None:
            while node.boot_id in ("", boot) or node.state != "running":
                await node.changed.wait()

        sim.run(rebooted())
        assert operator.identity("cp-1") == before and sim.fleet.etcd.members["cp-1"].id == member
        said = [event.payload for event in node.events if b"re-configuration failed" in event.payload]
        assert len(said) == 1
        operator.reset("cp-1", "META", "STATE", "EPHEMERAL", graceful=False)
        sim.wait_for("cp-1", "maintenance")


def test_maintenance_mode_prints_three_certificates_and_serves_the_last(fleet: Operator) -> None:
    fleet.reset("worker-1", "META", "STATE", "EPHEMERAL")
    node = fleet.sim.wait_for("worker-1", "maintenance")
    printed = re.findall(r'server certificate issued .*"fingerprint": "([^"]+)"', fleet.sim.console("worker-1"))
    assert len(set(printed)) == 3
    assert node.gateway.certificate is not None and node.gateway.certificate.fingerprint == printed[-1]
    served = ssl.get_server_certificate((node.address, 50000))
    assert served.strip() == node.gateway.certificate.crt.decode().strip()


@pytest.mark.parametrize("kind", ["udevd", "modprobe"])
def test_an_enforcing_boot_that_never_reaches_its_api(fleet: Operator, kind: str) -> None:
    fleet.sim.set_fault("worker-1", "enforcing_boot_fails", kind)
    fleet.reset("worker-1", "META", "STATE", "EPHEMERAL")
    node = fleet.sim.wait_for("worker-1", "maintenance")
    fleet.apply("worker-1", config())
    fleet.sim.wait_for("worker-1", "lost")
    with pytest.raises(ConnectionRefusedError):
        ssl.get_server_certificate((node.address, 50000), timeout=2)
    told = fleet.sim.console("worker-1")
    assert "avc:  denied  {" in told and "permissive=0" in told
    # The way back: a permissive image on a medium.
    fleet.sim.boot_medium("worker-1", version="v1.14.1", kernel_args=[])
    fleet.sim.restart("worker-1")
    fleet.sim.wait_for("worker-1", "running", ready=True)
    assert node.selinux == "permissive" and fleet.sim.console("worker-1") != told


def test_machines_that_change_addresses(fleet: Operator) -> None:
    one, two = fleet.sim.nodes["cp-1"], fleet.sim.nodes["worker-1"]
    first, second = one.address, two.address

    def uuid_at(address: str) -> str:
        kind = "SystemInformations.hardware.talos.dev"
        return str(rawclient.get(address, fleet.admin, kind, "systeminformation", "hardware")["uuid"])

    assert (uuid_at(first), uuid_at(second)) == (one.uuid, two.uuid)
    fleet.sim.swap_addresses("cp-1", "worker-1")
    assert (uuid_at(first), uuid_at(second)) == (two.uuid, one.uuid)


@pytest.mark.parametrize("fleet", [{"nodes": {"worker-1": {"extra": {"uuid": "\x1b[31m0"}}}}], indirect=True)
def test_a_machine_says_what_its_vendor_wrote(fleet: Operator) -> None:
    kind = "SystemInformations.hardware.talos.dev"
    address = fleet.sim.nodes["worker-1"].address
    assert rawclient.get(address, fleet.admin, kind, "systeminformation", "hardware")["uuid"] == "\x1b[31m0"
