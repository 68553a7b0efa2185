#!/usr/bin/python
# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: compliance_bundle_info
short_description: Check a compliance bundle offline
version_added: 0.1.0
author:
  - The talosops.selinux authors (@talosops)
description:
  - Compares every file of a bundle with its manifest. A changed, missing, added or renamed file is found. Nothing but
    the bundle's files is looked at.
options:
  path:
    description: The bundle's directory.
    type: path
    required: true
  public_key:
    description:
      - Path of an Ed25519 public key (PEM). With it the manifest must be signed by its owner. Without one, a bundle
        that was replaced as a whole cannot be told from a genuine one.
    type: path
  require_sound:
    description: Whether a bundle that is not as it was written makes the task fail.
    type: bool
    default: true
extends_documentation_fragment:
  - talosops.selinux.connection.attributes
  - talosops.selinux.connection.reads
seealso:
  - module: talosops.selinux.compliance_report
"""

EXAMPLES = r"""
- name: Check a bundle
  talosops.selinux.compliance_bundle_info:
    path: /srv/selinux/compliance/2026-11-22T120000Z
    public_key: auditor.pub
"""

RETURN = r"""
sound:
  description: Whether the bundle is as it was written.
  returned: success
  type: bool
  sample: true
defects:
  description: What is wrong with it.
  returned: success
  type: list
  elements: str
  sample: []
signed:
  description: Whether a key was given and the signature is its owner's.
  returned: success
  type: bool
  sample: false
"""
