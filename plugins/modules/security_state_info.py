#!/usr/bin/python
# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: security_state_info
short_description: Read the SELinux state of Talos nodes
version_added: 0.1.0
author:
  - The talosops.selinux authors (@talosops)
description:
  - Reads the SecurityState resource of every node of the play, with the kernel command line as a second witness.
  - A node that cannot be read is listed under RV(unread) with the reason. There is no default state.
options:
  show:
    description: Whether to show RV(table) as text, whatever the result callback does with results.
    type: bool
    default: false
extends_documentation_fragment:
  - talosops.selinux.connection
  - talosops.selinux.connection.fleet
  - talosops.selinux.connection.attributes
  - talosops.selinux.connection.group
  - talosops.selinux.connection.reads
seealso:
  - module: talosops.selinux.evidence
"""

EXAMPLES = r"""
- name: Read the SELinux state of the fleet
  talosops.selinux.security_state_info:
  run_once: true
  register: states

- name: Show this node's state
  ansible.builtin.debug:
    msg: "{{ states.nodes[inventory_hostname].selinux }}"
"""

RETURN = r"""
nodes:
  description: The state of each node that answered, by inventory name.
  returned: always
  type: dict
  contains:
    selinux:
      description:
        - V(enforcing), V(permissive) or V(disabled).
        - V(unsupported) on Talos 1.9 and older, where no policy is active.
      type: str
      sample: permissive
    talos_version:
      description: The version that runs.
      type: str
      sample: v1.14.1
    kernel_args:
      description: The kernel command line, in order. Null where Talos does not report it (before 1.11).
      type: list
      elements: str
      sample: [talos.platform=metal, selinux=1]
    disagreements:
      description: Where the kernel command line says another mode than SecurityState, each with both sides named.
      type: list
      elements: str
      sample: []
    booted_with_uki:
      description: Whether the node booted a unified kernel image. Null before Talos 1.10, which does not know the fact.
      type: bool
      sample: true
    secure_boot:
      description: Whether SecureBoot is on.
      type: bool
      sample: false
    uki_signing_key_fingerprint:
      description: Fingerprint of the key that signed the image. Null when the node does not report it.
      type: str
      sample: null
    pcr_signing_key_fingerprint:
      description: Fingerprint of the key that signed the measurements. Null when the node does not report it.
      type: str
      sample: null
    fips_state:
      description: The FIPS mode as Talos words it. Null when the node does not report it.
      type: str
      sample: null
    module_signature_enforced:
      description: Whether only signed kernel modules load. Null where Talos does not know the fact (before 1.12).
      type: bool
      sample: true
  sample:
    worker-1:
      selinux: permissive
      talos_version: v1.14.1
      kernel_args: [talos.platform=metal, selinux=1]
      booted_with_uki: true
      secure_boot: false
      uki_signing_key_fingerprint: null
      pcr_signing_key_fingerprint: null
      fips_state: null
      module_signature_enforced: true
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
table:
  description: A summary line, the nodes that could not be read, and a row for each that could, as text.
  returned: always
  type: str
  sample: "1 node: 1 permissive"
"""
