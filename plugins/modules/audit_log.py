#!/usr/bin/python
# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: audit_log
short_description: Keep the audit logs of Talos nodes
version_added: 0.1.0
author:
  - The talosops.selinux authors (@talosops)
description:
  - Fetches the auditd service log and the kernel log of every node of the play and adds what is new to one stream
    for each node and boot below O(directory). Where the end of the service log joins what is stored, only that end is
    fetched. The API has no such choice for the kernel log.
  - Talos keeps about 1 MiB of audit log in memory. Where it wrapped between two runs the stream gets a hole, which
    every later run reports until a read closes it, as O(persisted) may.
  - Several runs may collect into one directory at once. A run that is killed leaves what it had stored, and the next
    one fetches the rest.
options:
  directory:
    description: Where the streams are kept.
    type: path
    required: true
  persisted:
    description:
      - Also read C(/var/log/auditd.log) from the node's disk. Needs the C(os:admin) role and Talos 1.12 or newer. Where
        it cannot be read RV(nodes) says why, and the rest is kept all the same.
    type: bool
    default: false
  follow_seconds:
    description:
      - Follow the auditd service log for so long and store it while it grows, before the logs are fetched as usual. A
        stream that ends early is reported in RV(nodes), and is no failure, as the fetch after it closes the gap.
    type: float
    default: 0
  show:
    description: Whether to show RV(table) as text, whatever the result callback does with results.
    type: bool
    default: false
attributes:
  check_mode:
    description: In check mode the logs are read, and joined with a copy to report what would be added and what is lost.
    support: full
  diff_mode:
    description: Logs are only ever added to.
    support: none
  idempotent:
    description: A run that finds nothing new changes nothing.
    support: full
extends_documentation_fragment:
  - talosops.selinux.connection
  - talosops.selinux.connection.fleet
  - talosops.selinux.connection.attributes
  - talosops.selinux.connection.group
"""

EXAMPLES = r"""
- name: Keep the fleet's audit logs during the soak
  talosops.selinux.audit_log:
    directory: /srv/audit
  run_once: true

- name: Watch what a test does
  talosops.selinux.audit_log:
    directory: /srv/audit
    follow_seconds: 60
  run_once: true
"""

RETURN = r"""
table:
  description: Which logs fill soonest, how long they last, and how often to collect so that none loses anything.
  returned: always
  type: str
  sample: "worker-1: auditd's log fills by 95 KiB an hour, and lasts 10 hours"
nodes:
  description: What was added for each node that answered, by inventory name.
  returned: always
  type: dict
  contains:
    boot:
      description: The boot that the logs are from.
      type: str
      sample: 5b2c4f1e-8d1a-4c0e-9a3b-0c1d2e3f4a5b
    read:
      description: Bytes fetched from each source, without what was followed.
      type: dict
      sample: {service: 122880, kernel: 65536}
    appended:
      description: Bytes added for each source.
      type: dict
      sample: {service: 1024, kernel: 2048}
    holes:
      description: >-
        Places of this boot's streams where records may be missing. V(head), no read reached the beginning; V(gap), two
        reads do not meet; V(conflict), two reads differ. With the serials and times on both sides.
      type: list
      elements: dict
      sample:
        - kind: gap
          stream: service
          after_serial: 4711
          before_serial: 5300
          after: '2026-11-22T12:00:00Z'
          before: '2026-11-22T13:00:00Z'
          read_before: '2026-11-22T12:00:05Z'
          read_after: '2026-11-22T14:00:05Z'
    rates:
      description:
        - How fast the node fills each of its logs, V(service) (auditd's log) and V(kernel) (the kernel ring).
        - C(capacity) is what the node keeps of it, in bytes. C(bytes_per_hour) is the highest rate between two reads,
          or the one since boot after a single read. C(longest_pause_seconds) is the time in which the log fills at that
          rate. C(new_percent) is how much of the capacity the last read found new. Each is null where it is not known.
      type: dict
      sample:
        service: {capacity: 983040, bytes_per_hour: 40960, longest_pause_seconds: 86400, new_percent: 4}
        kernel: {capacity: 262144, bytes_per_hour: 2048, longest_pause_seconds: 460800, new_percent: 1}
    warnings:
      description: What is about to be overwritten before it is read, and how often to collect.
      type: list
      elements: str
      sample: []
    followed:
      description: How long the log was followed, what was added meanwhile, and why the stream ended early, or null.
      type: dict
      sample: {seconds: 60.0, appended: 512, ended: null}
    persisted_unread:
      description: Why the logs on the node's disk could not be read, or null, also when O(persisted) is not set.
      type: str
      sample: null
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
