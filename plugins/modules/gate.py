#!/usr/bin/python
# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gate
short_description: Judge whether nodes may move to enforcing
version_added: 0.1.0
author:
  - The talosops.selinux authors (@talosops)
description:
  - Judges the evidence of every node against a policy. Only a check that is plainly true passes. What is missing,
    partial or not understood is unknown, and unknown never passes.
  - A machine in maintenance mode is judged by its cohort. Its host variable C(talos_cohort) names permissive nodes of
    the same play, and C(talos_pool) and C(talos_workload) of the machine and of each of them must be the same.
  - A verdict is bound to one node, one boot, one piece of evidence and one target image, and expires.
options:
  evidence:
    description: What M(talosops.selinux.evidence) returned. Documents are read from their files.
    type: dict
    required: true
  policy:
    description: V(strict), V(canary), V(observe), or the path of a policy file that extends one of them.
    type: str
    default: strict
  waivers:
    description: Path of a file of waivers.
    type: path
  signing_key:
    description: Path of an Ed25519 private key (PEM) to sign the verdicts with.
    type: path
attributes:
  check_mode:
    description: In check mode the nodes are judged and nothing is written.
    support: full
  diff_mode:
    description: Each verdict is a new document, so there is no earlier one to compare with.
    support: none
  idempotent:
    description: Each run issues new verdicts.
    support: none
extends_documentation_fragment:
  - talosops.selinux.rollout
  - talosops.selinux.connection.attributes
"""

EXAMPLES = r"""
- name: Judge the fleet
  talosops.selinux.gate:
    evidence: "{{ collected }}"
    directory: /srv/evidence
    policy: strict
  run_once: true
  register: judged

- name: Stop unless this node may move
  ansible.builtin.assert:
    that: judged.nodes[inventory_hostname].decision == 'eligible'
"""

RETURN = r"""
nodes:
  description: The verdict on each node, by inventory name. A node that could not be read is V(inconclusive).
  returned: always
  type: dict
  contains:
    decision:
      description: V(eligible), V(refused) or V(inconclusive).
      type: str
      sample: eligible
    path:
      description: The saved verdict. Null in check mode, and for a node that could not be read.
      type: str
      sample: /srv/evidence/worker-1/verdict.json
    sha256:
      description: The verdict's hash. Null for a node that could not be read.
      type: str
      sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    verdict:
      description: The verdict itself, in check mode only, since it was not saved.
      type: dict
      returned: in check mode
      sample: {}
    summary:
      description: The verdict in one sentence.
      type: str
      sample: worker-1 is eligible.
    reasons:
      description: The checks that stand in the way, each with what was found and what to do.
      type: list
      elements: dict
      sample: []
decisions:
  description: The inventory names under each decision.
  returned: always
  type: dict
  sample: {eligible: [worker-1], refused: [], inconclusive: []}
policy:
  description: The policy's name, its differences to the built-in one, and whether any of them weakens it.
  returned: always
  type: dict
  sample: {name: strict, changes: [], weakened: false}
"""
