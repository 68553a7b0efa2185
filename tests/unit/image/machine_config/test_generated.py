# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configurations that `talosctl gen config` of each release writes, through everything that is done to one."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.facts import CLUSTER, facts
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.masking import mask
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.rewrite import rewrite
from generated_configs import ROLES, VERSIONS, load, made_up_secrets
from operator_configs import problems_in

RELEASES = {"v1.10": "v1.10.9", "v1.12": "v1.12.11", "v1.13": "v1.13.9", "v1.14": "v1.14.0"}
SECRETS = made_up_secrets()
EVERY = [(version, role) for version in VERSIONS for role in ROLES]


def image(version):
    return f"factory.talos.dev/metal-installer/{'a' * 64}:{version}"


def boots(version):
    return ["uki"] if version == "v1.10" else ["uki", "grub"]


def test_every_release_is_here():
    assert set(VERSIONS) == set(RELEASES)


@pytest.mark.parametrize(("version", "role"), EVERY)
def test_it_is_accepted(version, role):
    text = load(version, role, SECRETS)
    assert problems_in(text, version=RELEASES[version], machine_type=role, hostname="node-1") == []
    # A file of an older release is good for a newer one.
    for release in RELEASES.values():
        if release >= RELEASES[version]:
            target = rewrite(text, image(release), boot="uki", schematic_args=["enforcing=1"]).text
            assert problems_in(target, version=release, machine_type=role) == []


@pytest.mark.parametrize(("version", "role", "boot"), [(*one, boot) for one in EVERY for boot in boots(one[0])])
def test_it_is_rewritten_and_nothing_else_changes(version, role, boot):
    text, release = load(version, role, SECRETS), RELEASES[version]
    result = rewrite(text, image(release), boot=boot, schematic_args=["enforcing=1"])
    assert result.problems == ()
    old, new = text.splitlines(), result.text.splitlines()
    assert len(old) == len(new)
    changed = [(before.strip(), after.strip()) for before, after in zip(old, new, strict=True) if before != after]
    assert [after for _before, after in changed] == [f"image: {image(release)}"]
    assert list(yaml.safe_load_all(result.text)) != list(yaml.safe_load_all(text))
    assert [line for line in result.diff if line[:1] == "+" and line[:3] != "+++"] == [
        f"+{new[next(i for i, (a, b) in enumerate(zip(old, new, strict=True)) if a != b)]}"
    ]
    assert rewrite(result.text, image(release), boot=boot, schematic_args=["enforcing=1"]).changed is False


@pytest.mark.parametrize(("version", "role"), EVERY)
def test_its_facts_are_found_wherever_they_stand(version, role):
    found = facts(load(version, role, SECRETS), version=RELEASES[version])
    assert found["machine_type"] == role and found["hostname"] is None
    assert set(found["cluster"]) == set(CLUSTER) and found["cluster"]["cluster_id"] is not None
    assert found["install"]["kind"] == ("unattended" if version == "v1.14" else "v1alpha1")
    assert found["install"]["image"] and found["install"]["wipe"] is False
    # The same cluster is the same cluster in every release's places.
    assert found["cluster"] == facts(load("v1.10", "controlplane", SECRETS))["cluster"]


@pytest.mark.parametrize(("version", "role"), EVERY)
def test_its_secrets_are_masked(version, role):
    text = load(version, role, SECRETS)
    masked = mask(text)
    lines = {line.strip() for line in text.splitlines()} - {line.strip() for line in masked.splitlines()}
    secrets = [value for value in SECRETS.values() if value in text] + [line for line in lines if len(line) == 64]
    assert len(secrets) >= 5
    assert not [secret for secret in secrets if secret[:16] in masked]
    assert [set(one) for one in yaml.safe_load_all(masked)] == [set(one) for one in yaml.safe_load_all(text)]
