#!/usr/bin/python
# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: evidence
short_description: Collect and save the evidence of Talos nodes
version_added: 0.1.0
author:
  - The talosops.selinux authors (@talosops)
description:
  - Asks every node of the play for everything that the gate judges, into one sealed document for each node, and saves
    it with the raw logs below O(directory).
  - A question that got no answer leaves V(null) in its place and an entry under C(errors). Nothing is filled in.
  - Variables of each host that are read besides the connection variables, each only when set. C(talos_machine_config),
    path of the machine configuration that the node will be installed with. C(talos_boot_path), how the machine boots
    after the wipe. C(talos_approved_local_data), the hash by which a person approved the loss of the data that
    the evidence lists on the node's disk, as the refusal names it.
    C(talos_identify_by), V(uuid), or V(console) for a machine whose UUID does not tell it from others.
  - C(talos_serial_baseline), how many missing audit serials of the node you know the reason of, such as logins that
    auditd does not write; they are named in a note of the coverage instead of making it partial.
    C(talos_strict_messages), whether any audit message of a workload makes the coverage partial, since a perfect
    forgery cannot be recognised. M(talosops.selinux.machine_reset) and M(talosops.selinux.denials_info) read both,
    too.
  - A host with C(talos_maintenance_fingerprint), the key that it shows on its console, is a machine that waits in
    maintenance mode for its first installation. It has no evidence, so it says only which machine it is, and
    M(talosops.selinux.gate) judges it by its cohort. Take the variable away once the machine is installed.
options:
  store:
    description:
      - The directory in which M(talosops.selinux.audit_log) keeps its streams. What is read now is added to it, and the
        node is judged by all that was read of this boot, so that a soak may be longer than the node's memory of it.
      - A place where two reads did not meet makes the coverage partial.
      - Without this option only the present read counts, and so it does, with a note in the coverage, where one of the
        logs cannot be read, the node reboots during the read, or the store is damaged.
      - In check mode the store is not written, and the node is judged as if it had been.
    type: path
  kubeconfig:
    description:
      - Path of a kubeconfig file. Without it, the network plugin, the storage plugins, restarts and local data are not
        known, and the strict policy is inconclusive.
    type: path
  kube_context:
    description: The context of the kubeconfig. When unset, its current one.
    type: str
  target:
    description: The image that the nodes are to be judged for which O(images) has none of.
    type: dict
    suboptions:
      version:
        description: The Talos version.
        type: str
        required: true
      schematic:
        description: The id of the enforcing schematic.
        type: str
        required: true
      installer:
        description: The installer image.
        type: str
        required: true
      installer_digest:
        description: The digest of the installer image.
        type: str
        required: true
      kernel_args:
        description: The kernel arguments of the schematic.
        type: list
        elements: str
        default: []
  images:
    description: What M(talosops.selinux.schematic) returned for the hosts of the play.
    type: dict
  boot:
    description: How the installed systems boot.
    type: str
    choices: [uki, grub]
    default: uki
  ledger:
    description: The rollout's ledger, to check whether another operation holds a node.
    type: path
  run:
    description: The id of this run. An operation of this run does not hold its own node.
    type: str
  logs:
    description: What M(talosops.selinux.audit_log) returned for these hosts. RV(table) then says how fast their logs
      fill and how often to collect.
    type: dict
  show:
    description: Whether to show RV(table) as text, whatever the result callback does with results.
    type: bool
    default: false
  max_samples:
    description: Decoded records kept for each denial. V(0) keeps all.
    type: int
    default: 5
attributes:
  check_mode:
    description: In check mode the nodes are read and nothing is written.
    support: full
  diff_mode:
    description: Each collection is a new document, so there is no earlier one to compare with.
    support: none
  idempotent:
    description: Each run takes a new reading.
    support: none
extends_documentation_fragment:
  - talosops.selinux.rollout
  - talosops.selinux.connection
  - talosops.selinux.connection.fleet
  - talosops.selinux.connection.attributes
  - talosops.selinux.connection.group
"""

EXAMPLES = r"""
- name: Collect the fleet's evidence
  talosops.selinux.evidence:
    directory: /srv/evidence
    store: /srv/evidence/audit
    kubeconfig: ~/.kube/config
  run_once: true
  register: collected
"""

RETURN = r"""
nodes:
  description: What was collected from each node that answered, by inventory name.
  returned: always
  type: dict
  contains:
    path:
      description: The saved document. Null in check mode.
      type: str
      sample: /srv/evidence/worker-1/20261122T120000Z-0123456789ab/evidence.json
    sha256:
      description: The document's hash.
      type: str
      sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    summary:
      description: Which node it is of, its Talos version, SELinux state, coverage with its gaps, and how many kinds of
        denials it has and how often the kernel enforced one.
      type: dict
      sample: {}
    evidence:
      description: The document itself, in check mode only, since it was not saved.
      type: dict
      returned: in check mode
      sample: {}
machines:
  description: What is known of machines in maintenance mode, by inventory name.
  returned: always
  type: dict
  sample: {}
table:
  description: For each node the coverage, denials and lost records as text; nodes that could not be read come first.
  returned: always
  type: str
  sample: "1 node: 1 without a gap"
unread:
  description: The nodes that could not be read, by inventory name, with what was found, why it matters and what to do.
  returned: always
  type: dict
  sample: {}
summary:
  description: How many nodes were asked, answered and could not be read.
  returned: always
  type: dict
  sample: {asked: 1, answered: 1, unread: 0}
"""
