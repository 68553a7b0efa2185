# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible's programs without their start: a process that has imported everything forks one for each run.

A start with its imports costs a second and a half of CPU, and the suite runs a hundred playbooks. The fork is a process
with its own session, working directory, environment and output, and ends with the exit code that
``ansible-playbook`` (or ``ansible-inventory``) would have; ``test_preloaded.py`` holds the two against each other.
"""

from __future__ import annotations

import atexit
import dataclasses
import json
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

#: Settings that a run reads when it needs them.
_LATER = {"ANSIBLE_HOME", "ANSIBLE_CALLBACK_RESULT_FORMAT"}
_SERVER = Path(__file__).parent / "preloaded_server.py"


class Process:
    """A run. Of subprocess.Popen it has what tests use: ``pid``, ``poll`` and ``wait``."""

    def __init__(self, reader: int) -> None:
        self._reader = os.fdopen(reader, "rb", buffering=0)
        self.returncode: int | None = None
        self.pid = int(self._line())

    def poll(self) -> int | None:
        """The exit code, negative for a signal's number, or None while the run goes on."""
        if self.returncode is None and select.select([self._reader], [], [], 0)[0]:
            self.returncode = int(self._line())
            self._reader.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code. Raises subprocess.TimeoutExpired after ``timeout`` seconds."""
        if self.returncode is None:
            select.select([self._reader], [], [], timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired("ansible", timeout or 0)
        return code

    def _line(self) -> bytes:
        line = bytearray()
        while not line.endswith(b"\n"):
            byte = self._reader.read(1)
            if not byte:
                raise RuntimeError("the preloaded Ansible ended while something ran; its output is on stderr")
            line += byte
        return bytes(line)


class Preloaded:
    """Starts the process that forks, and asks it for runs."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = ours
        self._lock = threading.Lock()
        self.environment = dict(environment)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(_SERVER), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env=self.environment,
            )

    def close(self) -> None:
        """Let the process end, since nobody asks any more; runs that go on are left alone."""
        self._socket.close()
        self._process.wait(timeout=60)

    def fits(self, environment: Mapping[str, str]) -> bool:
        """Whether a run in this environment differs in nothing that Ansible's modules read when they are imported."""

        def read(given: Mapping[str, str]) -> dict[str, str]:
            first = ("ANSIBLE_", "PYTHON", "LC_", "LANG")
            return {key: value for key, value in given.items() if key.startswith(first) and key not in _LATER}

        return self._process.poll() is None and read(environment) == read(self.environment)

    def start(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        output: Path,
        errors: Path,
        environment: Mapping[str, str],
        defaults: Mapping[str, Mapping[str, Any]],
    ) -> Process:
        """Start this command of Ansible."""
        reader, writer = os.pipe()
        request = {
            "command": list(command),
            "cwd": str(cwd),
            "output": str(output),
            "errors": str(errors),
            "env": dict(environment),
            "defaults": defaults,
        }
        try:
            with self._lock:
                socket.send_fds(self._socket, [json.dumps(request).encode()], [writer])
        finally:
            os.close(writer)
        return Process(reader)


@dataclasses.dataclass
class _Only:
    """The preloaded Ansible of this process."""

    one: Preloaded | None = None


_only = _Only()


def start(
    command: Sequence[str],
    *,
    cwd: Path,
    output: Path,
    errors: Path,
    environment: Mapping[str, str],
    usual: Mapping[str, str],
    defaults: Mapping[str, Mapping[str, Any]],
) -> Process | None:
    """Start a command of Ansible by a fork; None where this environment needs a process of its own.

    Args:
        command: its name, ``ansible``, ``ansible-playbook`` or ``ansible-inventory``, and its arguments.
        output: the file of its standard output; ``errors`` of the other one, which may be the same.
        usual: the environment that most runs have, whichever run is the first.
        defaults: of arguments of the collection's functions, for times that no operator sets:
            ``{"image.http:Http.__init__": {"backoff": 0.1}}``.
    """
    if _only.one is None:
        _only.one = Preloaded(usual)
        atexit.register(_only.one.close)
    if not _only.one.fits(environment):
        return None
    return _only.one.start(command, cwd=cwd, output=output, errors=errors, environment=environment, defaults=defaults)
