# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every change of a configuration that Talos was asked about, taken to the step that comes before the drain.

Each changed file is a host of its own whose address is a simulated node's that runs the unchanged one, so one play
asks for all of them, over the wire.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import quick_yaml
from integration import playbook
from rejected_configs import Judged, judged_configs, two_clusters
from simulator import Simulator

SECRETS = two_clusters()
CASES = {f"case-{number}": case for number, case in enumerate(judged_configs(SECRETS))}
#: The release that a simulated node runs, by the one whose Talos judged.
RELEASES = {"v1.10": "v1.10.9", "v1.12": "v1.12.11", "v1.14": "v1.14.1"}
#: Own rules, the node's rejection, its differences, and a file that is no text.
REFUSALS = {"bad_machine_config", "config_rejected", "config_differs", "file"}
#: What is written otherwise and means the same, and installer images, in whose place the right one is written.
BECOMES_WHAT_IT_WAS = {
    "v1alpha1 machine.type: an anchor",
    " : an empty document",
    " : a byte order mark in front",
    "UnattendedInstallConfig installer.image: taken out",
    "UnattendedInstallConfig installer.image: no reference",
    "v1alpha1 machine.install.image: empty",
}
REJECTED = [name for name, case in CASES.items() if case.dry_run]
ONLY_AFTER_THE_WIPE = [name for name, case in CASES.items() if case.after_wipe and not case.dry_run]
ACCEPTED = [name for name, case in CASES.items() if not (case.dry_run or case.after_wipe)]


@dataclass(frozen=True)
class Verified:
    """What came of the step for each case, and everything that it left behind."""

    sim: Simulator
    failures: dict[str, dict[str, Any]]
    passed: set[str]
    left: bytes


def change(case: Judged) -> str:
    return f"{case.document} {case.path}: {case.value}"


@pytest.fixture(scope="module")
def verified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Verified]:
    directory = tmp_path_factory.mktemp("rejected")
    running: dict[str, Judged] = {}
    for case in CASES.values():
        running.setdefault(case.running, case)
    names = {text: f"node-{number}" for number, text in enumerate(running)}
    nodes = {names[text]: {"role": case.role, "talos": RELEASES[case.judge]} for text, case in running.items()}
    with Simulator({"name": "rejected", "nodes": nodes}, directory / "fleet") as sim:
        for text, name in names.items():
            sim.nodes[name].config = text
        targets = _targets(sim, directory)
        hosts = directory / "hosts.yml"
        hosts.write_text(quick_yaml.dump(_inventory(sim, directory, names, targets)))
        arguments = ["--inventory", str(hosts), "--forks", "4"]
        run = playbook.play(sim, directory / "run", [_verify(sim, directory)], hosts="cases", arguments=arguments)
        kept = [path for path in (directory / "rollout").rglob("*") if path.is_file()]
        assert directory / "rollout" / "ledger.jsonl" in kept, run.output
        left = [run.output.encode(), json.dumps(run.records).encode(), *(path.read_bytes() for path in kept)]
        failures = {host: results[0]["failure"] for host, results in run.failures().items()}
        passed = {record["host"] for record in run.records if record["task"] == "Verify" and record["status"] == "ok"}
        yield Verified(sim, failures, passed, b"\n".join(left))


def _factory(sim: Simulator) -> dict[str, Any]:
    return {"factory_url": sim.factory_url, "allow_plain_http": True}


def _targets(sim: Simulator, directory: Path) -> dict[str, Any]:
    """The enforcing image of each simulated node, for the release that it runs."""
    release = "{{ talos_release }}"
    task = {"name": "Prepare", "talosops.selinux.schematic": {"version": release, **_factory(sim)}}
    releases = {"hosts": {name: {"talos_release": node.version} for name, node in sim.nodes.items()}}
    path = directory / "releases.yml"
    path.write_text(quick_yaml.dump({"talos": releases}))
    run = playbook.play(sim, directory / "images", [task], arguments=["--inventory", str(path)])
    return {name: run.of("Prepare", name)["target"] for name in sim.nodes}


def _inventory(sim: Simulator, directory: Path, names: dict[str, str], targets: dict[str, Any]) -> dict[str, Any]:
    hosts = {}
    for host, case in CASES.items():
        path = directory / f"{host}.yaml"
        path.write_bytes(case.sent.encode())
        node = names[case.running]
        hosts[host] = {
            "ansible_host": sim.nodes[node].address,
            "talos_machine_config": str(path),
            "talos_boot_path": "in_place",
            "talos_target": targets[node],
            "talos_planned_identity": sim.nodes[node].node_id,
        }
    return {"cases": {"hosts": hosts}}


def _verify(sim: Simulator, directory: Path) -> dict[str, Any]:
    options = {
        "step": "verify",
        "consent": "wipe",
        "kubeconfig": str(sim.directory / "kubeconfig"),
        "directory": str(directory / "rollout"),
    }
    return {"name": "Verify", "talosops.selinux.reinstall_step": {**options, **_factory(sim)}}


def _secrets(values: Iterable[str]) -> set[bytes]:
    """Values as they are written, and of a PEM block in base64 each line of its body."""
    found = set()
    for value in values:
        found.add(value.encode())
        if "." not in value:
            found.update(line for line in base64.b64decode(value).split(b"\n") if not line.startswith(b"-----"))
    return {secret[:40] for secret in found if len(secret) >= 12}


