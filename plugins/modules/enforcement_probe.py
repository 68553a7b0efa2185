#!/usr/bin/python
# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: enforcement_probe
short_description: Try on an enforcing node what its policy forbids
version_added: 0.1.0
author:
  - The talosops.selinux authors (@talosops)
description:
  - Lets one privileged pod try what Talos' own tests try, to attach to process 1, to connect to machined's socket and
    to read the machine configuration on STATE, and reports how each attempt ended. Then everything is removed.
  - The node's SecurityState is read first, and nothing is made unless it is enforcing. The node in Kubernetes must be
    this machine in this boot, by system UUID, machine id and boot id.
  - Only "permission denied" counts as refused. Every other error is inconclusive. At most one byte is read, which is
    discarded.
  - A process beside the probe removes everything should the probe be killed. What an earlier one left whose whole
    controller ended is removed first, on nodes that are permissive too.
  - The AVC records that the probe is known to have caused are kept beside the node's audit log. Evidence that is
    collected with the same store counts them under C(probe) and as no denials.
  - C(docs/enforcement-probe.md) describes the pod, what its image has to hold, the role that is needed in Kubernetes,
    and what remains when a whole controller ends.
options:
  image:
    description: The image, as C(REGISTRY/NAME@sha256:DIGEST). A tag is refused.
    type: str
    required: true
  kubeconfig:
    description: Path of the kubeconfig file of the node's cluster.
    type: path
    required: true
  store:
    description: The directory of the audit stores of all nodes, as M(talosops.selinux.evidence) is given it.
    type: path
    required: true
  wait_timeout:
    description: Seconds that the pod may exist, the pull of its image included. The cluster ends it then by itself.
    type: int
    default: 120
  wait_sleep:
    description: Seconds between two looks.
    type: float
    default: 2
attributes:
  check_mode:
    description: Nothing is made and nothing is tried. The result says what would be.
    support: full
  diff_mode:
    description: What is made is removed again, so there is no difference to show.
    support: none
  idempotent:
    description: Each run tries everything again.
    support: none
extends_documentation_fragment:
  - talosops.selinux.connection
  - talosops.selinux.kubernetes
  - talosops.selinux.connection.attributes
  - talosops.selinux.connection.group
seealso:
  - module: talosops.selinux.compliance_report
  - module: talosops.selinux.evidence
"""

EXAMPLES = r"""
- name: Probe enforcement
  talosops.selinux.enforcement_probe:
    image: registry.example.org/probe@sha256:9b1702dcfe32c873a770a32cfd306dd7fc1c4fc134adfb783db68defc8894b3c
    kubeconfig: ~/.kube/config
    store: /srv/selinux/audit
  register: probe
  failed_when: probe is failed or probe.outcome == 'allowed'
"""

RETURN = r"""
outcome:
  description:
    - V(refused) when every attempt was, V(allowed) when at least one was, V(inconclusive) when it is not known, and
      V(not_attempted) on nodes that do not enforce and in check mode.
  returned: success
  type: str
  sample: refused
why:
  description: Why nothing was tried, or why the container did not report. Null when it did.
  returned: success
  type: str
  sample:
attempts:
  description: How each attempt ended.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: V(pid1), V(machined) or V(state).
      type: str
    title:
      description: What was tried.
      type: str
    outcome:
      description: V(refused), V(allowed) or V(inconclusive).
      type: str
    observed:
      description: How the step ended that SELinux decides about, and which error the tool named.
      type: str
    expected:
      description: What it says where SELinux refuses.
      type: str
    records:
      description: How many AVC records of the node's audit log this attempt is known to have caused.
      type: int
  sample:
    - id: machined
      title: connect to machined's socket
      outcome: refused
      observed: 'connect ended with 1: Permission denied'
      expected: permission denied
      records: 1
selinux:
  description: The mode that SecurityState reported before.
  returned: success
  type: str
  sample: enforcing
leftovers:
  description: Namespaces that earlier probes left, which were removed. In check mode, those that would be.
  returned: success
  type: list
  elements: str
  sample: []
remains:
  description: What of these could not be removed, and why.
  returned: success
  type: list
  elements: str
  sample: []
document:
  description: Where the probe is kept. Null when nothing was tried.
  returned: success
  type: str
  sample: /srv/selinux/audit/worker-1/0f2e6b0a-0c5e-4f0e-9d5c-3c1c6f4a1f27/probe-5f1c9e0a7b3d2468.json
failure:
  description:
    - What went wrong, by its C(kind); the text is in C(msg). C(remains) or C(namespace) names what could not be
      removed.
  returned: failure
  type: dict
  sample:
    kind: probe_running
    namespace: talos-selinux-probe-32a8f42ac11d7432
"""
