# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every recorded answer of real nodes, through client, evidence and gate: what it means, not how it looks."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Iterator
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest
import quick_yaml
import real_talos
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.collect import collect
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.machine import read_machine
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import verdict
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.policy import load_policy
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.client import (
    NodeClient,
    connect,
    connect_maintenance,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.config import Talosconfig
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import TalosError
from simulator.proto import message_class
from simulator.replay import Replay

RUNNING = tuple(state for state in real_talos.STATES if not state.startswith("maintenance"))
MAINTENANCE = tuple(state for state in real_talos.STATES if state.startswith("maintenance"))

_LAB = {"udev_t:udev_t:system:module_load"}
_OVERLAY = {
    "initramfs_t:bin_exec_t:file:execute",
    "initramfs_t:containerd_exec_t:file:execute",
    "initramfs_t:modprobe_exec_t:file:execute",
    "initramfs_t:udev_exec_t:file:execute",
    "pod_containerd_t:initramfs_t:fd:use",
    "sys_containerd_t:initramfs_t:fd:use",
    "udev_t:initramfs_t:fd:use",
}
#: What is true of each recorded node: SELinux, its denials, whether a UKI booted it.
FACTS: dict[str, tuple[str, set[str], bool]] = {
    "permissive": ("permissive", _LAB, False),
    "permissive-reader": ("permissive", _LAB, False),
    "permissive-uki-factory": ("permissive", _LAB | _OVERLAY, True),
    "enforcing": ("enforcing", _LAB, False),
    "enforcing-overlay": ("enforcing", _LAB | {"udev_t:etc_t:file:write"}, False),
}
#: Why the gate stops at every recorded node (but at those that enforce for the mode). A check that stops for another
#: reason than these is wrong about real nodes, and so is one that passes in spite of them.
STOPS = {
    "no-read-errors": "without a Kubernetes API there is no NodeStatus to read",
    "stage-running": "without a Kubernetes API the node is never ready",
    "selinux-permissive": "the node enforces already",
    "no-unknown-classes": "the laboratory's kernel knows classes and permissions that the policy does not",
    "etcd-quorum-to-spare": "the node is the only member of its etcd",
    "soak-reached": "the node had run for minutes",
    "no-denials": "the laboratory and the overlay root caused denials",
}
#: What a check may miss in the evidence: what comes from Kubernetes, from the operator, or from a question that was
#: not recorded. A check that misses what Talos itself answered does not understand real nodes.
NOT_ASKED = ("kubernetes.", "compat.", "operation.", "config is", "target is", "cluster.id is")


def _recorded(state: str, name: str) -> Any:
    """The YAML spec of a recorded Get."""
    (answer,) = [one for one in real_talos.answers(state) if one.name == f"cosi-get-{name}"]
    return quick_yaml.load(
        message_class("cosi.resource.GetResponse").FromString(answer.messages[0]).resource.spec.yaml_spec
    )


@pytest.fixture
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Replay]:
    state = request.param
    with Replay(real_talos.answers(state), tmp_path, maintenance=state in MAINTENANCE) as running:
        yield running


def _client(node: Replay, context: str = "admin") -> NodeClient:
    config = Talosconfig.load(str(node.directory / "talosconfig"), environ={})
    return connect(config.context(context), node.address)


def _ask(node: Replay, question: Callable[[NodeClient], Awaitable[Any]]) -> Any:
    async def ask() -> Any:
        async with _client(node) as client:
            return await question(client)

    return asyncio.run(ask())


