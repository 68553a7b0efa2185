# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nothing ends in silence: what stops a node is said, a node that was not wiped is released, and a rerun finishes."""

from __future__ import annotations

import dataclasses
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import quick_yaml
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from integration import playbook
from simulator import Simulator, applying

#: What the node says of a configuration that it refuses; real ones quote it.
QUOTED = "hunter2-is-no-secret-any-more"
WORKERS = ("no-effect", "late-denial", "bad-config", "bad-install", "overlay", "healthy")


@dataclasses.dataclass(frozen=True)
class Ended:
    """A fleet after a rollout in which each worker failed in its own way, and after the causes were fixed."""

    sim: Simulator
    first: playbook.Run
    first_rows: dict[str, dict[str, Any]]
    first_resets: Counter[str]
    first_cordoned: set[str]
    console: str
    second: playbook.Run
    third: playbook.Run
    rows: dict[str, dict[str, Any]]
    directory: Path


def _add_denial_after_drain(sim: Simulator, evidence: Path, stop: threading.Event) -> None:
    while not stop.is_set():
        if any(
            (entry["kind"], entry.get("node"), entry.get("step")) == ("sent", "late-denial", "drain")
            for entry in playbook.ledger(evidence)
        ):
            sim.add_denial("late-denial", "nfs")
            return
        time.sleep(0.02)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    directory = tmp_path_factory.mktemp("failures")
    evidence = directory / "evidence"
    nodes: dict[str, Any] = {**{f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)}}
    nodes |= {name: {} for name in WORKERS}
    # It stays, and takes the pods of the others.
    nodes["refused"] = {"denials": ["csi_unlabeled"]}
    real = applying.apply
    refusing = {"bad-config"}

    def apply(node: Any, request: Any) -> Any:
        if node.name in refusing and node.maintenance:
            raise GRPCError(Status.INVALID_ARGUMENT, f"unknown keys found during decoding:\ntoken: {QUOTED}")
        return real(node, request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(applying, "apply", apply)
        scenario = {"name": "fail", "time_scale": 120, "uptime": "96h", "nodes": nodes}
        with Simulator(scenario, directory / "fleet") as sim:
            config = sim.directory / "configs" / "bad-config.yaml"
            documents = list(quick_yaml.load_all(config.read_text()))
            documents[0]["machine"]["env"] = {"REMARK": QUOTED}
            config.write_text(quick_yaml.dump_all(documents))
            sim.nodes["bad-config"].config = config.read_text()
            sim.set_fault("no-effect", "reset_ignored")
            sim.set_fault("bad-install", "install_fails")
            sim.set_fault("overlay", "enforcing_boot_fails", "udevd")
            variables = playbook.settings(
                sim, evidence, rollout_hosts="workers", rollout_batch=6, rollout_canary=6, rollout_max_failures=6
            )
            hasty = {**variables, "rollout_wipe_timeout": 15, "rollout_install_timeout": 20}
            stop = threading.Event()
            watcher = threading.Thread(target=_add_denial_after_drain, args=(sim, evidence, stop))
            watcher.start()
            first = playbook.run(sim, directory / "first", "talosops.selinux.rollout", variables=hasty)
            stop.set()
            watcher.join()
            told = playbook.report(evidence), Counter(playbook.resets(sim))
            cordoned = {name for name, node in sim.nodes.items() if node.unschedulable}
            console = sim.console("overlay")

            sim.clear_fault("overlay", "enforcing_boot_fails")
            sim.restart("overlay")
            sim.clear_fault("no-effect", "reset_ignored")
            sim.clear_fault("bad-install", "install_fails")
            refusing.clear()
            # The person who fixes it names the same disk in a way that lasts.
            serial = sim.nodes["bad-config"].serial
            config.write_text(config.read_text().replace('disk.dev_path == "/dev/sda"', f"disk.serial == '{serial}-0'"))
            assert serial in config.read_text()
            second = playbook.run(sim, directory / "second", "talosops.selinux.rollout", variables=variables)
            third = playbook.run(sim, directory / "third", "talosops.selinux.rollout", variables=variables)
            rows = playbook.report(evidence)
            yield Ended(sim, first, *told, cordoned, console, second, third, rows, directory)


def test_the_run_ends_with_a_failure_that_names_the_nodes(ended: Ended) -> None:
    assert ended.first.code != 0
    outcomes = {name: row["outcome"] for name, row in ended.first_rows.items()}
    assert outcomes == {**dict.fromkeys(WORKERS, "failed"), "healthy": "moved", "refused": "refused"}
    assert all(row["reasons"][0]["remedy"] for name, row in ended.first_rows.items() if name != "healthy")
    assert ended.first_cordoned == {"bad-config", "bad-install", "overlay"}


def test_a_reset_without_effect_is_told_and_the_node_released(ended: Ended) -> None:
    reason = ended.first_rows["no-effect"]["reasons"][0]
    assert reason["id"] == "rollout.reset" and "had no effect" in reason["found"]


def test_a_reset_that_is_refused_wiped_nothing(ended: Ended) -> None:
    reason = ended.first_rows["late-denial"]["reasons"][0]
    assert reason["id"] == "rollout.reset" and "denials" in reason["found"]
    assert ended.first_resets["late-denial"] == 0


def test_a_refused_configuration_is_told_without_what_it_quotes(ended: Ended) -> None:
    reason = ended.first_rows["bad-config"]["reasons"][0]
    assert reason["id"] == "rollout.apply"
    for path in [ended.directory / "first" / "output.txt", *(ended.directory / "evidence").rglob("*")]:
        if path.is_file():
            assert QUOTED.encode() not in path.read_bytes(), path


def test_it_is_fixed_with_another_selector_of_the_disk_that_was_judged(ended: Ended) -> None:
    (applied,) = [
        entry["facts"]
        for entry in playbook.ledger(ended.directory / "evidence")
        if (entry["kind"], entry.get("node"), entry.get("step")) == ("finish", "bad-config", "apply")
        and entry["outcome"] == "done"
    ]
    assert applied["repaired"]["to"] == applied["applied_sha256"] != applied["repaired"]["from"]


def test_a_node_that_does_not_come_back_ends_by_name(ended: Ended) -> None:
    """With `UnattendedInstallConfig` a failed installation says so itself, and is tried again in the same boot."""
    reason = ended.first_rows["bad-install"]["reasons"][0]
    assert reason["id"] == "rollout.install" and "did not come back within 20 seconds" in reason["found"]
    assert re.search("its installation is (installing|failed: failed to run installer)", reason["found"])
    assert "docs/coming-back.md" in reason["remedy"] and "restart the machine" in reason["remedy"]
    assert ended.first_resets["bad-install"] == 1


def test_one_that_never_reaches_its_api_ends_with_what_its_console_shows_and_the_way_back(ended: Ended) -> None:
    """As an overlay root did whose policy stops the node's own services: only its console tells."""
    (reason,) = ended.first_rows["overlay"]["reasons"]
    assert reason["id"] == "rollout.install" and "did not come back within 20 seconds" in reason["found"]
    told = " ".join(reason["remedy"].split())
    assert "avc: denied" in told and "avc:  denied" in ended.console and "permissive=0" in ended.console
    address = ended.sim.nodes["overlay"].address
    for label in ("META", "STATE", "EPHEMERAL"):
        assert f"--system-labels-to-wipe {label}" in told
    assert f"talosctl -n {address} reset" in told and f"apply-config --insecure -n {address}" in told
    assert ended.first_resets["overlay"] == 1


def test_what_was_not_wiped_is_judged_anew_and_what_was_goes_on(ended: Ended) -> None:
    outcomes = {name: row["outcome"] for name, row in ended.rows.items()}
    assert outcomes == {**dict.fromkeys(WORKERS, "moved"), "late-denial": "refused", "refused": "refused"}
    moved = {name for name, node in ended.sim.nodes.items() if node.selinux == "enforcing"}
    # The denial is a real one, so its node stays where it is, for that reason and no other.
    assert moved == set(WORKERS) - {"late-denial"}
    assert "no-denials" in {reason["id"] for reason in ended.rows["late-denial"]["reasons"]}
    assert not any(node.unschedulable for node in ended.sim.nodes.values())


def test_nothing_was_wiped_twice_and_each_reset_that_was_ignored_was_sent_again(ended: Ended) -> None:
    resets = Counter(playbook.resets(ended.sim))
    assert resets == {"no-effect": 2, "bad-config": 1, "bad-install": 1, "overlay": 1, "healthy": 1}


def test_a_run_that_leaves_nobody_behind_ends_well(ended: Ended) -> None:
    assert (ended.second.code, ended.third.code) == (0, 0), ended.second.output
