# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The types of the evidence document."""

from __future__ import annotations

import copy
import functools
import operator
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence import schema
from evidence_shape import deviations

_CHART = {"name": "flannel", "version": "0.27.4", "source": "a manifest"}
_VOLUME = {"phase": "ready", "uuid": "u", "partition_uuid": "p", "filesystem": "xfs"}
#: A document with something in every place: what is listed here and what the schema lists is the same.
WHOLE: dict[str, Any] = {
    "schema": 1,
    "node": {
        "name": "n",
        "address": "192.0.2.1",
        "endpoint": "192.0.2.2",
        "identity": "i",
        "hostname": "h",
        "machine_type": "worker",
        "uuid": "u",
        "serial_number": "s",
        "doubts": ["d"],
    },
    "collected_at": "2026-11-22T12:00:00Z",
    "boot": {"id": "b", "time": "2026-11-18T12:00:00Z", "uptime_seconds": 3.5, "look": {"at": 1}},
    "talos": {
        "version": "v1.14.1",
        "platform": "metal",
        "mode": "metal",
        "arch": "amd64",
        "stage": "running",
        "ready": True,
        "schematic": {"id": "i", "source": "resource", "kernel_args": ["a"], "extensions": ["e"], "text": "t"},
        "extensions": [{"name": "e", "version": "1"}],
        "booted_with_uki": True,
        "secure_boot": False,
        "booted_entry": "e",
        "staged_upgrade": False,
    },
    "selinux": {
        "state": "permissive",
        "kernel_args": ["selinux=1"],
        "pid1_label": "l",
        "policy_loaded": True,
        "unknown_classes": ["c"],
        "disagreements": ["d"],
    },
    "audit": {
        "sources": [{"name": "auditd.log", "bytes": 1, "sha256": "a"}],
        "coverage": {
            "verdict": "complete",
            "since": "s",
            "seconds": 1.5,
            "first_serial": 1,
            "last_serial": 2,
            "lost_at_least": 0,
            "reasons": [{"id": "F1", "text": "t", "severity": "partial"}],
            "notes": [{"id": "F13"}],
        },
        "counts": {
            "lines": 1,
            "parsed": 1,
            "ignored": 0,
            "unparsed": 0,
            "denied": 1,
            "granted": 0,
            "doubtful": 0,
            "mac_errors": 0,
            "events": 1,
            "probe": 0,
        },
        "denials": [
            {
                "signature": "a:b:c:d",
                "source_type": "a",
                "target_type": "b",
                "class": "c",
                "permissions": ["d"],
                "permissive": True,
                "count": 1,
                "first": "f",
                "last": "l",
                "comms": ["c"],
                "paths": ["p"],
                "owners": [{"pod": "p"}],
                "catalogue_id": "c",
                "known_benign": False,
                "waiver_id": "w",
                "constraint": "mls",
                "doubtful": 0,
                "enforced": 0,
                "userspace": False,
                "mcs_count": 0,
                "raw_contexts": ["r"],
                "samples": [{"serial": 1}],
            }
        ],
        "mac_errors": [{"kind": "k"}],
        "services": {"state": "Running", "starts": 1},
    },
    "volumes": dict.fromkeys(("META", "STATE", "EPHEMERAL", "ETCD", "CRI", "KUBELET", "LOG"), _VOLUME),
    "user_volumes": ["u-data"],
    "disks": [
        {
            **dict.fromkeys(("name", "dev_path", "model", "serial", "wwid", "uuid", "modalias", "bus_path"), "s"),
            "transport": "sata",
            "size": 1,
            **dict.fromkeys(("rotational", "readonly", "cdrom"), False),
            "symlinks": ["/dev/disk/by-id/s"],
        }
    ],
    "system_disk": "sda",
    "time": {"synced": True, "offset_seconds": -0.5},
    "etcd": {
        "member_id": "m",
        "members": [{"id": "m", "hostname": "h", "is_learner": False, "healthy": True, "peers": ["192.0.2.1"]}],
        "agreed": True,
        "leader": "m",
        "healthy": True,
        "errors": [{"kind": "k"}],
        "alarms": [{"kind": "k"}],
        "problems": ["p"],
        "voters": 1,
        "learners": 0,
        "quorum": 1,
        "tolerance": 0,
        "tolerance_after_removal": 0,
    },
    "kubernetes": {
        "nodename": "n",
        "asked": True,
        "joined": True,
        "doubts": ["d"],
        "boot_id": "b",
        "cni": [_CHART],
        "csi": [_CHART],
        "addons": [_CHART],
        "node_ready": True,
        "unschedulable": False,
        "workloads_restarted": {"checked": 1, "stale": ["p"]},
        "local_data": ["p"],
    },
    "config": {
        "sha256": "c",
        "machine_type": "worker",
        "hostname": "h",
        "cluster": {"cluster_id": "i", "cluster_secret": "s", "machine_ca": "m", "kubernetes_ca": "k"},
        "install": {
            "kind": "unattended",
            "disk": "/dev/sda",
            "disk_selector": "s",
            "wipe": False,
            "image": "i",
            "extra_kernel_args": ["a"],
            "grub_use_uki_cmdline": True,
        },
        "install_disks": ["sda"],
        "valid": True,
        "problems": [{"kind": "k"}],
    },
    "operation": {
        "locked_by": "l",
        "boot_path": "in_place",
        "approved_local_data": "",
        "identify_by": "uuid",
        "target": {"version": "v1.14.1", "schematic": "s", "installer": "i", "installer_digest": "d"},
    },
    "cluster": {"name": "lab", "id": "i", "omni": False},
    "errors": [{"kind": "k", "source": "s", "found": "f"}],
    "sha256": "s",
}


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where anything stands in a document: keys, and numbers of items."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*at, key)
        yield from places(item, (*at, key))


