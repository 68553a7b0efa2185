# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers whose program matters: run by this machine's shell, on the files and the tools of a made-up node.

What the tools write is what the real ones write: strace 6, socat 1.8, dd and mount of busybox. What they are answered
follows the node: one that enforces refuses, any other lets them through. A test can say otherwise for each tool.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import audit
from .node import Node

#: What a shell script finds in any image.
_COMMON = ("sh", "timeout", "tr", "head", "mkdir", "sleep")
_SELF_TEST = "strace: do_test_ptrace_get_syscall_info: PTRACE_TRACEME: Permission denied\n"
_SEIZE = "strace: attach: ptrace(PTRACE_SEIZE, 1): "
_CONNECT = 'socat[7] E connect(5, AF=1 "/host/system/run/machined/machine.sock", 40): '
_OPEN = "dd: can't open '/tmp/state/config.yaml': "
#: By tool and answer: what it writes, and what it ends with; None is a tool that hangs afterwards.
ANSWERS: dict[str, dict[str, tuple[str, int | None]]] = {
    "strace": {
        "EACCES": (_SELF_TEST + _SEIZE + "Permission denied", 1),
        "success": ("strace: Process 1 attached", None),
        "EPERM": (_SEIZE + "Operation not permitted", 1),
        "ENOENT": (_SEIZE + "No such process", 1),
        "EBUSY": (_SEIZE + "Device or resource busy", 1),
        "EINVAL": (_SEIZE + "Invalid argument", 1),
        "hangs": ("", None),
        "elsewhere": (_SELF_TEST.strip(), 1),
        "killed": (_SEIZE + "Permission denied", 137),
    },
    "socat": {
        "EACCES": (_CONNECT + "Permission denied", 1),
        "success": ("", 0),
        "EPERM": (_CONNECT + "Operation not permitted", 1),
        "ENOENT": (_CONNECT + "No such file or directory", 1),
        "EBUSY": (_CONNECT + "Connection refused", 1),
        "EINVAL": (_CONNECT + "Invalid argument", 1),
        "hangs": ("", None),
        "elsewhere": ("socat[7] E socket(1, 1, 0): Permission denied", 1),
        "killed": (_CONNECT + "Permission denied", 137),
    },
    "dd": {
        "EACCES": (_OPEN + "Permission denied", 1),
        "success": ("1+0 records in\n1+0 records out", 0),
        "EPERM": (_OPEN + "Operation not permitted", 1),
        "ENOENT": (_OPEN + "No such file or directory", 1),
        "EBUSY": (_OPEN + "Input/output error", 1),
        "EINVAL": (_OPEN + "Invalid argument", 1),
        "hangs": ("", None),
        "elsewhere": ("dd: can't open '/dev/null': Permission denied", 1),
        "killed": (_OPEN + "Permission denied", 137),
    },
    "mount": {
        "success": ("", 0),
        "EACCES": ("mount: mounting /host/dev/sda3 on /tmp/state failed: Permission denied", 1),
        "EBUSY": ("mount: mounting /host/dev/sda3 on /tmp/state failed: Resource busy", 1),
    },
    "umount": {"success": ("", 0)},
}
TOOLS = {"pid1": "strace", "machined": "socat", "state": "dd"}
#: What the kernel logs of an attempt that it refuses (Talos' policy; seen types of a pod, of init and of STATE).
_DENIALS: dict[str, dict[str, Any]] = {
    "pid1": {"tcontext": "init_t", "tclass": "process", "perms": "ptrace", "exe": "/usr/bin/strace"},
    "machined": {"tcontext": "machine_socket_t", "tclass": "sock_file", "perms": "write", "name": "machine.sock"},
    "state": {"tcontext": "system_state_t", "tclass": "file", "perms": "read", "name": "config.yaml", "dev": "sda3"},
}


