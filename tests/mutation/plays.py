# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mutants of playbooks and roles: what a task is held to by its keywords, and what its module is given."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from .code import other
from .mutant import Mutant, at

#: Keywords of a task or play, and what their loss is called.
_DROPPED = ("when", "run_once", "ignore_errors", "failed_when", "changed_when", "loop", "serial", "rescue")
_NOT_OPTIONS = ("ansible.builtin.import_tasks", "ansible.builtin.import_role", "ansible.builtin.include_role")


def mutants_of(path: str, text: str) -> list[Mutant]:
    """The mutants of a playbook, a file of tasks, or a role's defaults."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if "/defaults/" in path:
        return list(_defaults(path, text, root))
    return list(_entries(path, text, root))


def _entries(path: str, text: str, node: yaml.Node | None) -> Iterator[Mutant]:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            if _is_task(item):
                yield _task_dropped(path, text, item)
            yield from _entries(path, text, item)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value in _DROPPED:
                yield _pair(path, text, key, value, f"{key.value} dropped")
            elif "." in key.value and key.value not in _NOT_OPTIONS and isinstance(value, yaml.MappingNode):
                for option, given in value.value:
                    if option.value == "that":
                        yield at(path, text, given.start_mark.index, _text(text, given), "true", "an assert made true")
                    yield _pair(path, text, option, given, "an option not given")
            if key.value in ("tasks", "block", "rescue", "pre_tasks", "module_defaults"):
                yield from _entries(path, text, value)


def _is_task(node: yaml.Node) -> bool:
    return isinstance(node, yaml.MappingNode) and not {"hosts", "block"} & {key.value for key, _value in node.value}


def _task_dropped(path: str, text: str, node: yaml.MappingNode) -> Mutant:
    """The task does nothing; its name, condition and result stay."""
    for key, value in node.value:
        if "." in key.value:
            start = key.start_mark.index
            old = _text(text, key, value)
            return at(path, text, start, old, "ansible.builtin.meta: noop", "a task dropped")
    key, value = node.value[-1]
    raise ValueError(f"{path}: a task without a module at line {key.start_mark.line + 1}")


def _pair(path: str, text: str, key: yaml.Node, value: yaml.Node, operator: str) -> Mutant:
    # A key of the same kind that nobody reads keeps the file in shape where it was the only one.
    old = _text(text, key, value)
    start = text.rindex("\n", 0, key.start_mark.index) + 1
    indent = text[start : key.start_mark.index]
    if indent.strip():
        return at(path, text, key.start_mark.index, old, "name: mutated", operator)
    end = key.start_mark.index + len(old)
    return at(path, text, start, text[start:end], f"{indent}# {operator}", operator)


def _text(text: str, first: yaml.Node, last: yaml.Node | None = None) -> str:
    last = last or first
    return text[first.start_mark.index : last.end_mark.index].rstrip()


def _defaults(path: str, text: str, root: yaml.Node | None) -> Iterator[Mutant]:
    assert isinstance(root, yaml.MappingNode)
    for _key, value in root.value:
        old = _text(text, value)
        yield at(path, text, value.start_mark.index, old, other(old), "another default")
