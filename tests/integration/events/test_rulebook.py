# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The example rulebook, run by the real ansible-rulebook: an event of a node halts the rollout through its ledger."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger import Ledger
from integration import playbook
from simulator import Simulator

BIN = playbook.BIN
RULEBOOK = playbook.ROOT / "extensions" / "eda" / "rulebooks" / "halt_rollout.yml"
#: ansible-rulebook, of the environment of the tests or of one of its own.
PROGRAM = shutil.which("ansible-rulebook", path=f"{BIN}:{os.environ['PATH']}")
NEEDS = [name for name, found in (("ansible-rulebook", PROGRAM), ("java", shutil.which("java"))) if not found]
pytestmark = pytest.mark.skipif(
    bool(NEEDS), reason=f"no {' and no '.join(NEEDS)}: the real ansible-rulebook is not run"
)

NODES: dict[str, Any] = {
    "cp-1": {"role": "controlplane"},
    "worker-1": {"kernel_args": ["enforcing=1"]},
    "worker-2": {"kernel_args": ["enforcing=1"]},
}


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Simulator]:
    with Simulator({"name": "halted", "uptime": "96h", "nodes": NODES}, tmp_path / "fleet") as sim:
        yield sim


_INVENTORY = (
    f"all: {{hosts: {{localhost: {{ansible_connection: local, ansible_python_interpreter: {sys.executable}}}}}}}"
)


class Running:
    """ansible-rulebook at work."""

    def __init__(self, sim: Simulator, directory: Path, rulebook: Path, **variables: str) -> None:
        directory.mkdir()
        self.output = directory / "output.txt"
        (directory / "vars.yml").write_text(yaml.safe_dump(variables))
        (directory / "inventory.yml").write_text(_INVENTORY)
        assert PROGRAM is not None
        command = [PROGRAM, "--rulebook", str(rulebook), "--inventory", "inventory.yml", "--vars", "vars.yml"]
        command += ["--persistence-id", "talos", "--print-events"]
        with self.output.open("wb") as file:
            self.process = subprocess.Popen(
                command,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={
                    **os.environ,
                    # It starts ansible-galaxy, to find collections, and ansible-playbook.
                    "PATH": f"{BIN}:{os.environ['PATH']}",
                    "PYTHONPATH": str(playbook.ROOT / ".collections"),
                    "ANSIBLE_COLLECTIONS_PATH": str(playbook.ROOT / ".collections"),
                    "ANSIBLE_HOME": str(directory / ".ansible"),
                    "TALOSCONFIG": str(sim.directory / "talosconfig"),
                    # It ends too soon for better machine code to be worth its making.
                    "JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
                    **_java(),
                },
            )

    def wait_for(self, done: Any) -> None:
        """Wait until something is so, for as long as the test may take."""
        while not done():
            assert self.process.poll() is None, self.output.read_text()
            time.sleep(0.1)

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait()


def _java() -> dict[str, str]:
    """Where Java is; its bridge does not find the one that is on the path."""
    if "JAVA_HOME" in os.environ:
        return {}
    found = shutil.which("java")
    assert found is not None
    return {"JAVA_HOME": str(Path(found).resolve().parents[1])}


def test_what_an_enforcing_node_refuses_halts_the_rollout(fleet: Simulator, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "rollout" / "ledger.jsonl")
    ledger.begin("worker-3", "verify", machine_type="worker")
    state = tmp_path / "state"
    running = Running(
        fleet,
        tmp_path / "rulebook",
        RULEBOOK,
        events_state=str(state),
        talosconfig=str(fleet.directory / "talosconfig"),
        talos_context="reader",
        halt_directory=str(tmp_path / "rollout"),
    )
    try:
        running.wait_for(lambda: len(list(state.glob("*.json"))) == len(NODES))
        assert ledger.halts() == []
        fleet.add_denial("worker-1", "hostpath_run")
        running.wait_for(ledger.halts)
        # The same node and signature again is the same halt; another node's is another.
        fleet.add_denial("worker-1", "hostpath_run")
        fleet.add_denial("worker-2", "hostpath_run")
        running.wait_for(lambda: len(ledger.halts()) == 2)
    finally:
        running.stop()
    halts = ledger.halts()
    assert {halt["who"] for halt in halts} == {"ansible-rulebook"}
    addresses = [fleet.nodes[name].address for name in ("worker-1", "worker-2")]
    assert [halt["reason"] for halt in halts] == [f"{address} refused pod_t:run_t:dir:write" for address in addresses]


HIDDEN = "/data/{{lookup('pipe','touch${IFS}%s')}}"
PAGE = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.copy:
        content: "{{ ansible_eda.event.talos.path }} {{ told }}"
        dest: "{{ page }}"
"""


def test_a_lookup_hidden_in_a_log_runs_in_no_playbook(fleet: Simulator, tmp_path: Path) -> None:
    page, touched, state = tmp_path / "page.txt", tmp_path / "touched", tmp_path / "state"
    (tmp_path / "page.yml").write_text(PAGE)
    (tmp_path / "book.yml").write_text(
        yaml.safe_dump(
            [
                {
                    "name": "Page",
                    "hosts": "localhost",
                    "sources": [{"name": "talos", "talosops.selinux.denials": {"state": str(state), "feedback": True}}],
                    "rules": [
                        {
                            "name": "Denied",
                            "condition": 'event.talos.type == "enforced_denial" and event.talos.comm == "curl"',
                            "throttle": {"once_within": "1 hour", "group_by_attributes": ["event.talos.uuid"]},
                            "action": {
                                "run_playbook": {
                                    "name": str(tmp_path / "page.yml"),
                                    "copy_files": False,
                                    "extra_vars": {"told": "{{ event.talos.path }}", "page": str(page)},
                                }
                            },
                        }
                    ],
                }
            ]
        )
    )
    running = Running(fleet, tmp_path / "rulebook", tmp_path / "book.yml")
    try:
        running.wait_for(lambda: len(list(state.glob("*.json"))) == len(NODES))
        path = (HIDDEN % touched).encode().hex().upper()
        text = (
            f'avc:  denied  {{ write }} for  pid=77 comm="curl" path={path} dev="sda6" ino=9 '
            "scontext=system_u:system_r:pod_t:s0 tcontext=system_u:object_r:etc_t:s0 tclass=file permissive=0"
        )
        fleet.add_denial("worker-1", {"record": "AVC", "number": 1400, "text": text})
        running.wait_for(page.exists)
    finally:
        running.stop()
    assert page.read_text().count("lookup(") == 2, "it was not told as it is"
    assert not touched.exists()
