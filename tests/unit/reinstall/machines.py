# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A step's view of a node in this process: a real ledger, and whatever machine answers at the node's address."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.work import Work
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger import Ledger
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.steps import STEP_NAMES
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.answers import SystemStat
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import (
    NotFound,
    TlsFailure,
    Unauthenticated,
    Unreachable,
)

HOST, UUID, SERIAL = "worker-1", "4c4c4544-0042-4e10-8053-b4c04f4b4832", "PK1X7"
FACTS = {
    "uuid": UUID,
    "serial_number": SERIAL,
    "identity": "old",
    "machine_type": "worker",
    "hostname": HOST,
    "address": "10.0.0.1",
    "boot_path": "in_place",
    "target": {
        "version": "v1.14.1",
        "schematic": "5" * 64,
        "kernel_args": [],
        "installer": "i",
        "installer_digest": "d",
    },
    "config_sha256": "c" * 64,
    "evidence": "evidence.json",
    "evidence_sha256": None,
    "verdict": "verdict.json",
    "fingerprint": "first",
    "boot_id": "boot-1",
    "boot_after": {"id": "boot-2", "time": None, "look": None},
    "peers": [],
    "member": None,
    "cordoned": True,
}


@dataclasses.dataclass
class Machine:
    """What answers at an address, and the configurations that it was sent."""

    how: str = "running"
    uuid: str | None = UUID
    serial_number: str | None = SERIAL
    identity: str = "old"
    stage: str = "running"
    ready: bool = True
    fingerprint: str = "first"
    boot_id: str = "boot-1"
    version_tag: str = "v1.13.7"
    cmdline: str = "selinux=1"
    tasks: tuple[str, ...] = ()
    unattended: dict[str, Any] | None = None
    #: The endpoint that forwards, and what forwarded to another machine since the first question.
    endpoint: str | None = None
    later_uuid: str | None = None
    sent: list[bytes] = dataclasses.field(default_factory=list)

    @property
    def peer_fingerprint(self) -> str:
        return self.fingerprint

    async def spec(self, name: str) -> dict[str, Any]:
        if name == "unattended_install_status":
            if self.unattended is None:
                raise NotFound("there is none", "w", "d")
            return self.unattended
        uuid = self.uuid
        if name == "system_information" and self.later_uuid:
            self.uuid = self.later_uuid
        return {
            "machine_status": {"stage": self.stage, "status": {"ready": self.ready, "unmetConditions": []}},
            "system_information": {"uuid": uuid, "serialnumber": self.serial_number},
            "identity": {"nodeId": self.identity},
            "kernel_cmdline": {"cmdline": self.cmdline},
        }[name]

    async def get(self, name: str) -> Any:
        assert name == "boot_id"
        return SimpleNamespace(spec={"bootID": self.boot_id})

    async def version(self) -> Any:
        return SimpleNamespace(tag=self.version_tag)

    async def system_stat(self) -> SystemStat:
        return SystemStat(boot_time=1)

    async def follow_tasks(self, actor_id: str) -> AsyncGenerator[str, None]:
        assert actor_id == "actor"
        for task in self.tasks:
            yield task

    async def apply_configuration(self, data: bytes) -> None:
        self.sent.append(data)


class OneNode(Work):
    """The work on one node. ``answers`` gives the machine that answers at each visit; None for nobody."""

    def __init__(self, directory: Path, answers: Iterator[Machine | None], **variables: Any) -> None:
        self.action: Any = SimpleNamespace(
            host=HOST,
            variable=lambda host, name: variables.get(name),
            has_variable=lambda host, name: name in variables,
        )
        self.host = HOST
        self.params = {
            "directory": str(directory),
            "kubeconfig": None,
            "kube_context": None,
            "wave": "1",
            "boot": "uki",
            "policy": "strict",
            "public_key": None,
            "waivers": None,
            "boot_hook": ["true"],
            "boot_hook_environment": {},
            "confirm_wiped": {},
            "wipe_timeout": 0.4,
            "install_timeout": 0.2,
            "rejoin_timeout": 0.2,
            "soak_seconds": 0,
            "poll_seconds": 0.01,
        }
        self.ledger = Ledger(directory / "ledger.jsonl")
        self.facts: dict[str, Any] = dict(FACTS)
        self.look_first = self.again = self.failed_before = self.changed = False
        self.failure, self.writes = None, {}
        self.answers = answers
        self.hooks: list[Machine | None] = []

    def hold_cluster(self, *, take_over: str | None = None, sure: bool = False) -> None:
        """Nobody else is there."""

    def ask(self, question: Callable[[Any], Any], target: Any = None) -> Any:
        machine = next(self.answers)
        if machine is None or machine.how != "running":
            self._next = machine
            kind = Unauthenticated if machine is not None and machine.how == "refusing" else Unreachable
            raise kind("nobody", "w", "d")
        return asyncio.run(question(machine))

    def ask_maintenance(self, question: Callable[[Any], Any], *, fingerprint: str | None = None) -> Any:
        machine = next(self.answers) if fingerprint else self._next
        if machine is None or machine.how != "maintenance":
            raise Unreachable("nobody", "w", "d")
        if fingerprint not in (None, machine.fingerprint):
            raise TlsFailure("another certificate", "w", "d")
        return asyncio.run(question(machine))

    def at(self, step: str, **facts: Any) -> OneNode:
        """The work where every step before ``step`` is done and it is about to be taken; ``facts`` beside the usual."""
        self.facts |= facts
        before = STEP_NAMES[: STEP_NAMES.index(step)]
        for name in before:
            self.ledger.begin(self.host, name, machine_type=self.facts["machine_type"])
            if name in ("drain", "reset", "apply"):
                self.ledger.intent(self.host, name)
                self.ledger.sent(self.host, name)
            known = self.facts if name == before[0] else {}
            self.ledger.finish(self.host, name, "done", **known)
        return self
