# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nodes for which there is no image are refused by their own checks, and stop nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration import playbook
from simulator import Simulator

FUTURE = {"overlay": {"image": "siderolabs/sbc-raspberrypi", "name": "rpi_generic", "options": {"ratio": 1.5}}}
NODES: dict[str, Any] = {
    **{f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)},
    "worker-1": {},
    "boxed": {"mode": "container", "platform": "container"},
    "no-installer": {"platform": "equinixMetal"},
    "from-tomorrow": {"schematic": FUTURE},
}
#: Why each of them has no image, as the operator is told, and a check that stops it.
ODD = {
    "boxed": ("the platform 'container' is unknown", "not-container-mode"),
    "no-installer": ("equinixMetal has no installer repository", "target-pinned"),
    "from-tomorrow": ("overlay.options.ratio holds a value", "target-pinned"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[playbook.Run]:
    """The gate playbook over all of them."""
    directory = tmp_path_factory.mktemp("odd")
    with Simulator({"name": "odd", "uptime": "96h", "nodes": NODES}, directory / "fleet") as sim:
        settings = playbook.settings(sim, directory / "evidence")
        yield playbook.run(sim, directory / "run", "talosops.selinux.gate", variables=settings)
        assert sim.writes() == []


def test_the_others_are_judged(run: playbook.Run) -> None:
    assert run.code == 0, run.output
    assert run.of("Judge the evidence")["decisions"]["eligible"] == ["cp-1", "cp-2", "cp-3", "worker-1"]


@pytest.mark.parametrize("name", ODD)
def test_an_odd_node_is_refused_and_the_operator_told_why(run: playbook.Run, name: str) -> None:
    why, check = ODD[name]
    (warning,) = [
        text for text in run.of("Prepare and verify the images")["warnings"] if f"No image for {name}:" in text
    ]
    assert why in warning
    judged = run.of("Judge the evidence")["nodes"][name]
    assert judged["decision"] != "eligible"
    assert check in {reason["id"] for reason in judged["reasons"]}


def test_a_context_of_omni_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    with Simulator({"name": "omni", "nodes": {"cp-1": {"role": "controlplane"}}}, tmp_path / "fleet") as sim:
        config = yaml.safe_load((sim.directory / "talosconfig").read_text())
        for context in config["contexts"].values():
            for key in ("crt", "key"):
                context.pop(key)
            context["auth"] = {"siderov1": {"identity": "ada@example.org"}}
        path = tmp_path / "talosconfig"
        path.write_text(yaml.safe_dump(config))
        refused = playbook.run(
            sim,
            tmp_path / "run",
            "talosops.selinux.gate",
            variables=playbook.settings(sim, tmp_path / "evidence"),
            environment={"TALOSCONFIG": str(path)},
        )
        assert refused.code != 0
        (result,) = refused.failures()["cp-1"]
        assert result["failure"]["kind"] == "fleet_unread" and "belongs to Omni" in result["msg"]
        assert not sim.calls
