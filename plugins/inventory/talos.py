# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Inventory of Talos nodes, from every source that knows them."""

from __future__ import annotations

DOCUMENTATION = r"""
name: talos
short_description: Talos nodes from talosconfig, discovery, Kubernetes and configuration generators
author: The talosops.selinux authors (@talosops)
version_added: 0.1.0
description:
  - The union of what a talosconfig, Talos' discovery, the Kubernetes API and the files of talhelper, topf and talm say
    about which machines exist. Each host tells in C(talos_seen_in) where it was seen.
  - Sightings are joined by address and by node identity, never by name. Where sources disagree about one machine, or
    the machine with them, C(talos_inconsistent) gives the reasons and the host is in the group C(talos_inconsistent).
  - Every node is asked for its SELinux mode and version. One that cannot be read stays in the inventory, with the
    reason in C(talos_unread), in the group C(talos_unreachable) or C(talos_unread).
  - Groups without any configuration are C(talos) and C(talos_type_*), C(talos_selinux_*), C(talos_gate_*),
    C(talos_version_*), C(talos_zone_*), C(talos_inconsistent), C(talos_unreachable), C(talos_unread).
  - What nodes and files say is data. It is never taken for a template.
notes:
  - The file's name must end in C(talos.yml) or C(talos.yaml).
  - A relative path in it is relative to the directory in which Ansible is started, not to the file.
  - With a cache, the answers of nodes and sources are kept, no key and no certificate. Groups and composed variables
    are made anew from them each time.
extends_documentation_fragment:
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
options:
  plugin:
    description: Must be V(talosops.selinux.talos).
    required: true
    choices: [talosops.selinux.talos]
  talosconfig:
    description:
      - Path of the talosconfig file. When unset, E(TALOSCONFIG), then C(~/.talos/config), then
        C(/var/run/secrets/talos.dev/config). The first that exists is used.
    type: path
  context:
    description: Name of the talosconfig context. When unset, the file's current context.
    type: str
  route:
    description: How nodes are reached, see the modules of this collection.
    type: str
    choices: [direct, endpoint, auto]
    default: direct
  in_flight:
    description: How many nodes are asked at the same time, from 1 to 256.
    type: int
    default: 64
  discovery:
    description: Whether an endpoint is asked for the discovery members.
    type: bool
    default: true
  kubeconfig:
    description: Path of a kubeconfig. With it the nodes of its cluster are a source.
    type: path
  kube_context:
    description: Context of the kubeconfig. When unset, the current one.
    type: str
  talhelper:
    description: Path of a C(talconfig.yaml) of talhelper.
    type: path
  topf:
    description: Path of a C(topf.yaml) of topf.
    type: path
  talm:
    description: Directory with the node files of talm, usually C(nodes).
    type: path
  decisions:
    description:
      - Directory in which the gate saves its verdicts, for the groups C(talos_gate_*). Without one every host is in
        C(talos_gate_none).
    type: path
"""

