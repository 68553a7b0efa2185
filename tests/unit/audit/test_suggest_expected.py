# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many denials: the remedies, the rule or why there is none, of each."""

from __future__ import annotations

import itertools
from typing import Any

from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.knowledge import catalogue, suggest
from expected import require_expected

SOURCES = ("pod_t", "kubelet_t", "udev_t", "pod_containerd_t", "x_f", "1bad", "debug_t", "dashboard_t", "unknown_t")
SOURCES += ("sys_containerd_t", "unconfined_container_t", "unconfined_service_t")
TYPES = sorted({name for _reason, types in suggest.PROTECTED.values() for name in types})
OBJECTS = ("run_t", "unlabeled_t", "pod_t", "security_t", "not_a_type", "ephemeral_t", *TYPES)
KINDS: tuple[tuple[str, list[str]], ...] = (
    ("file", ["read", "open"]),
    ("dir", ["write", "add_name"]),
    ("process", ["ptrace"]),
    ("process", ["transition"]),
    ("file", ["entrypoint"]),
    ("file", ["relabelto"]),
    ("security", ["load_policy"]),
    ("security", ["setenforce"]),
    ("capability", ["sys_module", "sys_boot"]),
    ("cap_userns", ["sys_boot"]),
    ("capability2", ["mac_admin", "mac_override"]),
    ("cap2_userns", ["mac_override"]),
    ("system", ["module_load", "module_request", "kexec_image_load", "kexec_initramfs_load", "firmware_load"]),
    ("system", ["policy_load", "x509_certificate_load"]),
    ("process", ["dyntransition"]),
    ("process", ["nnp_transition"]),
    ("process", ["nosuid_transition"]),
    ("file", []),
    ("file", ["bad-name"]),
)
#: What makes a denial one that no rule is made of, or one that is warned of.
MORE: tuple[dict[str, Any], ...] = (
    {},
    {"doubtful": 1},
    {"verdict": "granted"},
    {"granted": True},
    {"userspace": True},
    {"constraint": "mcs"},
    {"constraint": "mcs", "mcs_count": 1, "count": 2},
    {"constraint": "mcs", "mcs_count": 2, "count": 2},
    {"constraint": "neverallow"},
    {"raw_contexts": ["a:b:c_t:s0"]},
    {"policy_verdict": "unknown class or permission"},
    {"policy_verdict": "denied"},
    {"permissive": False},
    {"permissive": None},
)


def denial(source: str, target: str, kind: tuple[str, list[str]], more: dict[str, Any]) -> dict[str, Any]:
    """A denial as the analysis gives it."""
    tclass, permissions = kind
    return {
        "signature": f"{source}:{target}:{tclass}:{'+'.join(permissions)}",
        "source_type": source,
        "target_type": target,
        "class": tclass,
        "permissions": permissions,
        "permissive": True,
        "count": 1,
        "comms": ["x"],
        "paths": [],
        "owners": [],
        "raw_contexts": [],
        "constraint": None,
        "doubtful": 0,
        "userspace": False,
        "samples": [],
        **more,
    }


def test_many_denials() -> None:
    book = catalogue.load()
    given = [
        *itertools.product(SOURCES, ("run_t",), KINDS[:1], MORE[:1]),
        *itertools.product(("pod_t",), OBJECTS, KINDS[:1], MORE[:1]),
        *itertools.product(("pod_t",), ("run_t", "pod_t", "security_t"), KINDS, MORE[:1]),
        *itertools.product(("pod_t", "kubelet_t"), ("run_t", "unlabeled_t", "etcd_t"), KINDS[:1], MORE),
        *itertools.product(("etcd_t", "kernel_t", "init_t"), ("run_t",), KINDS[:1], MORE[:1]),
    ]
    denials = [denial(*parts) for parts in given]
    lines = []
    for one, (*_parts, more) in zip(denials, given, strict=True):
        for version in ("v1.14.1", None, "v1.10.0") if one["target_type"] == "unlabeled_t" else ("v1.14.1",):
            found = suggest.suggest(one, talos_version=version, catalogue=book)
            lines.append(f"{found['signature']} {more or ''} on {version}: {found['catalogue_id']}")
            lines.append(f"  {found['cil'] or found['cil_refused']}")
            lines.append("  " + ", ".join(f"{one['rank']} {one['kind']} {one['version']}" for one in found["remedies"]))
    text, left_out = suggest.module(denials)
    lines += [text, *(str(list(one.values())[:2]) for one in left_out)]
    require_expected("audit/suggestions.txt", "\n".join([*lines, ""]))
