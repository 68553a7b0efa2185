# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Event source: denials and other things that matter on Talos nodes. See docs/events.md."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.knowledge import catalogue
from ansible_collections.talosops.selinux.plugins.plugin_utils.events.arguments import BadArguments, read_arguments
from ansible_collections.talosops.selinux.plugins.plugin_utils.events.cursor import Cursors
from ansible_collections.talosops.selinux.plugins.plugin_utils.events.source import Source
from ansible_collections.talosops.selinux.plugins.plugin_utils.events.waivers import WaiverWatch
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.client import connect
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.config import Talosconfig

DOCUMENTATION = r"""
short_description: Denials, mode changes, lost evidence, new nodes and drift on Talos nodes
options:
  state:
    description: Directory for how far each machine was reported. Without it a restart would lose or repeat events.
    type: path
    required: true
  nodes:
    description: Addresses of the nodes. When unset, the nodes of the talosconfig context.
    type: list
    elements: str
  talosconfig:
    description: Path of the talosconfig file; when unset, the usual places.
    type: path
  context:
    description: Name of the context; when unset, the file's current one.
    type: str
  waivers:
    description: File of waivers; one that expires is an event.
    type: path
  route:
    description: How nodes are reached.
    type: str
    choices: [direct, endpoint, auto]
    default: direct
  poll_seconds:
    description: Seconds between two visits to one node.
    type: float
    default: 10
    minimum: 0.05
  most_per_signature:
    description: >-
      How many records of one signature are reported individually in one visit to a node. The rest is one event of the
      type denial_summary with their number.
    type: int
    default: 5
    minimum: 0
  store:
    description: >-
      Directory of the audit stores, in which enforcement probes are kept. Records that a probe caused are left out, and
      while one is under way what may be its own is reported once it ended.
    type: path
  in_flight:
    description: How many nodes are visited at the same time.
    type: int
    default: 32
    minimum: 1
  feedback:
    description: >-
      Whether ansible-rulebook gives every event back, so that none is lost when it is killed with events in its queue.
      It wants a persistence id for that.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Watch SELinux
  hosts: localhost
  sources:
    - name: talos
      talosops.selinux.denials:
        state: /var/lib/eda/talos
        context: production
        feedback: true
  rules:
    - name: Something is refused
      condition: event.talos.type == "enforced_denial" and not event.talos.benign
      action:
        run_playbook:
          name: playbooks/page.yml
"""


async def main(queue: asyncio.Queue[Any], args: dict[str, Any]) -> None:
    """Follow the nodes until cancelled.

    Raises:
        BadArguments, ConfigError, WaiverProblem, FileProblem, CursorProblem: it cannot start, or cannot keep its state.
    """
    options = read_arguments(args, DOCUMENTATION)
    context = Talosconfig.load(options["talosconfig"]).context(options["context"])
    nodes = options["nodes"] or context.nodes
    if not nodes:
        raise BadArguments(
            "neither the rulebook nor the talosconfig context names nodes",
            "a source that watches nothing would be silent for ever",
            "set nodes, or add them to the context",
        )
    state = Path(options["state"]).expanduser()
    await Source(
        nodes=list(dict.fromkeys(nodes)),
        connect=lambda node: connect(context, node, route=options["route"]),
        queue=queue,
        cursors=Cursors(state),
        catalogue=catalogue.load(),
        waivers=WaiverWatch(options["waivers"], state) if options["waivers"] else None,
        feedback=args.get("eda_feedback_queue"),
        poll=options["poll_seconds"],
        most=options["most_per_signature"],
        in_flight=options["in_flight"],
        store=Path(options["store"]).expanduser() if options["store"] else None,
    ).run()
