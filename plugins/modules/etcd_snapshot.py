#!/usr/bin/python
# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_snapshot
short_description: Save a snapshot of etcd, hashed
version_added: 0.1.0
author:
  - The talosops.selinux authors (@talosops)
description:
  - Streams a snapshot from the control plane of this host into a file, and returns its size and SHA-256.
  - The file appears only when the whole snapshot has arrived and matches the checksum that etcd sends with it.
options:
  path:
    description: The file to write. It is replaced when it exists.
    type: path
    required: true
attributes:
  check_mode:
    description: In check mode nothing is fetched or written.
    support: full
  diff_mode:
    description: A snapshot has no meaningful difference to show.
    support: none
  idempotent:
    description: Each run takes a new snapshot.
    support: none
extends_documentation_fragment:
  - talosops.selinux.connection
  - talosops.selinux.connection.attributes
  - talosops.selinux.connection.group
"""

EXAMPLES = r"""
- name: Keep a snapshot before a control plane is reinstalled
  talosops.selinux.etcd_snapshot:
    path: "{{ evidence_directory }}/etcd/{{ inventory_hostname }}.snapshot"
  delegate_to: cp-2
"""

RETURN = r"""
path:
  description: The snapshot's file.
  returned: always
  type: str
  sample: /srv/evidence/etcd/cp-1.snapshot
size:
  description: Its size in bytes. Null in check mode.
  returned: always
  type: int
  sample: 20480
sha256:
  description: The lower-case hexadecimal SHA-256 of the file. Null in check mode.
  returned: always
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
taken_at:
  description: When it was taken. Null in check mode.
  returned: always
  type: str
  sample: '2026-11-22T12:00:00Z'
"""
