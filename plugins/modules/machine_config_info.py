#!/usr/bin/python
# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: machine_config_info
short_description: Judge a node's machine configuration for the enforcing image
version_added: 0.1.0
author:
  - The talosops.selinux authors (@talosops)
description:
  - Takes the operator's machine configuration for the node of this host, points its installation at the enforcing image
    in memory, and checks it. Nothing else in it changes, and it is written nowhere.
  - Then asks the running node by a dry run whether it would take the configuration, and by what it differs from the
    configuration that the node runs. Anything but the installer image is refused until it is approved.
  - A rollout does the same before it drains a node. This module says it beforehand, for example in the pipeline that
    changes the configurations.
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
    description: The kernel arguments of the image's schematic, to check that none of the configuration's own get lost.
    type: list
    elements: str
    default: []
  dry_run:
    description:
      - Whether the running node is asked. It changes nothing there, and needs an administrator's certificate.
      - Without it the file is rewritten and checked by itself, and no node is reached.
    type: bool
    default: true
  machine_type:
    description: What the node is, V(controlplane) or V(worker). A configuration for the other role is refused.
    type: str
    choices: [controlplane, worker]
  hostname:
    description: The node's host name. A configuration that sets another one is refused.
    type: str
  approve:
    description:
      - The hash of the differences that are approved, as the refusal names it. It holds for
        exactly those differences and their values. When unset, the host's variable
        C(talos_approved_config_differences).
    type: str
extends_documentation_fragment:
  - talosops.selinux.connection
  - talosops.selinux.connection.attributes
  - talosops.selinux.connection.group
  - talosops.selinux.connection.reads
"""

EXAMPLES = r"""
- name: Ask the running node whether it would take its configuration
  talosops.selinux.machine_config_info:
    installer: "{{ image.target.installer }}"
    version: "{{ image.target.version }}"
    kernel_args: "{{ image.target.kernel_args }}"

- name: Check the file alone, in a pipeline that reaches no node
  talosops.selinux.machine_config_info:
    src: "configs/{{ inventory_hostname }}.yaml"
    installer: "{{ image.target.installer }}"
    version: "{{ image.target.version }}"
    kernel_args: "{{ image.target.kernel_args }}"
    dry_run: false
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
rewritten:
  description: The rewritten lines as a unified diff, secrets masked.
  returned: always
  type: list
  elements: str
  sample: []
differences:
  description:
    - What was approved, one line for each document and path, values masked unless they are known to be harmless. Null
      when the node was not asked.
  returned: always
  type: list
  elements: str
  sample: []
remarks:
  description:
    - What limits the node's judgement, such as that it runs another version. Null when the node was not asked.
  returned: always
  type: list
  elements: str
  sample: []
"""
