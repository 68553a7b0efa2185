# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Remedies come before rules, rules stay minimal, and what enforcing protects is refused."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.knowledge import catalogue
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.knowledge.suggest import (
    Rule,
    module,
    refusal,
    suggest,
)

CATALOGUE = catalogue.load()


def denial(source: str, target: str, tclass: str, *permissions: str, **more: Any) -> dict[str, Any]:
    signature = f"{source}:{target}:{tclass}:{'+'.join(sorted(permissions))}"
    return {
        "signature": signature,
        "source_type": source,
        "target_type": target,
        "class": tclass,
        "permissions": sorted(permissions),
        "permissive": True,
        "comms": ["x"],
        "paths": [],
        "owners": [],
        "constraint": None,
        "doubtful": 0,
        "samples": [],
        **more,
    }


RAW = [{"raw": base64.b64encode(b'... tclass=file permissive=1 trawcon="a:b:c_t:s0"').decode()}]

CASES = [
    (denial("pod_t", "run_t", "dir", "write"), "(allow pod_t run_t (dir (write)))"),
    (denial("pod_t", "run_t", "dir", "write", "add_name"), "(allow pod_t run_t (dir (add_name write)))"),
    (denial("pod_t", "pod_t", "perf_event", "open"), "(allow pod_t self (perf_event (open)))"),
    (denial("pod_t", "bpf_t", "file", "read", "open"), "(allow pod_t bpf_t (file (open read)))"),
    (denial("pod_t", "network_fs_t", "file", "write"), "(allow pod_t network_fs_t (file (write)))"),
    (denial("pod_t", "unlabeled_t", "file", "read"), "(allow pod_t unlabeled_t (file (read)))"),
    (denial("pod_t", "kubelet_t", "file", "read"), "(allow pod_t kubelet_t (file (read)))"),
    (denial("kubelet_t", "pod_t", "process", "signal"), "(allow kubelet_t pod_t (process (signal)))"),
    (denial("pod_t", "pod_t", "process", "ptrace"), "(allow pod_t self (process (ptrace)))"),
    (denial("udev_t", "nsfs_t", "file", "read"), "(allow udev_t nsfs_t (file (read)))"),
    (denial("pod_t", "sys_containerd_t", "bpf", "prog_run"), "(allow pod_t sys_containerd_t (bpf (prog_run)))"),
    (denial("pod_t", "system_state_t", "file", "read"), "machine_config"),
    (denial("pod_t", "machine_socket_t", "sock_file", "write"), "machine_config"),
    (denial("pod_t", "apid_runtime_socket_t", "sock_file", "write"), "machine_config"),
    (denial("pod_t", "etcd_data_t", "file", "read"), "etcd"),
    (denial("etcd_t", "run_t", "dir", "write"), "etcd"),
    (denial("pod_t", "etcd_pki_t", "file", "open"), "etcd"),
    (denial("pod_t", "init_t", "dir", "search"), "init"),
    (denial("init_t", "run_t", "file", "write"), "init"),
    (denial("pod_t", "init_exec_t", "file", "execute"), "init"),
    (denial("pod_t", "security_t", "security", "compute_av"), "policy"),
    (denial("pod_t", "selinuxfs_t", "dir", "mounton"), "policy"),
    (denial("pod_t", "security_t", "security", "load_policy"), "neverallow"),
    (denial("init_t", "security_t", "security", "setenforce", constraint="neverallow"), "neverallow"),
    (denial("pod_t", "ephemeral_t", "file", "write", constraint="mcs"), "mcs"),
    (denial("pod_t", "unlabeled_t", "file", "read", samples=RAW), "relabel"),
    (denial("pod_t", "run_t", "dir", "write", doubtful=1), "doubtful"),
    (denial("pod_t", "run_t", "dir", "write", verdict="granted"), "granted"),
    (denial("pod_t", "run_t", "dir", "write", userspace=True), "userspace"),
    (denial("pod_t", "unlabeled_t", "file", "read", raw_contexts=["a:b:c_t:s0"]), "relabel"),
    (denial("pod_t", "opt_t", "file", "write", constraint="mcs", count=3, mcs_count=3), "mcs"),
    (
        denial("pod_t", "opt_t", "file", "write", constraint="mcs", count=3, mcs_count=2),
        "(allow pod_t opt_t (file (write)))",
    ),
    (denial("kernel_t", "run_t", "file", "execute"), "kernel"),
    (denial("initramfs_t", "bin_exec_t", "file", "execute"), "kernel"),
    (denial("pod_t", "module_t", "system", "module_load"), "kernel"),
    (denial("pod_t", "pod_t", "capability", "sys_module"), "power"),
    (denial("pod_t", "pod_t", "capability2", "mac_admin"), "power"),
    (denial("pod_t", "tmpfs_t", "system", "kexec_image_load"), "power"),
    (denial("pod_t", "kubelet_t", "process", "transition"), "other_domain"),
    (denial("pod_t", "kubelet_t", "process", "ptrace"), "other_domain"),
    (denial("pod_t", "kube_apiserver_secret_t", "file", "write"), "secret"),
    (denial("pod_t", "sys_containerd_socket_t", "sock_file", "write"), "runtime"),
    (denial("pod_t", "tpm_device_t", "chr_file", "write"), "device"),
    (denial("pod_t", "run_t", "file", "0x2000"), "not_policy_names"),
    (denial("pod_t", "run_t", "file", "a)))(allow pod_t security_t (security (load_policy"), "not_policy_names"),
    (denial("pod_t", "run_t\n", "file", "read"), "not_policy_names"),
    (denial("pod_t", "run_t", "", "read"), "not_policy_names"),
    (denial("pod_t", "run_t", "file"), "not_policy_names"),
    # Groups of types: valid in a rule, but never in a record of the kernel, and far wider than what was denied.
    (denial("any_p", "run_t", "file", "read"), "not_policy_names"),
    (denial("pod_t", "any_f", "file", "read"), "not_policy_names"),
    (denial("pod_t", "not_udev_socket_t", "sock_file", "write"), "not_policy_names"),
    (
        denial("pod_t", "run_t", "memfd_file", "read", policy_verdict="unknown class or permission"),
        "unknown_permission",
    ),
]


