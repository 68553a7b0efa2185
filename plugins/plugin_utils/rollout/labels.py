# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The SELinux labels of a new system: the roots of its volumes and Talos' own directories.

A volume that was formatted or relabelled otherwise denies nothing until something touches it, so no log shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..talos.answers import FileInfo
from ..texts import printable

#: The type of each directory. Seen on Talos 1.14, permissive and enforcing; those of volumes also in its
#: pkg/machinery/constants (``*SELinuxLabel``).
EXPECTED = {
    "/etc/cni": "cni_conf_t",
    "/etc/kubernetes": "k8s_conf_t",
    "/system": "system_t",
    "/system/run": "system_run_t",
    "/system/state": "system_t",
    "/system/var": "system_var_t",
    "/var": "ephemeral_t",
    "/var/lib": "ephemeral_t",
    "/var/lib/containerd": "containerd_state_t",
    "/var/lib/kubelet": "kubelet_state_t",
    "/var/log": "var_log_t",
}
ON_CONTROL_PLANES = {"/var/lib/etcd": "etcd_data_t"}
#: What to list so that all of them are among the entries.
PARENTS = ("/etc", "/system", "/var", "/var/lib")


def labels_of(files: Iterable[FileInfo]) -> dict[str, str | None]:
    """The label of each file; None where the node gave none."""
    found: dict[str, str | None] = {}
    for file in files:
        raw = file.xattrs.get("security.selinux")
        found[file.name] = raw.rstrip(b"\0").decode("ascii", "replace") if raw else None
    return found


def judge_labels(labels: Mapping[str, str | None], *, control_plane: bool) -> tuple[bool | None, str]:
    """Whether the system's directories carry their labels.

    Args:
        labels: the labels by path, as :func:`labels_of` gives them.
        control_plane: whether the directories of a control plane are expected too.

    Returns:
        True, False, or None when one of them is not there; and what was found, in words.
    """
    expected = {**EXPECTED, **(ON_CONTROL_PLANES if control_plane else {})}
    wrong = []
    for path, wanted in expected.items():
        label = labels.get(path)
        parts = (label or "").split(":")
        if path in labels and (len(parts) < 3 or parts[2] != wanted):
            wrong.append(f"{path} is {printable(label or 'without a label', 100)} and not {wanted}")
    missing = sorted(path for path in expected if path not in labels)
    if wrong:
        return False, f"labels: {'; '.join(wrong)}"
    if missing:
        return None, f"the labels of {', '.join(missing)} are not known"
    return True, f"the labels of {len(expected)} directories of the system are as they should be"
