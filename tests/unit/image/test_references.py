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
        with pytest.raises(r.BadReference, match="has no installer repository of its own name"):
            r.installer(ID, target, "factory.talos.dev")
        with pytest.raises(r.BadReference, match="has no installer repository of its own name"):
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
        "ghcr.io/siderolabs/installer:v1 x",
        "ghcr.io/siderolabs/installer:v1\n",
        "https://ghcr.io/siderolabs/installer:v1",
        "ghcr.io/Siderolabs/installer:v1",
        "user:pw@ghcr.io/x:v1",
        "ghcr.io/x@sha256:12",
    ],
)
def test_what_is_no_reference_is_refused(text):
    with pytest.raises(r.BadReference, match="is not of the form registry/name:tag"):
        r.parse(text)


@pytest.mark.parametrize("rest", ["", ":latest", ":latest@sha256:" + "0" * 64])
def test_a_reference_without_a_release_is_refused(rest):
    with pytest.raises(r.BadReference, match="names no exact release"):
        r.parse(f"ghcr.io/siderolabs/installer{rest}")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"version": "latest"}, "is not an exact Talos version"),
        ({"platform": "toaster"}, "the platform 'toaster' is unknown"),
        ({"arch": "riscv64"}, "metal has no images for 'riscv64'"),
        ({"platform": "hcloud", "arch": "arm64"}, "hcloud has no images for 'arm64'"),
        ({"platform": "aws", "secureboot": True}, "aws has no SecureBoot images"),
    ],
)
def test_targets_that_are_refused(options, words):
    with pytest.raises(r.BadReference, match=words):
        r.Target(**{"version": "v1.14.1", **options})


def test_other_refusals():
    with pytest.raises(r.BadReference, match="a schematic id is not 64"):
        r.installer("latest", r.Target("v1.14.1"), "factory.talos.dev")
    with pytest.raises(r.BadReference, match="the old installer repository is for metal, not aws"):
        r.installer(ID, r.Target("v1.14.1", "aws"), "factory.talos.dev", legacy=True)
    assert r.parse_version("v1.15.0-alpha.1") == (1, 15, 0)


#: The disk image, media and architectures of Talos' platforms, as the Image Factory offers them.
BUILT = {
    "metal": ("raw.zst", ("iso", "pxe"), True, True),
    "akamai": ("raw.gz", (), False, False),
    "aws": ("raw.xz", (), True, False),
    "azure": ("vhd.xz", (), True, False),
    "cloudstack": ("raw.gz", (), True, True),
    "digital-ocean": ("raw.gz", (), False, False),
    "equinixMetal": (None, ("pxe",), True, False),
    "exoscale": ("qcow2", (), True, False),
    "gcp": ("raw.tar.gz", (), True, False),
    "hcloud": ("raw.xz", (), False, False),
    "nocloud": ("raw.xz", ("iso", "pxe"), True, True),
    "opennebula": ("raw.zst", ("iso",), True, False),
    "openstack": ("raw.xz", ("iso", "pxe"), True, False),
    "oracle": ("qcow2", (), True, False),
    "scaleway": ("raw.zst", ("iso",), True, False),
    "upcloud": ("raw.xz", (), False, False),
    "vmware": ("ova", ("iso",), True, False),
    "vultr": (None, ("iso", "pxe"), False, False),
}


def test_what_the_factory_builds_for_each_platform():
    assert set(BUILT) == set(r.PLATFORMS)
    for name, (disk, media, arm, secureboot) in BUILT.items():
        found = r.media(ID, r.Target("v1.14.1", name), URL)
        assert found.get("disk_image") == (f"{URL}/image/{ID}/v1.14.1/{name}-amd64.{disk}" if disk else None), name
        assert {"iso", "pxe"} & set(found) == set(media), name
        for options, offered in (({"arch": "arm64"}, arm), ({"secureboot": True}, secureboot)):
            if offered:
                r.Target("v1.14.1", name, **options)
            else:
                with pytest.raises(r.BadReference, match=f"{name} has no "):
                    r.Target("v1.14.1", name, **options)


def test_what_is_a_registry_and_what_a_name():
    for registry in ("localhost", "localhost:5000", "registry.example", "host:5000", "[::1]:5000"):
        assert r.parse(f"{registry}/a/b:v1").registry == registry
    for text in ("host/a/b:v1", "Localhost/a:v1", "local/a:v1"):
        with pytest.raises(r.BadReference, match="is not of the form registry/name:tag"):
            r.parse(text)
