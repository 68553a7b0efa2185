# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make demo`: a simulated fleet goes from permissive to enforcing, on the code path that a real fleet takes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SCENARIO = Path(__file__).resolve().parent / "scenario.yml"
BIN = Path(sys.executable).parent

#: The whole point of the gate: these, and only these.
MUST_MOVE = {"cp-1", "cp-2", "cp-3", "worker-1", "worker-2"}
#: Each of the others, with the check that must be among its reasons.
MUST_STAY = {
    "worker-3": "no-denials",
    "worker-4": "kernel-args-clean",
    "worker-5": "extensions-reviewed",
    "worker-6": "same-version-as-target",
    "worker-7": "evidence-complete",
}
#: What the operator would put into group_vars. The short times fit the simulated machines, whose clock runs faster.
SETTINGS = {
    "rollout_allow_plain_http": True,
    "rollout_consent": "wipe",
    "rollout_version": "v1.14.1",
    "rollout_batch": 2,
    "rollout_soak_seconds": 1,
    "rollout_poll_seconds": 0.3,
}


def main() -> int:
    """Run the demo. Returns 0 only if exactly the right nodes moved, and each other one stayed for the right reason."""
    directory = ROOT / "build" / "demo"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    print("Starting three control planes and seven workers that speak the Talos API", flush=True)
    with (directory / "simulator.log").open("w") as log:
        simulator = subprocess.Popen(
            [sys.executable, "-m", "simulator", str(SCENARIO), str(directory / "fleet")],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            connection = _wait_for(directory / "fleet" / "connection.json", simulator, directory / "simulator.log")
            returned = _rollout(directory, connection["factory_url"])
            return _judge(directory, connection["control_url"], returned)
        finally:
            simulator.send_signal(signal.SIGTERM)
            simulator.wait(timeout=20)


def _wait_for(path: Path, simulator: subprocess.Popen[bytes], log: Path) -> dict[str, str]:
    for _unused in range(600):
        if path.exists():
            return json.loads(path.read_text())
        if simulator.poll() is not None:
            sys.exit(f"the simulator ended at once:\n{log.read_text()}")
        time.sleep(0.05)
    sys.exit("the simulator did not become ready within 30 seconds")


def _rollout(directory: Path, factory: str) -> int:
    fleet = directory / "fleet"
    settings = {
        **SETTINGS,
        "rollout_factory_url": factory,
        "rollout_kubeconfig": str(fleet / "kubeconfig"),
        "rollout_directory": str(directory / "evidence"),
    }
    (directory / "settings.json").write_text(json.dumps(settings))
    command = [
        str(BIN / "ansible-playbook"),
        "talosops.selinux.rollout",
        "--inventory",
        str(fleet / "inventory.yml"),
        "--extra-vars",
        f"@{directory / 'settings.json'}",
    ]
    print(
        f"Running: ansible-playbook talosops.selinux.rollout -i {(fleet / 'inventory.yml').relative_to(ROOT)}",
        flush=True,
    )
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(Path(__file__).resolve().parent / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"),
        "TALOSCONFIG": str(fleet / "talosconfig"),
    }
    return subprocess.run(command, env=environment, cwd=directory, check=False).returncode


def _judge(directory: Path, control: str, returned: int) -> int:
    path = directory / "evidence" / "report.json"
    if not path.exists():
        print(f"WRONG: the playbook ended with {returned} and wrote no report", file=sys.stderr)
        return 1
    report = json.loads(path.read_text())
    rows = {row["node"]: row for row in report["nodes"]}
    moved = {name for name, row in rows.items() if row["outcome"] == "moved"}
    wrong = [f"{name} moved, and must not" for name in sorted(moved - MUST_MOVE)]
    wrong += [f"{name} did not move" for name in sorted(MUST_MOVE - moved)]
    for name, check in MUST_STAY.items():
        found = {reason["id"] for reason in rows[name]["reasons"]}
        if check not in found:
            wrong.append(f"{name} was to be refused by {check}, and was by {', '.join(sorted(found)) or 'nothing'}")
    enforcing = {node["name"] for node in _ask(control, "nodes") if node["selinux"] == "enforcing"}
    if enforcing != MUST_MOVE:
        wrong.append(f"the machines that enforce are {', '.join(sorted(enforcing)) or 'none'}")
    if _ask(control, "upgrades"):
        wrong.append("a node was told to upgrade")
    if returned:
        wrong.append(f"the playbook ended with {returned}")
    for line in wrong:
        print(f"WRONG: {line}", file=sys.stderr)
    if not wrong:
        print(
            f"\nExactly the right nodes moved. The report: {(directory / 'evidence' / 'report.html').relative_to(ROOT)}"
        )
    return 1 if wrong else 0


def _ask(control: str, what: str) -> list[dict[str, str]]:
    with urllib.request.urlopen(f"{control}/{what}", timeout=10) as answer:
        return json.load(answer)


if __name__ == "__main__":
    sys.exit(main())
