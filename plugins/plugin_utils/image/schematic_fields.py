# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the text of a schematic as strictly as the factory does, or more so, and put its fields in the factory's order.

The fields are those of the factory's own structure (image-factory ``pkg/schematic/schematic.go``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any

import yaml

from ..yaml_loader import LOADER
from .errors import UnknownField, bad_schematic, uncertain_schematic


def read(text: str) -> dict[str, Any]:
    """The fields of a schematic (YAML or JSON), in the factory's order, as :func:`in_order` gives them.

    Raises:
        UnknownField: for a field this version does not know.
        UncertainSchematic: for YAML whose reading differs between implementations (anchors, tags, several documents).
        SchematicError: for anything else that is not a schematic.
    """
    try:
        documents = list(yaml.compose_all(text, Loader=LOADER))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise bad_schematic("the schematic is not readable YAML", f"line {mark.line + 1}" if mark else "") from None
    if len(documents) != 1:
        raise uncertain_schematic(f"the schematic text holds {len(documents)} YAML documents")
    for token in yaml.scan(text, Loader=LOADER):
        if isinstance(token, (yaml.AnchorToken, yaml.AliasToken, yaml.TagToken)):
            raise uncertain_schematic("the schematic uses YAML anchors, aliases or tags")
    return in_order(_read_schema(documents[0], _SCHEMA, ""))


def _read_schema(node: yaml.Node, schema: Any, where: str) -> Any:
    if callable(schema):
        return schema(node, where)
    if isinstance(schema, list):
        if _is_null(node):
            return []
        if not isinstance(node, yaml.SequenceNode):
            raise bad_schematic(f"{where} is not a list")
        return [_read_schema(item, schema[0], f"{where}[{i}]") for i, item in enumerate(node.value)]
    if _is_null(node) and where:
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise bad_schematic(f"{where or 'the schematic'} is not a mapping")
    result: dict[str, Any] = {}
    for key, value in _pairs(node, where):
        path = f"{where}.{key}" if where else key
        if key not in schema:
            raise UnknownField(
                f"the schematic has the field {path!r}, which this collection does not know",
                "an image built without it would not be the node's image",
                "use a newer release of the collection, or give the target schematic's id yourself",
                field=path,
            )
        result[key] = _read_schema(value, schema[key], path)
    return result


def _pairs(node: yaml.MappingNode, where: str) -> Iterable[tuple[str, yaml.Node]]:
    seen: set[str] = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
            raise uncertain_schematic(f"{where or 'the schematic'} has a key that is not a plain word")
        if key.value in seen:
            raise bad_schematic(f"{where or 'the schematic'} has the key {key.value!r} twice")
        seen.add(key.value)
        yield key.value, value


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _unquoted(node: yaml.ScalarNode) -> bool:
    # The C loader says "", the Python one None.
    return not node.style


def _string(node: yaml.Node, where: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise bad_schematic(f"{where} is not a string")
    if node.tag != "tag:yaml.org,2002:str":
        # Go takes some of these as strings and not others, and PyYAML's YAML 1.1 types differ from Go's.
        if _is_null(node):
            raise uncertain_schematic(f"{where} is a YAML {node.tag.rpartition(':')[2]}, not a string")
        raise uncertain_schematic(f"{where} is not quoted and reads as a YAML {node.tag.rpartition(':')[2]}")
    return str(node.value)


def _whole_number(low: int, high: int) -> Callable[[yaml.Node, str], int]:
    def read(node: yaml.Node, where: str) -> int:
        value = node.value if isinstance(node, yaml.ScalarNode) and _unquoted(node) else None
        if not isinstance(value, str) or not re.fullmatch(r"0|[1-9][0-9]{0,9}|0x[0-9a-fA-F]{1,8}", value):
            raise bad_schematic(f"{where} is not a whole number")
        number = int(value, 0)
        if not low <= number <= high:
            raise bad_schematic(f"{where} is not between {low} and {high}")
        return number

    return read


def _truth(node: yaml.Node, where: str) -> bool:
    if isinstance(node, yaml.ScalarNode) and _unquoted(node) and node.value in ("true", "false"):
        return bool(node.value == "true")
    raise bad_schematic(f"{where} is neither true nor false")


def _one_of(*words: str) -> Callable[[yaml.Node, str], str]:
    def read(node: yaml.Node, where: str) -> str:
        if isinstance(node, yaml.ScalarNode) and node.value in words:
            return str(node.value)
        raise uncertain_schematic(f"{where} is none of {', '.join(words)}")

    return read


def _options(node: yaml.Node, where: str) -> Any:
    """Overlay options: free-form, so only the types that read the same everywhere are taken."""
    if isinstance(node, yaml.MappingNode):
        # Go writes free-form maps sorted by key.
        return {key: _options(value, f"{where}.{key}") for key, value in sorted(_pairs(node, where), key=itemgetter(0))}
    if isinstance(node, yaml.SequenceNode):
        return [_options(item, where) for item in node.value]
    if node.tag == "tag:yaml.org,2002:str":
        return str(node.value)
    value = node.value if isinstance(node, yaml.ScalarNode) and _unquoted(node) else ""
    if value in ("true", "false"):
        return bool(value == "true")
    if re.fullmatch(r"0|-?[1-9][0-9]{0,17}", value):
        return int(value)
    raise uncertain_schematic(f"{where} holds a value that is no string, whole number, true or false")


_META = {"key": _whole_number(0, 255), "value": _string}

# The order of the keys is the order of the fields in the factory's structure, and so part of every id.
_SCHEMA: dict[str, Any] = {
    "owner": _string,
    "overlay": {"image": _string, "name": _string, "options": _options},
    "customization": {
        "embeddedMachineConfiguration": _string,
        "extraKernelArgs": [_string],
        "meta": [_META],
        "systemExtensions": {"officialExtensions": [_string]},
        "bootloader": _one_of("dual-boot", "grub", "sd-boot"),
        "secureboot": {
            "enrollKeys": _one_of("off", "manual", "if-safe", "force"),
            "includeWellKnownCertificates": _truth,
        },
        "diskImage": {"sectorSize": _whole_number(0, 2**32 - 1)},
    },
}


def in_order(data: Mapping[str, Any]) -> dict[str, Any]:
    """Fields in the factory's order with what ``omitempty`` drops left out."""
    result = _ordered(data, _SCHEMA)
    result.setdefault("customization", {})
    return {key: result[key] for key in _SCHEMA if key in result}


def _ordered(data: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, rule in schema.items():
        value = data.get(key)
        if isinstance(rule, dict) and isinstance(value, Mapping):
            value = _ordered(value, rule)
            if key == "overlay" and value:
                # image and name have no omitempty: they are written even when empty.
                value = {"image": value.get("image", ""), "name": value.get("name", ""), **value}
        elif isinstance(rule, list) and isinstance(value, list) and rule[0] is _META:
            value = [{"key": item.get("key", 0), "value": item.get("value", "")} for item in value]
        if value not in (None, "", [], {}, False, 0):
            result[key] = value
    return result
