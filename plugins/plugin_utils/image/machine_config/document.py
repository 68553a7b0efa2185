# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A machine configuration as documents: YAML nodes with their places in the text, beside plain data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from ...problem import Problem
from ...yaml_loader import LOADER

Path = tuple[Any, ...]

BOM = "\ufeff"

#: Aliases repeat what they name, so a small text can mean a huge configuration. Real ones have a few thousand values.
_MOST_VALUES = 200_000

_STANDARD_TAG = "tag:yaml.org,2002:"
_KNOWN_TAGS = frozenset(
    f"{_STANDARD_TAG}{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq", "merge", "value")
) | {f"{_STANDARD_TAG}timestamp"}
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_./$-]{1,60}")


class ConfigError(Problem):
    """A machine configuration that cannot be read, rewritten or used."""

    kind = "bad_machine_config"


@dataclass(frozen=True)
class Document:
    """One YAML document.

    Attributes:
        kind: its ``kind``; None for the v1alpha1 document, which has none.
        name: its ``name``, where the kind can occur several times.
        node: the YAML node, whose marks count characters of `Configuration.text`.
        data: mappings, lists, strings, truth values and None; every other scalar keeps its written form.
        tags: places of values whose YAML tag is none of the standard ones, with the tag (``!vault``).
    """

    kind: str | None
    name: str | None
    node: yaml.Node
    data: dict[str, Any]
    tags: tuple[tuple[Path, str], ...]

    @property
    def label(self) -> str:
        """How messages name the document: ``v1alpha1``, ``HostnameConfig``, ``UserVolumeConfig/data``."""
        return label(self.kind, self.name)

    def get(self, *path: str) -> Any:
        """The value at a path; None when any part of it is absent."""
        return get(self.data, *path)


class Configuration:
    """A parsed configuration.

    Attributes:
        text: the text without its byte order mark.
        bom: the byte order mark it began with, or nothing.
        documents: all documents that are not empty, in order.
    """

    def __init__(self, text: str) -> None:
        """Parse the complete text of one node's configuration.

        Raises:
            ConfigError: it is no YAML, no list of mappings, or Talos and this reader could read it differently.
        """
        self.bom = BOM if text.startswith(BOM) else ""
        self.text = text[len(self.bom) :]
        try:
            nodes = [node for node in yaml.compose_all(self.text, Loader=LOADER) if node is not None]
            found = [(node, *_plain_document(node)) for node in nodes]
        except yaml.MarkedYAMLError as error:
            # The mark's own text would quote the line, secrets included.
            line = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
            raise bad(f"the machine configuration is not readable YAML{line}") from None
        except (yaml.YAMLError, RecursionError, ValueError):
            raise bad("the machine configuration is not readable YAML") from None
        found = [entry for entry in found if entry[1] is not None]
        if not found or not all(isinstance(data, dict) for _node, data, _tags in found):
            raise bad("the machine configuration is not made of YAML mappings")
        self.documents = [
            Document(_word(data.get("kind")), _word(data.get("name")) if "kind" in data else None, node, data, tags)
            for node, data, tags in found
        ]
        seen: set[tuple[str | None, str | None]] = set()
        for document in self.documents:
            identity = (document.kind, document.name)
            if identity in seen:
                raise bad(f"the machine configuration has more than one {_plain_name(document.label)} document")
            seen.add(identity)

    @property
    def main(self) -> Document | None:
        """The v1alpha1 document, where there is one."""
        return self.document(None)

    def document(self, kind: str | None) -> Document | None:
        """The first document of a kind; of the v1alpha1 document for None."""
        return next((document for document in self.documents if document.kind == kind), None)

    def get(self, kind: str | None, *path: str) -> Any:
        """The value at a path of the first document of a kind; None when any part of it is absent."""
        document = self.document(kind)
        return None if document is None else document.get(*path)


def label(kind: str | None, name: str | None) -> str:
    """How a document is named in messages."""
    return "v1alpha1" if kind is None else f"{kind}/{name}" if name else kind


def get(data: Any, *path: str) -> Any:
    """The value at a path of plain data; None when any part of it is absent."""
    for key in path:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """All scalars and empty collections of plain data, each with its path of keys and list indices."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


def dotted(path: Path) -> str:
    """A path as messages show it. A key that is no plain short word may be a value in the wrong place: not shown."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{_plain_name(str(part))}" for part in path)
    return "".join(parts).lstrip(".")


def bad(found: str) -> ConfigError:
    """The error for a configuration that is broken in itself."""
    return ConfigError(
        found,
        "a node that is wiped and then gets a broken configuration does not come back",
        "fix the node's machine configuration first",
    )


class _Reader:
    """Turns the nodes of one document into plain data."""

    def __init__(self) -> None:
        self.values = 0
        self.tags: list[tuple[Path, str]] = []

    def plain(self, node: yaml.Node, path: Path) -> Any:
        """The node as plain data, aliases followed and merge keys resolved as the YAML specification says.

        Raises:
            ConfigError: for a key given twice, where Talos and this reader could choose differently, a key that is
                no string, and aliases that multiply.
        """
        self.values += 1
        if self.values > _MOST_VALUES:
            raise bad(f"the YAML aliases of the machine configuration multiply to more than {_MOST_VALUES} values")
        if node.tag not in _KNOWN_TAGS:
            self.tags.append((path, node.tag))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.plain(item, (*path, index)) for index, item in enumerate(node.value)]
        kind = node.tag.removeprefix(_STANDARD_TAG)
        if kind == "null":
            return None
        # Go's YAML takes only these two words as truth values; "yes" and "on" are strings to it.
        if kind == "bool" and node.value.lower() in ("true", "false"):
            return bool(node.value.lower() == "true")
        return node.value

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == f"{_STANDARD_TAG}merge":
                for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if not isinstance(source, yaml.MappingNode):
                        raise bad(f"a merge key (<<) of the machine configuration names no mapping{_line(key)}")
                    for name, item in self.plain(source, path).items():
                        merged.setdefault(name, item)
                continue
            if not isinstance(key, yaml.ScalarNode) or key.tag == f"{_STANDARD_TAG}null":
                raise bad(f"a key of the machine configuration is not a string{_line(key)}")
            if key.value in result:
                raise bad(f"the key {_plain_name(key.value)} of the machine configuration is given twice{_line(key)}")
            result[key.value] = self.plain(value, (*path, key.value))
        return {**result, **{name: item for name, item in merged.items() if name not in result}}


def _plain_document(node: yaml.Node) -> tuple[Any, tuple[tuple[Path, str], ...]]:
    reader = _Reader()
    return reader.plain(node, ()), tuple(reader.tags)


def _line(node: yaml.Node) -> str:
    return f" (line {node.start_mark.line + 1})"


def _plain_name(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else "<masked>"


def _word(value: Any) -> str | None:
    return None if value is None else str(value)
