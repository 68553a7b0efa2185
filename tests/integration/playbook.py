# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run playbooks against a simulated fleet as an operator would, and look at what came out.

A play costs about a second of CPU even where Ansible is loaded already, so tests put many tasks into one.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import psutil
import quick_yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.files import document_of
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.saved import verdict_of
from simulator import Simulator

from . import preloaded

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = Path(sys.executable).parent
_CALLBACKS = Path(__file__).resolve().parent / "callbacks"
#: Times that fit the simulated machines, whose clock runs faster. A test that wants a timeout sets its own.
QUICK = {
    "rollout_allow_plain_http": True,
    "rollout_consent": "wipe",
    "rollout_version": "v1.14.1",
    "rollout_batch": 2,
    "rollout_soak_seconds": 1,
    "rollout_poll_seconds": 0.3,
    "rollout_drain_timeout": 200,
    "rollout_wipe_timeout": 200,
    "rollout_install_timeout": 200,
    "rollout_rejoin_timeout": 200,
}
#: Defaults of the collection that a busy machine does not run out of, no wait before a factory is asked again, and the
#: silence of simulated machines, whose reset takes a second.
PATIENT: dict[str, dict[str, Any]] = {
    "talos.tls:Deadlines.__init__": {"connect": 100, "call": 100, "log": 200, "node": 200},
    "actions:TalosAction.ask_fleet": {"node_deadline": 200},
    "image.http:Http.__init__": {"backoff": 0.05},
    "reinstall.wipe:_wait_until_gone": {"silent_looks": 4},
}

Process: TypeAlias = preloaded.Process | subprocess.Popen[bytes]


@dataclasses.dataclass(frozen=True)
class Run:
    """How a playbook ended: its return code, everything it printed, and every task result."""

    code: int
    output: str
    records: list[dict[str, Any]]

    def of(self, task: str, host: str | None = None) -> dict[str, Any]:
        """The result of the only task of that name (on that host)."""
        found = [
            r for r in self.records if r["task"] == task and host in (None, r["host"]) and r["status"] != "skipped"
        ]
        assert len(found) == 1, f"{len(found)} results of {task!r} on {host or 'any host'}; the output:\n{self.output}"
        return found[0]["result"]

    def failures(self) -> dict[str, list[dict[str, Any]]]:
        """The results of failed tasks by host."""
        found: dict[str, list[dict[str, Any]]] = {}
        for record in self.records:
            if record["status"] in ("failed", "unreachable"):
                found.setdefault(record["host"], []).append(record["result"])
        return found


@dataclasses.dataclass(frozen=True)
class Shown:
    """What ``ansible`` printed of one module: before the result, the result, and errors and warnings."""

    code: int
    head: str
    result: dict[str, Any]
    errors: str


@dataclasses.dataclass(frozen=True)
class Finished:
    """A fleet after a rollout: ``before`` has each node's boot and identity from before it, ``rows`` the report's."""

    sim: Simulator
    run: Run
    directory: Path
    before: dict[str, tuple[str, str]]
    rows: dict[str, dict[str, Any]]


def start(
    sim: Simulator,
    directory: Path,
    playbook: str | Path,
    *,
    variables: Mapping[str, Any] | None = None,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
    own_process: bool = False,
) -> Process:
    """Start a playbook in a process group of its own, its files below ``directory``; ``finish`` waits for it.

    It is forked from an Ansible that is loaded already, unless it is to be a process of its own. Times that no
    operator sets are those of ``PATIENT`` and of ``defaults``.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "variables.json").write_text(json.dumps(dict(variables or {})))
    (directory / "records.jsonl").write_text("")
    command = [
        str(BIN / "ansible-playbook"),
        str(playbook),
        "--inventory",
        str(sim.directory / "inventory.yml"),
        "--extra-vars",
        f"@{directory / 'variables.json'}",
        *arguments,
    ]
    variables_of_process = {
        **_environment(directory),
        "TEST_RECORDS": str(directory / "records.jsonl"),
        "TALOSCONFIG": str(sim.directory / "talosconfig"),
        **(environment or {}),
    }
    output = directory / "output.txt"
    output.write_bytes(b"")
    if not own_process:
        forked = preloaded.start(
            ["ansible-playbook", *command[1:]],
            cwd=directory,
            output=output,
            errors=output,
            environment=variables_of_process,
            usual=_environment(directory),
            defaults={**PATIENT, **(defaults or {})},
        )
        if forked is not None:
            return forked
    with output.open("wb") as file:
        return subprocess.Popen(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=variables_of_process,
        )


def _environment(directory: Path) -> dict[str, str]:
    """The settings of each run of Ansible's programs, whose files are below ``directory``."""
    return {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "tests" / "demo" / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"),
        "ANSIBLE_HOME": str(directory / ".ansible"),
        "ANSIBLE_CALLBACK_PLUGINS": str(_CALLBACKS),
        "ANSIBLE_CALLBACKS_ENABLED": "records,crash,meddle",
        # The demonstration hides what went well; a test that looks for a secret or an escape has to see all of it.
        "ANSIBLE_DISPLAY_OK_HOSTS": "true",
        "ANSIBLE_NOCOLOR": "1",
        # A worker that still writes what it measured would be terminated at the end of the run.
        **({"ANSIBLE_WORKER_SHUTDOWN_POLL_COUNT": "300"} if "COVERAGE_PROCESS_START" in os.environ else {}),
    }


