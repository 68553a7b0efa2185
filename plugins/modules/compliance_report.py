#!/usr/bin/python
# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: compliance_report
short_description: Judge a fleet against a profile and keep the report
version_added: 0.1.0
author:
  - The talosops.selinux authors (@talosops)
description:
  - Holds the evidence of a run against the rules of a profile, compares it with the last report, and writes a bundle
    with the report in every form that was asked for, the evidence it cites, and a manifest of hashes.
  - Every node that the inventory, the evidence or the ledger names has a row. A node without a result is C(unknown),
    which is never counted as a pass in any format.
  - A run in which nothing changed writes a full report as well.
options:
  evidence:
    description: What M(talosops.selinux.evidence) returned in this run. Documents are read from their files.
    type: dict
    required: true
  directory:
    description: Where evidence and verdicts are kept.
    type: path
    required: true
  output:
    description:
      - Where bundles are written, each in a directory named after the moment. Earlier ones are the history; nothing
        else is needed for it.
    type: path
    required: true
  population:
    description:
      - Names of all hosts that have to be in the report. One that is none of O(hosts) has a row that is C(unknown), so
        that a run with C(--limit) does not pass for the whole fleet. When unset, O(hosts).
    type: list
    elements: str
  profile:
    description: Name of a built-in profile, or the path of one.
    type: str
    default: talos-selinux-enforcing
  policy:
    description: The gate policy by which denials and waivers are judged.
    type: str
    default: strict
  waivers:
    description: Path of a file of waivers. One that has expired covers nothing and is reported as drift.
    type: path
  ledger:
    description: The rollout's ledger, for the proof of reinstalls and the progress of waves. One that does not exist
      is none.
    type: path
  retired:
    description:
      - Machines that were taken out of the fleet. One that nothing names any more but old verdicts, the ledger and
        earlier reports does not count as C(unknown) but as C(not_applicable), with what is said here as its reason, and
        has a row in every report for as long as it is listed.
      - A host of the inventory is not excused by it, and a machine that still answers fails the rule C(not-retired).
    type: list
    elements: dict
    suboptions:
      uuid:
        description: The machine's UUID, as an earlier report has it. Names are given again.
        type: str
        required: true
      since:
        description: The day from which it is out (YYYY-MM-DD, UTC).
        type: str
        required: true
      ticket:
        description: Where that was decided.
        type: str
        required: true
      reason:
        description: Why it was taken out.
        type: str
        required: true
  probes:
    description:
      - The directory of the audit stores, in which M(talosops.selinux.enforcement_probe) keeps what it found. Nodes
        are held against the newest probe of their present boot, and one without is C(unknown).
      - When unset, nobody asked for probes, and rules about them do not apply.
    type: path
  formats:
    description: Which forms are written beside the report as JSON, which always is.
    type: list
    elements: str
    choices: [html, junit, csv, prometheus, oscal, openreports, sarif]
    default: [html, junit, csv, prometheus]
  sarif_root:
    description: The directory that paths in SARIF are relative to, usually the root of the repository.
    type: path
    default: .
  sarif_fallback:
    description: The file below O(sarif_root) that findings point at whose node has no configuration file there.
    type: str
    default: README.md
  namespace:
    description: The Kubernetes namespace of OpenReports' objects.
    type: str
    default: kube-system
  textfile:
    description: Path of a file for Prometheus' textfile collector, replaced in one step.
    type: path
  labels:
    description: Free texts that pass into every format, such as a ticket or a system id.
    type: dict
  signing_key:
    description: Path of an Ed25519 private key (PEM) to sign the manifest with.
    type: path
  fail_on:
    description:
      - Which results make the task fail. V(unknown) fails on failed and unknown results and where there are none,
        V(fail) on failed ones, V(never) on none. The bundle is written before.
    type: str
    choices: [fail, unknown, never]
    default: unknown
  hosts:
    description: Inventory names of the nodes. When unset, with C(run_once=true) all hosts of the play.
    type: list
    elements: str
attributes:
  check_mode:
    description: In check mode the report is made and not written.
    support: full
  diff_mode:
    description: A report has no meaningful difference to show.
    support: none
  idempotent:
    description: Each run writes a report of its own moment.
    support: none
extends_documentation_fragment:
  - talosops.selinux.connection.attributes
seealso:
  - module: talosops.selinux.compliance_bundle_info
"""

EXAMPLES = r"""
- name: Report compliance
  talosops.selinux.compliance_report:
    evidence: "{{ evidence_result }}"
    directory: /srv/selinux
    output: /srv/selinux/compliance
    formats: [html, junit, oscal]
    labels: {ticket: AUD-7}
  run_once: true
"""

RETURN = r"""
counts:
  description: Nodes, results and rules by status, and the number of drift findings.
  returned: always
  type: dict
  sample:
    nodes: {total: 3, pass: 3, fail: 0, unknown: 0, not_applicable: 0, waived: 0}
    results: {}
    rules: {}
    drift: 0
drift:
  description: What changed for the worse since the last report.
  returned: always
  type: list
  elements: dict
  sample: []
nodes:
  description: The worst status of each node, by inventory name.
  returned: always
  type: dict
  sample: {worker-1: pass}
sha256:
  description: The hash of the report.
  returned: always
  type: str
  sample: 5f2b...
bundle:
  description: Where the bundle was written; null in check mode.
  returned: always
  type: str
  sample: /srv/selinux/compliance/2026-11-22T120000Z
msg:
  description: The last line of RV(table), which sums up.
  returned: always
  type: str
  sample: 3 of 3 nodes pass
table:
  description: The nodes that do not pass, and a line that sums up. Shown in any case.
  returned: when the run does not fail
  type: str
  sample: 3 of 3 nodes pass
"""
