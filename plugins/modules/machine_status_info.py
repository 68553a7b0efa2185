#!/usr/bin/python
# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: machine_status_info
short_description: Read a node's stage, and wait for it
version_added: 0.1.0
author:
  - The talosops.selinux authors (@talosops)
description:
  - Reads in which stage the node of this host is, and who it is. Can wait for a stage.
  - A node in maintenance mode cannot prove who it is. It is matched by the hardware UUID or serial number that its
    evidence recorded, and its certificate's fingerprint is returned, so that later steps can pin it.
options:
  mode:
    description:
      - V(running) uses the credentials of the talosconfig.
      - V(maintenance) talks to a node in maintenance mode, without credentials.
    type: str
    choices: [running, maintenance]
    default: running
  fingerprint:
    description:
      - With O(mode=maintenance), the base64 SHA-256 of the public key that the node's certificate must have. The node
        prints it on its console; in one boot it makes up to three, as its addresses arrive, and the last one counts.
    type: str
  expect:
    description:
      - With O(mode=maintenance), the hardware identity that the machine must have. Without O(fingerprint) at least one
        of the two is needed, as any machine may answer at that address.
    type: dict
    suboptions:
      uuid:
        description: The hardware UUID.
        type: str
      serial_number:
        description: The hardware serial number.
        type: str
  wait_for:
    description:
      - V(stage) waits until the node is in the stage O(stage).
      - V(ready) waits until it runs and Talos calls it ready.
      - V(down) waits until the node answers in another boot than O(boot), or not at all. No answer says that it cannot
        be reached, and not that it was wiped.
    type: str
    choices: [stage, ready, down]
  stage:
    description: The stage to wait for, as Talos words it.
    type: str
  boot:
    description:
      - With O(wait_for=down), the boot that must end, as this module or M(talosops.selinux.machine_reset) gave it.
    type: dict
  wait_timeout:
    description: How long to wait, in seconds.
    type: int
    default: 900
  wait_sleep:
    description: How long to rest between two looks, in seconds.
    type: float
    default: 5
extends_documentation_fragment:
  - talosops.selinux.connection
  - talosops.selinux.connection.attributes
  - talosops.selinux.connection.group
  - talosops.selinux.connection.reads
"""

EXAMPLES = r"""
- name: Wait until the wiped machine is in maintenance mode, and is the same machine
  talosops.selinux.machine_status_info:
    mode: maintenance
    expect:
      uuid: "{{ evidence.node.uuid }}"
    wait_for: stage
    stage: maintenance
  register: medium

- name: Wait until the node is ready
  talosops.selinux.machine_status_info:
    wait_for: ready
"""

RETURN = r"""
stage:
  description: The stage, as Talos words it.
  returned: always
  type: str
  sample: running
ready:
  description: Whether Talos calls the node ready. Null when it does not report it.
  returned: always
  type: bool
  sample: true
unmet_conditions:
  description: What the node waits for before it is ready.
  returned: always
  type: list
  elements: dict
  sample: []
uuid:
  description: The hardware UUID. Null when the node does not report it.
  returned: always
  type: str
  sample: 5b2c4f1e-8d1a-4c0e-9a3b-0c1d2e3f4a5b
serial_number:
  description: The hardware serial number. Null when the node does not report it.
  returned: always
  type: str
  sample: SIM-0004
fingerprint:
  description: The fingerprint of the certificate that the node showed. Only in maintenance mode.
  returned: always
  type: str
  sample: null
boot:
  description:
    - What the node's boot is known by. Before Talos 1.14 these are counters, since the time of boot moves
      with the clock. Null when it does not report it.
  returned: always
  type: dict
  sample: {}
"""
