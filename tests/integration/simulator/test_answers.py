# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What simulated nodes answer: fields per version, roles, errors, proxying, maintenance mode."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from simulator import Simulator, rawclient
from simulator.proto import make

SECURITY = "SecurityStates.talos.dev"
SCENARIO: dict[str, Any] = {
    "name": "answers",
    "nodes": {
        "cp-1": {"role": "controlplane", "zone": "a"},
        "worker-1": {"zone": "b", "extensions": ["siderolabs/iscsi-tools"]},
        "v1-9": {"talos": "v1.9.6", "kernel_args": ["selinux=1"]},
        "v1-10": {"talos": "v1.10.9"},
        "v1-11": {"talos": "v1.11.6"},
        "v1-12": {"talos": "v1.12.11"},
        "v1-13": {"talos": "v1.13.9"},
        "off-1": {"kernel_args": ["-selinux", "selinux=0"]},
        "enforcing-1": {"kernel_args": ["enforcing=1"]},
        "new-12": {"talos": "v1.12.11", "state": "maintenance"},
        "new-14": {"state": "maintenance"},
    },
}


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with Simulator(SCENARIO, tmp_path_factory.mktemp("answers")) as simulator:
        yield simulator
        assert simulator.upgrades() == []


@pytest.fixture(scope="module")
def admin(sim: Simulator) -> ssl.SSLContext:
    return rawclient.client_context(sim.directory)


@pytest.fixture(scope="module")
def reader(sim: Simulator) -> ssl.SSLContext:
    return rawclient.client_context(sim.directory, "reader")


def refused(*arguments: Any, **fields: Any) -> tuple[Status, str]:
    with pytest.raises(GRPCError) as error:
        rawclient.call(*arguments, **fields)
    return error.value.status, str(error.value.message)


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ("v1-9", {"secureBoot": False}),
        ("v1-10", {"secureBoot": False, "selinuxState": "enabled, permissive", "bootedWithUKI": True}),
        ("v1-11", {"secureBoot": False, "selinuxState": "enabled, permissive", "bootedWithUKI": True}),
        ("off-1", {"secureBoot": False, "bootedWithUKI": True, "moduleSignatureEnforced": True}),
    ],
)
def test_security_state_has_the_fields_of_its_version(
    sim: Simulator, reader: ssl.SSLContext, node: str, expected: dict[str, Any]
) -> None:
    assert rawclient.get(sim.nodes[node].address, reader, SECURITY, "securitystate") == expected


def test_enforcing_is_told_by_state_arguments_and_kernel_log(sim: Simulator, reader: ssl.SSLContext) -> None:
    address = sim.nodes["enforcing-1"].address
    assert rawclient.get(address, reader, SECURITY, "securitystate")["selinuxState"] == "enabled, enforcing"
    cmdline = rawclient.get(address, reader, "KernelCmdlines.runtime.talos.dev", "cmdline")["cmdline"]
    assert cmdline.split()[-1] == "enforcing=1"
    assert any("selinux: running in enforcing mode" in line for line in rawclient.read_dmesg(address, reader))
    process = rawclient.machine(address, reader, "Processes").messages[0].processes[0]
    assert (process.pid, process.label) == (1, "system_u:system_r:init_t:s0")


@pytest.mark.parametrize(
    ("node", "kind", "known"),
    [
        ("v1-10", "KernelCmdlines.runtime.talos.dev", False),
        ("v1-11", "KernelCmdlines.runtime.talos.dev", True),
        ("v1-13", "BootIDs.runtime.talos.dev", False),
        ("worker-1", "BootIDs.runtime.talos.dev", True),
    ],
)
def test_a_type_that_a_version_lacks_looks_like_missing_permission(
    sim: Simulator, reader: ssl.SSLContext, node: str, kind: str, known: bool
) -> None:
    arguments = (sim.nodes[node].address, reader, "/cosi.resource.State/Get")
    found = refused(*arguments, namespace="runtime", type=kind, id="nothing")
    if known:
        text = f"resource {kind}(runtime/nothing@undefined) doesn't exist"
        assert found == (Status.NOT_FOUND, text)
    else:
        assert found == (Status.PERMISSION_DENIED, f'resource type "{kind}" is not supported')


def test_sensitive_types_need_admin(sim: Simulator, reader: ssl.SSLContext, admin: ssl.SSLContext) -> None:
    address, kind = sim.nodes["worker-1"].address, "MachineConfigs.config.talos.dev"
    found = refused(address, reader, "/cosi.resource.State/Get", namespace="config", type=kind, id="v1alpha1")
    assert found == (Status.PERMISSION_DENIED, "not authorized")
    arguments = {"namespace": "config", "type": kind, "id": "v1alpha1"}
    answer = rawclient.call(address, admin, "/cosi.resource.State/Get", **arguments)
    first, *others = yaml.safe_load_all(answer.resource.spec.yaml_spec)
    assert first["machine"]["type"] == "worker" and "UnattendedInstallConfig" in [one["kind"] for one in others]


def test_extensions_list_the_virtual_schematic_with_its_text(sim: Simulator, reader: ssl.SSLContext) -> None:
    kind = "ExtensionStatuses.runtime.talos.dev"
    path = "/cosi.resource.State/List"
    found = rawclient.call(sim.nodes["worker-1"].address, reader, path, namespace="runtime", type=kind)
    specs = {answer.resource.metadata.id: answer.resource.spec.yaml_spec for answer in found}
    assert set(specs) == {"000", "001", "modules.dep"}
    assert "name: iscsi-tools" in specs["000"]
    assert "siderolabs/iscsi-tools" in specs["001"] and "name: schematic" in specs["001"]


