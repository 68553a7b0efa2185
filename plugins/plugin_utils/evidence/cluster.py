# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the Kubernetes API knows of a node: that it is this machine, what runs there, and what a wipe destroys."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from ..kube import NODES, read_lists
from ..nested import value_at
from . import workloads
from .joined import Machine, Nodes
from .local_data import LocalData

Object = Mapping[str, Any]
#: What is read, in the order of the fields of :class:`Cluster`.
_LISTS = (
    NODES,
    ("apis", "apps", "v1", "daemonsets"),
    ("apis", "storage.k8s.io", "v1", "csidrivers"),
    ("api", "v1", "pods"),
    ("api", "v1", "persistentvolumes"),
)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """One reading of the Kubernetes API, as the plain dictionaries the API sends."""

    nodes: Sequence[Object]
    daemonsets: Sequence[Object]
    csidrivers: Sequence[Object]
    pods: Sequence[Object]
    volumes: Sequence[Object]

    def of_node(self, machine: Machine, booted_at: str | None) -> dict[str, Any]:
        """The ``kubernetes`` facts of the evidence document that come from the Kubernetes API.

        Args:
            machine: the machine that Talos told of.
            booted_at: when it booted (ISO 8601), or None when that is not known.

        Returns:
            ``{joined, doubts, cni, csi, addons, workloads_restarted, local_data}``. Unless the cluster's node of that
            name is this machine in this boot, what runs there says nothing about it, and is None.
        """
        found = self._nodes.join(machine)
        facts: dict[str, Any] = {"joined": found.joined, "doubts": list(found.doubts)}
        if found.joined is not True:
            return {**unseen(), **facts}
        pods = self._pods.get(machine.nodename, [])
        return {
            **facts,
            "cni": workloads.network_plugins(pods),
            "csi": [
                {"name": name, "version": None, "source": source}
                for name, source in sorted((workloads.inline_drivers(pods) | self._drivers).items())
            ],
            "addons": workloads.addons([*self.daemonsets, *pods]),
            "workloads_restarted": workloads.restarts(pods, booted_at),
            "local_data": self._local_data.of(machine.nodename, pods),
        }

    @functools.cached_property
    def _drivers(self) -> dict[str, str]:
        """Storage drivers, and what shows each; one that brings no CSIDriver object still has its volumes."""
        used = (value_at(volume, "spec", "csi", "driver") for volume in self.volumes)
        registered = (value_at(driver, "metadata", "name") for driver in self.csidrivers)
        return {str(name): "PersistentVolume" for name in used if name} | {
            str(name): "CSIDriver" for name in registered
        }

    @functools.cached_property
    def _nodes(self) -> Nodes:
        return Nodes(self.nodes)

    @functools.cached_property
    def _local_data(self) -> LocalData:
        return LocalData(self.nodes, self.volumes)

    @functools.cached_property
    def _pods(self) -> dict[str, list[Object]]:
        by_node: dict[str, list[Object]] = {}
        for pod in self.pods:
            by_node.setdefault(str(value_at(pod, "spec", "nodeName")), []).append(pod)
        return by_node


def unseen(*doubts: str) -> dict[str, Any]:
    """The facts of :meth:`Cluster.of_node` of a node that was not looked for, or not found: none of them is known."""
    keys = ("joined", "cni", "csi", "addons", "workloads_restarted", "local_data")
    return {**dict.fromkeys(keys), "doubts": list(doubts)}


def read_cluster(kubeconfig: str, context: str | None = None, *, timeout: float = 15.0) -> Cluster:
    """Read what the gate needs from the Kubernetes API.

    Args:
        kubeconfig: path of the kubeconfig file.
        context: its context, or None for the current one.
        timeout: seconds for each of the five lists.

    Raises:
        ClusterProblem: when any of them cannot be read.
        MissingLibrary: without the ``kubernetes`` library.
    """
    why = "which network and storage plugins run, and what a wipe destroys, is not known without it"
    return Cluster(*read_lists(kubeconfig, context, _LISTS, why=why, timeout=timeout))
