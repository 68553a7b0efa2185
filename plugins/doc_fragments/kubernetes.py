# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation shared by everything that needs the Kubernetes API."""

from __future__ import annotations


class ModuleDocFragment:
    """How the cluster's Kubernetes API is reached."""

    DOCUMENTATION = r"""
options:
  kubeconfig:
    description: Path of the kubeconfig file.
    type: path
  kube_context:
    description: The context of the kubeconfig. When unset, its current one.
    type: str
"""
