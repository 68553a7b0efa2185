#!/usr/bin/python
# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: denials_info
short_description: Group SELinux denials by signature
version_added: 0.1.0
author:
  - The talosops.selinux authors (@talosops)
description:
  - Reads the audit records of every node of the play, or of O(files), and groups the denials by source type, target
    type, class and permissions.
  - Reports how much it knows. Zero denials mean nothing unless RV(nodes) says that the coverage is complete.
options:
  files:
    description:
      - Logs to read instead of asking nodes, plain or gzip, in any form in which audit records reach people. All of
        them are taken as one node's log, the oldest first. Where every line names its node, as C(talosctl) prints it,
        and there are several, each node is judged by itself, and RV(coverage) is the worst of them.
    type: list
    elements: path
  max_samples:
    description: Decoded records kept for each denial. V(0) keeps all.
    type: int
    default: 1
  watch_seconds:
    description: Wait for so long before reading, so that what happens meanwhile is read too.
    type: float
    default: 0
  talos_version:
    description:
      - The Talos release the remedies are for. With O(files) also the release the logs are from, which decides what is
        known to be harmless. By default the release that all nodes run; unknown where they run several.
    type: str
  policy:
    description: >-
      The compiled policy of the release to go to (C(policy.33) of a Talos image). Each denial then says whether that
      policy still denies it. Needs C(seinfo) and C(sesearch) of setools on the controller; without them the answer is
      V(unknown).
    type: path
  policy_sources:
    description: >-
      A directory with the CIL sources of that policy. With C(secilc) on the controller each suggested rule is compiled
      with it, to show that it allows what is wanted and nothing else.
    type: path
  compare_with:
    description: A saved evidence file to compare with.
    type: path
extends_documentation_fragment:
  - talosops.selinux.connection
  - talosops.selinux.connection.fleet
  - talosops.selinux.connection.attributes
  - talosops.selinux.connection.group
  - talosops.selinux.connection.reads
"""

EXAMPLES = r"""
- name: Group the fleet's denials
  talosops.selinux.denials_info:
  run_once: true
  register: denials

- name: Group the denials of a log that was sent by mail
  talosops.selinux.denials_info:
    files: [/tmp/auditd.log.gz, /tmp/dmesg.log]
  run_once: true

- name: Report what the next release would still deny
  talosops.selinux.denials_info:
    policy: /srv/talos/policy.33
    policy_sources: /srv/talos/selinux
    compare_with: /srv/evidence/worker-1/20261122T120000Z-0123456789ab/evidence.json
  run_once: true
"""

RETURN = r"""
nodes:
  description:
    - The denials of each node that answered, by inventory name. C(denials) is null where a log was not read; look at
      C(coverage) beside it in any case. C(boot) is the boot's id. With O(watch_seconds), C(watched) says whether the
      node stayed in one boot (V(same), V(another) or V(unknown)). With O(files), the RV(counts), RV(coverage) and
      RV(denials) of the task itself.
  returned: when O(files) is not set
  type: dict
  sample: {}
counts:
  description: Lines and records of all logs that were read.
  returned: always
  type: dict
  sample:
    {lines: 10, parsed: 8, ignored: 2, unparsed: 0, denied: 1, granted: 0, doubtful: 0, mac_errors: 0, events: 3,
     probe: 0}
coverage:
  description: How complete the logs are, with every reason against it. For a fleet, the verdict by node.
  returned: always
  type: dict
  sample:
    verdict: partial
    seconds: 3600
    first_serial: 1
    last_serial: 100
    lost_at_least: 0
    reasons: [{id: F12, text: which boot the log is from is not known}]
denials:
  description: >-
    The denials, the most frequent first; null, and never an empty list, where none was found and a log was not read,
    so that it is not known whether there are any. Each has its C(suggestion), remedies in the order in which to try
    them, then a CIL rule or why there can be none. With O(policy), C(policy_verdict) is V(still denied), V(allowed),
    V(unknown class or permission) or V(unknown), and C(policy_detail) says why.
  returned: always
  type: list
  elements: dict
  sample:
    - signature: pod_t:run_t:dir:write
      source_type: pod_t
      target_type: run_t
      class: dir
      permissions: [write]
      permissive: true
      count: 3
      first: '2026-11-22T10:00:00Z'
      last: '2026-11-22T11:00:00Z'
      comms: [agent]
      paths: [/run/agent]
      owners: []
      catalogue_id: null
      known_benign: false
      waiver_id: null
      constraint: null
      doubtful: 0
      enforced: 0
      mcs_count: 0
      raw_contexts: []
      userspace: false
      samples:
        - pid: 1234
          comm: agent
          name: agent
          path: null
          timestamp: '2026-11-22T10:00:00Z'
          serial: 4711
          raw: dHlwZT1BVkMgLi4u
      suggestion:
        signature: pod_t:run_t:dir:write
        catalogue_id: null
        remedies:
          - rank: 1
            kind: waiver
            do: Waive this signature, with owner, reason and expiry, if what enforcing stops may stop.
            value: pod_t:run_t:dir:write
            version: null
        cil:
          rule: (allow pod_t run_t (dir (write)))
          place: services/cri.cil
          warnings: [every pod shares pod_t, so every pod of the node gets this access]
          proof: {state: unproven, detail: it was not compiled with a policy}
        cil_refused: null
mac_errors:
  description: With O(files), the records in which the kernel or a program met a context or policy it could not use.
  returned: when O(files) is set
  type: list
  elements: dict
  sample: []
advice:
  description: >-
    All suggested rules as one CIL text, the denials that get none with the reason, why nothing was proven, and why the
    target policy was not read.
  returned: always
  type: dict
  sample:
    cil: "(allow pod_t run_t (dir (write)))\n"
    left_out: []
    unproven: no policy sources were given
    policy_unread: null
known_benign:
  description: >-
    Those that a review found harmless on exactly the release that runs. They stay among the RV(denials), and are listed
    here again so that nobody has to search for what was waved through.
  returned: always
  type: list
  elements: dict
  sample:
    - {signature: 'pod_t:sys_containerd_t:bpf:prog_run', catalogue_id: bpf-prog-run-residual, count: 2}
enforced:
  description: >-
    Those that were enforced and are not known to be harmless. Something does not work because of each of them. Null
    where none was found and a log was not read, a node did not answer, or the boot that was watched ended.
  returned: always
  type: list
  elements: dict
  sample: []
difference:
  description: Signatures that are new, gone or still there since O(compare_with); null where either was not read.
  returned: when O(compare_with) is set
  type: dict
  sample: {new: [], gone: [], still: []}
table:
  description: The denials as a table for people.
  returned: always
  type: str
  sample: no denials
unread:
  description: The nodes that could not be read, by inventory name.
  returned: when O(files) is not set
  type: dict
  sample: {}
summary:
  description: How many nodes were asked, answered and could not be read.
  returned: when O(files) is not set
  type: dict
  sample: {asked: 1, answered: 1, unread: 0}
"""
