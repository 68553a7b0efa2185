# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that operators had in hand: native to 1.14, left by tools that did not finish, or refused by Talos."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.document import BOM, ConfigError
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.facts import facts
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.prepare import prepare
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.rewrite import rewrite
from generated_configs import made_up_secrets
from operator_configs import new_image

DIRECTORY = Path(__file__).parents[3] / "data" / "faulty-configs"
FILES = {path.name.partition(".")[0]: path.read_text(encoding="utf-8") for path in DIRECTORY.glob("*.yaml.in")}
# A file of its own with a mark would be no text for the linters.
FILES["bom"] = "\ufeff" + FILES["bom"]
SECRETS = made_up_secrets()
NAMES = {
    "CRT": "OS_CRT",
    "KEY": "OS_KEY",
    "T1": "MACHINE_TOKEN",
    "T2": "BOOTSTRAP_TOKEN",
    "ID": "CLUSTER_ID",
    "SEC": "CLUSTER_SECRET",
    "BOX": "SECRETBOX_SECRET",
}
VERSION = "v1.14.1"


def filled(name):
    text = FILES[name]
    for placeholder, secret in NAMES.items():
        text = text.replace(f"@{placeholder}@", SECRETS[secret])
    return text


def prepared(name, version=VERSION):
    return prepare(
        filled(name),
        installer=new_image(version),
        version=version,
        boot="uki",
        kernel_args=["enforcing=1"],
    ).require_usable("node-1")


@pytest.mark.parametrize(("name", "role"), [("native114-cp", "controlplane"), ("native114-worker", "worker")])
def test_a_native_configuration_is_accepted(name, role):
    found = prepared(name).facts
    assert found["valid"] is True and found["machine_type"] == role
    assert found["cluster"]["cluster_id"] and found["cluster"]["kubernetes_ca"]
    # PEM as it is, in place of its base64, is as good in a document of its own.
    pem = base64.b64decode(SECRETS["OS_CRT"]).decode()
    text = filled(name).replace(
        f"  - {SECRETS['OS_CRT']}\n", "  - |\n" + "".join(f"    {line}\n" for line in pem.splitlines())
    )
    again = facts(rewrite(text, new_image(VERSION), boot="uki", schematic_args=["enforcing=1"]).text, version=VERSION)
    assert again["valid"] and again["cluster"] == found["cluster"]


@pytest.mark.parametrize("name", ["both", "both-patch-left"])
def test_both_forms_of_an_installation(name):
    with pytest.raises(ConfigError, match=r"machine\.install stands beside UnattendedInstallConfig"):
        prepared(name)
    assert facts(filled(name), version=VERSION)["valid"] is False


@pytest.mark.parametrize("name", ["both", "both-patch-left", "two-command-lines"])
def test_what_is_wrong_is_said_once(name):
    if name in FILES:
        text = filled(name)
    else:
        install = "  install:\n    disk: /dev/sda\n    grubUseUKICmdline: true\n    extraKernelArgs: [quiet]\n"
        text = f"machine:\n  type: worker\n{install}"
    found = prepare(text, installer=new_image(VERSION), version=VERSION, boot="uki").facts["problems"]
    said = "grubUseUKICmdline" if name == "two-command-lines" else "stands beside"
    assert len([problem for problem in found if said in problem]) == 1
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("op-refs", "a reference of 1Password"),
        ("jinja-left", "a template of Jinja, Go or Helm"),
        ("envsubst-left", "a variable of envsubst, a shell or Terraform"),
        ("angle-left", "a placeholder in angle brackets"),
    ],
)
def test_secrets_that_nobody_resolved(name, what):
    with pytest.raises(ConfigError) as caught:
        prepared(name)
    for place in ("machine.ca.crt", "machine.ca.key", "machine.token", "cluster.id", "cluster.secret", "cluster.token"):
        assert f"{place} is {what}, not the value itself" in caught.value.found
    for place in ("aggregatorCA.key", "etcd.ca.crt", "serviceAccount.key", "secretboxEncryptionSecret"):
        assert f"cluster.{place} is {what}" in caught.value.found


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("unknown-key", r"machine\.systemExtensions is no key that Talos knows"),
        ("wrong-type", r"machine\.install\.wipe is neither true nor false"),
    ],
)
def test_what_talos_rejects(name, problem):
    with pytest.raises(ConfigError, match=problem):
        prepared(name, "v1.13.7")


def test_what_only_the_node_knows_to_be_wrong():
    """A key below those that are known here is left to the node, which is asked before anything is drained."""
    assert prepared("unknown-cluster-key", "v1.13.7").facts["valid"] is True


def test_a_byte_order_mark():
    assert filled("bom").startswith(BOM)
    text = prepared("bom", "v1.13.7").rewritten.text
    assert text.startswith(f"{BOM}version: v1alpha1") and new_image("v1.13.7") in text
    assert text == filled("bom").replace("ghcr.io/siderolabs/installer:v1.13.7", new_image("v1.13.7"))
