#!/usr/bin/python
# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_halt
short_description: Halt a rollout, or lift a halt
version_added: 0.1.0
author:
  - The talosops.selinux authors (@talosops)
description:
  - Writes a halt into the ledger of a rollout, also while a controller runs it. From then on no node is taken further
    that was not wiped. A node that was started is uncordoned and its operation closed; one that was wiped, or may have
    been, is carried on to its end.
  - The rollout then ends with a failure that names the halt, and does not start again until every halt is lifted.
  - Runs where the ledger is, as the user that runs the rollout.
options:
  state:
    description:
      - V(halted) halts the rollout. The same reason by the same O(who) is one halt.
      - V(lifted) lifts the halts that O(halts) names.
    type: str
    choices: [halted, lifted]
    default: halted
  reason:
    description: Why. Cut after 500 characters.
    type: str
    required: true
  who:
    description: Who decided it, a person or a program, for those who have to ask.
    type: str
    required: true
  halts:
    description: With O(state=lifted), the numbers of the halts; so none is lifted that nobody looked at.
    type: list
    elements: int
attributes:
  check_mode:
    description: In check mode nothing is written.
    support: full
  diff_mode:
    description: The ledger is only ever added to.
    support: none
  idempotent:
    description: A halt that stands is not written again. One that was lifted cannot be lifted again.
    support: partial
extends_documentation_fragment:
  - talosops.selinux.connection.attributes
  - talosops.selinux.rollout
"""

EXAMPLES = r"""
- name: Halt the rollout
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Halt the rollout
      talosops.selinux.rollout_halt:
        directory: /srv/selinux-rollout
        reason: the storage on worker-2 does not come back
        who: J. Doe, on call

- name: Let it go on
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Lift the halt
      talosops.selinux.rollout_halt:
        directory: /srv/selinux-rollout
        state: lifted
        halts: [128]
        reason: the volume was detached by hand, unrelated to SELinux
        who: J. Doe
"""

RETURN = r"""
halts:
  description: The halts that stand now.
  returned: always
  type: list
  elements: dict
  sample:
    - {number: 128, reason: the storage on worker-2 does not come back, who: 'J. Doe, on call',
       at: '2026-11-22T12:00:00+00:00'}
"""
