#!/usr/bin/python
# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_ledger
short_description: Read where a node stands in the ledger, or close its operation
version_added: 0.1.0
author:
  - The talosops.selinux authors (@talosops)
description:
  - Reads what the steps of the node of this host recorded in the append-only ledger of a rollout.
options:
  state:
    description:
      - V(look) reads where the node stands.
      - V(closed) ends its operation by decision of a person. Its failure no longer counts, and nothing resumes it. The
        lock of a control plane is released with it, in the directory and as a Lease in the cluster, also where another
        rollout or M(talosops.selinux.machine_reset) alone reset the machine. Without it no other node is taken away
        before that machine is known to be back.
    type: str
    choices: [look, closed]
    default: look
  reason:
    description: With O(state=closed), why.
    type: str
  kubeconfig:
    description: Path of a kubeconfig file that may take leases in C(kube-system). Needed to close a control plane.
    type: path
attributes:
  check_mode:
    description: In check mode nothing is written.
    support: full
  diff_mode:
    description: The ledger is only ever added to.
    support: none
  idempotent:
    description: Every entry is a new one.
    support: none
extends_documentation_fragment:
  - talosops.selinux.connection.attributes
  - talosops.selinux.kubernetes
  - talosops.selinux.rollout
"""

EXAMPLES = r"""
- name: Close the operation of a machine that will not come back
  talosops.selinux.rollout_ledger:
    directory: /srv/selinux-rollout
    kubeconfig: ~/.kube/config
    state: closed
    reason: its board is broken, and it was taken out of the cluster
"""

RETURN = r"""
node:
  description: Where the node stands.
  returned: always
  type: dict
  sample:
    {done: [], open: null, failed: null, failure: null, attempts: {}, canary: false, machine_type: null, results: {},
     doubt: null, writes: {}, seq: 0, started: null, updated: null, run: null, by: null, complete: false,
     unfinished: false, may_be_wiped: false, wiped: false, facts: {}}
pending:
  description: The steps that are not done yet, in order.
  returned: always
  type: list
  elements: str
  sample: [verify, gate, save, drain, reset, boot, identify, apply, install, prove, rejoin, soak]
"""
