# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the mutants that mutmut makes of the gate, each in a fork of one process that has collected the tests once.

mutmut's own runner collects the tests anew for each mutant, which takes hours for some thousand mutants. Its mutants
are used as they are, but for one thing: it leaves out classes with a decorator, so all dataclasses, and here they are
mutated too. Called by mutate.sh, in the scratch directory.

usage: mutate.py RESULTS PATTERN...
    RESULTS   a JSON file, {mutant: "killed" | "timeout" | "survived"}; it is read too, and mutants in it that did not
              survive are not run again
    PATTERN   shell patterns of mutants (verdict.x_decide__mutmut_*); all without any
"""

from __future__ import annotations

import difflib
import fnmatch
import gc
import hashlib
import json
import os
import re
import resource
import shutil
import sys
import tempfile
import time
import types
from collections import defaultdict
from pathlib import Path
from typing import Any

import libcst
import pytest
from _pytest.runner import runtestprotocol
from mutmut import file_mutation

PACKAGE = "ansible_collections.talosops.selinux.plugins.plugin_utils.gate"
GATE = Path(PACKAGE.replace(".", "/"))
JOBS = int(os.environ.get("MUTATE_JOBS", "2"))
MEMORY = 4 << 30
#: A mutant survives when all tests of the nearest files that call its function pass, and this many others.
MOST = int(os.environ.get("MUTATE_MOST", "100"))
#: After so many seconds no further mutant is begun.
SECONDS = float(os.environ.get("MUTATE_SECONDS", "inf"))
ORDER = ("functions", "shape", "verdict", "expression", "policy", "waivers", "request", "signing", "cohort", "binding")
#: The test file that is likely to kill a module's mutants comes first.
NEAREST = {"verdict": "verdict", "shape": "expression", "functions": "expression", "signing": "binding"}
NEAREST |= {"request": "request_and_cohort", "cohort": "request_and_cohort"}

#: What these hold is kept over tests, for mutants of modules that have no part in it.
KEPT, MAKERS = ("strict", "_nothing_cached"), ("compat", "errors", "expression", "functions", "policy", "shape")

_skip = file_mutation.MutationVisitor._skip_node_and_children


def _skip_but_not_classes(self: Any, node: Any) -> bool:
    return False if isinstance(node, libcst.ClassDef) else bool(_skip(self, node))


def make_mutants() -> dict[str, list[str]]:
    """Mutate the modules in place: ``{mutant: lines of its diff}``."""
    file_mutation.MutationVisitor._skip_node_and_children = _skip_but_not_classes
    found: dict[str, list[str]] = {}
    for path in sorted(GATE.glob("*.py")):
        source = path.read_text(encoding="utf-8")
        cached = Path("cache") / f"{path.stem}-{hashlib.sha256(source.encode('utf-8')).hexdigest()}.json"
        if not cached.exists():
            cached.parent.mkdir(exist_ok=True)
            cached.write_text(json.dumps(file_mutation.mutate_file_contents(str(path), source)), encoding="utf-8")
        code, names = json.loads(cached.read_text(encoding="utf-8"))
        path.write_text(code, encoding="utf-8")
        # mutmut reorders nothing: a function's original and its mutants are definitions one after another, whose names
        # all begin alike; those of functions in functions do not.
        bodies = {}
        for part in re.split(r"(?m)^(?=(?:    )?def x[_\u01c1])", code):
            name = re.match(r" *def (\S+?)\(", part)
            if name:
                body = re.split(r"(?m)^ *\S+__mutmut_mutants : ", part)[0]
                bodies[name[1]] = body.replace(name[1], re.sub(r"__mutmut_\w+$", "", name[1]), 1).splitlines()
        for name in names:
            original = bodies[re.sub(r"_\d+$", "_orig", name)]
            lines = list(difflib.unified_diff(original, bodies[name], lineterm="", n=0))[2:]
            found[f"{path.stem}.{name}"] = [line for line in lines if not line.startswith("@@")]
    return found


def install(kind: str, only: str | None = None) -> None:
    """Let functions run their original or a mutant (``kind`` is the end of its name), without mutmut's trampolines."""
    for module in [value for name, value in sys.modules.items() if name.startswith(f"{PACKAGE}.")]:
        prefix = module.__name__.rpartition(".")[2]
        classes = [value for value in vars(module).values() if isinstance(value, type)]
        for place in (module, *classes):
            for name, function in list(vars(place).items()):
                mangled = name.removesuffix(f"__mutmut_{kind}")
                own = getattr(place, "__module__", module.__name__) == module.__name__
                if mangled != name and own and only in (None, f"{prefix}.{mangled}"):
                    # In place, since other modules hold the function itself.
                    plain = re.split("_|\u01c1", mangled, maxsplit=1)[1].rpartition("\u01c1")[2]
                    trampoline = vars(place)[plain]
                    trampoline.__code__ = function.__code__
                    trampoline.__defaults__ = function.__defaults__
                    trampoline.__kwdefaults__ = function.__kwdefaults__


