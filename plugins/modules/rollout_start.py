#!/usr/bin/python
# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_start
short_description: Take the lock of a rollout, and settle what a stopped run left
version_added: 0.1.0
author:
  - The talosops.selinux authors (@talosops)
description:
  - Takes the lock of a rollout in its directory. The first step that is taken also takes it as a Lease in the cluster,
    every step renews both, and M(talosops.selinux.rollout_report) releases them. A second controller is refused with
    who holds the lock, also one in another directory, on another host or in another process namespace.
  - The lock of a controller that surely ended, or that was not renewed in time, is taken over.
  - Nodes that a stopped rollout had started and certainly not wiped are uncordoned and start over. Those that were
    wiped, or may have been, are returned as RV(resume); they go on where the ledger says.
  - While the rollout is halted (M(talosops.selinux.rollout_halt)) only these go on. When there are none it fails, and
    names the halts.
options:
  kubeconfig:
    description: Path of a kubeconfig file that may cordon nodes and take leases in C(kube-system). Needed to start.
    type: path
  consent:
    description: Must be V(wipe). Without it no node is started; those that were wiped are brought back.
    type: str
    default: ''
  take_over:
    description:
      - Why the lock is taken from a controller that does not come back, in a sentence for the ledger. Make sure that it
        is gone; two controllers take nodes away from each other.
    type: str
  drain_timeout:
    description: How long the Kubernetes API may stay away while a node is uncordoned, in seconds.
    type: int
    default: 600
  poll_seconds:
    description: How long to rest between two looks, in seconds.
    type: float
    default: 5
attributes:
  check_mode:
    description: In check mode the ledger is read, and nothing is locked or changed.
    support: full
  diff_mode:
    description: A lock has no meaningful difference to show.
    support: none
  idempotent:
    description: The lock that is held is renewed.
    support: full
extends_documentation_fragment:
  - talosops.selinux.connection
  - talosops.selinux.connection.attributes
  - talosops.selinux.connection.group
  - talosops.selinux.kubernetes
  - talosops.selinux.rollout
"""

EXAMPLES = r"""
- name: Start the rollout
  talosops.selinux.rollout_start:
    kubeconfig: ~/.kube/config
    consent: wipe
  run_once: true
"""

RETURN = r"""
run:
  description: The id of this run in the ledger. Null in check mode.
  returned: always
  type: str
  sample: 0f6f2a2f0c1e
resume:
  description: Nodes whose reinstall goes on where it was stopped.
  returned: always
  type: list
  elements: str
  sample: [worker-3]
start:
  description: The hosts of the play that are to be judged and may start. Empty while the rollout is halted.
  returned: always
  type: list
  elements: str
  sample: [worker-1, worker-2]
halts:
  description: The halts that nobody lifted.
  returned: always
  type: list
  elements: dict
  sample: []
released:
  description: Nodes that a stopped rollout had started, and that start over.
  returned: always
  type: list
  elements: str
  sample: []
"""
