# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.facts import CLUSTER, facts
from operator_configs import SCHEMATIC, VERSIONS, Config, assert_hidden


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["controlplane", "worker"])
def test_facts_of_the_first_generation(version, kind):
    config = Config(version, kind)
    found = facts(config.text, version=version)
    assert found["valid"] is True and found["problems"] == []
    assert found["install"] == {
        "kind": "v1alpha1",
        "disk": "/dev/sda",
        "disk_selector": None,
        "image": f"factory.talos.dev/metal-installer/{SCHEMATIC}:{version}",
        "wipe": False,
        "extra_kernel_args": None,
        "grub_use_uki_cmdline": None,
    }
    assert_hidden(config, found)
    assert found["machine_type"] == kind
    assert found["hostname"] == ("node-1" if version >= "v1.12" else "node-1.example.org")


def test_facts_of_the_other_generation():
    found = facts(Config(unattended=True).text)
    assert found["install"]["kind"] == "unattended"
    assert found["install"]["disk_selector"] == "disk.size > 10u * GB && !disk.readonly"
    assert found["install"]["wipe"] is True
    assert facts("machine: {type: worker}")["install"] is None


def test_a_cluster_is_known_by_hashes_that_do_not_depend_on_the_spelling():
    config = Config()
    found = facts(config.text)["cluster"]
    assert sorted(found) == sorted(CLUSTER) and all(len(value) == 64 for value in found.values())
    assert facts(Config().text)["cluster"] != found
    # The same CA, as PEM in a document of its own.
    start = config.text.index("    ca:", config.text.index("cluster:"))
    encoded = config.text[start:].split("crt: ")[1].split()[0]
    lines = base64.b64decode(encoded).decode().splitlines()
    pem = "".join(f"        {line}\n" for line in lines)
    text = f"machine: {{}}\n---\napiVersion: v1alpha1\nkind: KubeAPIServerCAConfig\nissuingCA:\n    cert: |\n{pem}"
    assert facts(text)["cluster"]["kubernetes_ca"] == found["kubernetes_ca"]
    assert facts(text)["cluster"]["cluster_id"] is None


def test_what_cannot_be_read_has_no_facts():
    found = facts("machine: [")
    assert found["valid"] is False and found["cluster"] is None and found["machine_type"] is None
