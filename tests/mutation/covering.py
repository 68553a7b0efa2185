# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which tests may notice a mutant: those that reach its lines, the nearest first.

What reaches what is measured by ``make coverage``, by file of tests (or by folder, where its files look at one fleet).
Lines that run when a module is imported belong to nobody there, and plays are not measured: so tests that name or
import what is mutated are asked too.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import coverage

from .mutant import Mutant

#: What runs a play or a role, however little of their text it names.
_PLAYED = ("integration/rollout/demo", "integration/rollout", "integration/gate", "integration/modules")


class Covering:
    """Finds tests in a working copy by what ``make coverage`` measured there."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._data = coverage.CoverageData(str(root / "build" / "coverage" / "data"))
        self._data.read()
        tests = root / "tests"
        self._texts = {
            str(path.relative_to(tests)): path.read_text(encoding="utf-8")
            for folder in ("unit", "integration")
            for path in sorted((tests / folder).rglob("test_*.py"))
            if "simulator" not in path.parts
        }
        longest = (tests / "longest.txt").read_text(encoding="utf-8").split()
        self._slow = {name: len(longest) - number for number, name in enumerate(longest)}

    def tests(self, mutant: Mutant) -> list[str]:
        """Files and folders below ``tests``, the likeliest to notice the mutant first."""
        reached = self._reached(mutant) if mutant.path.endswith(".py") else Counter[str]()
        named = Counter({name: self._named(mutant.path, text) for name, text in self._texts.items()})
        names = {name for name, count in named.items() if count} | set(reached)
        if not any(name.startswith("unit/") for name in reached):
            names |= {name for name in self._texts if _is_near(name, mutant.path)}
        ranked = sorted(names, key=lambda name: self._rank(name, mutant.path, reached[name], named[name]))
        return list(dict.fromkeys([*mutant.tests, *ranked]))

    def _reached(self, mutant: Mutant) -> Counter[str]:
        """How many lines of the mutant's file are reached by what reaches the mutant (or, failing that, the file)."""
        found = self._data.contexts_by_lineno(str(self._root / mutant.path))
        # A process that was started by one file of tests, and forked for another, is of both.
        lines = {line: [name.rpartition("|")[2] for name in names] for line, names in found.items()}
        counts = Counter(name for names in lines.values() for name in names if name)
        there = {name for line in range(mutant.line, mutant.last + 1) for name in lines.get(line, ()) if name}
        return Counter({name: count for name, count in counts.items() if name in there or not there})

    def _named(self, path: str, text: str) -> int:
        """How often a test names what is mutated: a module's path of import, a role or a playbook."""
        stem = Path(path).stem
        if path.startswith("plugins/plugin_utils/"):
            dotted = path.removeprefix("plugins/").removesuffix(".py").replace("/", ".")
            package, _dot, module = dotted.rpartition(".")
            imported = rf"{re.escape(dotted)}\b|{re.escape(package)} import [^\n]*\b{module}\b"
            return len(re.findall(imported, text))
        if path.startswith("plugins/"):
            return len(re.findall(rf"selinux\.{stem}\b", text))
        if path.startswith("roles/"):
            role = path.split("/")[1]
            return len(re.findall("reinstall_step|rollout" if role == "reinstall" else rf"\b{role}\b", text))
        name = "rollout|gate" if path.startswith("playbooks/tasks") else stem
        return len(re.findall(rf"selinux\.({name})\b", text))

    def _rank(self, name: str, path: str, reached: int, named: int) -> tuple[int, int, int, int, str]:
        own = Path(name).stem == f"test_{Path(path).stem}"
        unit, near = name.startswith("unit/"), _is_near(name, path)
        return (not own, not near, 0 if unit else 1 + self._slow.get(name, 0), -(reached or named), name)


def _is_near(name: str, path: str) -> bool:
    """Whether a unit test is of the mutant's package."""
    return name.startswith("unit/") and name.split("/")[1] in Path(path).parts
