# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``requirements.txt`` is all that is needed at run time: nothing of the tests' own libraries is asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import required_only
import yaml
from integration import playbook
from simulator import Simulator

PLAYBOOKS = ("status", "collect", "gate", "compliance")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """Three control planes and a worker."""
    nodes = {"cp-%d": {"role": "controlplane", "count": 3}, "worker-1": {}}
    with Simulator({"name": "bare", "uptime": "96h", "nodes": nodes}, tmp_path_factory.mktemp("fleet")) as sim:
        yield sim


def run(fleet: Simulator, directory: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One of Ansible's programs with nothing but ``requirements.txt``; ``directory/refused`` says what was refused."""
    (directory / "refused").touch()
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(playbook.ROOT / "tests" / "demo" / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(playbook.ROOT / ".collections"),
        "ANSIBLE_HOME": str(directory / ".ansible"),
        "TALOSCONFIG": str(fleet.directory / "talosconfig"),
    }
    command = [sys.executable, required_only.__file__, str(directory / "refused"), str(playbook.BIN / program)]
    return subprocess.run(
        [*command, *arguments], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )


def refused(directory: Path) -> set[str]:
    """The packages that were asked for and refused."""
    return {line.partition(".")[0] for line in (directory / "refused").read_text().splitlines()}


def test_the_playbooks_run(fleet: Simulator, tmp_path: Path) -> None:
    every = tmp_path / "every.yml"
    plays = [{"ansible.builtin.import_playbook": f"talosops.selinux.{name}"} for name in PLAYBOOKS]
    rehearsed = {"ansible.builtin.import_playbook": "talosops.selinux.rollout"}
    every.write_text(yaml.safe_dump(plays))
    (tmp_path / "rollout.yml").write_text(yaml.safe_dump([rehearsed]))
    kept = tmp_path / "kept"
    variables = playbook.settings(
        fleet,
        kept,
        collect_directory=str(kept),
        compliance_fail_on="never",
        compliance_formats=["html", "junit", "csv", "prometheus", "oscal", "sarif", "openreports"],
    )
    (tmp_path / "variables.json").write_text(json.dumps(variables))
    given = ("--inventory", str(fleet.directory / "inventory.yml"), "--extra-vars", f"@{tmp_path / 'variables.json'}")
    done = run(fleet, tmp_path, "ansible-playbook", str(every), *given)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 nodes: 4 permissive" in done.stdout
    (report,) = (kept / "compliance").glob("*/report.json")
    assert len(json.loads(report.read_text())["nodes"]) == 4
    done = run(fleet, tmp_path, "ansible-playbook", str(tmp_path / "rollout.yml"), "--check", *given)
    assert done.returncode == 0, done.stdout + done.stderr
    # Others ask for libraries that they can do without; nothing of ours asks for one of these.
    ours = {"grpc", "hypothesis", "jsonschema", "junitparser", "lxml", "prometheus_client", "pytest", "trestle"}
    assert not ours & refused(tmp_path)


def test_the_inventory_is_listed(fleet: Simulator, tmp_path: Path) -> None:
    source = tmp_path / "fleet.talos.yml"
    source.write_text(yaml.safe_dump({"plugin": "talosops.selinux.talos"}))
    done = run(fleet, tmp_path, "ansible-inventory", "--inventory", str(source), "--list")
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["_meta"]["hostvars"]) == {"cp-1", "cp-2", "cp-3", "worker-1"}


def test_what_is_not_required_is_refused(tmp_path: Path) -> None:
    """The check of the checks: a program that uses one of the tests' libraries does not run."""
    program = tmp_path / "program.py"
    command = [sys.executable, required_only.__file__, str(tmp_path / "refused"), str(program)]
    for module, fails in (("hypothesis", True), ("pytest", True), ("grpclib.client", False), ("kubernetes", False)):
        program.write_text(f"import {module}\n")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert bool(done.returncode) == fails, done.stderr
    assert refused(tmp_path) >= {"hypothesis", "pytest"}
