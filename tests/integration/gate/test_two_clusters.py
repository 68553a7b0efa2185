# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two clusters whose nodes have the same names: whatever belongs to the other one is found by the gate."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from integration import playbook
from simulator import Simulator

NODES: dict[str, Any] = {f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)} | {"w-1": {}, "w-2": {}}


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Simulator, Simulator]]:
    directory = tmp_path_factory.mktemp("two")
    scenario = {"time_scale": 120, "uptime": "96h", "nodes": NODES}
    with (
        Simulator({"name": "prod", **scenario}, directory / "prod") as prod,
        Simulator({"name": "lab", **scenario}, directory / "lab") as lab,
    ):
        yield prod, lab
        assert playbook.talos_writes(prod) == playbook.talos_writes(lab) == []


def _gate(prod: Simulator, directory: Path, **changes: Any) -> dict[str, dict[str, Any]]:
    settings = playbook.settings(prod, directory / "evidence", **changes)
    run = playbook.run(prod, directory / "run", "talosops.selinux.gate", variables=settings)
    assert run.code == 0, run.output
    return playbook.report(directory / "evidence")


def _reasons(row: dict[str, Any]) -> set[str]:
    return {reason["id"] for reason in row["reasons"]}


def test_the_configuration_of_the_other_cluster(clusters: tuple[Simulator, Simulator], tmp_path: Path) -> None:
    prod, lab = clusters
    for name in ("w-1", "cp-2"):
        own = prod.directory / "configs" / f"{name}.yaml"
        shutil.copy(own, own.with_suffix(".own"))
        shutil.copy(lab.directory / "configs" / f"{name}.yaml", own)
    try:
        rows = _gate(prod, tmp_path)
    finally:
        for own in (prod.directory / "configs").glob("*.own"):
            own.rename(own.with_suffix(".yaml"))
    for name in ("w-1", "cp-2"):
        assert rows[name]["decision"] == "refused"
        assert _reasons(rows[name]) == {"config-same-cluster"}
    assert {name for name, row in rows.items() if row["decision"] == "eligible"} == {"cp-1", "cp-3", "w-2"}


def test_the_kubeconfig_of_the_other_cluster(clusters: tuple[Simulator, Simulator], tmp_path: Path) -> None:
    prod, lab = clusters
    rows = _gate(prod, tmp_path, rollout_kubeconfig=str(lab.directory / "kubeconfig"))
    assert set(rows) == set(NODES)
    for row in rows.values():
        assert row["decision"] != "eligible" and "kubernetes-same-node" in _reasons(row)


def test_the_talosconfig_of_the_other_cluster(clusters: tuple[Simulator, Simulator], tmp_path: Path) -> None:
    prod, lab = clusters
    own, kept = prod.directory / "talosconfig", prod.directory / "talosconfig.own"
    shutil.copy(own, kept)
    shutil.copy(lab.directory / "talosconfig", own)
    try:
        settings = playbook.settings(prod, tmp_path / "evidence")
        run = playbook.run(prod, tmp_path / "run", "talosops.selinux.gate", variables=settings)
    finally:
        kept.replace(own)
    assert run.code != 0
    assert {one["failure"]["kind"] for failures in run.failures().values() for one in failures} == {"fleet_unread"}
