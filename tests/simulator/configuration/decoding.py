# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Split a configuration into its documents and decode each strictly, as Talos does: known keys, types, base64."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import quick_yaml
import yaml

from .. import versions

MAIN = "v1alpha1"
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
# Keys of the first document that came later than what the table says of all releases.
_SINCE = {("machine", "install", "grubUseUKICmdline"): "1.12"}
_GO_TYPES = {"string": "string", "bool": "bool", "int": "int", "base64": "[]uint8"}


class Rejected(ValueError):
    """Talos does not take the configuration; the text says what it says."""


@dataclass(frozen=True)
class Document:
    """One document; ``name`` is '' where its kind has none."""

    kind: str
    name: str
    line: int
    content: dict[str, Any]


@dataclass(frozen=True)
class Decoded:
    """A whole configuration: the v1alpha1 document, if there is one, and the others in their order."""

    main: dict[str, Any] | None
    others: list[Document] = field(default_factory=list)

    def document(self, kind: str) -> dict[str, Any] | None:
        """The content of the first document of a kind."""
        return next((document.content for document in self.others if document.kind == kind), None)


@functools.cache
def known_keys() -> dict[str, Any]:
    """By kind of document: ``since`` (release), ``type`` (its name in Talos), ``keys`` (a tree of keys and types)."""
    loaded: dict[str, Any] = json.loads((Path(__file__).parent / "known-keys.json").read_text(encoding="utf-8"))
    return loaded


class _Loader(quick_yaml.Loader):
    """Takes a tag that it does not know for what the node is without it, as Go's YAML does."""


