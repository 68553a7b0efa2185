# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The arguments of an action, as the documentation of the module of its name describes them.

There is no second specification, so the two cannot disagree.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Callable, Mapping
from typing import Any

from .problem import Problem
from .yaml_loader import load_yaml

_PLUGINS = __name__.rsplit(".plugin_utils.", 1)[0]
_FRAGMENT_KEYS = ("type", "required", "default", "choices", "elements")


def plain(value: Any) -> Any:
    """The same data in built-in types, without Ansible's tags, so that any library accepts it."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return "".join(value)
    return value


@functools.cache
def argument_spec(module: str) -> dict[str, Any]:
    """The argument specification that a module's DOCUMENTATION and its fragments describe; not to be changed."""
    documentation = load_yaml(importlib.import_module(f"{_PLUGINS}.modules.{module}").DOCUMENTATION)
    options: dict[str, Any] = {}
    for reference in documentation.get("extends_documentation_fragment", []):
        _namespace, _collection, name, *section = reference.split(".")
        fragment = importlib.import_module(f"{_PLUGINS}.doc_fragments.{name}").ModuleDocFragment
        text = getattr(fragment, section[0].upper() if section else "DOCUMENTATION")
        options.update(load_yaml(text).get("options", {}))
    options.update(documentation.get("options", {}))
    return {name: _argument(option) for name, option in options.items()}


def _argument(option: dict[str, Any]) -> dict[str, Any]:
    spec = {key: option[key] for key in _FRAGMENT_KEYS if key in option}
    if "suboptions" in option:
        spec["options"] = {name: _argument(sub) for name, sub in option["suboptions"].items()}
    return spec


def read_once(*reads: Callable[[], object]) -> None:
    """Read what an action needs of the collection's own data files; called where the action is loaded.

    Ansible loads an action and then forks a process for each task and host, each of which would read them anew. A
    problem is one of the task that meets it.
    """
    for read in reads:
        with contextlib.suppress(Problem):
            read()
