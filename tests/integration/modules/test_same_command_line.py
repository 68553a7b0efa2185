# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An image boots as its node does, but for SELinux; what else a factory adds or loses leaves it without one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.errors import WrongCmdline
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.resolve import (
    present_image,
    require_same_command_line,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import fleet
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.client import connect
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.config import Talosconfig
from integration import playbook
from simulator import Simulator

NODES: dict[str, Any] = {
    "plain": {},
    "twin": {},
    # Somebody booted it in another way than its schematic says.
    "odd": {"faults": {"audit_disabled": True}, "bootloader": "grub"},
    "grub": {"bootloader": "grub", "schematic": {"customization": {"extraKernelArgs": ["net.ifnames=0"]}}},
}


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with Simulator({"name": "lines", "nodes": NODES}, tmp_path_factory.mktemp("lines") / "fleet") as simulator:
        yield simulator


@pytest.fixture(scope="module")
def present(sim: Simulator) -> dict[str, Any]:
    """What the plain node runs, as it says on the wire."""
    context = Talosconfig.load(sim.directory / "talosconfig").context()

    async def ask() -> dict[str, Any]:
        async with connect(context, sim.fleet.nodes["plain"].address) as client:
            return await present_image(client)

    return fleet.run(ask())


def _image(cmdline: str, version: str = "v1.14.1") -> dict[str, Any]:
    return {"cmdline": cmdline, "target": {"version": version, "kernel_args": ["enforcing=1"]}}


@pytest.mark.parametrize(
    "change",
    [
        lambda line: f"{line} init=/bin/sh",
        lambda line: f"{line} talos.config=http://evil/",
        lambda line: f"{line} talos.platform=aws",
        lambda line: f"{line} siderolink.api=grpc://evil",
        lambda line: f"{line} module.sig_enforce=0",
        lambda line: line.replace("module.sig_enforce=1", "module.sig_enforce=0"),
        lambda line: line.replace("slab_nomerge ", ""),
        lambda line: line.replace("console=tty0", "console=ttyS0"),
    ],
)
def test_another_line_is_refused(present: dict[str, Any], change: Any) -> None:
    good = f"{present['cmdline']} enforcing=1"
    require_same_command_line(present, _image(good))
    assert change(good) != good
    with pytest.raises(WrongCmdline, match="differs from the node's own by more than SELinux"):
        require_same_command_line(present, _image(change(good)))


def test_a_node_that_does_not_tell_its_line_has_none_that_is_the_same(present: dict[str, Any]) -> None:
    with pytest.raises(WrongCmdline, match="does not report its kernel command line"):
        require_same_command_line({**present, "cmdline": None}, _image(f"{present['cmdline']} enforcing=1"))


def test_of_another_version_nothing_can_be_said(present: dict[str, Any]) -> None:
    require_same_command_line(present, _image("talos.platform=metal selinux=1 enforcing=1", "v1.14.2"))


def test_the_schematic_of_a_node_under_grub_may_bring_its_own(present: dict[str, Any]) -> None:
    image = _image(f"{present['cmdline']} net.ifnames=0 enforcing=1")
    image["target"]["kernel_args"] = ["net.ifnames=0", "enforcing=1"]
    with pytest.raises(WrongCmdline, match=r"it has net\.ifnames=0 where the node has nothing"):
        require_same_command_line(present, image)
    require_same_command_line({**present, "from_uki": False}, image)
    with pytest.raises(WrongCmdline, match=r"it has net\.ifnames=0 where the node has nothing"):
        require_same_command_line({**present, "from_uki": False}, _image(image["cmdline"]))


def test_a_factory_that_adds_leaves_the_fleet_without_images(sim: Simulator, tmp_path: Any) -> None:
    options = {"factory_url": sim.factory_url, "version": "v1.14.1"}
    task = {"name": "Derive", "talosops.selinux.schematic": options, "run_once": True}
    whole = playbook.play(sim, tmp_path / "whole", [task]).of("Derive", "plain")
    assert sorted(whole["nodes"]) == sorted(NODES) and "warnings" not in whole
    line = whole["nodes"]["plain"]["cmdline"]
    sim.fleet.factory.set_fault("wrong_cmdline", f"{line} net.ifnames=0 init=/bin/sh")
    try:
        spoiled = playbook.play(sim, tmp_path / "spoiled", [task]).of("Derive", "plain")
    finally:
        sim.fleet.factory.clear_fault("wrong_cmdline")
    assert spoiled["nodes"] == {}
    assert {problem["kind"] for problem in spoiled["unread"].values()} == {"wrong_cmdline"}
    assert any("plain, twin" in text and "init=/bin/sh" in text for text in spoiled["warnings"])
    assert sim.writes() == []
