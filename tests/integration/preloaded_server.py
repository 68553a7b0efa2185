# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The process that has Ansible loaded and forks a run of one of its programs for each request (see preloaded.py)."""

from __future__ import annotations

import atexit
import contextlib
import copy
import functools
import gc
import importlib
import inspect
import json
import os
import pkgutil
import select
import signal
import socket
import sys
import traceback
import warnings
from typing import Any

import coverage

_MAX_REQUEST = 1 << 20
_COLLECTION = "ansible_collections.talosops.selinux.plugins"
#: What a run would import later, in its own process or in each of its workers.
_MODULES = (
    "ansible.cli.adhoc",
    "ansible.cli.inventory",
    "ansible.cli.playbook",
    "ansible.executor.playbook_executor",
    "ansible.executor.task_queue_manager",
    "ansible.plugins.callback.default",
    "ansible.plugins.strategy.linear",
    "ansible.plugins.strategy.free",
    "ansible.plugins.connection.local",
    "ansible.plugins.connection.ssh",
    "ansible.plugins.shell.sh",
    "ansible.plugins.action.assert",
    "ansible.plugins.action.debug",
    "ansible.plugins.action.include_vars",
    "ansible.plugins.action.normal",
    "ansible.plugins.action.set_fact",
    "ansible.plugins.action.wait_for_connection",
    "ansible.plugins.inventory.auto",
    "ansible.plugins.inventory.yaml",
    "ansible.plugins.lookup.file",
    "ansible.plugins.filter.core",
    "ansible.plugins.filter.mathstuff",
    "ansible.plugins.test.core",
    "ansible.plugins.test.mathstuff",
    "ansible.plugins.vars.host_group_vars",
    "cryptography.x509",
    "grpclib.client",
    "kubernetes.client",
    "kubernetes.config",
)


def _serve(requests: socket.socket) -> None:
    """Fork a run for each request, and say how each ended; return when nobody is left to ask."""
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    _wake_on_child(waker)
    runs: dict[int, int] = {}
    while True:
        ready, _writable, _failed = select.select([requests, wake], [], [])
        if wake in ready:
            os.read(wake, 4096)
            _reap(runs)
        if requests in ready:
            data, descriptors, _flags, _address = socket.recv_fds(requests, _MAX_REQUEST, 1)
            if not data:
                return
            pid = os.fork()
            if pid == 0:
                for descriptor in (wake, waker, *runs.values(), *descriptors):
                    os.close(descriptor)
                requests.close()
                _run(**json.loads(data))
            runs[pid] = descriptors[0]
            _tell(descriptors[0], pid)


def _wake_on_child(waker: int) -> None:
    # A handler must be there for the number to be written.
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)


def _reap(runs: dict[int, int]) -> None:
    for pid in list(runs):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            _tell(runs[pid], os.waitstatus_to_exitcode(status))
            os.close(runs.pop(pid))


def _tell(descriptor: int, number: int) -> None:
    # Who asked may be gone.
    with contextlib.suppress(BrokenPipeError):
        os.write(descriptor, b"%d\n" % number)


def _run(command: list[str], cwd: str, output: str, errors: str, env: dict[str, str], defaults: dict[str, Any]) -> None:
    """Be the command in this forked process."""
    code: Any = 70
    try:
        _settle(cwd, output, errors, env)
        for name, values in defaults.items():
            _set_defaults(name, values)
        sys.argv = command
        program = command[0].removeprefix("ansible").removeprefix("-") or "adhoc"
        importlib.import_module(f"ansible.cli.{program}").main(command)
        code = 0
    except SystemExit as end:
        code = end.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(int(code or 0))


def _settle(cwd: str, output: str, errors: str, env: dict[str, str]) -> None:
    """Leave what belongs to the process that forked."""
    from ansible import constants
    from ansible.config import manager

    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for descriptor, path in ((1, output), (2, errors)):
        # Appended, since both may be one file.
        written = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(written, descriptor)
        os.close(written)
    # The settings depend on the environment, and their temporary directory is removed by the process that made it.
    atexit.unregister(manager.cleanup_tmp_file)
    definitions = constants.config._plugins
    importlib.reload(constants)
    # What settings the plugins have is written in their documentation, which does not change.
    constants.config._plugins = definitions
    measured = coverage.Coverage.current()
    if measured is not None:
        measured.switch_context(env["COVERAGE_CONTEXT"])


def _set_defaults(name: str, values: dict[str, Any]) -> None:
    """Give arguments of a function of the collection, named as ``package.module:Class.method``, other defaults."""
    module, _colon, path = name.partition(":")
    function = importlib.import_module(f"{_COLLECTION}.plugin_utils.{module}")
    for part in path.split("."):
        function = getattr(function, part)
    signature = inspect.signature(function)
    unknown = {key for key in values if signature.parameters[key].default is inspect.Parameter.empty}
    if unknown:
        raise ValueError(f"{name} has no default for {sorted(unknown)}")
    found: Any = function
    keywords = {key: value for key, value in values.items() if key in (found.__kwdefaults__ or {})}
    found.__kwdefaults__ = {**(found.__kwdefaults__ or {}), **keywords}
    positional = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.KEYWORD_ONLY]
    found.__defaults__ = tuple(
        values.get(one.name, one.default) for one in positional if one.default is not inspect.Parameter.empty
    )


def _preload() -> None:
    """Import what a run needs, and read what does not change."""
    from ansible import constants
    from ansible.config import manager

    for name in _MODULES:
        importlib.import_module(name)
    # Each run reads the settings again, whose definitions are a long YAML file that does not change.
    read = functools.cache(manager.ConfigManager._read_config_yaml_file)

    def read_once(self: Any, path: str) -> Any:
        return copy.deepcopy(read(None, path))

    manager.ConfigManager._read_config_yaml_file = read_once

    from ansible.plugins import loader

    loader.init_plugin_loader()
    importlib.reload(constants)
    for kind in ("become", "callback", "connection", "inventory", "shell"):
        list(getattr(loader, f"{kind}_loader").all(class_only=True))
    # Each run configures the same collections again.
    warnings.filterwarnings("ignore", message="AnsibleCollectionFinder has already been configured")
    for package in ("plugin_utils", "action"):
        root = importlib.import_module(f"{_COLLECTION}.{package}")
        for found in pkgutil.walk_packages(root.__path__, root.__name__ + "."):
            importlib.import_module(found.name)


if __name__ == "__main__":
    descriptor = int(sys.argv[1])
    sys.argv = ["ansible-playbook"]
    # This file's directory holds no modules for Ansible.
    sys.path.pop(0)
    _preload()
    # What is there now is shared with the runs for as long as nobody walks it.
    gc.freeze()
    _serve(socket.socket(fileno=descriptor))