@dataclass
class Behaviour:
    """How the containers of a node fare, where a test says it.

    Attributes:
        answers: tool to answer (`ANSWERS`), or ``missing``.
        status: lines of /proc/self/status and uid_map that differ: ``uid``, ``caps``, ``users``, ``boot``.
        message: a termination message instead of the program's own.
        mounted: whether the host has STATE mounted.
        records: whether refusals are logged.
    """

    answers: dict[str, str] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)
    message: bytes | None = None
    mounted: bool = False
    records: bool = True


@dataclass(frozen=True)
class Finished:
    """How a container ended; the times are the node's wall clock, in seconds since 1970."""

    exit_code: int
    message: bytes
    started: float
    finished: float


def run(node: Node, container: Mapping[str, Any], behaviour: Behaviour) -> Finished:
    """Run a container to its end."""
    started = node.clock.wall()
    usual = "EACCES" if node.selinux == "enforcing" else "success"
    answers = dict.fromkeys(TOOLS.values(), usual) | {"mount": "success", "umount": "success"} | behaviour.answers
    with tempfile.TemporaryDirectory(prefix="container-") as scratch:
        root = Path(scratch)
        _make_files(root, node, behaviour)
        _make_tools(root / "bin", answers)
        environment = {one["name"]: one["value"] for one in container.get("env", [])}
        done = subprocess.run(
            container["command"],
            env={**environment, "PATH": str(root / "bin"), "PROBE_ROOT": scratch},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
        )
        message = behaviour.message if behaviour.message is not None else (root / "dev/termination-log").read_bytes()
    if behaviour.records:
        _log(node, message.decode("utf-8", "replace"), answers)
    return Finished(done.returncode, message[:4096], started, node.clock.wall())


def _make_files(root: Path, node: Node, behaviour: Behaviour) -> None:
    known = {"uid": "0", "caps": "000001ffffffffff", "users": "0 0 4294967295", "boot": node.boot_id}
    known |= behaviour.status
    uid = known["uid"]
    files = {
        "proc/self/status": f"Name:\tsh\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nCapEff:\t{known['caps']}\n",
        "proc/self/uid_map": f"         {known['users']}\n",
        "proc/self/attr/current": "system_u:system_r:pod_t:s0\0",
        "proc/sys/kernel/random/boot_id": f"{known['boot']}\n",
        "dev/termination-log": "",
    }
    if behaviour.mounted:
        files["host/system/state/config.yaml"] = "version: v1alpha1\n"
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _make_tools(folder: Path, answers: Mapping[str, str]) -> None:
    folder.mkdir()
    for name in _COMMON:
        (folder / name).symlink_to(shutil.which(name) or f"/bin/{name}")
    for tool, answer in answers.items():
        if answer == "missing":
            continue
        text, code = ANSWERS[tool][answer]
        ending = "exec sleep 30" if code is None else f"exit {code}"
        path = folder / tool
        lines = "".join(f"{line}\n" for line in text.splitlines())
        path.write_text(
            f"#!/bin/sh\nwhile read -r line; do printf '%s\\n' \"$line\" >&2; done <<'END'\n{lines}END\n{ending}\n"
        )
        path.chmod(0o700)


def _log(node: Node, message: str, answers: Mapping[str, str]) -> None:
    if node.selinux != "enforcing":
        return
    for attempt, step, pid in re.findall(r"^try (\w+) (\w+) \d+ (\d+) ", message, re.MULTILINE):
        tool = TOOLS[attempt]
        if step in ("mount",) or answers[tool] not in ("EACCES", "killed", "elsewhere"):
            continue
        denial = {"scontext": "pod_t", "comm": tool, "pid": int(pid), **_DENIALS[attempt]}
        if attempt == "pid1":
            own = {**denial, "tcontext": "pod_t", "pid": int(pid) + 1}
            audit.append(node.kernel_logs(), node.boot_facts(), own)
        if answers[tool] != "elsewhere":
            audit.append(node.kernel_logs(), node.boot_facts(), denial)
    node.notify()
