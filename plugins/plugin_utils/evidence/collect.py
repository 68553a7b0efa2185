# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask one node for everything the gate needs, into one evidence document (schema 1).

A question that got no answer leaves ``null`` in its place and an entry under ``errors``. Nothing is ever filled in.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import hashlib
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import yaml

from ..audit import analysis
from ..audit.coverage import CoverageInput
from ..audit.store.judgement import analyze_stored, rehearsal
from ..audit.store.store import AuditStore, StoreError
from ..canonical import sealed
from ..talos.client import NodeClient
from ..talos.errors import NotFound, TalosError, Unsupported
from ..talos.machine import as_lines
from . import etcd as quorum
from .cluster import with_manifests
from .files import Log
from .machine import is_managed

SCHEMA = 1
#: Entries of ExtensionStatuses that are no system extensions: the factory's record of the schematic, module indexes.
_VIRTUAL_EXTENSIONS = ("schematic", "modules.dep")
_VOLUMES = ("META", "STATE", "EPHEMERAL", "ETCD", "CRI", "KUBELET", "LOG")
#: META tags of an upgrade under way: fallback entry, staged image and options (pkg/machinery/meta/constants.go).
_STAGED_UPGRADE_KEYS = ("0x06", "0x07", "0x08")

V = TypeVar("V")


@dataclasses.dataclass(frozen=True)
class Collection:
    """What one visit to a node brought: the sealed document and the raw logs behind it.

    The logs of a collection that was judged in check mode with a store are gone with it.
    """

    document: dict[str, Any]
    logs: dict[str, Log]


class Visit:
    """One node's answers, and what could not be answered."""

    def __init__(self, client: NodeClient) -> None:
        self.client = client
        self.errors: list[dict[str, str]] = []

    async def get(self, source: str, question: Awaitable[V]) -> V | None:
        """The answer, or None with the failure kept under ``errors``."""
        try:
            return await question
        except TalosError as error:
            self.errors.append({"source": source, "kind": error.kind, "found": error.found})
            return None

    async def get_if_there(self, source: str, question: Awaitable[V]) -> tuple[bool, V | None]:
        """Like :meth:`get` for what may rightly be absent: ``(known, answer)``; a clean "not there" is knowledge."""
        try:
            return True, await question
        except (NotFound, Unsupported):
            return True, None
        except TalosError as error:
            self.errors.append({"source": source, "kind": error.kind, "found": error.found})
            return False, None


