# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node's configuration, judged by the node that still runs, over the wire."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration import playbook
from simulator import Simulator

#: Tokens, and base64 of some length with a digit in it, which words do not have.
SECRET = r"[a-z0-9]{6}\.[a-z0-9]{16}|(?=.*[0-9])[A-Za-z0-9+/]{30,}={0,2}"
VERSION = "v1.14.1"
IMAGE = f"factory.talos.dev/metal-installer/{'a' * 64}:{VERSION}"
SCENARIO = {
    "name": "configs",
    "talos": VERSION,
    "nodes": {"cp-1": {"role": "controlplane"}, "worker-1": {}, "worker-2": {}},
}


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with Simulator(SCENARIO, tmp_path_factory.mktemp("configs") / "fleet") as simulator:
        yield simulator


def check(
    sim: Simulator, directory: Path, edit: Callable[[str], str] = str, host: str = "worker-1", **options: Any
) -> playbook.Run:
    """Ask the node of ``host`` about its configuration after ``edit``, which must change it."""
    original = (sim.directory / "configs" / f"{host}.yaml").read_text(encoding="utf-8")
    text = edit(original)
    assert edit is str or text != original
    directory.mkdir(exist_ok=True)
    path = directory / "config.yaml"
    path.write_text(text, encoding="utf-8")
    task = {
        "name": "check",
        "talosops.selinux.machine_config_info": {
            "src": str(path),
            "installer": IMAGE,
            "version": VERSION,
            "kernel_args": ["enforcing=1"],
            **options,
        },
    }
    return playbook.play(sim, directory, [task], hosts=host)


def refusal(run: playbook.Run, host: str = "worker-1") -> dict[str, Any]:
    """What the failed task says, as ``{msg, kind, ...}``."""
    assert run.code != 0, run.output
    (failed,) = run.failures()[host]
    return {"msg": failed["msg"], **failed["failure"]}


def values_of(text: str) -> set[str]:
    """Every long value of a configuration, line by line."""
    found: set[str] = set()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)
        elif isinstance(value, str):
            found.update(line for line in value.split("\n") if len(line) > 20)

    for document in yaml.safe_load_all(text):
        walk(document)
    return found


def assert_silent(run: playbook.Run, sim: Simulator, *texts: str) -> None:
    """Nothing of the secrets of the fleet's configurations is in anything that the play printed."""
    told = run.output + str(run.records)
    for text in (*(path.read_text() for path in (sim.directory / "configs").glob("*.yaml")), *texts):
        secrets = [value for value in values_of(text) if re.fullmatch(SECRET, value)]
        assert len(secrets) > 3
        assert not [secret for secret in secrets if secret[:16] in told]


def test_a_file_that_differs_by_the_image_alone_passes(sim: Simulator, tmp_path: Path) -> None:
    for host in ("cp-1", "worker-1"):
        before = sim.nodes[host].config
        run = check(sim, tmp_path / host, host=host)
        assert run.code == 0, run.output
        found = run.of("check")
        assert (found["differences"], found["remarks"], found["changed"]) == ([], [], False)
        # It was a dry run: the node has what it had.
        assert sim.nodes[host].config == before
        assert_silent(run, sim)


def test_what_the_node_rejects_is_told_without_the_values(sim: Simulator, tmp_path: Path) -> None:
    run = check(
        sim,
        tmp_path,
        lambda text: text.replace("machine:", "machine:\n    sysctls: [hunter2hunter2hunter2]", 1),
    )
    found = refusal(run)
    assert found["kind"] == "config_rejected" and "rejects the machine configuration" in found["msg"]
    assert "hunter2" not in run.output + str(run.records)
    assert_silent(run, sim)


def test_what_differs_is_refused_until_exactly_that_is_approved(sim: Simulator, tmp_path: Path) -> None:
    def edit(text: str) -> str:
        return text.replace("machine:\n", "machine:\n    sysctls:\n        a.b: hunter2hunter2hunter2\n", 1)

    run = check(sim, tmp_path / "1", edit)
    found = refusal(run)
    assert found["kind"] == "config_differs"
    assert [line for line in found["differences"] if line.startswith("v1alpha1 machine.sysctls.a.b: added <masked>")]
    assert "hunter2" not in run.output + str(run.records)
    assert_silent(run, sim)
    approved = check(sim, tmp_path / "2", edit, approve=found["approval"])
    assert approved.code == 0, approved.output
    assert approved.of("check")["differences"] == found["differences"]
    # Another value in the same place was not approved.
    other = check(
        sim, tmp_path / "3", lambda text: edit(text).replace("hunter2h", "hunter3h"), approve=found["approval"]
    )
    assert refusal(other)["approval"] != found["approval"]


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("cp-1", "v1alpha1 machine.type"),
        ("worker-2", "HostnameConfig hostname"),
        ("foreign", "v1alpha1 machine.token"),
    ],
)
def test_another_machines_file(sim: Simulator, tmp_path: Path, name: str, where: str) -> None:
    with Simulator({**SCENARIO, "name": "other"}, tmp_path / "other") as other:
        source = other if name == "foreign" else sim
        host = "worker-1" if name == "foreign" else name
        text = (source.directory / "configs" / f"{host}.yaml").read_text(encoding="utf-8")
    run = check(sim, tmp_path / "run", lambda _text: text)
    found = refusal(run)
    assert found["kind"] == "config_differs", found
    places = [line.partition(": ")[0] for line in found["differences"]]
    assert where in places, places
    assert_silent(run, sim, text)


def test_role_and_host_name_are_compared_before_the_node_is_asked(sim: Simulator, tmp_path: Path) -> None:
    run = check(sim, tmp_path, machine_type="controlplane", hostname="worker-9", dry_run=False)
    found = refusal(run)
    assert "the configuration is for a worker, the node is a controlplane" in found["msg"]
    assert "host name" in found["msg"]
    shutil.rmtree(tmp_path)
