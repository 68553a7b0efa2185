# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.facts import facts
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.repair import acceptable_repair
from generated_configs import load, made_up_secrets
from operator_configs import Config, assert_hidden

VERSION = "v1.14.1"
CONFIG = Config()


def judged(text, version=VERSION, **node):
    return facts(text, version=version, **node)


@pytest.mark.parametrize(
    "fix",
    [
        lambda text: text.replace("    certSANs: []", "    certSANs: [a.example.org]"),
        lambda text: text.replace("net.core.somaxconn", "net.core.rmem_max"),
        lambda text: f"# fixed\n{text}",
        lambda text: text + "---\napiVersion: v1alpha1\nkind: OOMConfig\n",
    ],
)
def test_a_fix_that_makes_the_same_node_is_accepted(fix):
    assert fix(CONFIG.text) != CONFIG.text
    assert acceptable_repair(judged(CONFIG.text), judged(fix(CONFIG.text))) == []


def test_a_fix_of_a_configuration_that_was_not_valid_is_accepted():
    broken = CONFIG.text.replace("version: v1alpha1", "x-notes: {a: b}\nversion: v1alpha1", 1)
    assert judged(broken)["valid"] is False
    assert acceptable_repair(judged(broken), judged(CONFIG.text)) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("hostname: node-1", "hostname: node-2", "another host name"),
        ("hostname: node-1", "auto: stable", "another host name"),
        ("disk: /dev/sda", "disk: /dev/sdb", "another install section"),
        (":v1.14.1", ":v1.14.2", "another install section"),
        ("        wipe: false", "        wipe: true", "another install section"),
    ],
)
def test_a_fix_that_makes_another_node_is_refused(old, new, problem):
    assert old in CONFIG.text
    found = acceptable_repair(judged(CONFIG.text), judged(CONFIG.text.replace(old, new)))
    assert any(problem in one for one in found), found
    assert_hidden(CONFIG, found)


def test_a_fix_of_another_cluster_is_refused():
    secrets, others = made_up_secrets(), made_up_secrets()
    before = judged(load("v1.14", "worker", secrets), None)
    assert acceptable_repair(before, judged(load("v1.14", "worker", others), None)) == [
        f"the fixed configuration is for another cluster: its {name} is not the one that was judged"
        for name in ("cluster id", "cluster secret", "kubernetes ca", "machine ca")
    ]
    # One of them is enough.
    mixed = {**secrets, "CLUSTER_ID": others["CLUSTER_ID"]}
    assert len(acceptable_repair(before, judged(load("v1.14", "worker", mixed), None))) == 1


def test_a_fix_for_the_other_role_is_refused():
    secrets = made_up_secrets()
    before, after = (judged(load("v1.12", role, secrets), None) for role in ("worker", "controlplane"))
    before["install"] = after["install"]
    assert acceptable_repair(before, after) == ["the fixed configuration has another role than the one that was judged"]


def test_a_fix_that_is_not_valid_is_refused():
    broken = CONFIG.text.replace("    token:", "    tokn:", 1)
    found = acceptable_repair(judged(CONFIG.text), judged(broken))
    assert (
        "the fixed configuration is not valid: machine.token is missing: the node could not rejoin its cluster" in found
    )
    wrong_node = judged(CONFIG.text, machine_type="worker")
    assert acceptable_repair(judged(CONFIG.text), wrong_node) == [
        "the fixed configuration is not valid: the configuration is for a controlplane, the node is a worker"
    ]


@pytest.mark.parametrize("cluster", [None, {}])
def test_what_nobody_recorded_is_not_the_same(cluster):
    before = copy.deepcopy(judged(CONFIG.text))
    before["cluster"] = cluster
    assert "nobody recorded which cluster the judged configuration was for" in acceptable_repair(
        before, judged(CONFIG.text)
    )
    assert acceptable_repair(before, before)