def _writes(sim: Simulator) -> list[str]:
    """Changes of nodes and of the cluster; the rollout's lock is a lease there."""
    return [f"{call.node} {call.method}" for call in sim.writes() if "/leases" not in call.method]


def test_there_are_changes_of_every_kind() -> None:
    assert (len(REJECTED), len(ONLY_AFTER_THE_WIPE), len(ACCEPTED)) == (110, 3, 41)


@pytest.mark.parametrize("host", REJECTED + ONLY_AFTER_THE_WIPE, ids=lambda host: str(CASES[host]))
def test_what_talos_rejects_is_refused_before_the_drain(verified: Verified, host: str) -> None:
    assert verified.failures[host]["kind"] in REFUSALS


@pytest.mark.parametrize("host", ACCEPTED, ids=lambda host: str(CASES[host]))
def test_what_talos_accepts_is_refused_unless_the_node_becomes_what_it_was(verified: Verified, host: str) -> None:
    if change(CASES[host]) in BECOMES_WHAT_IT_WAS:
        assert host in verified.passed
    else:
        assert verified.failures[host]["kind"] in REFUSALS


def test_the_node_itself_was_asked_about_what_our_rules_let_pass(verified: Verified) -> None:
    kinds = Counter(failure["kind"] for failure in verified.failures.values())
    assert set(kinds) == REFUSALS
    judged = len(CASES) - kinds["bad_machine_config"] - kinds["file"]
    asked = [call for call in verified.sim.calls if call.method.endswith("/ApplyConfiguration")]
    assert kinds["config_rejected"] >= 15 and kinds["config_differs"] >= 25
    assert len(asked) >= judged and all(call.dry_run for call in asked)


def test_nobody_was_touched(verified: Verified) -> None:
    assert _writes(verified.sim) == []
    assert {node.config for node in verified.sim.nodes.values()} == {case.running for case in CASES.values()}


def test_no_secret_is_in_what_was_said_or_kept(verified: Verified) -> None:
    secrets = _secrets(value for name, value in SECRETS.items() if not name.endswith("_CRT"))
    assert len(secrets) > 80
    assert [secret for secret in sorted(secrets) if secret in verified.left] == []


#: A worker's machine.install as the forms before 1.14 have it, with what no running node looks at.
NO_DISK = "    install:\n        wipe: false\n"
TWO_COMMAND_LINES = (
    "    install:\n        disk: /dev/sda\n        grubUseUKICmdline: true\n        extraKernelArgs: [a=b]\n"
)
#: Changes of a worker's file, by node: what is put in the place of what, and what the rollout says of it.
ROLLED = {
    # Rejected by the dry run; the first is the canary, and as it fails no other one is begun.
    "worker-1": ("    features:", "    sysctls: [hunter2hunter2]\n    features:", "rejects the machine"),
    "worker-2": ("    features:", "    feature: hunter2hunter2\n    features:", "machine.feature is no key"),
    # Rejected only after the wipe.
    "worker-3": ("    features:", f"{NO_DISK}    features:", "neither disk nor diskSelector"),
    "worker-4": ("    features:", f"{TWO_COMMAND_LINES}    features:", "extraKernelArgs and grubUseUKICmdline"),
    # Accepted in both states, and the node would be lost.
    "worker-5": ("    token: ", "    token: op://vault/", "machine.token is a reference of 1Password"),
    "worker-6": ("hostname: worker-6", "hostname: worker-60", "host name is 'worker-60'"),
}


def _changed(text: str, find: str, put: str) -> str:
    """The file with the change; one with machine.install has no UnattendedInstallConfig beside it."""
    assert find in text
    documents = text.replace(find, put, 1).split("---\n")
    return "---\n".join(one for one in documents if put.count("install:") == 0 or "UnattendedInstallConfig" not in one)


def test_a_rollout_of_rejected_configurations_touches_nobody(tmp_path: Path) -> None:
    nodes = {f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)}
    scenario = {"name": "rolled", "time_scale": 120, "uptime": "96h"}
    with Simulator({**scenario, "nodes": {**nodes, **{name: {} for name in ROLLED}}}, tmp_path / "fleet") as sim:
        secrets = playbook.secrets(sim.directory) | {b"hunter2hunter2"}
        for name, (find, put, _said) in ROLLED.items():
            path = sim.directory / "configs" / f"{name}.yaml"
            path.write_text(_changed(path.read_text(encoding="utf-8"), find, put), encoding="utf-8")
        variables = playbook.settings(
            sim,
            tmp_path / "rollout",
            rollout_max_failures=len(ROLLED),
            rollout_control_planes=False,
        )
        run = playbook.run(sim, tmp_path / "run", "talosops.selinux.rollout", variables=variables)
        assert run.code != 0
        rows = playbook.report(tmp_path / "rollout")
        for name, (_find, _put, said) in ROLLED.items():
            assert said in json.dumps(rows[name]), (name, rows[name])
        assert _writes(sim) == []
        kept = [path.read_bytes() for path in (tmp_path / "rollout").rglob("*") if path.is_file()]
        left = b"\n".join([run.output.encode(), json.dumps(run.records).encode(), *kept])
        assert len(secrets) > 20 and [secret for secret in sorted(secrets) if secret in left] == []
