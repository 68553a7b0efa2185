# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation shared by everything that talks to a Talos node."""

from __future__ import annotations


class ModuleDocFragment:
    """How a node is reached."""

    DOCUMENTATION = r"""
options:
  talosconfig:
    description:
      - Path of the talosconfig file.
      - When unset, the connection variable C(talos_config) of the host is used, then E(TALOSCONFIG), then
        C(~/.talos/config), then C(/var/run/secrets/talos.dev/config). The first that exists wins.
    type: path
  context:
    description:
      - Name of the talosconfig context. When unset, the connection variable C(talos_context), then the file's current
        context.
    type: str
  endpoints:
    description:
      - Control plane addresses to use instead of the context's own. When unset, the connection variable
        C(talos_endpoints).
    type: list
    elements: str
  route:
    description:
      - How a node is reached. When unset, the connection variable C(talos_route), then V(direct).
      - V(direct) connects to the node itself, V(endpoint) goes through a control plane, V(auto) tries the node first
        and falls back to an endpoint when the node's port cannot be reached.
      - An endpoint that cannot be connected, is in maintenance mode, does not forward or cannot reach the node is left
        for the next one; the node itself is the last.
    type: str
    choices: [direct, endpoint, auto]
  server_name:
    description:
      - Name or address to expect in the node's certificate, for nodes behind address translation. When unset, the
        connection variable C(talos_server_name), then the address that is connected to.
    type: str
notes:
  - The address of a node is the connection variable C(ansible_host), or else its inventory name.
  - The node is the host of the task, or the host that the task is delegated to where that is a node too, which means
    that it is in the play, or in a group with the task's host. Delegated to the implicit localhost, to a host with the
    connection C(local) or to any other host, the task is for its own host all the same, since the work happens on the
    controller anyway.
  - Files that an option or a variable names may be encrypted by Ansible Vault, and may begin with a byte order mark.
  - The work happens in Ansible's own process. No SSH, no C(connection) setting and no Python on the node are needed.
"""

    FLEET = r"""
options:
  hosts:
    description:
      - Inventory names of the nodes to ask. When unset, with C(run_once=true) all hosts of the play that have not
        failed, without it the host of the task.
    type: list
    elements: str
  in_flight:
    description: How many nodes are asked at the same time, from 1 to 256.
    type: int
    default: 64
notes:
  - With C(run_once=true) this is one task for the whole fleet, which is by far the cheapest form, and every host of the
    play sees the registered result.
  - A node that cannot be read is reported under RV(unread), never as a clean state. The task fails only when no node
    could be read.
"""

    ATTRIBUTES = r"""
attributes:
  action:
    description: The work is done by an action plugin, in Ansible's own process.
    support: full
  async:
    description: Can be used with the C(async) keyword.
    support: none
"""

    GROUP = r"""
attributes:
  action_group:
    description: Part of the action group C(talosops.selinux.talos), for setting the connection once.
    support: full
    membership: [talosops.selinux.talos]
"""

    READS = r"""
attributes:
  check_mode:
    description: Changes nothing, so check mode makes no difference.
    support: full
  diff_mode:
    description: Changes nothing, so there is no difference to show.
    support: N/A
  idempotent:
    description: Running it again with the same state changes nothing.
    support: full
"""
