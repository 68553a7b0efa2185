# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ranked remedies for a denial: what to change first, and only last a rule of CIL, or why there can be none.

A log is written by everybody on the node, pods included, so what comes from it is never policy by itself: only names
that look like policy names get into a rule, and vectors that would open what enforcing protects are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .catalogue import Catalogue, load
from .entries import Entry, has_raw_context
from .ranges import in_range

ORDER = ("upgrade", "mount_option", "chart_value", "workload_change", "relabel", "reinstall", "none_needed", "waiver")

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}\Z")
# How Talos' policy names groups of types (common/typeattributes.cil); the kernel only ever writes types.
_ATTRIBUTE = re.compile(r"not_\w+\Z|\w+_[pf]\Z")

# Groups of Talos' policy (internal/pkg/selinux/policy/selinux) that no rule made from a log may touch.
PROTECTED: dict[str, tuple[str, frozenset[str]]] = {
    "machine_config": (
        "it would open the machine configuration or the API that serves it",
        frozenset(
            {
                *("system_state_t", "machine_socket_t", "apid_socket_t", "apid_runtime_socket_t"),
                *("trustd_runtime_socket_t", "apid_t", "trustd_t"),
            }
        ),
    ),
    "etcd": ("it would touch etcd, its keys or its data", frozenset({"etcd_t", "etcd_data_t", "etcd_pki_t"})),
    "init": (
        "it would touch machined, which rules the node",
        frozenset({"init_t", "init_exec_t", "dbus_service_socket_t", "sandboxd_t"}),
    ),
    "policy": (
        "it would touch the loading or checking of the policy itself",
        frozenset({"security_t", "selinuxfs_t"}),
    ),
    "kernel": (
        "it would touch the domain of the kernel or of the initial system",
        frozenset({"kernel_t", "initramfs_t", "module_t", "modprobe_exec_t"}),
    ),
    "secret": (
        "it would open secrets of the Kubernetes control plane",
        frozenset(
            {
                *("kube_apiserver_config_t", "kube_apiserver_secret_t", "kube_controller_manager_secret_t"),
                *("kube_scheduler_config_t", "kube_scheduler_secret_t", "k8s_credentialproviders_t"),
            }
        ),
    ),
    "runtime": (
        "whoever reaches a container runtime's socket or program rules the node",
        frozenset(
            {
                *("pod_containerd_socket_t", "sys_containerd_socket_t", "containerd_exec_t"),
                *("installer_t", "udev_exec_t", "udev_socket_t", "udev_rules_t"),
            }
        ),
    ),
    "device": (
        "the policy keeps this device from every workload",
        frozenset({"mtd_device_t", "rtc_device_t", "tpm_device_t", "wdt_device_t"}),
    ),
}

# Permissions that reach beyond the type named in a rule, by class.
_POWERS: dict[str, frozenset[str]] = {
    "capability": frozenset({"sys_module", "sys_boot"}),
    "cap_userns": frozenset({"sys_module", "sys_boot"}),
    "capability2": frozenset({"mac_admin", "mac_override"}),
    "cap2_userns": frozenset({"mac_admin", "mac_override"}),
    "system": frozenset(
        {
            *("module_load", "module_request", "kexec_image_load", "kexec_initramfs_load", "firmware_load"),
            *("policy_load", "x509_certificate_load"),
        }
    ),
}
_BECOME = frozenset({"transition", "dyntransition", "ptrace", "nnp_transition", "nosuid_transition", "entrypoint"})

# Where a rule of this source would stand in Talos' policy.
_PLACE = {
    "pod_t": "services/cri.cil",
    "pod_containerd_t": "services/cri.cil",
    "kubelet_t": "services/kubelet.cil",
    "sys_containerd_t": "services/system-containerd.cil",
    "unconfined_container_t": "services/system-containerd.cil",
    "debug_t": "services/system-containers.cil",
    "dashboard_t": "services/dashboard.cil",
    "udev_t": "services/udev.cil",
    "unconfined_service_t": "services/machined.cil",
}


@dataclass(frozen=True)
class Rule:
    """One allow rule: four policy names that were checked, so its text is safe to compile."""

    source: str
    target: str
    tclass: str
    permissions: tuple[str, ...]

    @classmethod
    def of(cls, denial: Mapping[str, Any]) -> Rule:
        """The minimal rule for a denial dict.

        Raises:
            ValueError: a part of it is no policy name, or names a group.
        """
        permissions = tuple(sorted(set(denial["permissions"])))
        names = (denial["source_type"], denial["target_type"], denial["class"], *permissions)
        for name in names:
            if not isinstance(name, str) or not _NAME.match(name):
                raise ValueError(f"{name!r} is not a policy name")
        if not permissions:
            raise ValueError("the denial names no permission")
        for name in names[:2]:
            if _ATTRIBUTE.match(name):
                raise ValueError(f"{name!r} is no type but a group of types")
        return cls(names[0], names[1], names[2], permissions)

    @property
    def text(self) -> str:
        """The rule in CIL."""
        target = "self" if self.target == self.source else self.target
        return f"(allow {self.source} {target} ({self.tclass} ({' '.join(self.permissions)})))"

    @property
    def vectors(self) -> frozenset[tuple[str, str, str, str]]:
        """The access vectors it grants: (source, target, class, permission)."""
        return frozenset((self.source, self.target, self.tclass, permission) for permission in self.permissions)


