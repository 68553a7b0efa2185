# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.checks import (
    host_name,
    mismatches,
    role,
    validate,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.document import Configuration
from operator_configs import VERSIONS, Config, assert_hidden


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["controlplane", "worker"])
def test_good_configurations(version, kind):
    config = Config(version, kind)
    assert validate(config.text, version=version, machine_type=kind, hostname="node-1") == []


def test_a_kind_that_the_release_does_not_know():
    config = Config("v1.14.1", unattended=True)
    assert validate(config.text, version="v1.14.1") == []
    problems = validate(config.text, version="v1.13.9")
    assert "UnattendedInstallConfig is not known to Talos v1.13.9" in problems


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("    type: controlplane", "    type: bastion", "machine.type is neither"),
        ("    type: controlplane", "    type: init", "bootstraps a new cluster"),
        ("endpoint: https", "endpint: https", "cluster.controlPlane.endpoint or KubeClusterConfig endpoint is missing"),
        ("    token:", "    tokn:", "machine.token is missing"),
        (
            "    serviceAccount:",
            "    account:",
            "cluster.serviceAccount.key or KubeServiceAccountConfig issuer.privateKey is missing",
        ),
        (
            "secretboxEncryptionSecret",
            "boxSecret",
            "cluster.secretboxEncryptionSecret or cluster.aescbcEncryptionSecret or",
        ),
        (
            "    aggregatorCA:",
            "    otherCA:",
            "cluster.aggregatorCA.crt or KubeAggregatorCAConfig issuingCA.cert is missing",
        ),
        ("        disk: /dev/sda", "        legacyBIOSSupport: true", "neither disk nor diskSelector"),
        (":v1.14.1", ":latest", "names no exact release"),
        (":v1.14.1", ":v1.13.9", "is for v1.13.9, not for the target version v1.14.1"),
        ('        image: "factory', '        imag: "factory', "left to the boot medium"),
        ("    install:", "    installation:", "nothing would be installed"),
        (
            "    clusterName: demo",
            "    clusterName: ENC[AES256_GCM,data:x]",
            "cluster.clusterName is a value encrypted by SOPS",
        ),
        ("version: v1alpha1", "$patch: delete", "is not a configuration, but a patch"),
        (
            "        wipe: false",
            "        wipe: false\n        grubUseUKICmdline: true\n        extraKernelArgs: [a]",
            "which Talos refuses",
        ),
    ],
)
def test_what_validation_finds(old, new, expected):
    config = Config()
    assert old in config.text
    problems = validate(config.text.replace(old, new, 1 if "token" in old else -1), version="v1.14.1")
    assert any(expected in problem for problem in problems), problems
    assert_hidden(config, problems)


def test_what_validation_finds_in_workers_and_old_versions():
    worker = Config(kind="worker").text
    assert any(
        "must not be in a worker" in problem
        for problem in validate(worker.replace('        key: ""', "        key: abc"))
    )
    old = Config("v1.11.6", grub_key="true").text
    assert any("not known to Talos v1.11.6" in problem for problem in validate(old, version="v1.11.6"))
    assert any("no v1alpha1 document" in p for p in validate("kind: HostnameConfig\nhostname: a\n"))


def test_a_configuration_of_another_machine():
    config = Configuration(Config(kind="worker").text)
    assert mismatches(config, machine_type="worker", hostname="node-1.example.org") == []
    assert mismatches(config, machine_type="controlplane", hostname="node-2") == [
        "the configuration is for a worker, the node is a controlplane",
        "the configuration's host name is 'node-1', the node's is 'node-2'",
    ]
    assert mismatches(config, machine_type=None, hostname=None) == []
    empty = Configuration("machine: {}")
    assert host_name(empty) is None and role(empty) is None
