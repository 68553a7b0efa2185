#!/usr/bin/python
# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_ledger
short_description: Record the steps of a node's reinstall
version_added: 0.1.0
author:
  - The talosops.selinux authors (@talosops)
description:
  - Keeps the append-only ledger of a rollout for the node of this host, from which a run that was stopped anywhere goes
    on.
  - The lock that keeps control planes from being in flight together is taken before a control plane's first step that
    changes anything, and given back after its last step, or when it failed before it was wiped.
options:
  path:
    description: The ledger file.
    type: path
    required: true
  run:
    description: The id of this run.
    type: str
    required: true
  state:
    description:
      - V(look) reads where the node stands.
      - V(begun) records that O(step) starts now.
      - V(done) and V(failed) record how it ended.
      - V(restarted) gives up an operation that has not begun to wipe, so that it starts over.
      - V(closed) ends an operation by decision of a person. Its failure no longer counts, and nothing resumes it.
    type: str
    choices: [look, begun, done, failed, restarted, closed]
    default: look
  step:
    description: The step.
    type: str
    choices: [verify, gate, save, drain, reset, boot, identify, apply, install, prove, rejoin, soak]
  facts:
    description: Plain facts to keep with the entry. Secrets are refused.
    type: dict
    default: {}
  reason:
    description: With O(state=restarted) and O(state=closed), why.
    type: str
  lock_timeout:
    description: For how long the control plane lock is taken, in seconds.
    type: int
    default: 7200
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
"""

EXAMPLES = r"""
- name: Record that the drain starts
  talosops.selinux.rollout_ledger:
    path: /srv/evidence/ledger.jsonl
    run: "{{ rollout_run }}"
    state: begun
    step: drain
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
look_first:
  description: Whether the next step may already have had its effect, as it was interrupted.
  returned: always
  type: bool
  sample: false
abandoned:
  description: Whether the playbook that began to reinstall the node has ended on this machine before it wiped anything.
  returned: always
  type: bool
  sample: false
"""
