# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many generated configurations, each with one part gone or changed: all that is found wrong with it."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.facts import facts
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.places import (
    CONFLICTS,
    NEEDED,
    NEEDED_ON_CONTROL_PLANES,
    PLACES,
)
from expected import require_expected
from generated_configs import ROLES, load

CHANGED = 14
VALUES: tuple[Any, ...] = (None, "", [], {}, 7, True, "x y", "{{ x }}", "op://vault/item", {"a": 1}, ["a"])


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from paths(inner, (*path, key))


def changed(documents: list[Any], path: tuple[Any, ...], value: Any, *, gone: bool) -> str:
    """The configuration with one part gone, or with another value."""
    documents = copy.deepcopy(documents)
    holder: Any = documents
    for key in path[:-1]:
        holder = holder[key]
    if gone:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return yaml.safe_dump_all(documents, sort_keys=False)


def told(text: str, **how: Any) -> list[str]:
    """All that is found."""
    found = facts(text, **how)
    cluster = found["cluster"] or {}
    known = [name for name, digest in cluster.items() if digest is not None]
    lines = [f"    {found['machine_type']} {found['hostname']} {known} {found['install']}"]
    return [*lines, *(f"    {problem}" for problem in found["problems"])]


def test_many_configurations() -> None:
    draw = random.Random(31)
    lines = []
    for release, version in (("v1.14", "v1.14.1"), ("v1.12", "v1.12.4")):
        for role in ROLES:
            text = load(release, role)
            documents = list(yaml.safe_load_all(text))
            lines += [f"{release} {role}", "  as generated", *told(text, version=version)]
            lines += ["  of another release", *told(text, version="v1.10.0")]
            lines += ["  of another node", *told(text, version=version, machine_type="init", hostname="other")]
            for path in draw.sample(list(paths(documents)), CHANGED):
                gone, value = draw.random() < 0.5, draw.choice(VALUES)
                lines.append(f"  {'.'.join(map(str, path))}: {'gone' if gone else repr(value)}")
                lines += told(changed(documents, path, value, gone=gone), version=version)
    require_expected("image/configurations.txt", "\n".join([*lines, ""]))


def test_the_table_of_places() -> None:
    lines = [f"{one.fact}: {one.where} since {one.since}, {one.form}" for one in PLACES]
    lines += [f"{one.kind} beside {'.'.join(one.path)}, {one.empty_counts}" for one in CONFLICTS]
    lines += [f"needed: {' or '.join(group)}" for group in (*NEEDED, *NEEDED_ON_CONTROL_PLANES)]
    require_expected("image/places.txt", "\n".join([*lines, ""]))
