# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The document that policies talk about: every path an expression may name, with its JSON type.

The shape serves twice. When a policy is loaded, a path that is not in it is a typing error and is refused. When a node
is judged, every path an expression uses must be there, not null and of this type, or the check is unknown: JMESPath
reads a missing value as null, and ``!missing`` or ``missing != 'bad'`` would be true.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

Path = tuple[str, ...]
#: Steps of a path that are not keys: every element of a list, every value of an object.
ELEMENT, VALUE = "[]", "*"

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "number": (int, float),
    "any": (object,),
}

_DENIAL = {
    "signature": "string",
    "source_type": "string",
    "target_type": "string",
    "class": "string",
    "permissions": ["string"],
    "permissive": "boolean",
    "count": "number",
    "first": "string",
    "last": "string",
    "comms": ["any"],
    "paths": ["any"],
    "owners": ["any"],
    "catalogue_id": "string",
    "known_benign": "boolean",
    "waiver_id": "string",
    "constraint": "string",
    "doubtful": "number",
}
_VOLUME = {"phase": "string", "uuid": "string", "partition_uuid": "string", "filesystem": "string"}
_TARGET = {"version": "string", "schematic": "string", "installer": "string", "installer_digest": "string"}
_RATED = {
    "name": "string",
    "version": "string",
    "verdict": "string",
    "source": "string",
    "date": "string",
    "workaround": "string",
    "find_out": "string",
}

#: The evidence document, schema 1, as the ``evidence`` package writes it.
EVIDENCE: dict[str, Any] = {
    "schema": "number",
    "node": {
        "name": "string",
        "address": "string",
        "endpoint": "string",
        "identity": "string",
        "hostname": "string",
        "machine_type": "string",
        "uuid": "string",
        "serial_number": "string",
    },
    "collected_at": "string",
    "boot": {"id": "string", "time": "string", "uptime_seconds": "number"},
    "talos": {
        "version": "string",
        "platform": "string",
        "mode": "string",
        "arch": "string",
        "stage": "string",
        "ready": "boolean",
        "schematic": {
            "id": "string",
            "source": "string",
            "kernel_args": ["string"],
            "extensions": ["string"],
            "text": "string",
        },
        "extensions": [{"name": "string", "version": "string"}],
        "booted_with_uki": "boolean",
        "secure_boot": "boolean",
        "booted_entry": "string",
        "staged_upgrade": "boolean",
    },
    "selinux": {
        "state": "string",
        "kernel_args": ["string"],
        "pid1_label": "string",
        "policy_loaded": "boolean",
        "unknown_classes": ["string"],
        "disagreements": ["string"],
    },
    "audit": {
        "sources": [{"name": "string", "bytes": "number", "sha256": "string"}],
        "coverage": {
            "verdict": "string",
            "seconds": "number",
            "first_serial": "number",
            "last_serial": "number",
            "lost_at_least": "number",
            "reasons": [{"id": "string", "text": "string", "severity": "string"}],
            "notes": ["any"],
        },
        "counts": dict.fromkeys(
            ("lines", "parsed", "ignored", "unparsed", "denied", "granted", "doubtful", "mac_errors", "events"),
            "number",
        ),
        "denials": [_DENIAL],
        "mac_errors": ["any"],
        "services": {"state": "string", "starts": "number"},
    },
    "volumes": {
        "META": _VOLUME,
        "STATE": _VOLUME,
        "EPHEMERAL": _VOLUME,
        "ETCD": _VOLUME,
        "CRI": _VOLUME,
        "KUBELET": _VOLUME,
        "LOG": _VOLUME,
    },
    "user_volumes": ["string"],
    "time": {"synced": "boolean"},
    "etcd": {
        "member_id": "string",
        "members": [{"id": "string", "hostname": "string", "is_learner": "boolean", "healthy": "boolean"}],
        "agreed": "boolean",
        "leader": "string",
        "healthy": "boolean",
        "errors": ["any"],
        "alarms": ["any"],
        "problems": ["string"],
        "voters": "number",
        "learners": "number",
        "quorum": "number",
        "tolerance": "number",
        "tolerance_after_removal": "number",
    },
    "kubernetes": {
        "nodename": "string",
        "cni": [{"name": "string", "version": "string", "source": "string"}],
        "csi": [{"name": "string", "version": "string", "source": "string"}],
        "addons": [{"name": "string", "version": "string", "source": "string"}],
        "node_ready": "boolean",
        "unschedulable": "boolean",
        "workloads_restarted": {"checked": "number", "stale": ["string"]},
        "local_data": ["string"],
    },
    "config": {
        "sha256": "string",
        "install": {
            "kind": "string",
            "disk": "any",
            "image": "string",
            "extra_kernel_args": ["string"],
            "grub_use_uki_cmdline": "boolean",
        },
        "valid": "boolean",
        "problems": ["any"],
    },
    "operation": {
        "locked_by": "string",
        "boot_path": "string",
        "approved_local_data": "boolean",
        "target": _TARGET,
    },
    "cluster": {"name": "string", "omni": "boolean"},
    "errors": [{"kind": "string", "source": "string", "found": "string"}],
    "sha256": "string",
}

