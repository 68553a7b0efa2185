# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the operator's configuration says about the node that it is for."""

from __future__ import annotations

import generated_configs
import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.disks import FIELDS
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.hostname import name_of_identity
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.planned import planned_config

IDENTITY = "fGdOI05hVrx3YMagLo0Bwxa2Nm9BAswWm8XLeEj0aS4"


def test_the_name_of_an_identity_is_the_one_that_talos_makes():
    """The pair is the one that Talos' own test of its controller holds."""
    assert name_of_identity(IDENTITY) == "talos-hwz-sw5"


IMAGE = {
    "version": "v1.14.1",
    "installer": "factory.talos.dev/metal-installer/" + "2" * 64 + ":v1.14.1",
    "kernel_args": ["enforcing=1"],
}


@pytest.mark.parametrize(
    ("present", "edit", "refused"),
    [
        # What talosctl generates says `auto: stable`, so a node may be called after its identity.
        ("talos-hwz-sw5", None, True),
        ("talos-hwz-sw5.example.org", None, True),
        # A platform or DHCP server names the node, now and after the wipe.
        ("worker-1", None, False),
        ("talos-aaa-bbb", None, False),
        ("talos-hwz-sw5", "hostname: talos-hwz-sw5", False),
    ],
)
def test_a_name_that_ends_with_the_wipe_is_refused(present, edit, refused):
    text = generated_configs.load("v1.14", "worker")
    assert "auto: stable" in text
    text = text.replace("auto: stable", edit) if edit else text
    node = {"machine_type": "worker", "hostname": present, "identity": IDENTITY}
    found = planned_config(text, IMAGE, "uki", node)
    named = [problem for problem in found["problems"] if "after its identity" in problem]
    assert bool(named) == refused
    assert found["valid"] is not refused


def test_a_configuration_that_cannot_be_read_is_not_valid_and_says_why():
    problem = "the machine configuration is not readable YAML (line 2)"
    found = planned_config("machine:\n  token: [hunter2hunter2\n", IMAGE, "uki", None)
    assert found is not None
    assert found.pop("problems")[0].startswith(problem.partition(" (")[0])
    assert found == {"sha256": None, "install": None, "install_disks": None, "valid": False}


def test_a_machine_that_was_never_a_node_has_no_name_to_lose():
    found = planned_config(generated_configs.load("v1.14", "worker"), IMAGE, "uki", None)
    assert not [problem for problem in found["problems"] if "after its identity" in problem]


@pytest.mark.parametrize(
    ("disks", "selector", "found"),
    [
        ([{**FIELDS, "name": "vda", "dev_path": "/dev/sda"}], None, ["vda"]),
        ([{**FIELDS, "name": "vda", "dev_path": "/dev/vda"}], None, []),
        ([{**FIELDS, "name": "vda", "serial": "S"}], "disk.serial == 'S'", ["vda"]),
        ([{**FIELDS, "name": "vda"}], "disk.unknown", None),
        (None, None, None),
    ],
)
def test_the_disks_that_the_install_section_selects(disks, selector, found):
    text = generated_configs.load("v1.14", "worker")
    if selector:
        assert text.count('match: disk.dev_path == "/dev/sda"') == 1
        text = text.replace('disk.dev_path == "/dev/sda"', selector)
    node = {"machine_type": "worker", "hostname": "n-1", "identity": IDENTITY, "disks": disks}
    assert planned_config(text, IMAGE, "uki", node)["install_disks"] == found


@pytest.mark.parametrize(
    ("node", "named"),
    [
        ({"machine_type": "worker", "hostname": "worker-1"}, []),
        ({"machine_type": "controlplane", "hostname": "worker-1"}, ["controlplane"]),
        ({"machine_type": "worker", "hostname": "another"}, ["another"]),
        ({"machine_type": None, "hostname": "worker-1"}, ["the node does not say its role"]),
        ({"machine_type": "worker", "hostname": None}, ["the node does not say its host name"]),
    ],
)
def test_the_configuration_is_for_the_node_as_it_runs(node, named):
    text = generated_configs.load("v1.14", "worker").replace("auto: stable", "hostname: worker-1")
    found = planned_config(text, IMAGE, "uki", {**node, "identity": IDENTITY})
    assert len(found["problems"]) == len(named), found["problems"]
    assert [word for word, problem in zip(named, found["problems"], strict=True) if word not in problem] == []
    assert found["valid"] is not bool(named)
