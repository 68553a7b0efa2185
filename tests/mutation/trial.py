# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Try mutants: each in a copy of the working copy, with the tests that may notice it.

A worker has what tests import loaded once, and forks for each stage of tests, which spares a second and a half each
time. The project's own modules are imported by the fork, from the copy. What a mutant may cost is counted in seconds of
CPU, so that a busy machine changes nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from .covering import times
from .mutant import Mutant

#: Third-party modules that most tests import.
_LOADED = (
    "_pytest.assertion.rewrite",
    "ansible.utils.display",
    "coverage",
    "cryptography.x509",
    "google.protobuf.descriptor_pool",
    "grpclib.client",
    "h2.connection",
    "hypothesis",
    "jmespath",
    "jsonschema",
    "kubernetes.client",
    "psutil",
    "pytest_timeout",
    "yaml",
)
_MEMORY = 6 << 30
#: What stands for the code of a pytest that was stopped.
_OUT_OF_TIME = -1
#: What the fork ends with where pytest could not even begin.
_NOT_BEGUN = 70
#: Arguments that pytest does not understand, or no tests: no mutant does that, nor does one keep pytest from beginning.
_ASKED_WRONGLY = (4, 5, _NOT_BEGUN)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a mutant.

    Attributes:
        state: ``killed``; ``survived`` where all its tests passed; ``unknown`` where its time was over before that.
        by: the test that noticed it, or the file that could not be read; else how it ended.
        tests: the files that were run to their end, or to the first failure.
        seconds: of CPU.
    """

    state: str
    by: str
    tests: list[str]
    seconds: float


def copy(root: Path, into: Path) -> None:
    """Make a copy of the tracked files, and of those that are to be."""
    shutil.rmtree(into, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        source, target = root / name, into / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    link = into / ".collections" / "ansible_collections" / "talosops" / "selinux"
    link.parent.mkdir(parents=True)
    link.symlink_to("../../..", target_is_directory=True)


class _Within:
    """Makes pytest begin with the quick tests of each file of unit tests, end what hangs sooner, name what fails."""

    def __init__(self, times: Mapping[str, float], failed: Path) -> None:
        self._times = times
        self._failed = failed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._keep(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._keep(report)

    def _keep(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed and not self._failed.exists():
            self._failed.write_text(report.nodeid, encoding="utf-8")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        files = {name: number for number, name in enumerate(dict.fromkeys(item.path for item in items))}
        slow = {item: self._times.get(item.nodeid, 0.0) if "/unit/" in str(item.path) else 0.0 for item in items}
        items.sort(key=lambda item: (files[item.path], slow[item]))
        for item in items:
            if item.nodeid in self._times:
                # Ten times what it took where other tests ran beside it and all was measured.
                item.add_marker(pytest.mark.timeout(min(280, 40 + 10 * self._times[item.nodeid])))


class Trial:
    """Runs mutants one after another in its own copy."""

    def __init__(self, root: Path, directory: Path, *, seconds: int) -> None:
        self._copy = directory
        self._seconds = seconds
        self._times = times(root)
        self._written = time.time() - 1_000_000
        copy(root, directory)
        for name in _LOADED:
            importlib.import_module(name)

    def run(self, mutant: Mutant | None, stages: Sequence[Sequence[str]]) -> Outcome:
        """Run tests until one fails; with no mutant they should not."""
        if mutant is None:
            return self._run(stages)
        path = self._copy / mutant.path
        text = path.read_text(encoding="utf-8")
        try:
            self._write(path, mutant.applied(text))
            return self._run(stages)
        finally:
            self._write(path, text)

    def _run(self, stages: Sequence[Sequence[str]]) -> Outcome:
        spent = 0.0
        passed: list[str] = []
        for tests in stages:
            code, seconds = self._pytest(tests, self._seconds - spent)
            spent += seconds
            if code == _OUT_OF_TIME:
                left = sum(map(len, stages)) - len(passed)
                return Outcome("unknown", f"out of time, with {left} test files left", passed, spent)
            passed += tests
            output = (self._copy / "output.txt").read_text(encoding="utf-8", errors="replace")
            # A conftest.py that cannot be imported is no failure of a test.
            if code in _ASKED_WRONGLY and "while loading conftest" not in output:
                raise RuntimeError(f"pytest ended with {code}:\n{output[-2000:]}")
            if code != 0:
                failed = self._copy / "failed.txt"
                by = failed.read_text(encoding="utf-8") if failed.is_file() else f"pytest ended with {code}"
                return Outcome("killed", by, passed, spent)
        return Outcome("survived", "all passed", passed, spent)

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text, encoding="utf-8")
        # Python knows a file again by its size and its second.
        self._written += 2
        os.utime(path, (self._written, self._written))

    def _pytest(self, tests: Sequence[str], limit: float) -> tuple[int, float]:
        """The code that pytest ended with and the CPU time that it took.

        It and all that it started is killed where it takes more, then no test had failed yet; so is what waits for ever
        where no test's own timeout ends it.
        """
        (self._copy / "failed.txt").unlink(missing_ok=True)
        pid = os.fork()
        if pid == 0:
            try:
                self._be_pytest(tests)
            finally:
                os._exit(_NOT_BEGUN)
        end = time.monotonic() + 10 * self._seconds
        spent = 0.0
        while spent < limit and time.monotonic() < end:
            for _moment in range(10):
                ended, status, usage = os.wait4(pid, os.WNOHANG)
                if ended:
                    _kill_group(pid)
                    return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
                time.sleep(0.05)
            spent = _cpu(pid)
        _kill_group(pid)
        os.waitpid(pid, 0)
        return _OUT_OF_TIME, spent

    def _be_pytest(self, tests: Sequence[str]) -> None:
        os.setsid()
        os.chdir(self._copy)
        output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        for name in [name for name in sys.modules if name.split(".")[0] == "mutation"]:
            del sys.modules[name]
        imports = [str(self._copy / "tests"), str(self._copy / ".collections")]
        sys.path[:] = imports + [entry for entry in sys.path if Path(entry) not in self._ours()]
        os.environ["PYTHONPATH"] = os.pathsep.join(imports)
        os.environ["ANSIBLE_COLLECTIONS_PATH"] = imports[1]
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(self._copy / ".hypothesis")
        options = ["-x", "--tb=line", "-p", "no:cacheprovider", f"--basetemp={self._copy / 'temporary'}"]
        watch = _Within(self._times, self._copy / "failed.txt")
        code = pytest.main([*options, *(f"tests/{name}" for name in tests)], [watch])
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(code))

    def _ours(self) -> set[Path]:
        here = Path(__file__).resolve().parent.parent
        return {here, here.parent, here.parent / ".collections"}


def _cpu(pid: int) -> float:
    """How much CPU time a process took, with all that it started and waited for."""
    spent = 0.0
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                taken = one.cpu_times()
                spent += taken.user + taken.system + taken.children_user + taken.children_system
    return spent


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def serve(root: Path, directory: Path, seconds: int, requests: Any, answers: Any) -> None:
    """Be a worker: mutants and their tests as lines of JSON come in, outcomes go out."""
    trial = Trial(root, directory, seconds=seconds)
    for line in requests:
        fields, stages = json.loads(line)
        outcome = trial.run(Mutant(**fields) if fields else None, stages)
        answers.write(json.dumps(dataclasses.asdict(outcome)) + "\n")
        answers.flush()
