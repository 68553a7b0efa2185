#!/usr/bin/python
# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_drain
short_description: Cordon, drain or uncordon a node in Kubernetes
version_added: 0.1.0
author:
  - The talosops.selinux authors (@talosops)
description:
  - Cordons a node, evicts its pods within their disruption budgets, and waits until they are gone. Or uncordons it.
  - An eviction that a PodDisruptionBudget does not allow yet is tried again until O(wait_timeout) is over. The error
    then names each budget and the pod it holds. The node stays cordoned.
  - Pods of DaemonSets and mirror pods stay, as they would be back at once. So do pods that have finished.
  - Pods without a controller and pods with data in an C(emptyDir) are evicted like any other, and named in the result.
    The data is lost.
options:
  kubeconfig:
    description: Path of a kubeconfig file that may cordon nodes, read pods and disruption budgets, and evict pods.
    type: path
    required: true
  name:
    description: The name of the node in Kubernetes.
    type: str
    required: true
  state:
    description:
      - V(drained) cordons the node and waits until the pods have left it.
      - V(cordoned) only keeps new pods off it.
      - V(uncordoned) lets pods onto it again.
    type: str
    choices: [drained, cordoned, uncordoned]
    default: drained
  wait_timeout:
    description: How long all of it may take, in seconds.
    type: int
    default: 600
  wait_sleep:
    description: How long to rest between two tries, in seconds.
    type: float
    default: 5
attributes:
  check_mode:
    description: Nothing is written. The result says which pods would be evicted and what blocks that now.
    support: full
  diff_mode:
    description: Shows whether the node is unschedulable.
    support: full
  idempotent:
    description: A node that is cordoned and has no pods left to evict is not changed.
    support: full
extends_documentation_fragment:
  - talosops.selinux.kubernetes
  - talosops.selinux.connection.attributes
seealso:
  - module: talosops.selinux.machine_reset
"""

EXAMPLES = r"""
- name: Drain the node
  talosops.selinux.node_drain:
    kubeconfig: ~/.kube/config
    name: worker-1
    wait_timeout: 900

- name: Let pods onto it again
  talosops.selinux.node_drain:
    kubeconfig: ~/.kube/config
    name: worker-1
    state: uncordoned
"""

RETURN = r"""
node:
  description: The name of the node.
  returned: success
  type: str
  sample: worker-1
pods:
  description: The pods that were evicted. In check mode, those that would be.
  returned: success, with O(state=drained)
  type: list
  elements: str
  sample: [demo/cache-6d5f7c9b4-x2x9k, demo/web-7b4c8f9d6-9zq4t]
unmanaged:
  description: Those of RV(pods) without a controller. Nothing starts them again elsewhere.
  returned: success, with O(state=drained)
  type: list
  elements: str
  sample: []
empty_dirs:
  description: Those of RV(pods) with data in an C(emptyDir), which is lost.
  returned: success, with O(state=drained)
  type: list
  elements: str
  sample: [demo/cache-6d5f7c9b4-x2x9k]
staying:
  description: The pods of DaemonSets and the mirror pods, which stay.
  returned: success, with O(state=drained)
  type: list
  elements: str
  sample: [kube-system/kube-flannel-8kq2v, kube-system/kube-proxy-5xw7c]
blocked:
  description: What disruption budgets did not allow at the beginning.
  returned: success, with O(state=drained)
  type: list
  elements: dict
  contains:
    pod:
      description: The pod that is held.
      type: str
    budget:
      description: The PodDisruptionBudget that holds it.
      type: str
    disruptions_allowed:
      description: How many disruptions the budget allowed. Null when Kubernetes did not say.
      type: int
    found:
      description: The same as a sentence.
      type: str
  sample:
    - pod: demo/web-7b4c8f9d6-9zq4t
      budget: demo/web
      disruptions_allowed: 0
      found: demo/web-7b4c8f9d6-9zq4t is held by the PodDisruptionBudget demo/web, which allows 0 disruptions
failure:
  description:
    - What went wrong, by its C(kind); the text is in C(msg). A drain that was started adds C(node), C(cordoned) and
      C(evicted), and C(blocked) and C(remaining) where pods were left.
  returned: failure
  type: dict
  sample:
    kind: drain
    node: worker-1
    cordoned: true
    remaining: [demo/web-7b4c8f9d6-9zq4t]
"""
