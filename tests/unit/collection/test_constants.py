# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits, times, tables and defaults, each package's in one document: what each is was decided, and is read here.

What they do is tested where they are used. A test of a limit takes it from the code, so that none would notice that it
is another one now; a change of a document here is a decision that a person reads. Patterns are not listed: they are
tested by what they match.
"""

from __future__ import annotations

import ast
import dataclasses
import datetime as dt
import importlib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import BuiltinFunctionType, FunctionType
from typing import Any

import pytest
from expected import require_expected

PLUGINS = Path(__file__).resolve().parents[3] / "plugins"
UTILS = PLUGINS / "plugin_utils"
#: The gate's own tests hold all of its constants; see mutants of the gate in ``tests/README.md``.
PACKAGES = sorted({path.relative_to(UTILS).parent.parts[0] for path in UTILS.glob("*/**/*.py")} - {"gate"})
_PLAIN = {bool, int, float, str, bytes, type(None), dt.timedelta, dt.datetime}


@pytest.mark.parametrize("package", PACKAGES)
def test_what_was_decided(package: str) -> None:
    _require(package, (UTILS / package).rglob("*.py"))


def test_what_was_decided_for_all() -> None:
    _require("plugin_utils", UTILS.glob("*.py"))
    _require("action", (PLUGINS / "action").glob("*.py"))


def _require(package: str, paths: Iterable[Path]) -> None:
    lines = [line for path in sorted(paths) for line in _of_module(path)]
    require_expected(f"constants/{package}.txt", "\n".join([*lines, ""]))


def _of_module(path: Path) -> Iterator[str]:
    """The constants and the defaults of a module, below its name; nothing of one that has none."""
    name = ".".join(path.relative_to(PLUGINS).with_suffix("").parts)
    module = importlib.import_module(f"ansible_collections.talosops.selinux.plugins.{name}")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [*_constants(tree, module), *_defaults(tree, module)]
    if found:
        yield name.removeprefix("plugin_utils.")
        yield from (f"    {line}" for line in found)


def _constants(tree: ast.Module, module: Any) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            owner = getattr(module, node.name)
            named = [(f"{node.name}.{name}", inspect.getattr_static(owner, name, ...)) for name in _assigned(node)]
        else:
            named = [
                (name, getattr(module, name)) for name in _assigned(node) if re.fullmatch(r"_?[A-Z][A-Z0-9_]+", name)
            ]
        for name, value in named:
            if _is_plain(value):
                yield from _shown(name, value)


def _assigned(node: ast.stmt) -> list[str]:
    """The names that a statement, or those of a class, give values to."""
    if isinstance(node, ast.ClassDef):
        return [name for inner in node.body if not isinstance(inner, ast.ClassDef) for name in _assigned(inner)]
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        targets = [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_plain, [*value, *value.values()]))
    if isinstance(value, (tuple, list, set, frozenset)):
        return all(map(_is_plain, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return all(_is_plain(getattr(value, field.name)) for field in dataclasses.fields(value))
    return type(value) in _PLAIN or isinstance(value, Path) or _is_named(value)


def _is_named(value: Any) -> bool:
    """Whether it is a function or a class that has a name."""
    return isinstance(value, (type, FunctionType, BuiltinFunctionType)) and "<" not in value.__qualname__


def _shown(name: str, value: Any) -> Iterator[str]:
    """A constant, the entries of one that holds several in lines of their own."""
    if isinstance(value, Mapping) and value:
        yield f"{name}:"
        for key, one in value.items():
            yield from (f"    {line}" for line in _shown(_text(key), one))
    elif isinstance(value, (tuple, list, set, frozenset)) and len(value) > 3:
        yield f"{name}:"
        yield from (f"    {one}" for one in (map(_text, value) if isinstance(value, (tuple, list)) else _sorted(value)))
    else:
        yield f"{name} = {_text(value)}"


def _sorted(value: Iterable[Any]) -> list[str]:
    return sorted(map(_text, value))


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(key)}: {_text(one)}" for key, one in value.items()) + "}"
    if isinstance(value, (set, frozenset)):
        return "{" + ", ".join(_sorted(value)) + "}"
    if isinstance(value, (tuple, list)):
        return "(" + ", ".join(map(_text, value)) + ")"
    if _is_named(value):
        return str(value.__qualname__)
    if dataclasses.is_dataclass(value):
        fields = (f"{field.name}={_text(getattr(value, field.name))}" for field in dataclasses.fields(value))
        return f"{type(value).__name__}({', '.join(fields)})"
    if isinstance(value, Path):
        # The directory of the checkout has whatever name somebody gave it.
        return "." if (value / "galaxy.yml").exists() else value.name
    return str(value) if isinstance(value, (dt.timedelta, dt.datetime)) else repr(value)


def _defaults(tree: ast.Module, module: Any) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            inner = (one.name for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
            yield from (
                line for name in inner for line in _of_function(f"{node.name}.{name}", getattr(module, node.name))
            )
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _of_function(node.name, module)


def _of_function(name: str, owner: Any) -> Iterator[str]:
    function = inspect.getattr_static(owner, name.rpartition(".")[2])
    function = inspect.unwrap(getattr(function, "__func__", getattr(function, "fget", function)))
    if not inspect.isfunction(function):
        return
    given = [
        f"{parameter.name}={_text(parameter.default)}"
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is not parameter.empty and _is_plain(parameter.default)
    ]
    if given:
        yield f"{name}({', '.join(given)})"
