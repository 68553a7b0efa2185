#!/usr/bin/python
# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: machine_config
short_description: Rewrite, validate, check and apply a node's machine configuration
version_added: 0.1.0
author:
  - The talosops.selinux authors (@talosops)
description:
  - Takes the operator's machine configuration for the node of this host and points its installation at the enforcing
    image. Nothing else in it changes.
  - With O(state=checked), asks the running node by a dry run whether it would take the configuration, and by what it
    differs from the configuration that the node runs. Anything but the installer image is refused until it is approved.
  - With O(state=applied), sends it to the node, which must be in maintenance mode and must be the machine that was
    identified before.
  - The configuration holds the cluster's secrets. It is never returned, logged or written anywhere. Differences are
    shown with the secrets masked.
options:
  src:
    description: Path of the machine configuration. When unset, the host's variable C(talos_machine_config).
    type: path
  installer:
    description: The installer image to install from.
    type: str
    required: true
  version:
    description: The Talos version of the installer image.
    type: str
    required: true
  boot:
    description: How the installed system boots. On V(uki) the image's own kernel arguments count.
    type: str
    choices: [uki, grub]
    default: uki
  kernel_args:
    description: The kernel arguments of the image's schematic, to see that none of the configuration's own get lost.
    type: list
    elements: str
    default: []
  state:
    description:
      - V(rendered) rewrites and validates the configuration in memory and returns its hash.
      - V(checked) also has the running node judge it, which changes nothing there.
      - V(applied) also sends it to the node in maintenance mode.
    type: str
    choices: [rendered, checked, applied]
    default: rendered
  expect_sha256:
    description: The hash that the rewritten configuration must have, as the verdict was given for it.
    type: str
  machine_type:
    description: What the node is, V(controlplane) or V(worker). A configuration for the other role is refused.
    type: str
    choices: [controlplane, worker]
  hostname:
    description: The node's host name. A configuration that sets another one is refused.
    type: str
  approve:
    description:
      - With O(state=checked), the hash of the differences that are approved, as the refusal names it. It holds for
        exactly those differences and their values. When unset, the host's variable
        C(talos_approved_config_differences).
    type: str
  fingerprint:
    description: With O(state=applied), the fingerprint of the machine that was identified.
    type: str
attributes:
  check_mode:
    description: In check mode the node is only asked for a dry run.
    support: full
  diff_mode:
    description: Shows the rewritten lines, secrets masked.
    support: full
  idempotent:
    description: Rendering changes nothing. A node that has its configuration is no longer in maintenance mode.
    support: partial
extends_documentation_fragment:
  - talosops.selinux.connection
  - talosops.selinux.connection.attributes
  - talosops.selinux.connection.group
"""

EXAMPLES = r"""
- name: Ask the running node whether it would take its configuration
  talosops.selinux.machine_config:
    installer: "{{ image.target.installer }}"
    version: "{{ image.target.version }}"
    state: checked

- name: Install the wiped machine
  talosops.selinux.machine_config:
    src: "configs/{{ inventory_hostname }}.yaml"
    installer: "{{ image.target.installer }}"
    version: "{{ image.target.version }}"
    state: applied
    fingerprint: "{{ medium.fingerprint }}"
"""

RETURN = r"""
sha256:
  description: The hash of the rewritten configuration.
  returned: always
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
facts:
  description: What the configuration says about the installation. No secrets.
  returned: always
  type: dict
  sample: {}
differences:
  description:
    - With O(state=checked), what was approved, one line for each document and path, values masked unless they are known
      to be harmless.
  returned: always
  type: list
  elements: str
  sample: []
remarks:
  description: With O(state=checked), what limits the node's judgement, such as that it runs another version.
  returned: always
  type: list
  elements: str
  sample: []
warnings_of_node:
  description: What the node remarked when it took the configuration.
  returned: always
  type: list
  elements: str
  sample: []
"""
