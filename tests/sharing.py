# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the tests in several processes, which are forked once the tests are collected.

Collecting the tests imports what they need and makes their cases, which costs ten seconds of CPU. pytest-xdist does it
in each process; here it is done once. A process takes one share after the other, and reports to the process that
collected, whose pytest counts and shows as if it had run them itself.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import selectors
import signal
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import pytest

#: The length of a message, and of a share's number in the pipe of those that nobody took yet: read whole or not at all.
_NUMBER = 8


def run(session: pytest.Session, shares: Sequence[Sequence[pytest.Item]], workers: int) -> None:
    """Run each share of the session's tests in one of so many processes, the first shares first.

    A test that was not run to its end fails, also where its process died before it. Raises what ends pytest early.
    """
    # What is there now stays; a process that looked through it for garbage would also copy it.
    gc.collect()
    gc.freeze()
    # Made here, or else each process would make one of its own; pytest has no other name for it.
    temporary = vars(session.config)["_tmp_path_factory"]
    base = temporary.getbasetemp()
    untaken, giver = os.pipe()
    os.write(giver, b"".join(number.to_bytes(_NUMBER, "big") for number in range(len(shares))))
    os.close(giver)
    running: dict[int, int] = {}
    try:
        for number in range(min(workers, len(shares))):
            reader, writer = os.pipe()
            pid = os.fork()
            if pid == 0:
                for descriptor in (reader, *running):
                    os.close(descriptor)
                temporary._basetemp = base / f"worker-{number}"
                temporary._basetemp.mkdir(mode=0o700)
                _work(session, shares, untaken, writer)
            os.close(writer)
            running[reader] = pid
        _report(session, running)
    finally:
        os.close(untaken)
        for pid in running.values():
            os.kill(pid, signal.SIGINT)
            os.waitpid(pid, 0)


def _report(session: pytest.Session, running: dict[int, int]) -> None:
    """Tell this process's pytest what the others say, until all of them ended."""
    hook = session.config.hook
    left = {item.nodeid for item in session.items}
    with selectors.DefaultSelector() as selector:
        for reader in running:
            selector.register(reader, selectors.EVENT_READ)
        while running:
            for key, _events in selector.select():
                message = _receive(key.fd)
                if message is None:
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    os.waitpid(running.pop(key.fd), 0)
                    continue
                name, values = message
                if name == "pytest_runtest_logreport":
                    report = hook.pytest_report_from_serializable(config=session.config, data=values["data"])
                    hook.pytest_runtest_logreport(report=report)
                elif name == "pytest_warning_recorded":
                    warning = warnings.WarningMessage(*values.pop("warning_message"))
                    hook.pytest_warning_recorded.call_historic(kwargs={"warning_message": warning, **values})
                else:
                    getattr(hook, name)(**values)
                if name == "pytest_runtest_logfinish":
                    left.discard(values["nodeid"])
                if session.shouldfail:
                    raise session.Failed(session.shouldfail)
                if session.shouldstop:
                    raise session.Interrupted(session.shouldstop)
    for item in (item for item in session.items if item.nodeid in left):
        report = pytest.TestReport(
            item.nodeid, item.location, {}, "failed", "the process that ran it, or was to, ended before", "call"
        )
        hook.pytest_runtest_logreport(report=report)


def _work(session: pytest.Session, shares: Sequence[Sequence[pytest.Item]], untaken: int, writer: int) -> NoReturn:
    """Be a process that runs tests: take shares until none are left."""
    config = session.config
    code = 1
    try:
        capture = config.pluginmanager.getplugin("capturemanager")
        # What the process that forked captures with is a file of its own.
        capture.stop_global_capturing()
        capture.start_global_capturing()
        config.pluginmanager.unregister(name="terminalreporter")
        config.pluginmanager.register(_Reporter(config, writer))
        items = _taken(shares, untaken)
        item = next(items, None)
        while item is not None:
            # Which fixtures stay depends on what comes next.
            following = next(items, None)
            config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            item = following
        code = 0
    except KeyboardInterrupt:
        session._setupstate.teardown_exact(None)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _taken(shares: Sequence[Sequence[pytest.Item]], untaken: int) -> Iterator[pytest.Item]:
    while number := os.read(untaken, _NUMBER):
        yield from shares[int.from_bytes(number, "big")]


class _Reporter:
    """Passes what pytest says of tests on to the process that collected them."""

    def __init__(self, config: pytest.Config, writer: int) -> None:
        self._config = config
        self._writer = writer

    def _send(self, name: str, **values: Any) -> None:
        data = pickle.dumps((name, values))
        message = memoryview(len(data).to_bytes(_NUMBER, "big") + data)
        while message:
            message = message[os.write(self._writer, message) :]

    def pytest_runtest_logstart(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        self._send("pytest_runtest_logstart", nodeid=nodeid, location=location)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._send("pytest_runtest_logreport", data=data)

    def pytest_runtest_logfinish(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        self._send("pytest_runtest_logfinish", nodeid=nodeid, location=location)

    def pytest_warning_recorded(
        self,
        warning_message: warnings.WarningMessage,
        when: str,
        nodeid: str,
        location: tuple[str, int, str] | None,
    ) -> None:
        # Those of the collection are known, and were told to this plugin again when it was registered.
        if when != "runtest":
            return
        # Of any object that a warning carries only its text is sure to be understood elsewhere.
        one = warning_message
        kept = (str(one.message), one.category, one.filename, one.lineno)
        self._send("pytest_warning_recorded", warning_message=kept, when=when, nodeid=nodeid, location=location)


def _receive(reader: int) -> Any:
    """The next message, or None where its process ended, with or without having said all."""
    head = _read(reader, _NUMBER)
    data = _read(reader, int.from_bytes(head, "big")) if len(head) == _NUMBER else b""
    with contextlib.suppress(EOFError, pickle.UnpicklingError):
        return pickle.loads(data)
    return None


def _read(reader: int, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        more = os.read(reader, size - len(data))
        if not more:
            break
        data += more
    return bytes(data)
