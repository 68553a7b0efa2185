#!/usr/bin/python
# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_info
short_description: Judge the health of etcd from every member's view
version_added: 0.1.0
author:
  - The talosops.selinux authors (@talosops)
description:
  - Asks every etcd member for its member list, status and alarms, starting at the node of this host, and judges them
    together. One member's word is not enough.
extends_documentation_fragment:
  - talosops.selinux.connection
  - talosops.selinux.connection.attributes
  - talosops.selinux.connection.group
  - talosops.selinux.connection.reads
"""

EXAMPLES = r"""
- name: Ask etcd on the first control plane
  talosops.selinux.etcd_info:
  register: found

- name: Check that one member may be away
  ansible.builtin.assert:
    that: found.etcd.healthy and found.etcd.tolerance_after_removal > 0
"""

RETURN = r"""
etcd:
  description: The judged state.
  returned: always
  type: dict
  contains:
    member_id:
      description: The member id of the node that was asked first.
      type: str
      sample: 1e0f0a1b2c3d4e5f
    agreed:
      description: Whether all members list the same members. Null when that is not known.
      type: bool
      sample: true
    healthy:
      description: Whether every member votes, answers, has no errors and follows the same leader.
      type: bool
      sample: true
    members:
      description: The members.
      type: list
      elements: dict
      sample: [{id: 1e0f0a1b2c3d4e5f, hostname: cp-1, is_learner: false, healthy: true}]
    voters:
      description: How many members vote.
      type: int
      sample: 3
    learners:
      description: How many members do not vote yet.
      type: int
      sample: 0
    leader:
      description: The leader's member id.
      type: str
      sample: 1e0f0a1b2c3d4e5f
    quorum:
      description: How many voters must agree.
      type: int
      sample: 2
    tolerance:
      description: How many further members may be lost.
      type: int
      sample: 1
    tolerance_after_removal:
      description: How many further members may be lost while one is away for its reinstall.
      type: int
      sample: 0
    alarms:
      description: Alarms that are raised. Null when they could not be read.
      type: list
      elements: dict
      sample: []
    problems:
      description: What is wrong, in words.
      type: list
      elements: str
      sample: []
    errors:
      description: The same as RV(etcd.problems), under the name that evidence has for it.
      type: list
      elements: str
      sample: []
errors:
  description: The questions that got no answer.
  returned: always
  type: list
  elements: dict
  sample: []
"""