def refusal(denial: Mapping[str, Any]) -> tuple[str, str] | None:
    """Why no allow rule may be made from a denial, as (code, reason), or None.

    Codes: doubtful, granted, userspace, not_policy_names, mcs, neverallow, relabel, policy, machine_config, etcd,
    init, kernel, secret, runtime, device, power, other_domain, unknown_permission.
    """
    if denial.get("doubtful"):
        return "doubtful", "a record of it may be forged, and policy must not come from forged records"
    if denial.get("verdict") == "granted" or denial.get("granted"):
        return "granted", "the access was granted: there is nothing to allow"
    if denial.get("userspace"):
        return "userspace", "a program says so and not the kernel, and any pod may send such messages"
    try:
        rule = Rule.of(denial)
    except ValueError as error:
        return "not_policy_names", f"{error}, so no rule is made of it"
    constraint = denial.get("constraint")
    # Records of one signature may differ in categories; the rule can only help those where they are not the cause.
    count = denial.get("count", 0)
    if constraint == "mcs" and denial.get("mcs_count", count) >= count:
        return "mcs", "the subject lacks the object's MCS categories, and no allow rule changes that"
    changes_policy = rule.target == "security_t" and {"load_policy", "setenforce"} & set(rule.permissions)
    if constraint == "neverallow" or changes_policy:
        return "neverallow", "the policy forbids it to every domain by a neverallow, so such a rule does not compile"
    if has_raw_context(denial):
        return (
            "relabel",
            "the object's stored label is unknown to the policy: relabel it, or every unlabelled file opens",
        )
    if denial.get("policy_verdict") == "unknown class or permission":
        return "unknown_permission", "the target policy does not define the class or permission"
    for code, (reason, types) in PROTECTED.items():
        if touched := types & {rule.source, rule.target}:
            return code, f"{reason} ({', '.join(sorted(touched))})"
    if powers := _POWERS.get(rule.tclass, frozenset()) & set(rule.permissions):
        return "power", f"it would give the domain power over the whole node ({', '.join(sorted(powers))})"
    if rule.source != rule.target and (become := _BECOME & set(rule.permissions)):
        return "other_domain", f"it would let one domain become or control another ({', '.join(sorted(become))})"
    return None


def suggest(
    denial: Mapping[str, Any], *, talos_version: str | None = None, catalogue: Catalogue | None = None
) -> dict[str, Any]:
    """Ranked remedies for one denial, as plain data.

    Args:
        denial: a denial dict.
        talos_version: the release that runs (or will run); upgrades to it or to older ones are left out.
        catalogue: the one that ships with the collection by default.

    Returns ``{signature, catalogue_id, remedies: [{rank, kind, do, value, version}], cil: {rule, place, warnings,
    proof} | null, cil_refused: {code, reason} | null}``. Exactly one of ``cil`` and ``cil_refused`` is set;
    ``proof`` is ``unproven`` until ``cil.Prover`` says more.
    """
    entry = (catalogue or load()).match(denial, talos_version)
    remedies = _remedies(entry, talos_version)
    refused = refusal(denial)
    if refused is None or refused[0] not in ("doubtful", "granted"):
        remedies.append(
            {
                "kind": "waiver",
                "do": "Waive this signature, with owner, reason and expiry, if what enforcing stops may stop.",
                "value": str(denial.get("signature") or "") or None,
                "version": None,
            }
        )
    remedies.sort(key=lambda remedy: ORDER.index(remedy["kind"]))
    rule = None if refused else Rule.of(denial)
    return {
        "signature": denial.get("signature"),
        "catalogue_id": entry.id if entry else None,
        "remedies": [{"rank": rank, **remedy} for rank, remedy in enumerate(remedies, 1)],
        "cil": None if rule is None else _cil(rule, denial),
        "cil_refused": None if refused is None else {"code": refused[0], "reason": refused[1]},
    }


def module(denials: Iterable[Mapping[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """One CIL text for many denials, merged and sorted, and those it leaves out as ``{signature, code, reason}``."""
    wanted: dict[tuple[str, str, str], set[str]] = {}
    left_out = []
    for denial in denials:
        refused = refusal(denial)
        if refused is not None:
            left_out.append({"signature": denial.get("signature"), "code": refused[0], "reason": refused[1]})
            continue
        rule = Rule.of(denial)
        wanted.setdefault((rule.source, rule.target, rule.tclass), set()).update(rule.permissions)
    rules = sorted(Rule(*key, tuple(sorted(permissions))).text for key, permissions in wanted.items())
    return "".join(f"{rule}\n" for rule in rules), left_out


def _remedies(entry: Entry | None, version: str | None) -> list[dict[str, Any]]:
    if entry is None:
        return []
    return [
        {"kind": remedy.kind, "do": remedy.do, "value": remedy.value, "version": remedy.version}
        for remedy in entry.remedies
        if remedy.version is None or version is None or not in_range(version, f">={remedy.version}")
        if remedy.kind != "none_needed" or entry.benign_for(version)
    ]


def _cil(rule: Rule, denial: Mapping[str, Any]) -> dict[str, Any]:
    warnings = []
    if rule.source == "pod_t":
        warnings.append("every pod shares pod_t, so every pod of the node gets this access")
    if rule.target == "unlabeled_t":
        warnings.append("it opens every unlabelled file; a mount option labels just the volume")
    if {"relabelto", "relabelfrom"} & set(rule.permissions):
        warnings.append("whoever may relabel decides what other domains can reach")
    if denial.get("constraint") == "mcs":
        warnings.append("some of the records were refused for their MCS categories, which this does not change")
    if denial.get("permissive") is False:
        warnings.append("it comes from an enforcing node: once allowed, the next refusal behind it will show")
    return {
        "rule": rule.text,
        "place": _PLACE.get(rule.source),
        "warnings": warnings,
        "proof": {"state": "unproven", "detail": "it was not compiled with a policy"},
    }
