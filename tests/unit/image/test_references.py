# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.image import references as r

ID = "224daeedea2a793a0cd003ab8b8cadb4c8a16645d7b485fcfa965c5948be2e18"
URL = "https://factory.talos.dev"
EVERY = [
    r.Target("v1.14.1", name, arch, secureboot)
    for name, platform in r.PLATFORMS.items()
    for arch in platform.arches
    for secureboot in ([False, True] if platform.secureboot else [False])
]


@pytest.mark.parametrize("target", EVERY, ids=lambda t: t.suffix)
def test_every_platform_and_boot_mode(target):
    media = r.media(ID, target, URL, pxe_url="https://pxe.talos.dev")
    assert media["cmdline"] == f"{URL}/image/{ID}/v1.14.1/cmdline-{target.suffix}"
    assert all(target.suffix in address for address in media.values())
    if target.platform == "equinixMetal":
        with pytest.raises(r.BadReference):
            r.installer(ID, target, "factory.talos.dev")
        with pytest.raises(r.BadReference):
            target.require_installer()
        return
    target.require_installer()
    secureboot = "-secureboot" if target.secureboot else ""
    reference = r.installer(ID, target, "factory.talos.dev")
    assert str(reference) == f"factory.talos.dev/{target.platform}-installer{secureboot}/{ID}:v1.14.1"
    assert r.parse(str(reference)) == reference


def test_names():
    metal = r.Target("v1.14.1")
    assert r.media(ID, metal, URL + "/") == {
        "cmdline": f"{URL}/image/{ID}/v1.14.1/cmdline-metal-amd64",
        "uki": f"{URL}/image/{ID}/v1.14.1/metal-amd64-uki.efi",
        "iso": f"{URL}/image/{ID}/v1.14.1/metal-amd64.iso",
        "pxe": f"{URL}/pxe/{ID}/v1.14.1/metal-amd64",
        "disk_image": f"{URL}/image/{ID}/v1.14.1/metal-amd64.raw.zst",
    }
    assert str(r.installer(ID, metal, "mirror.example.org:5000/talos", legacy=True)) == (
        f"mirror.example.org:5000/talos/installer/{ID}:v1.14.1"
    )
    digest = "sha256:" + "0" * 64
    pinned = r.installer(ID, metal, "factory.talos.dev").pinned(digest)
    assert str(pinned).endswith(f":v1.14.1@{digest}") and r.parse(str(pinned)) == pinned
    assert r.parse("[::1]:5000/x:v1").registry == "[::1]:5000"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "installer",
        "installer:v1.14.1",
        "siderolabs/installer:v1.14.1",
        "ghcr.io/siderolabs/installer",
        "ghcr.io/siderolabs/installer:latest",
        "ghcr.io/siderolabs/installer:latest@sha256:" + "0" * 64,
        "ghcr.io/siderolabs/installer:v1 x",
        "ghcr.io/siderolabs/installer:v1\n",
        "https://ghcr.io/siderolabs/installer:v1",
        "ghcr.io/Siderolabs/installer:v1",
        "user:pw@ghcr.io/x:v1",
        "ghcr.io/x@sha256:12",
    ],
)
def test_references_that_are_refused(text):
    with pytest.raises(r.BadReference):
        r.parse(text)


@pytest.mark.parametrize(
    "options",
    [
        {"version": "latest"},
        {"version": "v1.14.1", "platform": "toaster"},
        {"version": "v1.14.1", "arch": "riscv64"},
        {"version": "v1.14.1", "platform": "hcloud", "arch": "arm64"},
        {"version": "v1.14.1", "platform": "aws", "secureboot": True},
    ],
)
def test_targets_that_are_refused(options):
    with pytest.raises(r.BadReference):
        r.Target(**options)


def test_other_refusals():
    with pytest.raises(r.BadReference):
        r.installer("latest", r.Target("v1.14.1"), "factory.talos.dev")
    with pytest.raises(r.BadReference):
        r.installer(ID, r.Target("v1.14.1", "aws"), "factory.talos.dev", legacy=True)
    assert r.parse_version("v1.15.0-alpha.1") == (1, 15, 0)
