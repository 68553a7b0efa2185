# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet of simulated nodes: addresses, files for its users, faults, and the records of what was asked."""

from __future__ import annotations

import ipaddress
import json
import random
import re
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import quick_yaml
from grpclib.const import Status

from . import booting, containers, machine_configs, services, wire, work
from . import scenario as scenarios
from .clock import Clock
from .etcd import Etcd
from .node import Node
from .pki import Pair, Pki, talosconfig, write_private
from .wire import Call

_SCHEMATIC_ID = re.compile(r"[0-9a-f]{64}\Z")
# Faults that change certificates or the port itself, and those that change what the logs hold.
_PORT_FAULTS = {"unreachable", "not_tls", "wrong_certificate", "expired_certificate"}
_LOG_FAULTS = {"auditd_dead", "audit_disabled", "auditd_disabled", "wrapped_ring", "lost_records", "torn_log"}


class Fleet:
    """Everything of one scenario that runs in one event loop."""

    def __init__(self, scenario: scenarios.Scenario, directory: Path) -> None:
        self.scenario = scenario
        self.directory = directory
        self.pki = Pki()
        self.clock = Clock()
        self.etcd = Etcd()
        self.calls: list[Call] = []
        self.errors: list[Exception] = []
        self.nodes: dict[str, Node] = {}
        self.factory: Any = None
        self.kubernetes: Any = None
        self.control: Any = None
        self.connection: dict[str, str] = {}
        self.machine_configs: machine_configs.MachineConfigs
        self._lock: socket.socket | None = None
        self._prefix: str | None = None
        self._by_address: dict[str, Node] = {}

    # -- start and stop --

    def _take_network(self) -> None:
        """Take a loopback network that no other fleet on this machine uses: whoever binds its lock port owns it."""
        if self.scenario.network != "auto":
            network = ipaddress.ip_network(self.scenario.network)
            candidates = [str(network.network_address).rpartition(".")[0]]
        else:
            candidates = [f"127.{random.randrange(16, 250)}.{random.randrange(0, 250, 5)}" for _unused in range(200)]
        for prefix in candidates:
            lock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                lock.bind((f"{prefix}.1", 49999))
            except OSError:
                lock.close()
                continue
            self._lock, self._prefix = lock, prefix
            return
        raise RuntimeError(f"no free loopback network (tried {candidates[0]}.0/24 and {len(candidates) - 1} more)")

    def address(self, number: int) -> str:
        """The address ``number`` places into the fleet's network; large fleets run on into the next ones."""
        assert self._prefix is not None
        return str(ipaddress.ip_address(f"{self._prefix}.0") + number)

    async def start(self) -> None:
        """Bring everything up and write the files."""
        self._take_network()
        roles = [spec.role for spec in self.scenario.nodes.values()]
        first = roles.index("controlplane") if "controlplane" in roles else 0
        self.machine_configs = machine_configs.MachineConfigs(self.pki, self.scenario.cluster, self.address(10 + first))
        for index, spec in enumerate(self.scenario.nodes.values()):
            node = Node(spec, self, index)
            node.gateway = wire.Gateway(node)
            self.nodes[node.name] = node
            self._by_address[node.address] = node
        for node in self.nodes.values():
            if node.role == "controlplane" and node.state == "running":
                self.etcd.add(node, learner=False)
        self._disturb_etcd(self.scenario.raw.get("etcd") or {})
        for node in self.nodes.values():
            if node.boot is not None:
                await self.listen(node)
        await self._start_companions()
        self._write_files()

    def _disturb_etcd(self, given: Mapping[str, Any]) -> None:
        self.etcd.alarms = {str(name): int(alarm) for name, alarm in dict(given.get("alarms", {})).items()}
        for name in given.get("learners", []):
            self.etcd.members[name].learner = True
        self.etcd.elect()

    async def _start_companions(self) -> None:
        """Start the Image Factory, the Kubernetes API and the control API."""
        from .control import Control
        from .factory import Factory
        from .kube import KubernetesApi

        raw = self.scenario.raw
        known = sorted({node.system.schematic for node in self.nodes.values()})
        self.factory = Factory(known=known, **(raw.get("factory") or {}))
        await self.factory.start(self.address(3), 8080)
        self.kubernetes = KubernetesApi(self, self.pki, raw.get("kubernetes"))
        await self.kubernetes.start(self.address(2), 6443)
        self.control = Control(self)
        await self.control.start(self.address(4), 8081)

    async def stop(self) -> None:
        """Take everything down; the address block is free again afterwards."""
        for companion in (self.control, self.kubernetes, self.factory):
            if companion is not None:
                await companion.stop()
        for node in self.nodes.values():
            if node.task is not None:
                node.task.cancel()
            await node.gateway.close()
        if self._lock is not None:
            self._lock.close()

    # -- files --

    def talosconfig(self, pairs: Mapping[str, Pair]) -> str:
        """A talosconfig with one context per client certificate; the first is current."""
        endpoints = [node.address for node in self.nodes.values() if node.spec.role == "controlplane"]
        nodes = [node.address for node in self.nodes.values()]
        return talosconfig(pairs, self.pki.talos.crt, endpoints or nodes, nodes)

    def _write_files(self) -> None:
        directory = self.directory
        directory.mkdir(parents=True, exist_ok=True)
        pairs = {
            "admin": self.pki.client(services.ADMIN),
            "reader": self.pki.client(services.READER),
            "operator": self.pki.client(services.OPERATOR),
            "expired": self.pki.client(services.ADMIN, days=1, start=-2),
        }
        write_private(directory / "talosconfig", self.talosconfig(pairs).encode())
        self.connection = {
            "factory_url": f"http://{self.address(3)}:8080",
            "control_url": f"http://{self.address(4)}:8081",
            "kubernetes_url": f"https://{self.address(2)}:6443",
        }
        write_private(directory / "inventory.yml", self._inventory().encode())
        self.kubernetes.write_kubeconfig(directory / "kubeconfig")
        if any(spec.role == "controlplane" for spec in self.scenario.nodes.values()):
            machine_configs.write(directory, ((node.name, node.default_config()) for node in self.nodes.values()))
        # Last, so that whoever waits for this file finds everything else in place.
        write_private(directory / "connection.json", (json.dumps(self.connection, indent=2) + "\n").encode())

    def _inventory(self) -> str:
        def hosts(role: str) -> dict[str, Any]:
            return {
                node.name: {
                    "ansible_host": node.address,
                    **({"talos_zone": node.spec.zone} if node.spec.zone else {}),
                    **dict(node.spec.extra.get("vars", {})),
                }
                for node in self.nodes.values()
                if node.spec.role == role
            }

        groups = {
            name: {"hosts": hosts(role)} for name, role in (("controlplanes", "controlplane"), ("workers", "worker"))
        }
        return quick_yaml.dump({"talos": {"children": groups}})

    # -- nodes --

    def find(self, target: str) -> Node | None:
        """A node by address or name."""
        return self._by_address.get(target) or self.nodes.get(target)

    async def listen(self, node: Node) -> None:
        """(Re)open a node's API port for its present stage."""
        await node.gateway.open()

    async def silence(self, node: Node) -> None:
        """Close a node's API port and cut its connections."""
        await node.gateway.close()

    def resolve_installer(self, image: str) -> dict[str, Any]:
        """What an installer image holds: ``{version, schematic, kernel_args}``, or ``{error}``."""
        try:
            found = self.factory.resolve_installer(image)
        except Exception as error:
            return {"error": str(error)}
        schematic = quick_yaml.load(found["text"]) if found.get("text") else {}
        return {"version": found["version"], "schematic": schematic, "kernel_args": found.get("kernel_args")}

    # -- faults and hands on the hardware --

    async def set_fault(self, name: str, fault: str, value: Any = True) -> None:
        """Switch a fault on. Raises ValueError for an unknown one."""
        if fault not in scenarios.FAULTS:
            raise ValueError(f"unknown fault {fault!r}")
        self.nodes[name].faults[fault] = value
        await self._fault_changed(self.nodes[name], fault)

    async def clear_fault(self, name: str, fault: str) -> None:
        """Switch a fault off."""
        if self.nodes[name].faults.pop(fault, None) is not None:
            await self._fault_changed(self.nodes[name], fault)

    async def _fault_changed(self, node: Node, fault: str) -> None:
        if fault in _PORT_FAULTS and node.boot is not None and node.dead_console is None:
            await self.listen(node)
        if fault == "lost_records" and node.faults.get(fault) not in (None, "printk"):
            node.lose_records(str(node.faults[fault]))
        elif fault in _LOG_FAULTS:
            node.forget_logs()
        if fault == "drain_blocked" and self.kubernetes is not None:
            change = self.kubernetes.set_fault if fault in node.faults else self.kubernetes.clear_fault
            change(fault, node.name)
        node.notify()

    def has_fault(self, name: str, fault: str) -> bool:
        """Tell whether a fault is on."""
        return name in self.nodes and fault in self.nodes[name].faults

    async def boot_medium(self, name: str, medium: Mapping[str, Any] | None = None, *, once: bool = True) -> None:
        """Insert a boot medium and select it for the next start through the firmware; a machine that is down starts.

        ``medium`` is ``{schematic (mapping, text or id), version, kernel_args}``.
        """
        node = self.nodes[name]
        given = dict(medium or {})
        if isinstance(given.get("schematic"), str) and _SCHEMATIC_ID.match(given["schematic"]):
            given["schematic"] = self.factory.schematic_text(given["schematic"])
        node.medium = node.medium_system(given)
        node.medium_next = once
        if node.state in ("dead", "off"):
            work.start(node, booting.boot(node, kexec=False))

    async def eject_medium(self, name: str) -> None:
        """Remove the boot medium."""
        self.nodes[name].medium = None
        self.nodes[name].medium_next = False

    async def power_on(self, name: str) -> None:
        """Press the power button of a machine that is down."""
        node = self.nodes[name]
        if node.state in ("dead", "off"):
            work.start(node, booting.boot(node, kexec=False))

    async def power_off(self, name: str) -> None:
        """Cut the power."""
        node = self.nodes[name]
        work.start(node, booting.power_off(node))

    async def power_cycle(self, name: str) -> None:
        """Cut the power and start again through the firmware."""
        node = self.nodes[name]
        work.start(node, booting.boot(node, kexec=False))

    async def new_system(
        self,
        name: str,
        *,
        version: str | None = None,
        kernel_args: list[str] | None = None,
        wiped: bool | Sequence[str] = False,
    ) -> None:
        """Put another system on the disk behind the API's back, and start it: on the old partitions, or on new ones.

        ``wiped`` may name the partitions that were made anew, as when somebody wipes these and then upgrades.
        """
        node = self.nodes[name]
        customization = {"customization": {"extraKernelArgs": list(kernel_args or [])}}
        node.disk = node.medium_system({"version": version or node.version, "schematic": customization})
        if wiped:
            old = node.partitions
            node.make_partitions()
            if not isinstance(wiped, bool):
                node.partitions = {
                    label: part if label in wiped else old.get(label, part) for label, part in node.partitions.items()
                }
            if wiped is True or "STATE" in wiped:
                node.new_identity()
        await self.restart(name)

    async def restart(self, name: str) -> None:
        """Cut the power and wait until the machine is in its next boot; until the cut it runs as if nothing were."""
        node = self.nodes[name]
        before = node.boot_id
        await self.power_cycle(name)
        while node.boot_id in ("", None, before):
            await node.changed.wait()

    async def add_denial(self, name: str, denial: Any) -> None:
        """Let a node log one more denial (a template name or a mapping) in this boot and all later ones."""
        self.nodes[name].add_denial(denial)

    async def step_clock(self, name: str, seconds: float) -> None:
        """Set a node's wall clock forwards, or back."""
        self.nodes[name].step_clock(seconds)

    async def advance(self, seconds: float) -> None:
        """Let time pass on every machine at once; what they log meanwhile is there afterwards."""
        before = {name: node.clock.running() for name, node in self.nodes.items()}
        self.clock.advance(seconds)
        for name, node in self.nodes.items():
            node.time_passed(before[name])

    async def swap_addresses(self, name: str, other: str) -> None:
        """Let two machines change their addresses: whoever asks one next reaches the other."""
        one, two = self.nodes[name], self.nodes[other]
        for node in (one, two):
            await self.silence(node)
        one.address, two.address = two.address, one.address
        for node in (one, two):
            self._by_address[node.address] = node
            if node.boot is not None and node.dead_console is None:
                await self.listen(node)

    # -- Kubernetes' view --

    def kubernetes_nodes(self) -> list[dict[str, Any]]:
        """The nodes as Kubernetes sees them."""
        return [
            {
                "name": node.name,
                "role": node.role,
                "zone": node.spec.zone,
                "address": node.address,
                "labels": dict(node.spec.extra.get("node_labels", {})),
                "ready": node.ready and node.state in ("running", "resetting", "shutting down"),
                "unschedulable": node.unschedulable,
                "boot_id": node.boot_id,
                "machine_id": node.machine_id or "",
                "system_uuid": node.uuid,
                "talos": node.version,
                "pods": node.spec.extra.get("pods", []),
                **node.spec.extra.get("node_info", {}),
            }
            for node in self.nodes.values()
            if node.spec.state == "running" or node.config_applied
        ]

    def set_unschedulable(self, name: str, value: bool) -> None:
        """Cordon or uncordon through Kubernetes."""
        node = self.nodes[name]
        if node.unschedulable != value:
            node.unschedulable = value
            node.talos_cordon = False
            node.notify()

    def run_container(
        self, name: str, container: Mapping[str, Any], behaviour: containers.Behaviour
    ) -> containers.Finished:
        """Run a container on a node to its end."""
        return containers.run(self.nodes[name], container, behaviour)

    # -- records --

    def record(self, node: str, via: str, known: Any, request: Any, caller: Any, code: Status) -> None:
        """Keep the record of one gRPC call."""
        self.calls.append(wire.record_of(self, node, via, known, request, caller, code))

    def record_kubernetes(self, method: str, path: str, status: int, user: str | None) -> None:
        """Keep the record of one write to the Kubernetes API."""
        self.calls.append(Call("kubernetes", "", f"{method} {path}", user or "", str(status), False, time.time()))

    def writes(self) -> list[Call]:
        """All calls that asked for a change."""
        return [call for call in self.calls if call.is_write or call.node == "kubernetes"]

    def upgrades(self) -> list[Call]:
        """All calls of any upgrade method."""
        return [call for call in self.calls if call.is_upgrade]

    def describe(self) -> list[dict[str, Any]]:
        """One line of facts per node, for people and for the control API."""
        return [
            {
                "name": node.name,
                "address": node.address,
                "role": node.role,
                "zone": node.spec.zone,
                "state": node.state,
                "ready": node.ready,
                "talos": node.version,
                "selinux": node.selinux if node.boot is not None else "unknown",
                "boot_id": node.boot_id,
                "unschedulable": node.unschedulable,
                "faults": dict(node.faults),
            }
            for node in self.nodes.values()
        ]