@pytest.mark.parametrize(("given", "expected"), CASES, ids=[case[0]["signature"][:60] for case in CASES])
def test_rule_or_refusal(given: dict[str, Any], expected: str) -> None:
    found = suggest(given, catalogue=CATALOGUE)
    assert (found["cil"] is None) is not (found["cil_refused"] is None)
    if expected.startswith("("):
        assert found["cil"]["rule"] == expected
        assert found["cil"]["proof"]["state"] == "unproven"
    else:
        assert found["cil_refused"]["code"] == expected
        assert found["cil_refused"]["reason"]


def test_remedies_are_ranked_and_end_with_the_waiver() -> None:
    found = suggest(denial("pod_t", "unlabeled_t", "file", "write"), talos_version="v1.13.8", catalogue=CATALOGUE)
    assert [remedy["kind"] for remedy in found["remedies"]] == ["upgrade", "mount_option", "waiver"]
    assert [remedy["rank"] for remedy in found["remedies"]] == [1, 2, 3]
    assert found["remedies"][1]["value"] == "context=system_u:object_r:ephemeral_t:s0"
    assert found["remedies"][2]["value"] == "pod_t:unlabeled_t:file:write"
    assert found["catalogue_id"] == "csi-unlabeled-volume"


@pytest.mark.parametrize(("version", "offered"), [("v1.13.9", True), (None, True), ("v1.14.0", False)])
def test_an_upgrade_is_offered_only_where_it_is_one(version: str | None, offered: bool) -> None:
    found = suggest(denial("pod_t", "unlabeled_t", "file", "write"), talos_version=version, catalogue=CATALOGUE)
    assert any(remedy["kind"] == "upgrade" for remedy in found["remedies"]) is offered


def test_unknown_denials_still_get_a_waiver_and_a_rule() -> None:
    found = suggest(denial("pod_t", "debugfs_t", "file", "read"), catalogue=CATALOGUE)
    assert (found["catalogue_id"], [r["kind"] for r in found["remedies"]]) == (None, ["waiver"])
    assert found["cil"]["place"] == "services/cri.cil"
    assert any("every pod" in warning for warning in found["cil"]["warnings"])


def test_doubtful_denials_cannot_be_waived_either() -> None:
    found = suggest(denial("pod_t", "debugfs_t", "file", "read", doubtful=3), catalogue=CATALOGUE)
    assert found["remedies"] == []


def test_an_enforcing_log_says_that_more_will_follow() -> None:
    found = suggest(denial("pod_t", "run_t", "dir", "write", permissive=False), catalogue=CATALOGUE)
    assert any("enforcing" in warning for warning in found["cil"]["warnings"])


def test_none_needed_is_said_for_reviewed_versions_only() -> None:
    given = denial("pod_t", "sys_containerd_t", "bpf", "prog_run", comms=["cilium-agent"])
    assert suggest(given, talos_version="v1.14.1", catalogue=CATALOGUE)["remedies"][0]["kind"] == "none_needed"
    assert suggest(given, talos_version="v1.13.9", catalogue=CATALOGUE)["remedies"][0]["kind"] == "waiver"


def test_module_merges_rules_and_lists_what_it_leaves_out() -> None:
    text, left_out = module(given for given, _unused in CASES)
    lines = text.splitlines()
    assert lines == sorted(lines)
    assert "(allow pod_t run_t (dir (add_name write)))" in lines
    assert len(left_out) == sum(not expected.startswith("(") for _unused, expected in CASES)
    assert "security" not in text and "init_t" not in text


def test_rule_refuses_what_is_no_name() -> None:
    with pytest.raises(ValueError, match="is not a policy name"):
        Rule.of(denial("pod_t", "run_t", "file", "read;"))
    assert refusal(denial("pod_t", "run_t", "file", "read")) is None
