# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a node's present schematic comes from: its own extension, its 1.14 resource, or the factory; never a guess."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from integration import playbook
from simulator import Simulator

ARGS = {"customization": {"extraKernelArgs": ["console=ttyS0", "net.ifnames=0"]}}
BARE = {"no_extra_info": True}
NODES: dict[str, Any] = {
    "with-text": {"schematic": ARGS},
    "without-text": {"schematic": ARGS, "extra": BARE},
    "old-without-text": {"schematic": ARGS, "talos": "v1.13.9", "extra": BARE},
    "unknown-to-the-factory": {"schematic": {"customization": {"extraKernelArgs": ["quiet"]}}, "extra": BARE},
    "with-garbage": {"schematic": ARGS, "faults": {"garbage_yaml": "ExtensionStatuses.runtime.talos.dev"}},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[playbook.Run]:
    """Derive the image of each node."""
    directory = tmp_path_factory.mktemp("present")
    with Simulator({"name": "present", "nodes": NODES}, directory / "fleet") as sim:
        factory = sim.fleet.factory
        factory.put(ARGS)
        factory.set_fault("lost_schematic", factory.put(NODES["unknown-to-the-factory"]["schematic"]))
        options = {"factory_url": sim.factory_url, "version": "v1.14.1"}
        task = {"name": "Derive", "talosops.selinux.schematic": options, "ignore_errors": True}
        yield playbook.play(sim, directory / "run", [task])
        assert sim.writes() == []


@pytest.mark.parametrize("name", ["with-text", "without-text", "old-without-text"])
def test_the_present_one_is_found(run: playbook.Run, name: str) -> None:
    result = run.of("Derive", name)
    assert result["present"] is not None
    assert result["present"] == run.of("Derive", "with-text")["present"]
    assert result["target"]["kernel_args"] == ["console=ttyS0", "net.ifnames=0", "enforcing=1"]
    assert (result["added"], result["removed"]) == (["enforcing=1"], [])


def test_one_that_nobody_can_show_is_not_guessed(run: playbook.Run) -> None:
    assert run.of("Derive", "unknown-to-the-factory")["failure"]["kind"] == "lost_schematic"
    failure = run.of("Derive", "with-garbage")["failure"]
    assert failure["kind"] == "invalid_answer"
