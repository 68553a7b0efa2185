# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which tests may notice a mutant: those that reach its lines, in stages, what is near and quick first.

What reaches what is measured by ``make coverage``, by file of tests (or by folder, where its files look at one fleet),
and so is how long each test takes. Lines that run when a module is imported belong to nobody there, and plays are not
measured: so tests that name or import what is mutated are asked too.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from pathlib import Path

import coverage

from .mutant import Mutant

#: Unit tests that take no longer than this many seconds are run together, before any other.
_QUICK = 15.0
#: For how long what was not measured is taken, in seconds: unit tests, others.
_UNKNOWN = (5.0, 60.0)
_MEASURED = ("plugins/plugin_utils/", "plugins/action/")
#: Reads the constants and defaults of all modules, which it imports by no name that is written in it.
_CONSTANTS = "unit/collection/test_constants.py"


class Covering:
    """Finds tests in a working copy by what ``make coverage`` measured there."""

    def __init__(self, root: Path) -> None:
        self._root = root
        measured = root / "build" / "coverage"
        self._data = coverage.CoverageData(str(measured / "data"))
        self._data.read()
        tests = root / "tests"
        texts = {
            str(path.relative_to(tests)): path.read_text(encoding="utf-8")
            for folder in ("unit", "integration")
            for path in sorted((tests / folder).rglob("test_*.py"))
            if "simulator" not in path.parts
        }
        self._texts: dict[str, str] = {}
        for name, text in texts.items():
            together = _together(name)
            self._texts[together] = self._texts.get(together, "") + text
        self._seconds: Counter[str] = Counter()
        for name, seconds in times(root).items():
            self._seconds[_together(name.split("::")[0].removeprefix("tests/"))] += seconds

    def stages(self, mutant: Mutant, most: int) -> list[list[str]]:
        """Files and folders below ``tests``, at most so many outside ``unit``; a stage is run as a whole."""
        reached = self._reached(mutant) if mutant.path.endswith(".py") else Counter[str]()
        named = Counter({name: self._named(mutant.path, text) for name, text in self._texts.items()})
        names = {name for name, count in named.items() if count} | set(reached)
        if not any(name.startswith("unit/") for name in reached):
            names |= {name for name in self._texts if _is_near(name, mutant.path)}
        # A test that was written since nobody measured.
        names |= {name for name in self._texts if name.startswith("unit/") and _is_own(name, mutant.path)}
        if mutant.path.startswith(_MEASURED) and not self._in_function(mutant):
            names |= {name for name in self._texts if name == _CONSTANTS}
        names -= set(mutant.tests)
        ranked = sorted(names, key=lambda name: (self._rank(name, mutant.path, reached[name], named[name]), name))
        units = [name for name in ranked if name.startswith("unit/")]
        quick = [name for name in units if self._cost(name) <= _QUICK or _is_own(name, mutant.path)]
        near = [name for name in quick if _is_near(name, mutant.path) or _is_own(name, mutant.path)]
        far = [name for name in quick if name not in near]
        slow = [[name] for name in units if name not in quick]
        others = [[name] for name in ranked if name not in units][:most]
        return [stage for stage in ([*mutant.tests], near, far, *slow, *others) if stage]

    def _reached(self, mutant: Mutant) -> Counter[str]:
        """How many lines of the mutant's file are reached by what reaches the mutant (or, failing that, the file)."""
        found = self._data.contexts_by_lineno(str(self._root / mutant.path))
        # A process that was started by one file of tests, and forked for another, is of both.
        lines = {line: [name.rpartition("|")[2] for name in names] for line, names in found.items()}
        counts = Counter(name for names in lines.values() for name in names if name)
        spoilt = range(mutant.line, mutant.last + 1) if lines and self._in_function(mutant) else ()
        there = {name for line in spoilt for name in lines.get(line, ()) if name}
        measured = {name: count for name, count in counts.items() if name in there or not there}
        return Counter({name: measured[of] for of in measured for name in self._texts if _is_in(name, of)})

    def _in_function(self, mutant: Mutant) -> bool:
        """Whether it is run by calls. Else it runs on import, which is measured only of tests that start processes."""
        tree = ast.parse((self._root / mutant.path).read_text(encoding="utf-8"))
        functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
        return any(node.body[0].lineno <= mutant.line <= (node.end_lineno or 0) for node in functions)

    def _named(self, path: str, text: str) -> int:
        """How often a test names what is mutated: a module's path of import, a role or a playbook."""
        stem = Path(path).stem
        if path.startswith("plugins/plugin_utils/"):
            dotted = path.removeprefix("plugins/").removesuffix(".py").replace("/", ".")
            package, _dot, module = dotted.rpartition(".")
            imported = rf"{re.escape(dotted)}\b|{re.escape(package)} import (?:\([^)]*|[^\n(]*)\b{module}\b"
            return len(re.findall(imported, text))
        if path.startswith("plugins/"):
            return len(re.findall(rf"selinux\.{stem}\b", text))
        if path.startswith("roles/"):
            role = path.split("/")[1]
            return len(re.findall("reinstall_step|rollout" if role == "reinstall" else rf"\b{role}\b", text))
        name = "rollout|gate" if path.startswith("playbooks/tasks") else stem
        return len(re.findall(rf"selinux\.({name})\b", text))

    def _rank(self, name: str, path: str, reached: int, named: int) -> tuple[bool, float]:
        """What is named after the mutant's file comes first; then what looks at much of it in little time."""
        return not _is_own(name, path), self._cost(name) / (1 + reached) / (1 + named)

    def _cost(self, name: str) -> float:
        return self._seconds[name] or _UNKNOWN[not name.startswith("unit/")]


def times(root: Path) -> dict[str, float]:
    """How many seconds each test took when ``make coverage`` ran it."""
    kept = root / "build" / "coverage" / "times.json"
    found: dict[str, float] = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    return found


def _together(name: str) -> str:
    """A file of tests, or the folder whose files look at one fleet, which are run as one."""
    return str(Path(name).parent) if len(Path(name).parts) > 3 and not name.startswith("unit/") else name


def _is_in(name: str, measured: str) -> bool:
    """Whether tests are what was measured under a name, or are in that folder."""
    return name == measured or name.startswith(f"{measured}/")


def _is_own(name: str, path: str) -> bool:
    """Whether a test is named after the mutant's file."""
    return Path(name).stem == f"test_{Path(path).stem}"


def _is_near(name: str, path: str) -> bool:
    """Whether a unit test is of the mutant's package; what is documented or written as plays is the collection's."""
    packages = {*Path(path).parts, "actions"} if path.startswith("plugins/action/") else {*Path(path).parts}
    if not path.startswith(_MEASURED):
        packages.add("collection")
    return name.startswith("unit/") and name.split("/")[1] in packages