def _untagged(loader: Any, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    return (
        loader.construct_mapping(node, True) if isinstance(node, yaml.MappingNode) else loader.construct_sequence(node)
    )


_Loader.add_multi_constructor("!", _untagged)


def decode(data: bytes, version: str) -> Decoded:
    """Decode a configuration as a node of ``version`` does. Raises Rejected."""
    main: dict[str, Any] | None = None
    others: list[Document] = []
    seen: set[tuple[str, str, str]] = set()
    for node, content in _parse(data):
        line = node.start_mark.line + 1
        if not isinstance(node, yaml.MappingNode):
            raise Rejected(f"expected a YAML document at line {line}")
        given, kind = str(content.get("apiVersion") or ""), str(content.get("kind") or "")
        if kind and not given:
            raise Rejected(f"error decoding document /{kind}/ (line {line}): missing apiVersion")
        where = f"{given}/{kind or MAIN}/" if given else f"/{MAIN}/"
        key = (given, kind or MAIN, str(content.get("name", "")))
        if key in seen:
            raise Rejected(f"duplicate document {where}{key[2]} is not allowed (line {line})")
        seen.add(key)
        known = known_keys().get(kind or MAIN)
        if kind and (given != MAIN or kind == MAIN or known is None or not versions.at_least(version, known["since"])):
            text = f'"{kind}" "{given}": not registered'
            raise Rejected(f"error decoding document {where} (line {line}): {text}")
        assert known is not None
        name = key[2] if kind and "name" in known["keys"] else ""
        prefix = f"error decoding document {where}{name} (line {line}): "
        _decode(node, known, kind, version, prefix)
        if kind:
            rest = {name: value for name, value in content.items() if name not in ("apiVersion", "kind")}
            others.append(Document(kind, name, line, rest))
        else:
            main = content
    if main is None and not others:
        raise Rejected("config not found")
    return Decoded(main, others)


def _parse(data: bytes) -> Iterator[tuple[yaml.Node, Any]]:
    """The documents that are not empty, as nodes and as data."""
    try:
        text = data.decode("utf-8-sig")
        nodes = [node for node in yaml.compose_all(text, Loader=_Loader) if node is not None]
        loader = _Loader("")
        parsed = []
        for node in nodes:
            if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null":
                continue
            _check_merges(node)
            parsed.append((node, loader.construct_document(node)))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Rejected(f"decode error: go-yaml load error: {str(error).splitlines()[0]}") from error
    yield from parsed


def _check_merges(node: yaml.Node) -> None:
    # Talos takes a merge key for a key like any other: PyYAML must not resolve it.
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                key.tag = "tag:yaml.org,2002:str"
            _check_merges(value)


def _decode(node: yaml.MappingNode, known: dict[str, Any], kind: str, version: str, prefix: str) -> None:
    tree = {**known["keys"], **({"apiVersion": "string", "kind": "string"} if kind else {})}
    problems = list(_types(node, tree, known["type"]))
    if problems:
        text = f"error decoding {kind} to *{known['type']}: yaml: construct errors: {problems[0]}"
        raise Rejected(prefix + text)
    unknown = _unknown(node, tree, () if not kind else (kind,), version)
    if unknown is not None:
        shown = yaml.serialize(unknown, indent=4, width=10000).rstrip("\n")
        text = f"unknown keys found during decoding:\n{shown}"
        raise Rejected(prefix + text if versions.at_least(version, "1.12") else text)


def _types(node: yaml.Node, tree: Any, owner: str) -> Iterator[str]:
    """What cannot be put into the fields: line and reason."""
    line = node.start_mark.line + 1
    tag = f"!!{node.tag.rpartition(':')[2]}"
    if tree == "any" or (tag == "!!null" and isinstance(node, yaml.ScalarNode)):
        return
    wanted = _go_type(tree, owner)
    if isinstance(tree, dict):
        if not isinstance(node, yaml.MappingNode):
            yield f"line {line}: cannot construct {_shown(node, tag)} into {wanted}"
            return
        seen: dict[str, int] = {}
        for key, value in node.value:
            if key.value in seen:
                at = key.start_mark.line + 1
                yield f'line {at}: mapping key "{key.value}" already defined at line {seen[key.value]}'
            seen[key.value] = key.start_mark.line + 1
            if key.value in tree or "*" in tree:
                yield from _types(value, tree.get(key.value, tree.get("*")), _owner(owner, key.value))
    elif isinstance(tree, list):
        if not isinstance(node, yaml.SequenceNode):
            yield f"line {line}: cannot construct {_shown(node, tag)} into {wanted}"
            return
        for item in node.value:
            yield from _types(item, tree[0], owner)
    elif not isinstance(node, yaml.ScalarNode):
        yield f"line {line}: cannot construct {tag} into {wanted}"
    elif (tree == "bool" and tag != "!!bool") or (tree == "int" and tag != "!!int"):
        yield f"line {line}: cannot construct {_shown(node, tag)} into {wanted}"
    elif tree == "base64" and (at := _no_base64(node.value)) is not None:
        yield f"line {line}: illegal base64 data at input byte {at}"


def _shown(node: yaml.Node, tag: str) -> str:
    return f"{tag} `{node.value[:9]}`" if isinstance(node, yaml.ScalarNode) else tag


def _owner(owner: str, key: str) -> str:
    names = {"machine": "v1alpha1.MachineConfig", "cluster": "v1alpha1.ClusterConfig"}
    return names.get(key, "struct") if owner == "v1alpha1.Config" else "struct"


def _go_type(tree: Any, owner: str) -> str:
    if isinstance(tree, list):
        return f"[]{_go_type(tree[0], owner)}"
    if isinstance(tree, dict):
        return f"map[string]{_go_type(tree['*'], owner)}" if set(tree) == {"*"} else owner
    return _GO_TYPES.get(tree, str(tree))


def _no_base64(text: str) -> int | None:
    """Where Go's decoder gives up, None when it does not."""
    letters = text.replace("\n", "").replace("\r", "")
    body = letters.rstrip("=")
    bad = next((index for index, letter in enumerate(letters) if letter not in _BASE64), None)
    if bad is not None and bad < len(body):
        return bad
    if len(letters) % 4 or len(letters) - len(body) > 2:
        return len(body)
    return None


def _unknown(node: yaml.MappingNode, tree: Any, path: tuple[str, ...], version: str) -> yaml.MappingNode | None:
    """The part of a mapping that no field takes."""
    left: list[tuple[yaml.Node, yaml.Node]] = []
    for key, value in node.value:
        here = (*path, key.value)
        if not ("*" in tree or key.value in tree) or not versions.at_least(version, _SINCE.get(here, "1.0")):
            left.append((key, value))
            continue
        inner = tree.get(key.value, tree.get("*"))
        if isinstance(inner, dict) and isinstance(value, yaml.MappingNode):
            found = _unknown(value, inner, here, version)
            if found is not None:
                left.append((key, found))
        elif isinstance(inner, list) and isinstance(value, yaml.SequenceNode) and isinstance(inner[0], dict):
            parts = [
                _unknown(item, inner[0], here, version) for item in value.value if isinstance(item, yaml.MappingNode)
            ]
            if any(part is not None for part in parts):
                kept: list[yaml.Node] = [part for part in parts if part is not None]
                left.append((key, yaml.SequenceNode(value.tag, kept, flow_style=value.flow_style)))
    if not left:
        return None
    return yaml.MappingNode(node.tag, left, flow_style=node.flow_style)


def is_pem(text: Any) -> bool:
    """Tell whether a text holds a PEM block."""
    return isinstance(text, str) and re.search(r"-----BEGIN [A-Z0-9 ]+-----\n", text) is not None