PLACES = list(places(WHOLE))


def with_value(place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """The whole document with another value at a place."""
    document = copy.deepcopy(WHOLE)
    holder: Any = document
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    return document


def test_a_document_with_something_in_every_place_has_the_fields_of_the_schema() -> None:
    assert list(deviations(WHOLE)) == []
    values = [functools.reduce(operator.getitem, place, WHOLE) for place in PLACES]
    assert [value for value in values if value in ([], {}, None)] == []


#: Places of which the schema does not say what stands there: the elements of some lists, and three values.
ANY = {
    *("audit.coverage.notes", "audit.mac_errors", "boot.look", "config.install.disk", "config.install.disk_selector"),
    *(f"audit.denials.{key}" for key in ("comms", "owners", "paths", "raw_contexts", "samples")),
    *("config.problems", "etcd.alarms", "etcd.errors"),
}


def test_a_value_of_another_type_is_named_wherever_it_stands() -> None:
    unnamed = [place for place in PLACES if not list(deviations(with_value(place, schema)))]
    names = {".".join(key for key in place if isinstance(key, str)) for place in unnamed}
    assert {name for name in names if name.rpartition(".")[0] not in ANY} == ANY


@pytest.mark.parametrize(
    ("value", "kind", "fits"),
    [
        ("x", "string", True),
        (1, "string", False),
        (1, "number", True),
        (1.5, "number", True),
        (True, "number", False),
        (True, "boolean", True),
        (1, "boolean", False),
        (True, "any", True),
        ([], "any", True),
        (None, "any", False),
        (["a"], ["string"], True),
        (["a", None], ["string"], False),
        (["a", 1], ["string"], False),
        ([], ["string"], True),
        ("a", ["string"], False),
        ({}, ["string"], False),
        ({}, {"a": "string"}, True),
        ([], {"a": "string"}, False),
    ],
)
def test_types(value: Any, kind: Any, fits: bool) -> None:
    assert schema.conforms(value, kind) is fits