def command(directory: Path, words: Sequence[str], **environment: str) -> tuple[int, str, str]:
    """Run a program of Ansible in ``directory``: its exit code, its output, and its errors and warnings."""
    directory.mkdir(parents=True, exist_ok=True)
    files = directory / "output.txt", directory / "errors.txt"
    for file in files:
        file.write_bytes(b"")
    process = preloaded.start(
        words,
        cwd=directory,
        output=files[0],
        errors=files[1],
        environment={**_environment(directory), **environment},
        usual=_environment(directory),
        defaults=PATIENT,
    )
    assert process is not None
    return process.wait(), files[0].read_text(), files[1].read_text()


def module(directory: Path, name: str, arguments: Mapping[str, Any], *options: str, **environment: str) -> Shown:
    """Run a module on this host by ``ansible``, as a person does who tries it."""
    words = ["ansible", "localhost", "-i", "localhost,", "-c", "local", "-m", name, *options]
    words += ["-e", f"ansible_python_interpreter={sys.executable}"]
    code, output, errors = command(
        directory, [*words, "-a", json.dumps(arguments)], ANSIBLE_CALLBACK_RESULT_FORMAT="json", **environment
    )
    head, arrow, result = output.partition(" => ")
    assert arrow, output + errors
    return Shown(code, head, json.loads(result), errors)


def finish(process: Process, directory: Path) -> Run:
    """Wait for a playbook to end."""
    code = process.wait()
    lines = (directory / "records.jsonl").read_text().splitlines()
    return Run(code, (directory / "output.txt").read_text(), [json.loads(line) for line in lines])


def kill(process: Process) -> None:
    """Kill a controller and its workers, which Ansible gives sessions of their own."""
    family = [psutil.Process(process.pid)]
    for member in family:
        # Workers come and go: one that ended is no failure, and a stopped process starts no other.
        with contextlib.suppress(psutil.NoSuchProcess):
            member.suspend()
            family += member.children()
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait(timeout=30)


def run(sim: Simulator, directory: Path, playbook: str | Path, **how: Any) -> Run:
    """Run a playbook (a name of the collection, or a file) to its end."""
    return finish(start(sim, directory, playbook, **how), directory)


def write(directory: Path, tasks: Sequence[Mapping[str, Any]], *, hosts: str = "talos") -> Path:
    """Write tasks as a playbook of one play."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "play.yml"
    path.write_text(quick_yaml.dump([{"hosts": hosts, "gather_facts": False, "tasks": [dict(task) for task in tasks]}]))
    return path


def play(
    sim: Simulator, directory: Path, tasks: Sequence[Mapping[str, Any]], *, hosts: str = "talos", **how: Any
) -> Run:
    """Run tasks as one play."""
    return run(sim, directory, write(directory, tasks, hosts=hosts), **how)


def settings(sim: Simulator, evidence: Path, **more: Any) -> dict[str, Any]:
    """The variables of the rollout and gate playbooks for a simulated fleet."""
    return {
        **QUICK,
        "rollout_factory_url": sim.factory_url,
        "rollout_kubeconfig": str(sim.directory / "kubeconfig"),
        "rollout_directory": str(evidence),
        **more,
    }


def document(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The evidence document of one node in the result of the evidence task."""
    return document_of(entry)


def verdict(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The verdict on one node in the result of the gate task."""
    return verdict_of(entry)


def reset_options(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The options of ``machine_reset`` for a node in the result of the gate task, wiped in place."""
    bound = verdict(entry)["binds"]
    return {
        "evidence": str(Path(entry["path"]).parent / "evidence.json"),
        "verdict": entry["path"],
        "boot_path": "in_place",
        "config_sha256": bound["config_sha256"],
        "installer_digest": bound["target"]["installer_digest"],
    }


def report(evidence: Path) -> dict[str, dict[str, Any]]:
    """The rows of a report by node."""
    document = json.loads((evidence / "report.json").read_text())
    return {row["node"]: row for row in document["nodes"]}


def ledger(evidence: Path) -> list[dict[str, Any]]:
    """The whole entries of a ledger; none when there is no file yet."""
    path = evidence / "ledger.jsonl"
    return _entries(path.read_bytes()) if path.exists() else []


@functools.lru_cache(maxsize=4)
def _entries(text: bytes) -> list[dict[str, Any]]:
    # Who waits for an entry reads the same ones many times.
    return [json.loads(line) for line in text.split(b"\n")[:-1]]


def talos_writes(sim: Simulator) -> list[Any]:
    """Calls that asked a Talos node for a change."""
    return [call for call in sim.writes() if call.node != "kubernetes"]


def resets(sim: Simulator) -> list[str]:
    """The nodes that were told to reset, in order."""
    return [call.node for call in sim.calls if call.method.endswith("/Reset") and not call.dry_run]


def secrets(directory: Path) -> set[bytes]:
    """Every secret that the operator's files hold: tokens and keys of machine configurations, keys of clients.

    As they are written and, for base64 text, as they decode; of a PEM block also each line of its body.
    """
    found: set[bytes] = set()
    for path in [*sorted((directory / "configs").glob("*")), directory / "talosconfig", directory / "kubeconfig"]:
        for document in quick_yaml.load_all(path.read_text()):
            for text in _secret_texts(document):
                found.add(text.encode())
                try:
                    decoded = base64.b64decode(text, validate=True).strip()
                except ValueError:
                    # A token, which is written as it is.
                    continue
                found.update(line for line in decoded.split(b"\n") if not line.startswith(b"-----"))
    return {secret for secret in found if len(secret) >= 8}


def _secret_texts(node: Any, key: str = "") -> Iterable[str]:
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from _secret_texts(value, str(name))
    elif isinstance(node, list):
        for value in node:
            yield from _secret_texts(value, key)
    elif isinstance(node, str) and (
        key.lower() in ("key", "token", "secret", "client-key-data") or key.lower().endswith(("secret", "token"))
    ):
        yield node
