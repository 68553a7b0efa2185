# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A machine that nobody has verified names itself: neither a failure nor a result brings its escapes to a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from integration import playbook
from simulator import Simulator

EVIL = "\x1b]0;OWNED\x07\x1b[2J\x1b[31mall good\x1b[8m\u202etxt \nok: [worker-1]\u2028" + "A" * 100_000
MODULE = "talosops.selinux.machine_status_info"
CONTROL_PLANES = {f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)}


@pytest.mark.parametrize("expect", [{"expect": {"uuid": "abc"}}, {}], ids=["a failure", "a result"])
def test_a_stranger_does_not_write_on_the_terminal(tmp_path: Path, expect: dict[str, Any]) -> None:
    nodes: dict[str, Any] = {**CONTROL_PLANES, "spare": {"state": "maintenance"}, "worker-1": {}}
    with Simulator({"name": "strangers", "nodes": nodes}, tmp_path / "fleet") as sim:
        spare = sim.nodes["spare"]
        spare.uuid = EVIL
        inventory = sim.directory / "inventory.yml"
        text = inventory.read_text().replace(sim.nodes["worker-1"].address, spare.address)
        inventory.write_text(text)
        arguments = {"mode": "maintenance", **(expect or {"fingerprint": spare.gateway.certificate.fingerprint})}
        tasks = [
            {
                "name": "Look",
                "talosops.selinux.machine_status_info": arguments,
                "register": "it",
                "ignore_errors": True,
            },
            {"name": "Show", "ansible.builtin.debug": {"var": "it"}},
        ]
        run = playbook.play(sim, tmp_path / "look", tasks, hosts="worker-1")
        shown = (tmp_path / "look" / "output.txt").read_text()
        assert "\\x1b]0;OWNED" in shown.replace("\\\\", "\\")
        assert all(letter.isprintable() or letter == "\n" for letter in shown)
        assert "\nok: [worker-1]\u2028" not in shown and len(shown) < 40_000, run.code