EXAMPLES = r"""
# inventory/prod.talos.yml
plugin: talosops.selinux.talos
context: production
kubeconfig: ~/.kube/prod
talhelper: talconfig.yaml
decisions: selinux-rollout
keyed_groups:
  - key: talos_zone
    prefix: rack
compose:
  talos_machine_config: "'configs/' ~ inventory_hostname ~ '.yaml'"
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable

from ..plugin_utils.gate.saved import newest_verdicts
from ..plugin_utils.inventory import machines, sightings, visits
from ..plugin_utils.inventory.sightings import Sighting, SourceProblem
from ..plugin_utils.kube import NODES, read_lists
from ..plugin_utils.operator_files import decrypting, read_text
from ..plugin_utils.problem import Problem
from ..plugin_utils.talos.config import Context, Talosconfig
from ..plugin_utils.yaml_loader import load_yaml

_FILE_NAMES = ("talos.yml", "talos.yaml")


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):  # type: ignore[misc]  # no types
    """One host for each machine that any source names."""

    NAME = "talosops.selinux.talos"

    def verify_file(self, path: str) -> bool:
        """Whether the file is a configuration of this plugin, by its name."""
        return bool(super().verify_file(path)) and path.endswith(_FILE_NAMES)

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Fill the inventory, from the cache where it is wanted and filled."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        try:
            with decrypting(self._decrypt):
                raw = self._raw(path, cache)
            found = machines.settle(
                machines.group_sightings(
                    [Sighting.from_dict(item) for item in raw["sightings"]],
                    {address: visit.get("identity") for address, visit in raw["visits"].items()},
                ),
                raw["visits"],
            )
            directory = self.get_option("decisions")
            decisions = newest_verdicts(Path(directory)) if directory else {}
        except Problem as problem:
            raise AnsibleParserError(str(problem)) from problem
        if not found:
            raise AnsibleParserError(
                f"{path}: no source names a single node. An empty inventory would let every play pass in silence. "
                "Name nodes or endpoints in the talosconfig context, or add a source."
            )
        self._fill(found, decisions)

    def _raw(self, path: str, cache: bool) -> dict[str, Any]:
        """The answers of sources and nodes as plain data, from the cache when it has them."""
        key = self.get_cache_key(path)
        wanted = self.get_option("cache")
        if wanted and cache and key in self._cache:
            return dict(self._cache[key])
        context = Talosconfig.load(self.get_option("talosconfig")).context(self.get_option("context"))
        seen = self._sightings(context)
        addresses = [m.address for m in machines.group_sightings(seen) if m.address]
        raw = {
            "sightings": [sighting.as_dict() for sighting in seen],
            "visits": visits.visit_nodes(context, addresses, self.get_option("route"), self.get_option("in_flight")),
        }
        if wanted:
            self._cache[key] = raw
        return raw

    def _sightings(self, context: Context) -> list[Sighting]:
        found = sightings.of_talosconfig(context.nodes, context.endpoints)
        if self.get_option("discovery"):
            members = visits.discovery_members(context)
            if members is None:
                # No answer is not an empty list: machines that only discovery knows would be missing without a word.
                self.display.warning(
                    "no endpoint answered for the discovery members; machines that only discovery knows are missing"
                )
            found += sightings.of_discovery(members or [])
        if kubeconfig := self.get_option("kubeconfig"):
            why = "nodes that only Kubernetes knows would be missing from the inventory"
            (nodes,) = read_lists(kubeconfig, self.get_option("kube_context"), [NODES], why=why)
            found += sightings.of_kubernetes(nodes)
        for option, read in (("talhelper", sightings.of_talhelper), ("topf", sightings.of_topf)):
            if file := self.get_option(option):
                found += read(_document(self._text(file)), file)
        if directory := self.get_option("talm"):
            files = sorted(Path(directory).glob("*.y*ml"))
            told = [one for file in files for one in sightings.of_talm(self._text(str(file)), str(file))]
            if not told:
                raise SourceProblem(
                    f"none of the {len(files)} YAML files in {directory} names a node",
                    "as the directory of talm's node files it should name every machine of the cluster",
                    "name the right directory, or leave the option talm out",
                )
            found += told
        return found

    def _text(self, file: str) -> str:
        why = "a machine that is left out of the inventory is a machine that nobody looks at"
        return read_text(self.loader.path_dwim(file), "inventory source", why=why)

    def _decrypt(self, path: str) -> bytes:
        # The loader's public methods decode as UTF-8.
        return bytes(self.loader._get_file_contents(path)[0])

    def _fill(self, found: list[machines.Machine], decisions: Mapping[str, Mapping[str, Any]]) -> None:
        strict = self.get_option("strict")
        for machine in found:
            variables = machines.host_variables(machine, decisions)
            self.inventory.add_host(machine.name)
            for name, value in variables.items():
                self.inventory.set_variable(machine.name, name, value)
            for group in machines.groups_of(variables, self._sanitize_group_name):
                self.inventory.add_group(group)
                self.inventory.add_host(machine.name, group)
            self._set_composite_vars(self.get_option("compose"), variables, machine.name, strict=strict)
            self._add_host_to_composed_groups(self.get_option("groups"), variables, machine.name, strict=strict)
            self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, machine.name, strict=strict)
        if not strict:
            self._warn_of_undefined_keys([machine.name for machine in found])

    def _warn_of_undefined_keys(self, hosts: list[str]) -> None:
        """A misspelt key makes no group and no error; without a word nobody would notice."""
        for keyed in self.get_option("keyed_groups") or []:
            key = keyed.get("key")
            if not any(self._defined(key, host) for host in hosts):
                self.display.warning(f"the keyed group {key} is undefined for all {len(hosts)} hosts")

    def _defined(self, key: Any, host: str) -> bool:
        try:
            return self._compose(key, self.inventory.get_host(host).get_vars()) is not None
        except Exception:
            # Whatever evaluating it raises, it gives this host no group.
            return False


def _document(text: str) -> Any:
    try:
        return load_yaml(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise SourceProblem(
            "a source of the inventory is not readable YAML" + (f" (line {mark.line + 1})" if mark else ""),
            "a machine that is left out of the inventory is a machine that nobody looks at",
            "correct the file",
        ) from None
