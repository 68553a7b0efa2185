#!/usr/bin/python
# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: schematic
short_description: Derive, create and verify the enforcing Image Factory schematic
version_added: 0.1.0
author:
  - The talosops.selinux authors (@talosops)
description:
  - Derives the enforcing schematic from the present one of the node of this host. Adds C(enforcing=1) once, removes
    what contradicts it, and keeps everything else.
  - Registers it with the Image Factory, compares the id with the one computed here, reads it back, and checks that the
    built image really carries C(enforcing=1), that it exists and what its digest is.
  - With C(run_once), the images of all hosts of the play are prepared, and returned under RV(nodes). Nodes that run the
    same image are asked for one by one, and it is derived and verified once.
options:
  schematic:
    description: The present schematic as YAML text. When unset, the node is asked for it.
    type: str
  version:
    description: The Talos version to install. When unset, the one the node runs. V(latest) is refused.
    type: str
  platform:
    description: The Talos platform, such as V(metal). When unset, the node is asked.
    type: str
  arch:
    description: The machine's architecture. When unset, the node is asked.
    type: str
    choices: [amd64, arm64]
  secureboot:
    description: Whether the machine boots with SecureBoot. When unset, the node is asked.
    type: bool
  goal:
    description: V(enforcing) is the way forward, V(permissive) the way back.
    type: str
    choices: [enforcing, permissive]
    default: enforcing
  expect_digest:
    description: The digest that was resolved earlier. Another one now is an error.
    type: str
  save_bundle:
    description:
      - Directory of a bundle to write the outcome of the verification to, for use behind an air gap. What other hosts
        and earlier runs wrote there stays.
    type: path
attributes:
  check_mode:
    description: In check mode the schematic is derived and nothing is registered. A known one is verified all the same.
    support: full
  diff_mode:
    description: Shows the present and the derived schematic.
    support: full
  idempotent:
    description: Registering the same schematic again changes nothing. A bundle is written each time.
    support: full
extends_documentation_fragment:
  - talosops.selinux.connection
  - talosops.selinux.connection.fleet
  - talosops.selinux.connection.attributes
  - talosops.selinux.connection.group
  - talosops.selinux.factory
"""

EXAMPLES = r"""
- name: Prepare the enforcing image of this node
  talosops.selinux.schematic:
  register: image

- name: Prepare the enforcing image of a machine that has no customization
  talosops.selinux.schematic:
    schematic: "customization: {}"
    version: v1.14.1
    platform: metal
    arch: amd64
    secureboot: false
  register: image

- name: Prepare a bundle for use behind an air gap, from the evidence that was collected there
  talosops.selinux.schematic:
    schematic: "{{ (lookup('ansible.builtin.file', item) | from_json).talos.schematic.text }}"
    version: v1.14.1
    platform: metal
    arch: amd64
    secureboot: false
    save_bundle: /srv/bundle
  loop: "{{ query('ansible.builtin.fileglob', '/srv/evidence/*/*/evidence.json') }}"

- name: Install from an own registry, which has credentials of its own
  talosops.selinux.schematic:
    factory_url: https://factory.example.org
    token: "{{ factory_token }}"
    registry: registry.example.org
    mirrors:
      - registry: registry.example.org
        url: https://registry.example.org
        ca_path: /etc/ssl/example-ca.pem
        username: talos
        password: "{{ registry_password }}"
  register: image
"""

RETURN = r"""
nodes:
  description: With C(run_once), the image of each host by inventory name, with the keys C(present) to C(cmdline) below.
  returned: with run_once
  type: dict
  sample: {}
unread:
  description: With C(run_once), the hosts without an image, with what was found, why it matters and what to do.
  returned: with run_once
  type: dict
  sample: {}
summary:
  description: With C(run_once), how many hosts were asked, have an image, and have none.
  returned: with run_once
  type: dict
  sample: {asked: 1, answered: 1, unread: 0}
present:
  description: The id of the present schematic. Null when O(schematic) is set.
  returned: without run_once
  type: str
  sample: 376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba
id:
  description: The id of the derived schematic.
  returned: without run_once
  type: str
  sample: 224daeedea2a793a0cd003ab8b8cadb4c8a16645d7b485fcfa965c5948be2e18
schematic:
  description: The derived schematic as canonical YAML.
  returned: without run_once
  type: str
  sample: "customization:\n    extraKernelArgs:\n        - enforcing=1\n"
added:
  description: Kernel arguments that were added.
  returned: without run_once
  type: list
  elements: str
  sample: [enforcing=1]
removed:
  description: Kernel arguments that were removed.
  returned: without run_once
  type: list
  elements: str
  sample: []
verified:
  description: Whether the image was verified. False only in check mode, for a schematic that is not registered yet.
  returned: without run_once
  type: bool
  sample: true
target:
  description: The image, as verdicts are bound to it, with the schematic's kernel arguments. Null when the image was
    not verified.
  returned: without run_once
  type: dict
  sample:
    version: v1.14.1
    schematic: 224daeedea2a793a0cd003ab8b8cadb4c8a16645d7b485fcfa965c5948be2e18
    installer:
      factory.talos.dev/metal-installer/224daeedea2a793a0cd003ab8b8cadb4c8a16645d7b485fcfa965c5948be2e18:v1.14.1
    installer_digest: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    kernel_args: [enforcing=1]
cmdline:
  description: The kernel command line of the built image. Null when the image was not verified.
  returned: without run_once
  type: str
  sample: talos.platform=metal selinux=1 enforcing=1
media:
  description: Where the image's boot media and files are downloaded, as far as the platform has them. Null when the
    image was not verified.
  returned: without run_once
  type: dict
  sample:
    cmdline: https://factory.talos.dev/image/224daeedea2a793a0cd003ab8b8cadb4c8a16645d7b485fcfa965c5948be2e18/v1.14.1/cmdline-metal-amd64
    uki: https://factory.talos.dev/image/224daeedea2a793a0cd003ab8b8cadb4c8a16645d7b485fcfa965c5948be2e18/v1.14.1/metal-amd64-uki.efi
    iso: https://factory.talos.dev/image/224daeedea2a793a0cd003ab8b8cadb4c8a16645d7b485fcfa965c5948be2e18/v1.14.1/metal-amd64.iso
    pxe: https://factory.talos.dev/pxe/224daeedea2a793a0cd003ab8b8cadb4c8a16645d7b485fcfa965c5948be2e18/v1.14.1/metal-amd64
    disk_image: https://factory.talos.dev/image/224daeedea2a793a0cd003ab8b8cadb4c8a16645d7b485fcfa965c5948be2e18/v1.14.1/metal-amd64.raw.zst
"""