async def collect(
    client: NodeClient,
    *,
    name: str,
    address: str,
    endpoint: str | None,
    peer: Callable[[str], NodeClient],
    kubernetes: Callable[[str, str | None], dict[str, Any]] | None,
    config: Mapping[str, Any] | None,
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
        kubernetes: gives the Kubernetes facts for (node name in Kubernetes, boot time), or None when no API is at hand.
        config: facts of the operator's machine configuration for this node, without secrets, or None.
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
    boot_before = await read_boot(visit)

    security = await visit.get("SecurityState", client.security_state())
    cmdline = await visit.get("KernelCmdline", client.get("kernel_cmdline"))
    status = await visit.get("MachineStatus", client.get("machine_status"))
    machine_type = await visit.get("MachineType", client.get("machine_type"))
    extensions = await visit.get("ExtensionStatuses", client.list("extension_statuses"))
    _unused, schematic = await visit.get_if_there("ImageFactorySchematic", client.get("image_factory_schematic"))
    _unused, booted_entry = await visit.get_if_there("BootedEntry", client.get("booted_entry"))
    identity = await visit.get("Identity", client.get("identity"))
    nodename = await visit.get("Nodename", client.get("nodename"))
    system = await visit.get("SystemInformation", client.get("system_information"))
    time_status = await visit.get("TimeStatus", client.get("time_status"))
    volumes = await visit.get("VolumeStatuses", client.list("volume_statuses"))
    meta = await visit.get("MetaKeys", client.list("meta_keys"))
    services = await visit.get("ServiceList", client.services())
    processes = await visit.get("Processes", client.processes())
    kernel_records = await visit.get("Dmesg", client.dmesg())
    kernel_log = None if kernel_records is None else as_lines(kernel_records)
    service_log = await visit.get("Logs of auditd", client.logs("auditd"))
    kubernetes_name = _text(nodename, "nodename")
    node_status = await visit.get("NodeStatus", client.get("node_status", kubernetes_name)) if kubernetes_name else None
    role = _machine_type(machine_type)
    etcd = await read_etcd(visit, peer) if role == "controlplane" else None
    manifests = None
    if role == "controlplane":
        _unused, manifests = await visit.get_if_there("ManifestStatus", client.get("manifest_status"))

    boot_after = await read_boot(visit)
    now = clock()
    uptime = int(now.timestamp()) - boot_after.time if boot_after.time is not None else None
    words = _text(cmdline, "cmdline")
    args = words.split() if words is not None else None
    state = security.selinux if security else "unknown"
    booted_at = _moment(boot_after.time)
    installed = _extensions(extensions)

    context = CoverageInput(
        services=[dataclasses.asdict(service) for service in services] if services is not None else None,
        cmdline=" ".join(args) if args is not None else None,
        talos_version=version.tag,
        boot_id_before=boot_before.id,
        boot_id_after=boot_after.id,
        boot_time_before=boot_before.time,
        boot_time_after=boot_after.time,
        now=now.timestamp(),
        uptime_seconds=uptime,
        stage=_text(status, "stage"),
        mode=version.mode,
        selinux_state=state,
        extensions=[entry["name"] for entry in installed] if installed is not None else None,
        time_synced=_flag(time_status, "synced"),
        baseline_missing=baseline_missing,
        strict_messages=strict_messages,
    )
    audit = None
    if store is not None:
        fresh = {"service": service_log, "kernel": kernel_log}
        try:
            audit = _judge_stored(store, keep, boot_before, boot_after, fresh, context, now, max_samples)
        except (StoreError, OSError) as error:
            found = error.found if isinstance(error, StoreError) else f"the audit store: {error.strerror}"
            visit.errors.append({"source": "audit store", "kind": StoreError.kind, "found": found})
    if audit is None:
        audit = _judge_read(service_log, kernel_log, context, max_samples)
        if store is not None:
            text = "only what was read now was judged: it was not, or could not be, joined with what is stored"
            audit.found["coverage"]["notes"].append({"id": "store", "text": text})
    witness = audit.kernel

    kube: dict[str, Any] = {"cni": None, "csi": None, "addons": None, "workloads_restarted": None, "local_data": None}
    if kubernetes is not None and kubernetes_name:
        kube = kubernetes(kubernetes_name, booted_at)
    if role == "controlplane":
        kube = {**kube, "cni": with_manifests(kube["cni"], _applied(manifests))}

    pid1 = next((process.label for process in processes if process.pid == 1), None) if processes else None
    document = {
        "schema": SCHEMA,
        "node": {
            "name": name,
            "address": address,
            "endpoint": endpoint,
            "identity": _text(identity, "nodeId"),
            "hostname": kubernetes_name,
            "machine_type": role,
            "uuid": _text(system, "uuid"),
            "serial_number": _text(system, "serialnumber"),
        },
        "collected_at": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "boot": {"id": boot_after.id, "time": booted_at, "uptime_seconds": uptime},
        "talos": {
            "version": version.tag,
            "platform": version.platform,
            "mode": version.mode,
            "arch": version.arch,
            "stage": _text(status, "stage"),
            "ready": _flag(status, "status", "ready"),
            "schematic": schematic_of(schematic, extensions),
            "extensions": installed,
            "booted_with_uki": security.booted_with_uki if security else None,
            "secure_boot": security.secure_boot if security else None,
            "booted_entry": _text(booted_entry, "bootedEntry"),
            "staged_upgrade": any(key.id.lower() in _STAGED_UPGRADE_KEYS for key in meta) if meta is not None else None,
        },
        "selinux": {
            "state": state,
            "kernel_args": args,
            "pid1_label": pid1,
            "policy_loaded": b"selinux: policy loaded" in witness if witness is not None else None,
            "unknown_classes": _unknown_classes(witness),
            "disagreements": _disagreements(state, args, pid1, witness),
        },
        "audit": {
            "sources": audit.sources,
            "coverage": audit.found["coverage"],
            "counts": audit.found["counts"],
            "denials": audit.found["denials"],
            "mac_errors": audit.found["mac_errors"],
            "services": _auditd(services),
        },
        "volumes": _volumes(volumes),
        "user_volumes": sorted(v.id for v in volumes if v.id.startswith("u-")) if volumes is not None else None,
        "time": {"synced": _flag(time_status, "synced")},
        "etcd": etcd,
        "kubernetes": {
            "nodename": kubernetes_name,
            "node_ready": _flag(node_status, "nodeReady"),
            "unschedulable": _flag(node_status, "unschedulable"),
            **kube,
        },
        "config": dict(config) if config is not None else None,
        "operation": dict(operation),
        "cluster": {**cluster, "omni": is_managed(args)},
        "errors": visit.errors,
    }
    return Collection(sealed(document), audit.logs)


@dataclasses.dataclass(frozen=True)
class _Audit:
    """What was judged: the analysis, the logs with their hashes, and the kernel's lines about SELinux."""

    found: dict[str, Any]
    sources: list[dict[str, Any]]
    logs: dict[str, Log]
    kernel: bytes | None


#: Name of each stream's file beside the document.
_FILES = {"service": "auditd.log", "kernel": "dmesg.log"}


def _judge_read(service: bytes | None, kernel: bytes | None, context: CoverageInput, max_samples: int) -> _Audit:
    """Judge what was read now, by itself."""
    found = analysis.analyze(service, kernel, context, max_samples=max_samples)
    read = ((_FILES["service"], service), (_FILES["kernel"], kernel))
    logs: dict[str, Log] = {file: _pieces(data) for file, data in read if data is not None}
    return _Audit(found, _sources(logs), logs, kernel)


def _judge_stored(
    store: AuditStore,
    keep: bool,
    before: Boot,
    after: Boot,
    fresh: Mapping[str, bytes | None],
    context: CoverageInput,
    now: dt.datetime,
    max_samples: int,
) -> _Audit | None:
    """Judge all that was ever read of this boot; None when this visit cannot vouch for its end.

    Stored records say nothing about now, so both logs must have been read in this visit, and of one boot.
    """
    if not (fresh["service"] and fresh["kernel"] and before.same_as(after)):
        return None
    key = store.boot_key(after.id, after.time)
    with contextlib.ExitStack() as stack:
        if not keep:
            store = stack.enter_context(rehearsal(store, key))
        for source, data in fresh.items():
            store.merge(key, source, data or b"", collected_at=now, boot_time=after.time)
        stored = store.read(key)
        logs: dict[str, Log] = {file: stored.streams[name].chunks for name, file in _FILES.items()}
        lines = stored.streams["kernel"].lines()
        return _Audit(
            analyze_stored(stored, context, max_samples=max_samples),
            _sources(logs),
            logs if keep else {},
            b"".join(line for line in lines if b"selinux" in line.lower()),
        )


def _pieces(data: bytes) -> Log:
    return lambda: [data]


def _sources(logs: Mapping[str, Log]) -> list[dict[str, Any]]:
    return [{"name": file, **_measured(log())} for file, log in logs.items()]


def _measured(pieces: Iterable[bytes]) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
    return {"bytes": size, "sha256": digest.hexdigest()}


@dataclasses.dataclass(frozen=True)
class Boot:
    """Which boot answers: its id, where Talos has one, and its time in seconds since 1970; None means not known."""

    id: str | None
    time: int | None

    def same_as(self, other: Boot) -> bool:
        """Whether two readings are surely of one boot. The boot time drifts with clock steps, the id does not."""
        if self.id is not None or other.id is not None:
            return self.id == other.id
        return self.time is not None and other.time is not None and abs(self.time - other.time) <= 2


async def read_boot(visit: Visit) -> Boot:
    """Which boot answers: BootID from Talos 1.14 on, and the boot time on all."""
    _unused, boot_id = await visit.get_if_there("BootID", visit.client.get("boot_id"))
    stat = await visit.get("SystemStat", visit.client.system_stat())
    return Boot(_text(boot_id, "bootID"), stat.boot_time if stat else None)


async def read_etcd(visit: Visit, peer: Callable[[str], NodeClient]) -> dict[str, Any]:
    """etcd as every member sees it: agreement between members is evidence, one member's word is not.

    Args:
        visit: an open visit to one control plane.
        peer: gives an unopened client for another member's address.

    Returns:
        What ``etcd.assess`` says, with ``member_id`` of the visited node and the ``alarms``. Ids are hexadecimal text.
    """
    client = visit.client
    own = await visit.get("EtcdMember", client.get("etcd_member"))
    members = await visit.get("EtcdMemberList", client.etcd_members())
    own_id = _text(own, "memberID")
    views: dict[str, Any] = {}
    statuses: dict[str, Any] = {}
    alarms: list[dict[str, Any]] = []
    alarms_known = True

    async def look(member: str, at: NodeClient, seen: Any) -> None:
        nonlocal alarms_known
        views[member] = [_member(m) for m in seen] if seen is not None else None
        status = await visit.get(f"EtcdStatus of {member}", at.etcd_status())
        statuses[member] = _status(status) if status else None
        raised = await visit.get(f"EtcdAlarmList of {member}", at.etcd_alarms())
        alarms_known = alarms_known and raised is not None
        for alarm in raised or ():
            entry = {"member_id": _hex(alarm.member_id), "alarm": alarm.alarm}
            if entry not in alarms:
                alarms.append(entry)

    for member in members or ():
        key = _hex(member.id)
        if own_id is not None and int(own_id, 16) == member.id:
            await look(key, client, members)
            continue
        host = urlsplit(member.client_urls[0]).hostname if member.client_urls else None
        try:
            if host is None:
                views[key] = statuses[key] = None
                continue
            async with peer(host) as other:
                await look(key, other, await visit.get(f"EtcdMemberList of {key}", other.etcd_members()))
        except TalosError as error:
            visit.errors.append({"source": f"etcd member {key}", "kind": error.kind, "found": error.found})
            views[key] = statuses[key] = None
            alarms_known = False
    assessment = quorum.assess(views, statuses, alarms if alarms_known else None)
    return {
        "member_id": own_id,
        **assessment,
        "errors": assessment["problems"],
        "alarms": alarms if alarms_known else None,
    }


def _member(member: Any) -> dict[str, Any]:
    return {"id": _hex(member.id), "hostname": member.hostname, "is_learner": member.is_learner}


def _status(status: Any) -> dict[str, Any]:
    return {**dataclasses.asdict(status), "member_id": _hex(status.member_id), "leader": _hex(status.leader)}


def _hex(member_id: int) -> str:
    """A member id as Talos and etcdctl print it."""
    return f"{member_id:016x}"


def _applied(manifests: Any) -> list[str] | None:
    """The manifests that Talos applied, by name; None when it did not say."""
    spec = manifests.spec if manifests is not None else None
    names = spec.get("manifestsApplied") if isinstance(spec, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else None


def schematic_of(resource: Any, extensions: Any) -> dict[str, Any] | None:
    """The booted schematic: its id from the 1.14 resource, its text from the factory's virtual extension.

    Args:
        resource: the ImageFactorySchematic resource, or None.
        extensions: the ExtensionStatuses resources, or None.

    Returns:
        ``{id, source, kernel_args, extensions, text}``, the last three None when the text is not known; or None.
    """
    identifier = _text(resource, "schematicId")
    source = "resource" if identifier else None
    text = None
    for extension in extensions or ():
        metadata = extension.spec.get("metadata") or {}
        if metadata.get("name") == "schematic":
            if identifier is None:
                identifier, source = metadata.get("version"), "extension"
            if identifier == metadata.get("version"):
                text = metadata.get("extraInfo")
    if identifier is None:
        return None
    try:
        customization = (yaml.safe_load(text) or {}).get("customization") or {} if text else None
    except (yaml.YAMLError, AttributeError):
        customization = None
    return {
        "id": identifier,
        "source": source,
        "kernel_args": list(customization.get("extraKernelArgs") or []) if customization is not None else None,
        "extensions": (
            list((customization.get("systemExtensions") or {}).get("officialExtensions") or [])
            if customization is not None
            else None
        ),
        "text": text if customization is not None else None,
    }


def _extensions(statuses: Any) -> list[dict[str, str]] | None:
    if statuses is None:
        return None
    found = [status.spec.get("metadata") or {} for status in statuses]
    return sorted(
        (
            {"name": str(m.get("name")), "version": str(m.get("version"))}
            for m in found
            if m.get("name") not in _VIRTUAL_EXTENSIONS
        ),
        key=lambda extension: extension["name"],
    )


def _volumes(volumes: Any) -> dict[str, dict[str, Any]] | None:
    if volumes is None:
        return None
    return {
        volume.id: {
            "phase": volume.spec.get("phase"),
            "uuid": volume.spec.get("uuid"),
            "partition_uuid": volume.spec.get("partitionUUID"),
            "filesystem": volume.spec.get("filesystem"),
        }
        for volume in volumes
        if volume.id in _VOLUMES
    }


def _auditd(services: Any) -> dict[str, Any] | None:
    if services is None:
        return None
    for service in services:
        if service.id == "auditd":
            # A health report repeats the state with another message; only the first of a row is a start.
            states = [event["state"] for event in service.events]
            starts = sum(
                1 for before, state in zip([None, *states], states, strict=False) if state == "Running" != before
            )
            return {"state": service.state, "starts": starts}
    return {"state": "absent", "starts": 0}


def _machine_type(resource: Any) -> str | None:
    """``controlplane`` or ``worker``. The resource's spec is one string (Talos: config.MachineType)."""
    known = {"controlplane": "controlplane", "init": "controlplane", "worker": "worker"}
    return known.get(str(resource.spec)) if resource is not None else None


def _unknown_classes(kernel_log: bytes | None) -> list[str] | None:
    """Classes and permissions the kernel has and the policy lacks: denied to everyone once enforcing (kernel 6.18)."""
    if kernel_log is None:
        return None
    lines = re.findall(rb"SELinux:\s+((?:Permission|Class) [^\n]*?not defined in policy)", kernel_log)
    return sorted({line.decode("ascii", "replace") for line in lines})


def _disagreements(state: str, args: list[str] | None, pid1: str | None, kernel_log: bytes | None) -> list[str]:
    """Where the witnesses of the SELinux mode contradict each other, each with both sides named."""
    found = []
    active = state in ("enforcing", "permissive")
    if args is not None and active:
        # Talos decides by the first `selinux` value (internal/pkg/selinux/selinux.go).
        first = next((arg for arg in args if arg.startswith("selinux=")), None)
        if first != "selinux=1":
            found.append(f"SecurityState says {state}, but the first selinux argument is {first or 'missing'}")
        enforcing = [arg for arg in args if arg.startswith("enforcing=")]
        # The kernel's parameter handler runs for every occurrence, so the last one decides.
        wanted = "enforcing" if enforcing and enforcing[-1] == "enforcing=1" else "permissive"
        if wanted != state:
            found.append(f"SecurityState says {state}, but the kernel command line asks for {wanted}")
    if pid1 is not None and active and ":init_t:" not in pid1:
        found.append(f"SecurityState says {state}, but process 1 runs as {pid1 or 'no label'}")
    if kernel_log is not None:
        if active and b"selinux: disabled, not loading policy" in kernel_log:
            found.append(f"SecurityState says {state}, but the kernel log says that no policy was loaded")
        if state == "disabled" and b"selinux: policy loaded" in kernel_log:
            found.append("SecurityState says disabled, but the kernel log says that the policy was loaded")
    return found


def _text(resource: Any, key: str) -> str | None:
    if resource is None or not isinstance(resource.spec, Mapping):
        return None
    value = resource.spec.get(key)
    return str(value) if value is not None else None


def _flag(resource: Any, *keys: str) -> bool | None:
    value = resource.spec if resource is not None else None
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, bool) else None


def _moment(seconds: int | None) -> str | None:
    if seconds is None:
        return None
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
