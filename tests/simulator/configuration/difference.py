# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The difference that a dry run shows: both configurations decoded and encoded again, then compared line by line."""

from __future__ import annotations

import difflib
import functools
from typing import Any

import quick_yaml
import yaml

_CONTEXT = 3


class _Dumper(yaml.SafeDumper):
    """The layout of Talos' encoder: four spaces, items of lists indented, texts of several lines as blocks."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        if self.indent is None:
            return super().increase_indent(flow, False)
        self.indents.append(self.indent)
        # What stands in an item of a list is indented by the two columns of its dash, all else to a multiple of four.
        self.indent = self.indent + 2 if self.sequence_context else (self.indent + 4) // 4 * 4
        return None

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def analyze_scalar(self, scalar: str) -> Any:
        """As PyYAML, but a tab does not keep a text from being written as a block (go-yaml's emitter, seen)."""
        analysis = super().analyze_scalar(scalar)
        analysis.allow_block = super().analyze_scalar(scalar.replace("\t", "x")).allow_block
        return analysis


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    style = "|" if "\n" in value else '"' if value == "" else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


class _Loader(quick_yaml.Loader):
    """Reads scalars as they are written; what they mean does not matter to a difference."""


_Loader.add_multi_constructor("!", lambda loader, _suffix, node: loader.construct_scalar(node))
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":merge"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@functools.lru_cache(maxsize=64)
def encode(text: str, order: str = "") -> str:
    """A configuration as Talos writes it; keys stand in the order of ``order`` where that has them."""
    models = {_name(document): document for document in _load(order)}
    documents = [_ordered(document, models.get(_name(document))) for document in _load(text)]
    return yaml.dump_all(
        documents,
        Dumper=_Dumper,
        indent=4,
        sort_keys=False,
        width=100_000,
        default_flow_style=False,
        allow_unicode=True,
    )


def _load(text: str) -> list[Any]:
    return [document for document in yaml.load_all(text.lstrip("\ufeff"), Loader=_Loader) if document is not None]


def _name(document: Any) -> tuple[str, str]:
    return (str(document.get("kind", "")), str(document.get("name", ""))) if isinstance(document, dict) else ("", "")


def _ordered(value: Any, model: Any) -> Any:
    if not isinstance(value, dict) or not isinstance(model, dict):
        return value
    keys = [key for key in model if key in value] + [key for key in value if key not in model]
    return {key: _ordered(value[key], model.get(key)) for key in keys}


def difference(running: str | None, sent: str) -> str:
    """A unified diff, or ``No changes.``"""
    before = encode(running or "")
    after = encode(sent, running or "")
    if before == after:
        return "No changes."
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "a", "b", lineterm="", n=_CONTEXT)
    return "\n".join(lines) + "\n"
