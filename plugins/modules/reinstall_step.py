#!/usr/bin/python
# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: reinstall_step
short_description: Take one step of a node's reinstall
version_added: 0.1.0
author:
  - The talosops.selinux authors (@talosops)
description:
  - Takes the node of this host through one step of its reinstall. The step opens its entry in the ledger, looks at the
    node where it may already have had its effect, acts, verifies by effect, and closes its entry with what it learned,
    all in one process.
  - A step that is done is left alone, so a rollout that was stopped anywhere goes on from its ledger when the same
    steps are taken again. What the steps are and what each may repeat is in the guide on rollouts.
  - Whether a step had its effect may not be known, such as when the node does not answer. The step then fails, stays
    open in the ledger, and looks again the next time.
  - Use the role P(talosops.selinux.reinstall#role), which takes the steps in their order.
options:
  step:
    description: The step. The first one starts an operation over that was stopped before anything was wiped.
    type: str
    choices: [verify, gate, save, drain, reset, boot, identify, apply, install, prove, rejoin, soak]
  state:
    description:
      - V(taken) takes the O(step).
      - V(released) ends what failed. The failure is recorded with its O(reason) where no step did so itself, and a
        node that was certainly not wiped is uncordoned.
    type: str
    choices: [taken, released]
    default: taken
  reason:
    description: With O(state=released), why.
    type: str
  kubeconfig:
    description: Path of a kubeconfig file that may cordon, drain, read workloads, and take leases in C(kube-system).
    type: path
    required: true
  wave:
    description: The kind of the node's wave.
    type: str
    choices: [resume, canary, workers, control_plane]
    default: workers
  consent:
    description: Must be V(wipe). Nothing is wiped without it.
    type: str
    default: ''
  policy:
    description: The policy to judge by.
    type: str
    default: strict
  waivers:
    description: Path of a file of waivers.
    type: path
  signing_key:
    description: Path of the Ed25519 private key (PEM) to sign verdicts with.
    type: path
  public_key:
    description: Path of the Ed25519 public key (PEM) that verdicts must be signed by.
    type: path
  boot:
    description: How the installed system boots.
    type: str
    choices: [uki, grub]
    default: uki
  boot_hook:
    description:
      - With C(talos_boot_path) V(hook), the command that boots the wiped machine from a medium, as a list of arguments.
        It runs on the control host with C(TALOS_NODE), C(TALOS_ADDRESS), C(TALOS_UUID), C(TALOS_SCHEMATIC) and
        C(TALOS_VERSION) in its environment, and must end with 0 when it made the machine boot.
    type: list
    elements: str
    default: []
  boot_hook_environment:
    description: Further variables for the hook's environment.
    type: dict
    default: {}
  confirm_wiped:
    description:
      - By host, what a person saw that shows that the machine was wiped, such as that its console finds nothing to
        boot. It is recorded in the ledger.
      - With C(talos_boot_path) V(hook), a machine that was told to reset stays silent, and silence is no sign. Where
        it could not be seen to stop for its reset, such as when the rollout was stopped meanwhile, its hook is only
        run with this.
      - It counts for a reset that an earlier run sent.
    type: dict
    default: {}
  drain_timeout:
    description: How long the drain may take, in seconds.
    type: int
    default: 600
  wipe_timeout:
    description: How long the machine may take from the reset to maintenance mode, in seconds.
    type: int
    default: 900
  install_timeout:
    description: How long the installation and the first boot may take, in seconds.
    type: int
    default: 1800
  rejoin_timeout:
    description: How long etcd may take to accept the member as a voter again, in seconds.
    type: int
    default: 900
  soak_seconds:
    description: How long the node is watched for enforced denials before it takes workloads again, in seconds.
    type: float
    default: 600
  poll_seconds:
    description: How long to rest between two looks, in seconds.
    type: float
    default: 5
attributes:
  check_mode:
    description: In check mode nothing is asked and nothing is done.
    support: full
  diff_mode:
    description: A step has no meaningful difference to show.
    support: none
  idempotent:
    description: A step that is done is not taken again within one operation.
    support: full
extends_documentation_fragment:
  - talosops.selinux.connection
  - talosops.selinux.connection.attributes
  - talosops.selinux.connection.group
  - talosops.selinux.factory
  - talosops.selinux.kubernetes
  - talosops.selinux.rollout
seealso:
  - module: talosops.selinux.machine_reset
"""

EXAMPLES = r"""
- name: Drain the node
  talosops.selinux.reinstall_step:
    step: drain
    kubeconfig: ~/.kube/config
"""

RETURN = r"""
step:
  description: The step.
  returned: always
  type: str
  sample: drain
taken:
  description: Whether it was taken now. A step that was done already is not.
  returned: always
  type: bool
  sample: true
facts:
  description: What the step left in the ledger for later ones; which facts, depends on the step.
  returned: always
  type: dict
  sample: {}
node:
  description: With O(state=released), how the node was left.
  returned: always
  type: str
  sample: null
"""
