# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Collect and judge simulated nodes in this process, composed as the evidence and gate actions compose it.

One process start for each of a hundred scenarios would take minutes, so only the play around the two is left out.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import quick_yaml
import waiver_file
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.store import AuditStore
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.cluster import Cluster, read_cluster
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.collect import collect
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import waivers
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.functions import list_sha256
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.policy import Policy, load_policy
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.verdict import judge
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.facts import facts
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.planned import planned_config
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import fleet
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.client import NodeClient, connect
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.config import Talosconfig
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.tls import Deadlines
from simulator import Simulator

SCHEMATIC = "5" * 64
#: A busy machine is no failure of a node: the test's own timeout is the limit.
PATIENT = Deadlines(connect=200, call=200, log=200, node=200)
#: What the image role leaves behind for a node.
TARGET = {
    "version": "v1.14.1",
    "schematic": SCHEMATIC,
    "installer": f"factory.talos.dev/metal-installer/{SCHEMATIC}:v1.14.1",
    "installer_digest": "sha256:" + "d" * 64,
    "kernel_args": ["enforcing=1"],
}
KEYS = ("version", "schematic", "installer", "installer_digest")
#: The operator's part of a case; docs of each key are in tests/scenarios/README.md.
OPERATOR: dict[str, Any] = {
    "policy": "strict",
    "boot_path": "in_place",
    "approved_local_data": "",
    "identify_by": "uuid",
    "locked_by": None,
    "target": {},
    "config": {},
    "rewrite": True,
    "waivers": None,
    "later": "0s",
}


def _approval(sim: Simulator, name: str, approved: str | list[str]) -> str:
    """What approves a list for this node; other texts are as the operator wrote them."""
    return approved if isinstance(approved, str) else list_sha256([sim.nodes[name].node_id, *approved])


def target_of(operator: Mapping[str, Any]) -> dict[str, Any]:
    """The target image of a case."""
    return {**TARGET, **operator["target"]}


def config_of(
    sim: Simulator, name: str, operator: Mapping[str, Any], node: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """The facts of a node's machine configuration, changed as the case says, for the node that is described."""
    if operator["config"] is None:
        return None
    # The changes are of the v1alpha1 document, which is the first, but for those under the kind of another one.
    first, *others = quick_yaml.load_all((sim.directory / "configs" / f"{name}.yaml").read_text())
    changes = dict(operator["config"])
    others = [_merged(other, changes.pop(other["kind"], {})) for other in others]
    text = quick_yaml.dump_all([_merged(first, changes), *others])
    target = target_of(operator)
    planned = planned_config(text, target, "uki", node)
    if planned is not None and not operator["rewrite"]:
        # The operator skipped the rewriting and gives the configuration as it was.
        planned["install"] = facts(text, version=target["version"])["install"]
    return planned


def policy_of(policy: str | Mapping[str, Any], directory: Path) -> Policy:
    """A built-in policy by name, or one that extends ``strict``, from a file as an operator would keep it."""
    if isinstance(policy, str):
        return load_policy(policy)
    path = directory / "policy.yml"
    path.write_text(quick_yaml.dump({"schema": 1, "name": "ours", "extends": "strict", **policy}))
    return load_policy(str(path))


def collect_all(
    sim: Simulator,
    cases: Mapping[str, Mapping[str, Any]],
    at: Mapping[str, str] | None = None,
    *,
    stores: Path | None = None,
) -> dict[str, Any]:
    """The evidence of nodes by name, each with its operator's part; a Problem for a node that gave none.

    ``at`` names another node to whose address a node's name leads; ``stores`` is where earlier reads of logs are kept.
    """
    talosconfig = Talosconfig.load(str(sim.directory / "talosconfig"), environ={})
    context = talosconfig.context(None)

    @functools.cache
    def cluster() -> Cluster:
        return read_cluster(str(sim.directory / "kubeconfig"))

    async def visit(name: str) -> dict[str, Any]:
        operator = cases[name]
        address = sim.nodes[(at or {}).get(name, name)].address

        def peer(where: str) -> NodeClient:
            return connect(context, where, deadlines=PATIENT)

        async with connect(context, address, deadlines=PATIENT) as client:
            collection = await collect(
                client,
                name=name,
                address=address,
                endpoint=client.endpoint,
                peer=peer,
                kubernetes=lambda machine, booted: cluster().of_node(machine, booted),
                config=functools.partial(config_of, sim, name, operator),
                operation={
                    "locked_by": operator["locked_by"],
                    "boot_path": operator["boot_path"],
                    "approved_local_data": _approval(sim, name, operator["approved_local_data"]),
                    "identify_by": operator["identify_by"],
                    "target": {key: target_of(operator)[key] for key in KEYS},
                },
                cluster={"name": context.name},
                store=AuditStore(stores / name) if stores else None,
            )
            return collection.document

    return fleet.run(fleet.ask_all(list(cases), visit, in_flight=8, node_deadline=PATIENT.node))


def judge_one(evidence: Mapping[str, Any], operator: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """The verdict on one node's evidence, by the operator's policy and waivers."""
    policy = policy_of(operator["policy"], directory)
    now = dt.datetime.fromisoformat(evidence["collected_at"]) + parse_duration(operator["later"])
    granted = None
    if operator["waivers"] is not None:
        dates = {"granted": day(now, -1), "expires": day(now, 30)}
        path = waiver_file.write(directory, *({**dates, **one} for one in operator["waivers"]))
        granted = waivers.load(str(path), policy=policy, now=now)
    return judge(evidence, policy, waivers=granted, now=now)


def day(now: dt.datetime, days: int) -> str:
    """The date some days from now."""
    return (now + dt.timedelta(days=days)).strftime("%Y-%m-%d")


def parse_duration(text: str) -> dt.timedelta:
    """A duration as policies write it."""
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[text[-1]]
    return dt.timedelta(**{unit: int(text[:-1])})


def _merged(document: Any, changes: Any) -> Any:
    if not isinstance(document, dict) or not isinstance(changes, Mapping):
        return changes
    merged = dict(document)
    for key, value in changes.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged
