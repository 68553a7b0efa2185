#!/usr/bin/python
# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: machine_reset
short_description: Wipe a node, if its verdict still holds
version_added: 0.1.0
author:
  - The talosops.selinux authors (@talosops)
description:
  - Wipes the node of this host, so that it can be installed anew.
  - Before anything is sent, the saved evidence and the live node are both judged again by the whole policy, and that
    decides. The verdict in the file only has to be the same decision, for the same node, boot, image and configuration.
    The node's identity and boot are read once more on the connection that the reset then goes out on.
  - A control plane is only reset through another control plane, after every etcd member agreed that it can be spared,
    while every other control plane runs and is ready, and with a Lease in the cluster that keeps others from being
    reset. It forfeits the leadership first.
  - The reply of a reset only says that it started. Use M(talosops.selinux.machine_status_info) to check the effect.
options:
  evidence:
    description: The saved evidence file that the verdict rests on.
    type: path
    required: true
  verdict:
    description: The saved verdict file.
    type: path
    required: true
  store:
    description:
      - The directory in which M(talosops.selinux.audit_log) keeps its streams, as M(talosops.selinux.evidence) was
        given it. The node is then judged once more by all that was read of this boot, with what it says now. Without it
        a node whose log has outgrown its memory is refused, as its log of now no longer shows that nothing was denied.
    type: path
  boot_path:
    description:
      - V(in_place) wipes META, STATE and EPHEMERAL, so that the old system comes up in maintenance mode without an
        installation. Needs Talos 1.12 or newer.
      - V(hook) wipes the whole system disk. The machine must then be booted from a medium.
    type: str
    choices: [in_place, hook]
    required: true
  config_sha256:
    description: The hash of the machine configuration that will be applied. It must be the one that was judged.
    type: str
    required: true
  installer_digest:
    description: The digest of the installer image right now. It must be the one that was judged.
    type: str
    required: true
  policy:
    description: The policy that the verdict was given by.
    type: str
    default: strict
  waivers:
    description: Path of the file of waivers that the verdict was given with.
    type: path
  kubeconfig:
    description:
      - Path of the kubeconfig file. Needed for a control plane, whose reset takes a Lease in C(kube-system), so that no
        two controllers take two control planes away at once. A rollout releases it when the machine votes in etcd
        again. Used alone, this module leaves C(talosops-selinux-control-plane), which is over when the machine is back
        with another installation. It does not end by time; M(talosops.selinux.rollout_ledger) closes the operation of a
        machine that never comes back.
      - With it, Kubernetes' node has to be the machine that was judged, and cordoned still where its evidence says so.
    type: path
  public_key:
    description: Ed25519 public key (PEM file). When set, a verdict without a valid signature by it is refused.
    type: path
attributes:
  check_mode:
    description: Every check is made, nothing is sent.
    support: full
  diff_mode:
    description: A wipe has no meaningful difference to show.
    support: none
  idempotent:
    description: A node that was reset no longer is the node of the verdict, so a second run refuses.
    support: none
extends_documentation_fragment:
  - talosops.selinux.connection
  - talosops.selinux.connection.attributes
  - talosops.selinux.connection.group
  - talosops.selinux.kubernetes
seealso:
  - module: talosops.selinux.gate
"""

EXAMPLES = r"""
- name: Wipe the node
  talosops.selinux.machine_reset:
    evidence: "{{ evidence.path }}"
    verdict: "{{ verdict.path }}"
    boot_path: in_place
    config_sha256: "{{ config.sha256 }}"
    installer_digest: "{{ image.digest }}"
"""

RETURN = r"""
actor_id:
  description: The id under which the node reports the progress. Null in check mode.
  returned: always
  type: str
  sample: null
labels:
  description: The partitions that are wiped. Empty means the whole system disk.
  returned: always
  type: list
  elements: str
  sample: [META, STATE, EPHEMERAL]
boot:
  description: The boot that the reset ends, by what no other boot has.
  returned: always
  type: dict
  sample: {}
"""
