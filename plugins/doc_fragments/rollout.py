# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation shared by everything that works in a rollout's directory."""

from __future__ import annotations


class ModuleDocFragment:
    """Where a rollout keeps what it knows."""

    DOCUMENTATION = r"""
options:
  directory:
    description:
      - The rollout's directory with evidence, verdicts, snapshots of etcd, the ledger and the reports. One that is not
        absolute is looked for where Ansible was started.
    type: path
    default: selinux-rollout
"""
