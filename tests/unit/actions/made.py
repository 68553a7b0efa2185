# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Actions without Ansible around them: as they are once their options were validated."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

from ansible_collections.talosops.selinux.plugins.plugin_utils.arguments import argument_spec


def made(
    module: ModuleType,
    hostvars: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    check: bool = False,
    run_once: bool = False,
    delegate_to: str | None = None,
    variables: Mapping[str, Any] | None = None,
    **params: Any,
) -> Any:
    """An action of a module with these options, the others as by default, in a play for the hosts; the first is its."""
    known = hostvars if hostvars is not None else {"n-1": {}}
    action = object.__new__(module.ActionModule)
    action._task = SimpleNamespace(check_mode=check, run_once=run_once, delegate_to=delegate_to)
    defaults = {name: option.get("default") for name, option in argument_spec(module.ActionModule.MODULE).items()}
    action.params = {**defaults, **params}
    assert set(action.params) == set(defaults)
    action.variables = {
        "inventory_hostname": next(iter(known)),
        "hostvars": known,
        "groups": {"all": list(known), "talos": list(known)},
        "ansible_play_batch": list(known),
        "ansible_play_hosts_all": list(known),
        **(variables or {}),
    }
    action._hosts, action._contexts = {}, {}
    return action
