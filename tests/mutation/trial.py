# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Try mutants: each in a copy of the working copy, with the tests that may notice it.

A worker has what tests import loaded once, and forks for each mutant, which spares a second and a half each time. The
project's own modules are imported by the fork, from the copy.
"""

from __future__ import annotations

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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a mutant.

    Attributes:
        state: ``killed``, ``survived``, or ``unknown`` where the time was over before a test failed or all had passed.
        by: the test that noticed it; else how it ended.
        tests: the files that were run.
        seconds: wall-clock time.
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


class Trial:
    """Runs mutants one after another in its own copy."""

    def __init__(self, root: Path, directory: Path, *, seconds: int) -> None:
        self._copy = directory
        self._seconds = seconds
        self._written = time.time() - 1_000_000
        copy(root, directory)
        for name in _LOADED:
            importlib.import_module(name)

    def run(self, mutant: Mutant | None, tests: Sequence[str]) -> Outcome:
        """Run tests until one fails; with no mutant they should not."""
        begun = time.monotonic()
        if mutant is None:
            code = self._pytest(tests)
        else:
            path = self._copy / mutant.path
            text = path.read_text(encoding="utf-8")
            try:
                self._write(path, mutant.applied(text))
                code = self._pytest(tests)
            finally:
                self._write(path, text)
        state = {0: "survived", 1: "killed", 2: "killed", _OUT_OF_TIME: "unknown"}.get(code)
        output = (self._copy / "output.txt").read_text(encoding="utf-8", errors="replace")
        if not state:
            raise RuntimeError(f"pytest ended with {code} for {mutant}:\n{output[-2000:]}")
        by = "out of time" if code == _OUT_OF_TIME else _first_failure(output) if state == "killed" else "all passed"
        return Outcome(state, by, list(tests), time.monotonic() - begun)

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text, encoding="utf-8")
        # Python knows a file again by its size and its second.
        self._written += 2
        os.utime(path, (self._written, self._written))

    def _pytest(self, tests: Sequence[str]) -> int:
        """The code that pytest ended with; it and all that it started is killed when the time is over.

        Then no test had failed yet. A single test that hangs is not meant, it fails by its own timeout.
        """
        pid = os.fork()
        if pid == 0:
            try:
                self._be_pytest(tests)
            finally:
                os._exit(70)
        end = time.monotonic() + self._seconds
        while time.monotonic() < end:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                _kill_group(pid)
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.05)
        _kill_group(pid)
        os.waitpid(pid, 0)
        return _OUT_OF_TIME

    def _be_pytest(self, tests: Sequence[str]) -> None:
        import pytest

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
        options = ["-x", "-rfE", "--tb=line", "-p", "no:cacheprovider", f"--basetemp={self._copy / 'temporary'}"]
        code = pytest.main([*options, *(f"tests/{name}" for name in tests)])
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(code))

    def _ours(self) -> set[Path]:
        here = Path(__file__).resolve().parent.parent
        return {here, here.parent, here.parent / ".collections"}


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _first_failure(output: str) -> str:
    for line in output.splitlines():
        if line.startswith(("FAILED ", "ERROR ")):
            return line.split(" ", 1)[1][:200]
    return "pytest could not be run"


def serve(root: Path, directory: Path, seconds: int, requests: Any, answers: Any) -> None:
    """Be a worker: mutants and their tests as lines of JSON come in, outcomes go out."""
    trial = Trial(root, directory, seconds=seconds)
    for line in requests:
        fields, tests = json.loads(line)
        outcome = trial.run(Mutant(**fields) if fields else None, tests)
        answers.write(json.dumps(dataclasses.asdict(outcome)) + "\n")
        answers.flush()
