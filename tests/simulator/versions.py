# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Talos versions, and the kernel command lines and modes that follow from them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from . import factory_cmdline
from .factory_schematic import CUSTOMIZATION, TOP

_VERSION = re.compile(r"^v?(\d+)\.(\d+)\.(\d+)(?:-(alpha|beta|rc)\.(\d+))?")
_STAGES = {"alpha": 0, "beta": 1, "rc": 2, None: 3}


def parse(version: str) -> tuple[int, int, int, int, int]:
    """Make a comparable key: ``v1.14.0-rc.1`` sorts before ``v1.14.0``."""
    match = _VERSION.match(version)
    if match is None:
        raise ValueError(f"not a Talos version: {version!r}")
    major, minor, patch, stage, number = match.groups()
    return (int(major), int(minor), int(patch), _STAGES[stage], int(number or 0))


def at_least(version: str, wanted: str) -> bool:
    """Tell whether ``version`` is ``wanted`` or newer; ``1.14`` as wanted includes its pre-releases."""
    if wanted.count(".") == 1:
        major, minor = wanted.split(".")
        return parse(version)[:2] >= (int(major), int(minor))
    return parse(version) >= parse(wanted)


def auditd_survives_errors(version: str) -> bool:
    """Tell whether auditd has the fixed receive loop and the restart policy: 1.13.7 and every 1.14."""
    return at_least(version, "1.14") or at_least(version, "1.13.7")


def command_line(version: str, platform: str, extra: Iterable[str] = ()) -> list[str]:
    """Kernel arguments of a system of this version, as the factory builds it; ``extra`` are its schematic's."""
    major, minor, patch, *_stage = parse(version)
    schematic = {"customization": {"extraKernelArgs": list(extra)}}
    return factory_cmdline.kernel_command_line(schematic, f"v{major}.{minor}.{patch}", platform=platform)


def values(arguments: Iterable[str], name: str) -> list[str]:
    """All values of one kernel argument, in order; a bare word has the value ''."""
    parts = (argument.partition("=") for argument in arguments)
    return [value for key, _unused, value in parts if key == name]


def selinux_state(arguments: list[str], version: str, mode: str = "metal") -> str:
    """The mode that a boot with these arguments ends in: disabled, permissive or enforcing."""
    if mode == "container" or not at_least(version, "1.9"):
        return "disabled"
    if values(arguments, "selinux")[:1] != ["1"]:
        return "disabled"
    if any(value != "selinux" for value in values(arguments, "security")):
        return "disabled"
    modules = values(arguments, "lsm")
    if modules and "selinux" not in modules[-1].split(","):
        return "disabled"
    # The kernel parses every occurrence, so the last one wins.
    return "enforcing" if values(arguments, "enforcing")[-1:] == ["1"] else "permissive"


def audit_off(arguments: list[str]) -> bool:
    """Tell whether the kernel was booted with audit=0 (or off)."""
    return values(arguments, "audit")[-1:] in (["0"], ["off"])


def audit_early(arguments: list[str]) -> bool:
    """Tell whether the kernel audits before a daemon asks for it: audit=1 (or on)."""
    return values(arguments, "audit")[-1:] in (["1"], ["on"])


class _Dumper(yaml.SafeDumper):
    """Four spaces, list items indented: the layout that the Image Factory hashes."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)


def canonical_schematic(schematic: Mapping[str, Any]) -> str:
    """The canonical YAML text of a schematic, for plain scalars as the simulator's scenarios use them."""
    customization = schematic.get("customization") or {}
    document: dict[str, Any] = {}
    for key in TOP:
        if key == "customization":
            document[key] = {name: customization[name] for name in CUSTOMIZATION if customization.get(name)}
        elif schematic.get(key):
            document[key] = schematic[key]
    return yaml.dump(document, Dumper=_Dumper, indent=4, sort_keys=False, width=100000, default_flow_style=False)


def schematic_id(text: str) -> str:
    """The id of a canonical schematic text."""
    return hashlib.sha256(text.encode()).hexdigest()