#: What the gate adds to the evidence before it judges.
ADDED: dict[str, Any] = {
    "now": "string",
    "target": _TARGET,
    "policy": {
        "name": "string",
        "report_only": "boolean",
        "verdict_ttl_seconds": "number",
        "max_evidence_age_seconds": "number",
        "soak_seconds": "number",
        "talos_floor": "string",
        "target_floor": "string",
        "boot_paths": ["string"],
        "reviewed_extensions": ["string"],
        "allowed_kernel_args": "any",
    },
    "denials": {"open": ["string"], "waived": ["string"], "benign": ["string"]},
    "compat": {"cni": [_RATED], "csi": [_RATED], "addons": [_RATED], "extensions": [_RATED]},
}

#: A request for an operation on a node (see ``request.py``).
REQUEST: dict[str, Any] = {
    "request": {
        "api": "string",
        "path": "string",
        "mode": "string",
        "labels": ["string"],
        "then": "string",
        "talos_version": "string",
        "enforcing": "boolean",
    }
}

#: Everything an expression of a gate policy may name.
GATE: dict[str, Any] = {**EVIDENCE, **ADDED}


def text_of(path: Path) -> str:
    """``("audit", "denials", "[]", "count")`` as ``audit.denials[].count``."""
    return ".".join(path).replace(f".{ELEMENT}", ELEMENT)


def path_of(text: str) -> Path:
    """The inverse of :func:`text_of`."""
    return tuple(step for step in text.replace(ELEMENT, f".{ELEMENT}").split(".") if step)


def at(shape: Any, path: Path) -> Any:
    """The shape at ``path``.

    Raises:
        LookupError: no document has such a path; the text names the nearest key that exists.
    """
    for index, step in enumerate(path):
        if shape == "any":
            return shape
        if step == ELEMENT and isinstance(shape, list):
            shape = shape[0]
        elif step == VALUE and isinstance(shape, dict):
            shape = next(iter(shape.values()))
        elif isinstance(shape, dict) and step in shape:
            shape = shape[step]
        else:
            keys = list(shape) if isinstance(shape, dict) else []
            near = difflib.get_close_matches(step, keys, 1)
            hint = f"; did you mean {near[0]}" if near else ""
            raise LookupError(f"the document has no {text_of(path[: index + 1])}{hint}")
    return shape


def defects(document: Any, path: Path, nullable: frozenset[Path], shape: Any) -> Iterator[str]:
    """Why the value at ``path`` cannot be judged: missing, null or of another type. Nothing when it can.

    Args:
        document: the document to look in.
        path: what an expression needs.
        nullable: paths whose null is an answer (never a missing key).
        shape: the types, as GATE has them.
    """
    yield from _defects(document, path, (), nullable, shape)


def _defects(value: Any, rest: Path, done: Path, nullable: frozenset[Path], shape: Any) -> Iterator[str]:
    if value is None:
        if done not in nullable:
            yield f"{text_of(done)} is not known"
    elif not conforms(value, shape):
        yield f"{text_of(done)} is not of the type that schema 1 gives it"
    elif rest and shape != "any":
        step, inner = rest[0], at(shape, rest[:1])
        if step == ELEMENT:
            for item in value:
                yield from _defects(item, rest[1:], (*done, step), nullable, inner)
        elif step == VALUE:
            for item in value.values():
                yield from _defects(item, rest[1:], (*done, step), nullable, inner)
        elif step in value:
            yield from _defects(value[step], rest[1:], (*done, step), nullable, inner)
        else:
            yield f"{text_of((*done, step))} is missing"


def conforms(value: Any, shape: Any) -> bool:
    """Whether a value that is not null has the type of the shape; a list also in its elements, none of them null."""
    if isinstance(shape, list):
        return isinstance(value, list) and all(conforms(item, shape[0]) for item in value)
    if isinstance(shape, dict):
        return isinstance(value, Mapping)
    if isinstance(value, bool):
        return shape in ("boolean", "any")
    return value is not None and isinstance(value, _TYPES[shape])


def value_at(document: Any, *keys: str) -> Any:
    """The value under the keys, or None where there is none, whatever the document holds in between."""
    for key in keys:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document
