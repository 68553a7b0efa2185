#!/usr/bin/python
# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_plan
short_description: Order a rollout into waves
version_added: 0.1.0
author:
  - The talosops.selinux authors (@talosops)
description:
  - Orders the nodes that the gate found eligible. Canaries first, then workers in batches that never span two zones,
    then control planes one at a time.
  - Operations whose wipe an earlier run started go first.
  - Two hosts that are one machine, by address, UUID, node identity or boot, refuse the plan.
  - The zone of a node is the host's variable C(talos_zone).
options:
  evidence:
    description: What M(talosops.selinux.evidence) returned. Unset when every node is one to resume.
    type: dict
  judged:
    description: What M(talosops.selinux.gate) returned. Unset when every node is one to resume.
    type: dict
  canary:
    description: How many workers go before all others.
    type: int
    default: 1
  batch:
    description: How many workers may be in flight together, a number or a percentage of the eligible ones.
    type: str
    default: '1'
  max_failures:
    description: How many nodes may fail before the rollout stops, a number or a percentage of the fleet.
    type: str
    default: '0'
  control_planes:
    description: Whether control planes are part of this run.
    type: bool
    default: true
extends_documentation_fragment:
  - talosops.selinux.connection.attributes
  - talosops.selinux.connection.reads
  - talosops.selinux.rollout
"""

EXAMPLES = r"""
- name: Order the rollout
  talosops.selinux.rollout_plan:
    evidence: "{{ collected }}"
    judged: "{{ judged }}"
    batch: 25%
  run_once: true
  register: planned
"""

RETURN = r"""
plan:
  description: The sealed plan.
  returned: always
  type: dict
  sample: {}
order:
  description: The inventory names in the order in which they go.
  returned: always
  type: list
  elements: str
  sample: [worker-1, cp-1]
sizes:
  description: How many of them form each wave.
  returned: always
  type: list
  elements: int
  sample: [1, 1]
waves:
  description: The kind of each host's wave, by inventory name.
  returned: always
  type: dict
  sample: {worker-1: canary, cp-1: control_plane}
summary:
  description: The plan in words, one line each.
  returned: always
  type: list
  elements: str
  sample: ['wave 1, canary: worker-1', 'wave 2, control_plane: cp-1']
"""
