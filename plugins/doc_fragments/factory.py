# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation shared by everything that needs the Image Factory."""

from __future__ import annotations


class ModuleDocFragment:
    """Where images come from."""

    DOCUMENTATION = r"""
options:
  factory_url:
    description: The Image Factory.
    type: str
    default: https://factory.talos.dev
  registry:
    description: The registry to install from, when it is not the factory itself.
    type: str
  ca_path:
    description: Path of the certificate authorities (PEM) to trust for the factory.
    type: path
  username:
    description: User name for a factory that asks for one.
    type: str
  password:
    description: Password for a factory that asks for one.
    type: str
  token:
    description: Bearer token for a factory that asks for one instead.
    type: str
  mirrors:
    description:
      - How to really reach a registry that installers are named by, as in the registry mirrors of a node. Also for a
        O(registry) that has certificate authorities or credentials of its own.
      - Credentials go to the address that they stand beside, and nowhere else.
    type: list
    elements: dict
    default: []
    suboptions:
      registry:
        description: The host of the registry as installer references name it.
        type: str
        required: true
      url:
        description: Where it is reached.
        type: str
        required: true
      ca_path:
        description: Path of the certificate authorities (PEM) to trust for it.
        type: path
      username:
        description: Its user name.
        type: str
      password:
        description: Its password.
        type: str
      token:
        description: Its bearer token.
        type: str
  allow_plain_http:
    description: Whether a factory or registry that does not use TLS may be used.
    type: bool
    default: false
  bundle:
    description:
      - Directory of a prepared bundle, to be used instead of the factory. No address is asked then, but for a registry
        that is among the O(mirrors), which must have the digest of the bundle.
    type: path
"""
