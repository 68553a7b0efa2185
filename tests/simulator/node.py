# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""State of one simulated machine: hardware, what is on its disk, and the boot it is in."""

from __future__ import annotations

import asyncio
import base64
import collections
import hashlib
import itertools
import json
import os
import re
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import quick_yaml

from . import audit, versions
from .audit_writer import BootFacts, Logs
from .clock import Clock
from .disk import GIB, GRUB_LAYOUT, LAYOUT, Partition, System, build_system, node_identity
from .machine_configs import Facts
from .rings import KernelRecord, boot_time_of, read_text
from .scenario import NodeSpec

if TYPE_CHECKING:
    from .fleet import Fleet
    from .wire import Gateway


@dataclass
class Boot:
    """What lives exactly as long as one boot."""

    system: System
    arguments: list[str]
    origin: str
    #: On the running clock of the node.
    started: float
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    installed: bool = False
    booted_with_uki: bool = True
    logs: Logs | None = None
    lines: list[KernelRecord] = field(default_factory=list)
    reset_actor: str | None = None


@dataclass
class Event:
    """One entry of the Events stream."""

    id: str
    actor: str
    type: str
    payload: bytes


class Node:
    """One machine.

    ``state`` is the Talos stage, or ``off``, ``dead`` (nothing bootable), ``rebooting`` between boots.
    """

    def __init__(self, spec: NodeSpec, fleet: Fleet, index: int) -> None:
        self.spec = spec
        self.fleet = fleet
        self.gateway: Gateway
        self.name = spec.name
        self.hostname = spec.name
        self.role = spec.role
        self.index = index
        self.address = fleet.address(10 + index)
        self.faults: dict[str, Any] = dict(spec.faults)
        own = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{fleet.scenario.cluster}.{spec.name}"))
        self.uuid = str(spec.extra.get("uuid", own))
        self.serial = str(spec.extra.get("serial", "SIM" + hashlib.sha256(own.encode()).hexdigest()[:8].upper()))
        self.disk_path = "/dev/sda"
        self.disk_uuid = str(uuid.uuid4())
        self.state = "running"
        self.ready = True
        self.unschedulable = False
        # Talos takes back only a cordon that is its own.
        self.talos_cordon = False
        self.etcd_data = False
        self.clock = Clock(fleet.clock, spec.clock_offset)
        self.boot: Boot | None = None
        self.disk: System | None = None
        self.partitions: dict[str, Partition] = {}
        self.bootloader = spec.bootloader
        self.medium: System | None = None
        self.medium_next = False
        self.config: str | None = None
        self.token = base64.b64encode(os.urandom(32)).decode()
        self.node_id: str | None = None
        self.machine_id: str | None = None
        self.meta: dict[int, str] = {}
        self.install_phase: tuple[str, str, str] | None = None
        self.extra_denials: list[Any] = []
        self.events: collections.deque[Event] = collections.deque(maxlen=1000)
        # The actors of whose events somebody has all that there are.
        self.followed: set[str] = set()
        self.changed = asyncio.Event()
        # What the console shows of a boot that never reached its API.
        self.dead_console: str | None = None
        self.unmet: list[tuple[str, str]] = []
        self.first_boot_id = ""
        self.task: asyncio.Task[None] | None = None
        self._event_ids = itertools.count(1)
        self._prepare()

    # -- scenario to first state --

    def _prepare(self) -> None:
        spec = self.spec
        schematic = dict(spec.schematic)
        if spec.extensions:
            customization = dict(schematic.get("customization") or {})
            customization["systemExtensions"] = {"officialExtensions": spec.extensions}
            schematic["customization"] = customization
        if spec.kernel_args:
            customization = dict(schematic.get("customization") or {})
            known = list(customization.get("extraKernelArgs") or [])
            customization["extraKernelArgs"] = known + spec.kernel_args
            schematic["customization"] = customization
        system = build_system(spec.talos, schematic, spec.platform)
        if spec.medium is not None:
            self.medium = self.medium_system(spec.medium)
        now = self.clock.running()
        started = now - (spec.uptime or 0.0)
        if spec.uptime is None and spec.dmesg is not None:
            started = boot_time_of(read_text(spec.dmesg)) or now - 72 * 3600
        if spec.state in ("maintenance", "dead", "off"):
            if spec.state == "maintenance":
                system = self.medium or system
                self.boot = Boot(system, system.arguments, "medium", started)
                self.first_boot_id = self.boot.id
            self.state, self.ready = spec.state, False
            return
        self.disk = system
        self.make_partitions()
        self.new_identity()
        uki = spec.bootloader == "uki" and versions.at_least(spec.talos, "1.10")
        self.boot = Boot(system, list(system.arguments), "disk", started, installed=True, booted_with_uki=uki)
        self.first_boot_id = self.boot.id
        self.config = self.default_config() if spec.config is None else spec.config
        self.install_phase = self._installed_by()
        self.ready = not spec.extra.get("not_ready", False)
        self.unschedulable = bool(spec.extra.get("cordoned", False))
        self.unmet = list(dict(spec.extra.get("unmet", {})).items())
        # A configured 1.14 node keeps how STATE is encrypted there, as JSON: not at all.
        self.meta = {0x09: "null"} if versions.at_least(spec.talos, "1.14") else {}
        self.meta |= {int(str(key), 16): str(value) for key, value in dict(spec.extra.get("meta", {})).items()}
        self.etcd_data = self.role == "controlplane"

    def default_config(self) -> str:
        """What `talosctl gen config` wrote for this node: what it runs with, and what the operator has as a file."""
        installer = f"factory.talos.dev/metal-installer/{self.system.schematic_id}:{self.spec.talos}"
        return self.fleet.machine_configs.text(
            Facts(self.name, self.spec.role, self.spec.talos, self.address, installer)
        )

    def medium_system(self, medium: dict[str, Any]) -> System:
        """The system on a boot medium: ``{version, schematic (mapping or YAML text), kernel_args}``."""
        schematic = medium.get("schematic") or {}
        if isinstance(schematic, str):
            schematic = quick_yaml.load(schematic) or {}
        version = str(medium.get("version") or self.spec.talos)
        return build_system(version, schematic, self.spec.platform, list(medium.get("kernel_args") or []))

    def make_partitions(self) -> None:
        """Lay the system disk out anew, with fresh identifiers."""
        self.disk_uuid = str(uuid.uuid4())
        layout = LAYOUT if self.bootloader == "uki" else GRUB_LAYOUT
        self.partitions = {
            label: Partition(label, index, size, filesystem) for label, index, size, filesystem in layout
        }
        for number, name in enumerate(self.spec.user_volumes, start=len(layout) + 1):
            self.partitions[f"u-{name}"] = Partition(f"u-{name}", number, 10 * GIB, "xfs")

    def new_identity(self) -> None:
        """A fresh STATE partition: new node identity, new machine id."""
        raw = os.urandom(32)
        self.node_id, self.machine_id = node_identity(raw), raw[:16].hex()

    def _installed_by(self) -> tuple[str, str, str] | None:
        """What UnattendedInstallStatus says of a node that was installed so: image, phase, no error."""
        match = re.search(r"kind: UnattendedInstallConfig\ninstaller:\n +image: (\S+)", self.config or "")
        return (match[1], "installed", "") if match else None

    # -- facts --

    @property
    def system(self) -> System:
        """The system that runs, or (when off) the one on the disk."""
        if self.boot is not None:
            return self.boot.system
        return self.disk or self.medium or build_system(self.spec.talos, {}, self.spec.platform)

    @property
    def version(self) -> str:
        """Talos version of the running system."""
        return self.system.version

    @property
    def boot_id(self) -> str:
        """Boot id, '' while the machine is not up."""
        return self.boot.id if self.boot else ""

    @property
    def maintenance(self) -> bool:
        """Tell whether the API serves maintenance mode."""
        return self.state == "maintenance"

    @property
    def config_applied(self) -> bool:
        """Tell whether a complete machine config is in force."""
        return self.config is not None

    @property
    def arguments(self) -> list[str]:
        """Kernel command line of this boot, with the two faults that live on it."""
        arguments = list(self.boot.arguments if self.boot else self.system.arguments)
        if "audit_disabled" in self.faults:
            arguments.append("audit=0")
        if "auditd_disabled" in self.faults:
            arguments.append("talos.auditd.disabled=1")
        return arguments

    @property
    def extensions(self) -> list[str]:
        """System extensions of the running system."""
        names = list(self.system.extensions)
        if "extension" in self.faults:
            value = self.faults["extension"]
            names.append(value if isinstance(value, str) else "siderolabs/iscsi-tools")
        return names

    @property
    def schematic(self) -> str:
        """Canonical schematic text of the running system."""
        text = self.system.schematic
        if "extension" not in self.faults and not {"audit_disabled", "auditd_disabled"} & set(self.faults):
            return text
        document = quick_yaml.load(text)
        customization = document.setdefault("customization", {})
        if "extension" in self.faults:
            customization["systemExtensions"] = {"officialExtensions": self.extensions}
        added = self.arguments[len(self.boot.arguments if self.boot else []) :]
        if added:
            customization["extraKernelArgs"] = [*(customization.get("extraKernelArgs") or []), *added]
        return versions.canonical_schematic(document)

    @property
    def selinux(self) -> str:
        """disabled, permissive or enforcing."""
        return versions.selinux_state(self.arguments, self.version, self.spec.mode)

    @property
    def meta_installed(self) -> bool:
        """What Talos calls installed: the META partition entry exists (its content does not count)."""
        return "META" in self.partitions

    def kernel_logs(self) -> Logs:
        """The rings of this boot, generated when first asked for."""
        assert self.boot is not None
        if self.boot.logs is None:
            self.boot.logs = audit.generate(self.boot_facts())
            for line in self.boot.lines:
                self.boot.logs.kernel.write(line)
        return self.boot.logs

    def boot_facts(self) -> BootFacts:
        """What the logs of this boot depend on."""
        boot = self.boot
        assert boot is not None
        replay = boot.id == self.first_boot_id
        return BootFacts(
            seed=boot.id,
            version=self.version,
            arguments=self.arguments,
            started=boot.started,
            now=self.clock.running(),
            wall=self.clock.wall,
            control_plane=self.role == "controlplane",
            pods_per_hour=self.spec.pods_per_hour if self.state != "maintenance" else 0.0,
            mode=self.spec.mode,
            denials=[*self.spec.denials, *self.extra_denials] if self.state != "maintenance" else self.extra_denials,
            enforcing_denials=[*self.spec.enforcing_denials, *self.extra_denials],
            kernel_lines=self.spec.kernel_lines,
            faults=self.faults,
            audit_log=self.spec.audit_log if replay else None,
            dmesg=self.spec.dmesg if replay else None,
        )

    # -- change --

    def notify(self) -> None:
        """Wake everyone who watches this node."""
        self.changed.set()
        self.changed = asyncio.Event()

    def set_state(self, state: str, *, ready: bool | None = None) -> None:
        """Enter a stage and tell the watchers."""
        self.state = state
        if ready is not None:
            self.ready = ready
        self.add_event("machine.MachineStatusEvent", self.status_event())
        self.notify()

    def status_event(self) -> bytes:
        """Serialized MachineStatusEvent of the present stage."""
        from .proto import make

        stages = {
            "booting": 1,
            "installing": 2,
            "maintenance": 3,
            "running": 4,
            "rebooting": 5,
            "shutting down": 6,
            "resetting": 7,
        }
        status = make("machine.MachineStatus", ready=self.ready)
        return bytes(
            make("machine.MachineStatusEvent", stage=stages.get(self.state, 0), status=status).SerializeToString()
        )

    def add_event(self, kind: str, payload: bytes, actor: str = "") -> None:
        """Append to the Events ring."""
        self.events.append(Event(f"{next(self._event_ids):020d}", actor, kind, payload))
        self.notify()

    def log_kernel(self, text: str) -> None:
        """Write a machined line into the kernel ring of the running boot."""
        if self.boot is not None:
            offset = self.clock.running() - self.boot.started
            record = KernelRecord(1, 4, offset, f"[talos] {text}".encode())
            self.kernel_logs().kernel.write(record)
            self.boot.lines.append(record)
            self.notify()

    def inform(self, text: str, **fields: str) -> None:
        """What maintenance mode writes for whoever stands at the console."""
        told = {"component": "controller-runtime", "controller": "runtime.MaintenanceServiceInformController"} | fields
        self.log_kernel(f"{text} {json.dumps(told)}")

    def console(self) -> str:
        """What the machine's console shows of its present boot."""
        if self.dead_console is not None:
            return self.dead_console
        if self.boot is None:
            return ""
        records = self.kernel_logs().kernel.read()
        return "".join(f"[{record.offset:12.6f}] {record.text.decode(errors='replace')}\n" for record in records)

    def add_denial(self, denial: Any) -> None:
        """Log one more denial, in this boot and all later ones."""
        if self.boot is not None:
            audit.append(self.kernel_logs(), self.boot_facts(), denial)
        self.extra_denials.append(denial)
        self.notify()

    def lose_records(self, kind: str) -> None:
        """Lose records of the audit log from now on; what was logged before stays as it was."""
        if self.boot is not None and self.boot.logs is not None:
            audit.lose(self.boot.logs, self.boot_facts(), kind)
        self.notify()

    def time_passed(self, since: float) -> None:
        """Go on with logs that somebody has read already, from the moment ``since`` to now."""
        if self.boot is not None and self.boot.logs is not None:
            audit.go_on(self.boot.logs, self.boot_facts(), since)
        self.notify()

    def step_clock(self, seconds: float) -> None:
        """Set the wall clock, as a time sync does that finds it wrong."""
        self.clock.step(seconds)
        self.log_kernel(
            f"adjusting time (jump) by {seconds:.9f}s via 162.159.200.1, state TIME_OK, status STA_NANO "
            '{"component": "controller-runtime", "controller": "time.SyncController"}'
        )

    def boot_time(self) -> int:
        """The time of boot in seconds since 1970, as the kernel gives it now."""
        assert self.boot is not None
        return int(self.clock.boot_time(self.boot.started))

    def shown(self, records: list[KernelRecord]) -> list[bytes]:
        """Records as one read of the kernel log shows them."""
        assert self.boot is not None
        started = self.boot.started
        # Every line computes the time of boot for itself; a line takes a fraction of a millisecond.
        times = (self.clock.boot_time_of_a_read(started, index * 0.0002) for index in range(len(records)))
        return [record.shown(moment) for record, moment in zip(records, times, strict=True)]

    def forget_logs(self) -> None:
        """Let the logs be generated anew: a fault that shapes them was switched."""
        if self.boot is not None:
            self.boot.logs = None
            self.notify()
