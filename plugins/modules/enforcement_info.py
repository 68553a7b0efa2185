#!/usr/bin/python
# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: enforcement_info
short_description: Prove that a node enforces, and that it was reinstalled
version_added: 0.1.0
author:
  - The talosops.selinux authors (@talosops)
description:
  - Compares two evidence documents of the same machine, from before and after its reinstall.
  - Four witnesses must say that the node enforces, and its identity and volumes must be new. What is not known proves
    nothing.
options:
  before:
    description: The saved evidence file from before the reinstall.
    type: path
    required: true
  after:
    description: Path of the evidence from after it.
    type: path
    required: true
  target:
    description: The image that was to be installed.
    type: dict
    required: true
extends_documentation_fragment:
  - talosops.selinux.connection.attributes
  - talosops.selinux.connection.reads
"""

EXAMPLES = r"""
- name: Prove it
  talosops.selinux.enforcement_info:
    before: "{{ before.path }}"
    after: "{{ collected.nodes[inventory_hostname].path }}"
    target: "{{ image.target }}"
"""

RETURN = r"""
proven:
  description: Whether every witness agrees and the node was reinstalled.
  returned: always
  type: bool
  sample: true
summary:
  description: The result in one sentence.
  returned: always
  type: str
  sample: worker-1 is proven to enforce after a reinstall
witnesses:
  description: What each witness of enforcing says.
  returned: always
  type: list
  elements: dict
  sample: [{id: security-state, ok: true, found: SecurityState says enforcing}]
reinstall:
  description: What each witness of the reinstall says.
  returned: always
  type: list
  elements: dict
  sample: [{id: identity, ok: true, found: the node identity is new}]
"""
