# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask one node for everything the gate needs, into one evidence document (``schema.EVIDENCE``).

A question that got no answer leaves ``null`` in its place and an entry under ``errors``. Nothing is ever filled in.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

from ..audit.coverage import CoverageInput
from ..audit.log import ring
from ..audit.store.store import AuditStore
from ..canonical import sealed
from ..talos import boots
from ..talos.boots import Look
from ..talos.client import NodeClient
from . import sections
from .cluster import unseen
from .disks import disks_of
from .files import Log
from .identity import machine_id_of
from .joined import Machine
from .logs import judge_logs
from .members import read_etcd
from .questions import ask_all, clock_offset, kernel_boot_id
from .schema import SCHEMA
from .visit import Visit, flag_at, look_at_boot, text_at


@dataclasses.dataclass(frozen=True)
class Collection:
    """What one visit to a node brought: the sealed document and the raw logs behind it.

    The logs of a collection that was judged in check mode with a store are gone with it.
    """

    document: dict[str, Any]
    logs: dict[str, Log]


async def collect(
    client: NodeClient,
    *,
    name: str,
    address: str,
    endpoint: str | None,
    peer: Callable[[str], NodeClient],
    kubernetes: Callable[[Machine, str | None], dict[str, Any]] | None,
    config: Callable[[Mapping[str, Any]], Mapping[str, Any] | None] | None,
    operation: Mapping[str, Any],
    cluster: Mapping[str, Any],
    max_samples: int = 5,
    baseline_missing: int = 0,
    strict_messages: bool = False,
    store: AuditStore | None = None,
    keep: bool = True,
    clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
) -> Collection:
    """Collect the evidence of one node.

    Args:
        client: an open client of the node.
        name: the node's inventory name.
        address: where it is reached.
        endpoint: the control plane it is reached through, or None.
        peer: gives an unopened client for another control plane's address (etcd is judged from every member).
        kubernetes: gives the Kubernetes facts of a machine that booted then (``Cluster.of_node``), or None when no API
            is at hand.
        config: gives the facts of the operator's machine configuration, without secrets, for the node that is described
            by this document's ``node`` section, and its ``disks``; None when nobody asks about a configuration.
        operation: what is planned for the node: ``{locked_by, boot_path, approved_local_data, target}``.
        cluster: ``{name}``; whether Omni manages the node is read from its kernel command line.
        max_samples: decoded records kept for each denial.
        baseline_missing: missing serials of this node that the operator knows the reason of.
        strict_messages: whether any audit message of a workload makes the log incomplete.
        store: where the node's logs of this boot are kept. With it the node is judged by all that was ever read of
            this boot, together with what is read now.
        keep: whether what is read now is written to the store; False in check mode, where a copy takes it.
        clock: the current time; a parameter for tests.

    Raises:
        TalosError: when the node does not even tell its version: then nothing about it is known.
    """
    visit = Visit(client)
    version = await client.version()
    before = await look_at_boot(visit)
    answers = {"version": version, **await ask_all(visit)}
    etcd = await read_etcd(visit, peer) if sections.role_of(answers["machine_type"]) == "controlplane" else None
    offset = await clock_offset(visit, clock)
    records = answers["kernel_records"]
    after = dataclasses.replace(await look_at_boot(visit), marks=boots.marks_of(records or ()))
    now = clock()
    uptime = boots.uptime(after, now.timestamp())
    # The store waits for the disk, and other nodes need not wait with it.
    audit = await asyncio.to_thread(
        judge_logs,
        visit,
        {"service": answers["service_log"], "kernel": None if records is None else ring.lines(records)},
        _coverage_input(answers, (before, after), now, uptime, baseline_missing, strict_messages),
        looks=(before, after),
        now=now,
        max_samples=max_samples,
        store=store,
        keep=keep,
    )
    node = sections.node_section(answers, name=name, address=address, endpoint=endpoint)
    boot_id = after.boot_id or await kernel_boot_id(client)
    seen = unseen("no Kubernetes API was asked")
    if kubernetes is not None and node["hostname"]:
        machine = Machine(node["hostname"], node["uuid"], machine_id_of(node["identity"]), boot_id)
        seen = kubernetes(machine, sections.moment_of(after.boot_time))
    disks = disks_of(answers["disks"])
    planned = config({**node, "disks": disks}) if config is not None else None
    document = {
        "schema": SCHEMA,
        "node": node,
        "collected_at": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "boot": sections.boot_section(after, uptime),
        "talos": sections.talos_section(answers),
        "selinux": sections.selinux_section(answers, audit.kernel),
        "audit": sections.audit_section(answers, audit.found, audit.sources),
        "volumes": sections.volumes_section(answers),
        "user_volumes": sections.user_volumes_section(answers),
        "disks": disks,
        "system_disk": text_at(answers["system_disk"], "diskID"),
        "time": sections.time_section(answers, offset),
        "etcd": etcd,
        "kubernetes": sections.kubernetes_section(answers, boot_id, seen, asked=kubernetes is not None),
        "config": dict(planned) if planned is not None else None,
        "operation": dict(operation),
        "cluster": sections.cluster_section(answers, cluster),
        "errors": visit.errors,
    }
    return Collection(sealed(document), audit.logs)


def _coverage_input(
    answers: Mapping[str, Any],
    looks: tuple[Look, Look],
    now: dt.datetime,
    uptime: int | None,
    baseline_missing: int,
    strict_messages: bool,
) -> CoverageInput:
    """What the node's other answers say about the completeness of its logs."""
    services, args = answers["services"], sections.kernel_args(answers)
    installed = sections.extensions_of(answers["extension_statuses"])
    return CoverageInput(
        services=[dict(vars(service)) for service in services] if services is not None else None,
        cmdline=" ".join(args) if args is not None else None,
        talos_version=answers["version"].tag,
        looks=looks,
        now=now.timestamp(),
        uptime_seconds=uptime,
        stage=text_at(answers["machine_status"], "stage"),
        mode=answers["version"].mode,
        selinux_state=sections.selinux_state(answers),
        extensions=[entry["name"] for entry in installed] if installed is not None else None,
        time_synced=flag_at(answers["time_status"], "synced"),
        baseline_missing=baseline_missing,
        strict_messages=strict_messages,
    )