def test_reader_may_read_but_not_change(sim: Simulator, reader: ssl.SSLContext) -> None:
    address = sim.nodes["worker-1"].address
    for name in ("Reset", "Read", "ApplyConfiguration", "EtcdRemoveMemberByID", "Reboot"):
        assert refused(address, reader, f"/machine.MachineService/{name}") == (
            Status.PERMISSION_DENIED,
            "not authorized",
        )
    assert rawclient.machine(address, reader, "Version").messages[0].features.rbac


def test_tail_lines_zero_is_an_empty_log_and_minus_one_the_whole(sim: Simulator, reader: ssl.SSLContext) -> None:
    address = sim.nodes["worker-1"].address
    assert rawclient.read_log(address, reader, tail_lines=0) == b""
    whole = rawclient.read_log(address, reader)
    assert whole.startswith(b"type=CONFIG_CHANGE msg=audit(")
    assert rawclient.read_log(address, reader, tail_lines=2) == b"".join(whole.splitlines(keepends=True)[-2:])


def test_an_unknown_log_was_not_registered(sim: Simulator, reader: ssl.SSLContext) -> None:
    path = "/machine.MachineService/Logs"
    found = refused(sim.nodes["worker-1"].address, reader, path, namespace="system", id="nosuch", tail_lines=-1)
    assert found == (Status.UNKNOWN, 'log "nosuch" was not registered')


def test_control_planes_forward_and_workers_do_not(sim: Simulator, reader: ssl.SSLContext) -> None:
    front, back = sim.nodes["cp-1"].address, sim.nodes["worker-1"].address
    path = "/machine.MachineService/Hostname"
    answer = rawclient.call(front, reader, path, metadata={"node": back})
    assert (answer.messages[0].hostname, answer.messages[0].metadata.hostname) == ("worker-1", "")
    assert refused(back, reader, path, metadata={"node": front}) == (Status.PERMISSION_DENIED, "no request forwarding")
    status, _unused = refused(front, reader, path, metadata={"node": "127.0.0.9"})
    assert status is Status.UNAVAILABLE
    path = "/cosi.resource.State/Get"
    assert refused(front, reader, path, metadata={"nodes": f"{front},{back}"})[0] is Status.INVALID_ARGUMENT


def test_fan_out_hides_a_dead_node_in_the_metadata(sim: Simulator, reader: ssl.SSLContext) -> None:
    front, back = sim.nodes["cp-1"].address, sim.nodes["worker-1"].address
    path = "/machine.MachineService/Hostname"
    answer = rawclient.call(front, reader, path, metadata={"nodes": f"{back},127.0.0.9"})
    assert [entry.metadata.hostname for entry in answer.messages] == [back, "127.0.0.9"]
    assert answer.messages[1].metadata.status.code == Status.UNAVAILABLE.value


def test_resource_definitions_carry_what_resolves_aliases(sim: Simulator, reader: ssl.SSLContext) -> None:
    kind = "ResourceDefinitions.meta.cosi.dev"
    path = "/cosi.resource.State/Get"
    answer = rawclient.call(
        sim.nodes["cp-1"].address, reader, path, namespace="meta", type=kind, id="securitystates.talos.dev"
    )
    decoded = make("cosi.resource.meta.ResourceDefinitionSpec")
    decoded.ParseFromString(answer.resource.spec.proto_spec)
    assert decoded.resource_type == SECURITY
    assert "securitystate" in decoded.all_aliases


def test_maintenance_mode_per_version(sim: Simulator) -> None:
    open_context = rawclient.insecure_context()
    old, new = sim.nodes["new-12"].address, sim.nodes["new-14"].address
    for address in (old, new):
        status = rawclient.get(address, open_context, "MachineStatuses.runtime.talos.dev", "machine")
        assert status["stage"] == "maintenance"
    text = "API is not implemented in maintenance mode"
    assert refused(old, open_context, "/machine.MachineService/Version") == (Status.UNIMPLEMENTED, text)
    assert refused(old, open_context, "/machine.MachineService/Dmesg")[0] is Status.UNIMPLEMENTED
    assert rawclient.machine(new, open_context, "Version").messages[0].version.tag == "v1.14.1"
    assert rawclient.read_log(new, open_context)
    for name in ("Reset", "Reboot", "Read"):
        found = refused(new, open_context, f"/machine.MachineService/{name}")
        assert found == (Status.PERMISSION_DENIED, "not authorized")


def test_a_running_node_wants_a_client_certificate(sim: Simulator) -> None:
    with pytest.raises((OSError, StreamTerminatedError, GRPCError)):
        rawclient.machine(sim.nodes["worker-1"].address, rawclient.insecure_context(), "Version")


def test_health_and_etcd_answers(sim: Simulator, reader: ssl.SSLContext) -> None:
    address = sim.nodes["cp-1"].address
    members = rawclient.machine(address, reader, "EtcdMemberList").messages[0].members
    assert [(member.hostname, member.is_learner) for member in members] == [("cp-1", False)]
    status = rawclient.machine(address, reader, "EtcdStatus").messages[0].member_status
    assert status.leader == status.member_id == members[0].id
    worker = refused(sim.nodes["worker-1"].address, reader, "/machine.MachineService/EtcdMemberList")
    assert worker == (Status.UNIMPLEMENTED, "member list is only available on control plane nodes")


def test_files_of_the_fleet_are_private(sim: Simulator) -> None:
    for name in ("talosconfig", "kubeconfig"):
        assert (Path(sim.directory) / name).stat().st_mode & 0o777 == 0o600