def passes(item: Any, following: Any) -> bool:
    """Run one test without the costly report that nobody reads."""
    item._initrequest()
    try:
        item.ihook.pytest_runtest_setup(item=item)
        item.ihook.pytest_runtest_call(item=item)
        item.ihook.pytest_runtest_teardown(item=item, nextitem=following)
    except BaseException:
        return False
    return True


class Runner:
    """The pytest plugin that takes over after collection."""

    def __init__(self, results: Path, patterns: list[str], diffs: dict[str, list[str]]) -> None:
        self.results, self.diffs = results, diffs
        self.state: dict[str, str] = json.loads(results.read_text(encoding="utf-8")) if results.exists() else {}
        self.mutants = [
            name
            for name in diffs
            if self.state.get(name, "survived") == "survived"
            and (not patterns or any(fnmatch.fnmatch(name, pattern) for pattern in patterns))
        ]
        self.mutants.sort(
            key=lambda name: name not in self.state and 1 + [*ORDER, name.split(".")[0]].index(name.split(".")[0])
        )
        self.hits: set[str] = set()
        self.by_function: dict[str, list[Any]] = defaultdict(list)
        self.seconds: dict[str, float] = {}
        self.killers: dict[str, list[Any]] = defaultdict(list)
        # What mutmut's trampolines import when they are asked for statistics.
        stub: Any = types.ModuleType("mutmut.__main__")
        stub.record_trampoline_hit = self.hits.add
        sys.modules["mutmut.__main__"] = stub

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed or not session.items:
            raise SystemExit("the tests cannot be collected")
        self.items = session.items
        self.learn(session.items)
        install("orig")
        manager: Any = session._fixturemanager
        self.kept = [fixture for name in KEPT for fixture in manager.getfixturedefs(name, session.items[0])]
        first = next(item for item in session.items if "strict" in item.fixturenames)
        if not passes(first, session.items[-1]):
            raise SystemExit("the tests fail")
        self.run(session.config)
        self.confirm(session.config)
        return True

    def learn(self, items: list[pytest.Item]) -> None:
        """Which tests call which functions."""
        os.environ["MUTANT_UNDER_TEST"] = "stats"
        self.hits.clear()
        sys.modules[f"{PACKAGE}.policy"].load_policy("strict")
        strict = set(self.hits)
        for item, following in zip(items, [*items[1:], None], strict=True):
            self.hits.clear()
            start = time.perf_counter()
            reports = runtestprotocol(item, nextitem=following, log=False)
            if "strict" in getattr(item, "fixturenames", ()):
                # The fixture is made for the first test of the session only.
                self.hits.update(strict)
            self.seconds[item.nodeid] = time.perf_counter() - start
            for report in reports:
                if report.failed:
                    raise SystemExit(f"{item.nodeid} fails without any mutant:\n{report.longreprtext}")
            for name in self.hits:
                self.by_function[name.removeprefix(f"{PACKAGE}.")].append(item)

    def ordered(self, function: str) -> list[pytest.Item]:
        """The tests of a function: the last killers of its mutants, then those of the nearest files, then others; of
        each test its first case before any second."""
        module = function.split(".")[0]
        near = (f"test_{NEAREST.get(module, module)}.py", "test_to_the_word.py")
        turn: dict[str, int] = defaultdict(int)
        ranked: dict[bool, list[tuple[int, float, str, Any]]] = {False: [], True: []}
        for item in self.by_function[function]:
            test = item.nodeid.split("[")[0]
            far = not any(name in test for name in near)
            ranked[far].append((turn[test], self.seconds[item.nodeid], item.nodeid, item))
            turn[test] += 1
        nearest, others = ([entry[-1] for entry in sorted(ranked[far], key=lambda e: e[:-1])] for far in (False, True))
        most = len(others) if ".control" in function else MOST
        return list(dict.fromkeys([*reversed(self.killers[function][-8:]), *nearest, *others[:most]]))

    def run(self, config: pytest.Config) -> None:
        gc.collect()
        gc.freeze()
        running: dict[int, tuple[str, str, list[Any], int, Path]] = {}
        # With no mutant at all every test must pass, with the kept fixtures and without them.
        controls = [f"{module}.control__mutmut_orig" for module in ("verdict", "policy")]
        for name in controls:
            self.by_function[name.rpartition("__mutmut_")[0]] = list(self.items)
            self.diffs[name] = ["no mutant"]
        start, queue = time.monotonic(), list(reversed([*self.mutants, *controls]))
        done = 0
        while queue or running:
            if queue and time.monotonic() - start > SECONDS:
                queue = [name for name in queue if name in controls]
            if queue and len(running) < JOBS:
                name = queue.pop()
                function = name.rpartition("__mutmut_")[0]
                tests = self.ordered(function)
                scratch = Path(tempfile.mkdtemp(prefix="mutant-"))
                reader, writer = os.pipe()
                pid = os.fork()
                if pid == 0:
                    self.child(name, tests, writer, scratch, config)
                os.close(writer)
                running[pid] = (name, function, tests, reader, scratch)
                continue
            pid, status = os.wait()
            name, function, tests, reader, scratch = running.pop(pid)
            killer = os.read(reader, 16)
            os.close(reader)
            shutil.rmtree(scratch, ignore_errors=True)
            if killer:
                self.state[name] = "killed"
                self.killers[function].append(tests[int(killer)])
            else:
                self.state[name] = "survived" if status == 0 else "timeout"
                print(f"{self.state[name]}: {name} ({len(tests)} tests)", *self.diffs[name], sep="\n  ", flush=True)
            if name in controls:
                del self.diffs[name]
                survived = self.state.pop(name) == "survived"
                self.results.write_text(json.dumps(self.state, indent=0), encoding="utf-8")
                if not survived:
                    raise SystemExit(f"{tests[int(killer or 0)].nodeid} fails without any mutant")
                continue
            done += 1
            if done % 25 == 0 or not (queue or running):
                print(f"{done}/{len(self.mutants)} after {time.monotonic() - start:.0f} s", flush=True)
                self.results.write_text(json.dumps(self.state, indent=0), encoding="utf-8")

    def confirm(self, config: pytest.Config) -> None:
        """Every test that killed a mutant must pass alone without one: its order did not kill."""
        for item in {item.nodeid: item for items in self.killers.values() for item in items}.values():
            pid = os.fork()
            if pid == 0:
                config_any: Any = config
                config_any._tmp_path_factory._basetemp = Path(tempfile.mkdtemp(prefix="mutant-"))
                os._exit(0 if passes(item, None) else 1)
            if os.waitpid(pid, 0)[1] != 0:
                raise SystemExit(f"{item.nodeid} fails alone without any mutant")
        print("every test that killed a mutant passes alone without one")

    def child(self, name: str, tests: list[Any], writer: int, scratch: Path, config: Any) -> None:
        function, _unused, number = name.rpartition("__mutmut_")
        install(number, function)
        for fixture in self.kept:
            if name.split(".")[0] in MAKERS:
                fixture.cached_result, fixture._finalizers = None, []
            elif fixture.argname == "_nothing_cached":
                fixture.func = lambda: None
        config._tmp_path_factory._basetemp = scratch
        # Seconds of the processor, so that a busy machine kills no mutant.
        seconds = int(5 * sum(self.seconds[item.nodeid] for item in tests)) + 10
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        for index, item in enumerate(tests):
            following = tests[index + 1] if index + 1 < len(tests) else None
            if not passes(item, following):
                os.write(writer, str(index).encode("ascii"))
                os._exit(1)
        os._exit(0)

    def summary(self) -> None:
        counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for name in self.diffs:
            counts[name.split(".")[0]][self.state.get(name, "not run")] += 1
        for module, by_state in counts.items():
            print(f"{module}: {sum(by_state.values())} mutants, {dict(by_state)}")


def main() -> int:
    results, *patterns = sys.argv[1:]
    runner = Runner(Path(results), patterns, make_mutants())
    os.environ["MUTANT_UNDER_TEST"] = "none"
    pytest.main(["tests/unit/gate", "-s", "-q", "-p", "no:cacheprovider", "--import-mode=importlib"], [runner])
    runner.summary()
    return 0


if __name__ == "__main__":
    sys.exit(main())
