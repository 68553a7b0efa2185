#!/usr/bin/python
# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_report
short_description: Report who moved, who was refused and why
version_added: 0.1.0
author:
  - The talosops.selinux authors (@talosops)
description:
  - Writes C(report.json) and C(report.html) to the rollout's directory.
  - Joins the plan, the verdicts and the ledger into one report, as data, as a table for people and as an HTML page.
options:
  plan:
    description:
      - What M(talosops.selinux.rollout_plan) returned under RV(talosops.selinux.rollout_plan#module:plan).
      - Required unless O(after=stop).
    type: dict
  judged:
    description: What M(talosops.selinux.gate) returned. Unset when nothing was judged.
    type: dict
  max_failures:
    description: How many nodes may fail before the rollout stops. The report says whether that was reached.
    type: str
    default: '0'
  after:
    description:
      - V(gate) writes and shows the report.
      - V(wave) writes it, and when too many nodes failed shows it, releases the rollout's lock and fails. Every node of
        this wave and of those before it that did not end moved counts as failed.
      - V(rollout) writes and shows it, releases the lock, and fails when a node of the plan did not end moved.
      - V(stop) is for a rollout that cannot be planned. It writes and shows what the ledger knows, releases the lock,
        and fails with the O(reason) and the nodes that wait where an earlier run left them.
    type: str
    choices: [gate, wave, rollout, stop]
    default: gate
  reason:
    description: With O(after=stop), why.
    type: str
  width:
    description: The width of the table in characters.
    type: int
    default: 110
attributes:
  check_mode:
    description: In check mode the report is returned and not written.
    support: full
  diff_mode:
    description: A report has no meaningful difference to show.
    support: none
  idempotent:
    description: The same ledger gives the same report.
    support: full
extends_documentation_fragment:
  - talosops.selinux.kubernetes
  - talosops.selinux.rollout
  - talosops.selinux.connection.attributes
"""

EXAMPLES = r"""
- name: Report
  talosops.selinux.rollout_report:
    plan: "{{ planned.plan }}"
    judged: "{{ judged }}"
    directory: /srv/selinux-rollout
  run_once: true
  register: report
"""

RETURN = r"""
report:
  description: The report as data. A task that fails shows its table, and has written its file.
  returned: success
  type: dict
  sample: {}
table:
  description: The report for people.
  returned: success
  type: str
  sample: ''
halted:
  description: Whether the rollout must stop, and why.
  returned: always
  type: str
  sample: null
files:
  description: The files that were written.
  returned: always
  type: list
  elements: str
  sample: [/srv/evidence/report.json, /srv/evidence/report.html]
"""
