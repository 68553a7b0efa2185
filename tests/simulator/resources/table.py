# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of resource types: where they live, since when, and how a node makes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import quick_yaml

from .. import versions
from ..proto import make, timestamp
from .owners import OWNERS

if TYPE_CHECKING:
    from ..node import Node

Specs = dict[str, Any]
Producer = Callable[["Node"], Specs]


@dataclass(frozen=True)
class ResourceType:
    """One resource type: where it lives, since when, and how to make its resources from a node."""

    type: str
    namespace: str
    since: str
    sensitive: bool
    aliases: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    produce: Producer
    namespaces: tuple[str, ...] = ()

    @property
    def display(self) -> str:
        """Singular CamelCase name."""
        name = self.type.partition(".")[0]
        if name.endswith("ies"):
            return name[:-3] + "y"
        if name.endswith(("sses", "Statuses", "Indexes")):
            return name[:-2]
        return name[:-1] if name.endswith("s") else name


TYPES: dict[str, ResourceType] = {}
# By type, for the types whose resources have any: from a node and an id.
FINALIZERS: dict[str, Callable[[Node, str], Iterable[str]]] = {}
LABELS: dict[str, Callable[[Node, str], dict[str, str]]] = {}
NAMESPACES = (
    "cluster",
    "cluster-raw",
    "config",
    "controlplane",
    "cri",
    "etcd",
    "files",
    "hardware",
    "k8s",
    "kubespan",
    "meta",
    "network",
    "network-config",
    "perf",
    "runtime",
    "secrets",
    "security",
    "storage",
)


def resource(
    kind: str,
    *,
    namespace: str = "runtime",
    since: str = "1.8",
    sensitive: bool = False,
    aliases: tuple[str, ...] = (),
    columns: tuple[tuple[str, str], ...] = (),
    namespaces: tuple[str, ...] = (),
) -> Callable[[Producer], Producer]:
    """Register the producer of one resource type."""

    def register(produce: Producer) -> Producer:
        TYPES[kind] = ResourceType(kind, namespace, since, sensitive, aliases, columns, produce, namespaces)
        return produce

    return register


def find(node: Node, kind: str) -> ResourceType | None:
    """Look a type up the way the access policy does: by the lower-cased exact name, in the node's version."""
    for known in TYPES.values():
        if known.type.lower() == kind.lower() and versions.at_least(node.version, known.since):
            return known
    return None


def up(node: Node) -> bool:
    return node.state in ("running", "resetting", "shutting down") and node.config_applied


def elsewhere(node: Node) -> str | None:
    """The node this one pretends to be (fault wrong_machine), by name."""
    if "wrong_machine" not in node.faults:
        return None
    value = node.faults["wrong_machine"]
    return value if isinstance(value, str) else f"stranger-{node.index}"


def all_aliases(known: ResourceType) -> list[str]:
    plural, _unused, suffix = known.type.lower().partition(".")
    singular = known.display.lower()
    prefixes = [singular]
    parts = suffix.split(".")
    prefixes += [f"{plural}.{'.'.join(parts[:count])}" for count in range(1, len(parts))]
    short = "".join(letter for letter in known.display if letter.isupper()).lower()
    names = [*known.aliases, plural, *prefixes]
    if len(short) > 1:
        names += [short, f"{short}s"]
    return list(dict.fromkeys(names))


def _proto_spec(known: ResourceType, spec: Any) -> bytes:
    """Only the two meta types need it: the Go client decodes exactly those to resolve aliases."""
    if known.type == "ResourceDefinitions.meta.cosi.dev":
        columns = [
            make("cosi.resource.meta.PrintColumn", name=c["name"], json_path=c["jsonPath"])
            for c in spec["printColumns"]
        ]
        message = make(
            "cosi.resource.meta.ResourceDefinitionSpec",
            resource_type=spec["type"],
            display_type=spec["displayType"],
            default_namespace=spec["defaultNamespace"],
            aliases=spec["aliases"],
            all_aliases=spec["allAliases"],
            print_columns=columns,
            sensitivity=1 if spec["sensitivity"] else 0,
        )
        return bytes(message.SerializeToString())
    if known.type == "Namespaces.meta.cosi.dev":
        return bytes(make("cosi.resource.meta.NamespaceSpec", description=spec["description"]).SerializeToString())
    return b""


def to_yaml(node: Node, known: ResourceType, spec: Any) -> str:
    """The yaml_spec of a resource: always filled, and broken on purpose under the fault garbage_yaml."""
    wanted = node.faults.get("garbage_yaml")
    if wanted is not None and known.namespace != "meta":
        hit = wanted is True or str(wanted).lower() in (known.type.lower(), *all_aliases(known))
        if hit:
            return "{selinuxState: [unclosed\n\t- \x01"
    if isinstance(spec, str):
        return spec if spec.endswith("\n") else f"{spec}\n"
    return quick_yaml.dump(spec, width=100000)


def labels(node: Node, known: ResourceType, identifier: str) -> dict[str, str]:
    """The labels of one resource."""
    return LABELS[known.type](node, identifier) if known.type in LABELS else {}


def message(node: Node, known: ResourceType, namespace: str, identifier: str, spec: Any, version: int = 1) -> Any:
    """The wire form of one resource."""
    started = node.clock.wall(node.boot.started) if node.boot else node.clock.wall()
    created = timestamp(started + 2)
    metadata = make(
        "cosi.resource.Metadata",
        namespace=namespace,
        type=known.type,
        id=identifier,
        version=str(version),
        owner=OWNERS.get(known.type, f"runtime.{known.display}Controller"),
        phase="running",
        created=created,
        updated=created,
        finalizers=list(FINALIZERS[known.type](node, identifier)) if known.type in FINALIZERS else [],
        labels=labels(node, known, identifier),
    )
    body = make("cosi.resource.Spec", proto_spec=_proto_spec(known, spec), yaml_spec=to_yaml(node, known, spec))
    return make("cosi.resource.Resource", metadata=metadata, spec=body)


def collect(node: Node, known: ResourceType, namespace: str) -> Specs:
    """All resources of a type in a namespace: id to spec."""
    if namespace != known.namespace and namespace not in known.namespaces:
        return {}
    return known.produce(node)