def _in_state(states: tuple[str, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("node", "state"), [(state, state) for state in states], indirect=["node"], ids=states
    )


@_in_state(RUNNING)
def test_the_evidence_of_a_real_node_says_what_is_true_of_it(node: Replay, state: str) -> None:
    selinux, denials, uki = FACTS[state]
    document, now = _evidence(node, state)
    # Asked since the recording was made.
    assert {question.partition("type='")[2].partition("'")[0] for _method, question in node.unanswered} == {
        "Infos.cluster.talos.dev"
    }
    assert document["selinux"]["state"] == selinux and document["selinux"]["disagreements"] == []
    assert document["boot"]["id"] == _recorded(state, "boot_id")["bootID"]
    assert document["talos"]["version"] == _recorded(state, "version")["version"] == "v1.14.0-rc.1"
    assert document["talos"]["booted_with_uki"] is uki
    assert document["talos"]["stage"] == "running" and document["talos"]["ready"] is False
    identity, system = _recorded(state, "identity"), _recorded(state, "system_information")
    told = document["node"]
    assert (told["identity"], told["uuid"]) == (identity["nodeId"], system["uuid"])
    assert (told["machine_type"], told["hostname"]) == ("controlplane", _recorded(state, "nodename")["nodename"])
    assert document["selinux"]["kernel_args"] == _recorded(state, "kernel_cmdline")["cmdline"].split()
    assert {"META", "STATE", "EPHEMERAL"} <= set(document["volumes"])
    assert {volume["phase"] for volume in document["volumes"].values()} == {"ready"}
    assert [error for error in document["errors"] if error["source"] not in ("NodeStatus", "ClusterInfo")] == []
    assert document["audit"]["coverage"]["verdict"] == "complete", document["audit"]["coverage"]["reasons"]
    assert document["audit"]["counts"]["unparsed"] == document["audit"]["counts"]["doubtful"] == 0
    assert {_family(denial) for denial in document["audit"]["denials"]} == denials
    assert document["audit"]["coverage"]["first_serial"] == 1
    assert {denial["permissive"] for denial in document["audit"]["denials"]} == {selinux == "permissive"}
    _gate(document, now)


def _evidence(node: Replay, state: str) -> tuple[dict[str, Any], dt.datetime]:
    context = "reader" if state.endswith("reader") else "admin"
    operation = {"locked_by": None, "boot_path": "in_place", "approved_local_data": "", "target": None}

    (time,) = [one for one in real_talos.answers(state) if one.name == "Time"]
    said = message_class("time.TimeResponse").FromString(time.messages[0]).messages[0]
    now = dt.datetime.fromtimestamp(said.localtime.seconds, dt.UTC)

    async def visit() -> tuple[dict[str, Any], dt.datetime]:
        async with _client(node, context) as client:
            found = await collect(
                client,
                name="real",
                address=node.address,
                endpoint=None,
                peer=lambda _address: _client(node, context),
                kubernetes=None,
                config=None,
                operation=operation,
                cluster={"name": "lab"},
                clock=lambda: now,
            )
            return found.document, now

    return asyncio.run(visit())


def _family(denial: dict[str, Any]) -> str:
    perms = ",".join(denial["permissions"])
    return f"{denial['source_type']}:{denial['target_type']}:{denial['class']}:{perms}"


def _gate(document: dict[str, Any], now: dt.datetime) -> None:
    judged = verdict.judge(document, load_policy("strict"), now=now, node="real")
    assert judged["decision"] == "refused"
    failed = {check["id"]: check["found"] for check in judged["checks"] if check["result"] == "fail"}
    enforces = document["selinux"]["state"] == "enforcing"
    assert set(failed) == {name for name in STOPS if enforces or name != "selinux-permissive"}, failed
    unknown = {check["id"]: check["found"] for check in judged["checks"] if check["result"] == "unknown"}
    for name, found in unknown.items():
        missing = found.rpartition("(")[2].removesuffix(")").split("; ")
        missing = [part for part in missing if not part.startswith(NOT_ASKED)]
        assert missing == [], (name, found)


@_in_state(RUNNING)
def test_every_recorded_resource_is_read_as_it_was_written(node: Replay, state: str) -> None:
    # An alias is refused before anything is asked: the client names whole types only.
    asked = [one for one in real_talos.answers(state) if one.name != "cosi-err-list-alias"]
    lists = [one for one in asked if one.method == "/cosi.resource.State/List"]
    assert len(lists) > 30
    for answer in lists:
        kind = f"{answer.request['namespace']}/{answer.request['type']}"
        listed = message_class("cosi.resource.ListResponse")
        expected = [listed.FromString(message).resource for message in answer.messages]
        if answer.error is not None:
            with pytest.raises(TalosError) as refused:
                _ask(node, methodcaller("list", kind))
            assert answer.error[1] in str(refused.value)
            continue
        found = _ask(node, methodcaller("list", kind))
        assert [one.id for one in found] == [one.metadata.id for one in expected], kind
        # A static pod has a number (2e+09) that PyYAML reads as text, and the client as the number.
        if "StaticPods" not in kind:
            specs = [quick_yaml.load(one.spec.yaml_spec) for one in expected]
            assert [one.spec for one in found] == specs, kind


_METHODS: dict[str, Callable[[NodeClient], Awaitable[Any]]] = {
    "Version": lambda client: client.version(),
    "SystemStat": lambda client: client.system_stat(),
    "ServiceList": lambda client: client.services(),
    "Processes": lambda client: client.processes(),
    "Dmesg": lambda client: client.dmesg(),
    "Logs-auditd": lambda client: client.logs("auditd"),
    "Logs-machined": lambda client: client.logs("machined"),
    "Read_proc_cmdline": lambda client: client.read("/proc/cmdline"),
    "Read_sys_fs_selinux_enforce": lambda client: client.read("/sys/fs/selinux/enforce"),
    "List_": lambda client: client.list_files("/", xattrs=True),
    "List_var": lambda client: client.list_files("/var", xattrs=True),
    "List_system": lambda client: client.list_files("/system", xattrs=True),
    "EtcdMemberList": lambda client: client.etcd_members(),
    "EtcdStatus": lambda client: client.etcd_status(),
    "EtcdAlarmList": lambda client: client.etcd_alarms(),
}


@pytest.mark.parametrize("node", ["enforcing"], indirect=True)
def test_every_method_means_what_the_node_meant(node: Replay) -> None:
    found = {name: _ask(node, question) for name, question in _METHODS.items()}
    recorded = {answer.name: answer for answer in real_talos.answers("enforcing")}
    assert len(found["Dmesg"]) == len(recorded["Dmesg"].messages)
    assert any(b"\n" in record.rstrip(b"\n") for record in found["Dmesg"])
    log = b"".join(message_class("common.Data").FromString(part).bytes for part in recorded["Logs-auditd"].messages)
    assert found["Logs-auditd"] == log
    assert found["Read_sys_fs_selinux_enforce"] == b"1" and b"enforcing=1" in found["Read_proc_cmdline"]
    assert {service.id for service in found["ServiceList"]} >= {"apid", "auditd", "etcd", "kubelet", "sandboxd"}
    assert next(one for one in found["Processes"] if one.pid == 1).label == "system_u:system_r:init_t:s0"
    labels = {entry.name: entry.xattrs["security.selinux"] for entry in found["List_var"] + found["List_system"]}
    assert labels["/var"] == b"system_u:object_r:ephemeral_t:s0\0"
    assert labels["/system"] == b"system_u:object_r:system_t:s0\0"
    (member,) = found["EtcdMemberList"]
    assert found["EtcdStatus"].member_id == member.id and found["EtcdAlarmList"] == []
    assert node.unanswered == []


@_in_state(MAINTENANCE)
def test_a_machine_in_maintenance_mode_is_told_apart(node: Replay, state: str) -> None:
    async def visit() -> dict[str, Any]:
        async with connect_maintenance(node.address, fingerprints=[node.certificate.fingerprint]) as client:
            assert (await client.talos_version()).release == (1, 14)
            with pytest.raises(TalosError, match="does not allow Read"):
                await client.read("/proc/cmdline")
            assert len(await client.dmesg()) > 300
            return await read_machine(client, name="spare", pool=None, workload=None)

    machine = asyncio.run(visit())
    assert machine["uuid"] == _recorded(state, "system_information")["uuid"]
    assert (machine["stage"], machine["installed"]) == ("maintenance", state == "maintenance")
