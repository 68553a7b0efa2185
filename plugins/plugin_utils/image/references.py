# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of images: installer, ISO, PXE script, disk image and cmdline file, for every platform and boot mode.

Platforms, their architectures and disk image formats are those of Talos 1.13 (``pkg/machinery/platforms``); a custom
format can be given where a release differs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..problem import Problem

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

_VERSION = re.compile(r"v([0-9]+)\.([0-9]+)\.([0-9]+)(-(?:alpha|beta|rc)\.[0-9]+)?")
_SCHEMATIC = re.compile(r"[0-9a-f]{64}")
_REFERENCE = re.compile(
    r"(?P<registry>[A-Za-z0-9.-]+(?::[0-9]+)?|\[[0-9a-fA-F:]+\](?::[0-9]+)?)"
    r"/(?P<repository>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)

_BOTH = ("amd64", "arm64")
_AMD64 = ("amd64",)


class BadReference(Problem):
    """An image reference or target that cannot be used safely."""

    kind = "bad_reference"


@dataclass(frozen=True)
class Platform:
    """What the factory builds for one platform.

    Attributes:
        arches: architectures.
        disk_image: file suffix of the disk image, or None when the platform boots by other means only.
        media: ``iso`` and ``pxe`` where they exist.
        secureboot: whether SecureBoot assets exist.
    """

    arches: tuple[str, ...]
    disk_image: str | None
    media: tuple[str, ...] = ()
    secureboot: bool = False


PLATFORMS: Mapping[str, Platform] = {
    "metal": Platform(_BOTH, "raw.zst", ("iso", "pxe"), True),
    "akamai": Platform(_AMD64, "raw.gz"),
    "aws": Platform(_BOTH, "raw.xz"),
    "azure": Platform(_BOTH, "vhd.xz"),
    "cloudstack": Platform(_BOTH, "raw.gz", secureboot=True),
    "digital-ocean": Platform(_AMD64, "raw.gz"),
    "equinixMetal": Platform(_BOTH, None, ("pxe",)),
    "exoscale": Platform(_BOTH, "qcow2"),
    "gcp": Platform(_BOTH, "raw.tar.gz"),
    "hcloud": Platform(_AMD64, "raw.xz"),
    "nocloud": Platform(_BOTH, "raw.xz", ("iso", "pxe"), True),
    "opennebula": Platform(_BOTH, "raw.zst", ("iso",)),
    "openstack": Platform(_BOTH, "raw.xz", ("iso", "pxe")),
    "oracle": Platform(_BOTH, "qcow2"),
    "scaleway": Platform(_BOTH, "raw.zst", ("iso",)),
    "upcloud": Platform(_AMD64, "raw.xz"),
    "vmware": Platform(_BOTH, "ova", ("iso",)),
    "vultr": Platform(_AMD64, None, ("iso", "pxe")),
}


@dataclass(frozen=True)
class Target:
    """Which image: Talos version, platform, architecture and boot mode.

    Raises:
        BadReference: on a version that is not exact (``latest`` above all), or a combination nobody builds.
    """

    version: str
    platform: str = "metal"
    arch: str = "amd64"
    secureboot: bool = False

    def __post_init__(self) -> None:
        parse_version(self.version)
        known = PLATFORMS.get(self.platform)
        if known is None:
            raise _bad(f"the platform {self.platform!r} is unknown", f"use one of {', '.join(sorted(PLATFORMS))}")
        if self.arch not in known.arches:
            raise _bad(f"{self.platform} has no images for {self.arch!r}", f"use one of {', '.join(known.arches)}")
        if self.secureboot and not known.secureboot:
            raise _bad(f"{self.platform} has no SecureBoot images", "use the target without SecureBoot")

    def require_installer(self) -> None:
        """Check that there is an installer for this platform, before anybody is asked for one.

        Raises:
            BadReference: there is none.
        """
        installer("0" * 64, self, "factory.talos.dev")

    @property
    def suffix(self) -> str:
        """``<platform>-<arch>[-secureboot]`` as in the factory's file names."""
        return f"{self.platform}-{self.arch}{'-secureboot' if self.secureboot else ''}"


@dataclass(frozen=True)
class Reference:
    """A container image reference in its parts; ``str()`` puts it together again."""

    registry: str
    repository: str
    tag: str | None
    digest: str | None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.registry}/{self.repository}{tag}{f'@{self.digest}' if self.digest else ''}"

    def pinned(self, digest: str) -> Reference:
        """The same reference, bound to a digest."""
        return Reference(self.registry, self.repository, self.tag, digest)


def parse_version(version: str) -> tuple[int, int, int]:
    """``v1.14.1`` as numbers; pre-release words are allowed and left out.

    Raises:
        BadReference: for anything that does not name exactly one release.
    """
    match = _VERSION.fullmatch(version)
    if match is None:
        raise _bad(f"{version!r} is not an exact Talos version", "give a version such as v1.14.1")
    return int(match[1]), int(match[2]), int(match[3])


def parse(reference: str) -> Reference:
    """Take an image reference apart.

    Raises:
        BadReference: when it has no registry, no exact tag or digest, or the tag ``latest``.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None or not _is_host(match["registry"]):
        raise _bad("an installer reference is not of the form registry/name:tag", "write it out in full")
    if match["tag"] == "latest" or not (match["tag"] or match["digest"]):
        raise _bad(
            f"the installer reference {reference!r} names no exact release",
            "give the version as the tag: the meaning of latest changes between the check and the installation",
        )
    return Reference(match["registry"], match["repository"], match["tag"], match["digest"])


def installer(schematic_id: str, target: Target, registry: str, *, legacy: bool = False) -> Reference:
    """The installer image: ``<registry>/<platform>-installer[-secureboot]/<schematic>:<version>``.

    Args:
        registry: host of the factory's registry or of a mirror, with an optional path prefix.
        legacy: the old repository name ``installer``, which is for metal only.

    Raises:
        BadReference: the id is none, or the platform has no installer of that name.
    """
    _check_id(schematic_id)
    if legacy and target.platform != "metal":
        raise _bad(f"the old installer repository is for metal, not {target.platform}", "use the platform's installer")
    name = "installer" if legacy else f"{target.platform}-installer"
    # A repository name is lower-case by the OCI rules, which equinixMetal is not.
    if name != name.lower():
        raise _bad(f"{target.platform} has no installer repository of its own name", "give the reference yourself")
    secureboot = "-secureboot" if target.secureboot else ""
    host, _unused, prefix = registry.rstrip("/").partition("/")
    path = f"{prefix}/{name}{secureboot}" if prefix else f"{name}{secureboot}"
    return parse(f"{host}/{path}/{schematic_id}:{target.version}")


def media(schematic_id: str, target: Target, factory_url: str, *, pxe_url: str | None = None) -> dict[str, str]:
    """Download addresses of everything this platform can boot from.

    Args:
        factory_url: base address of the Image Factory.
        pxe_url: base address of its PXE frontend where that has a host of its own.

    Returns:
        ``cmdline``, ``uki`` (SecureBoot or metal), and of ``iso``, ``pxe``, ``disk_image`` those that exist.
    """
    _check_id(schematic_id)
    base = factory_url.rstrip("/")
    images = f"{base}/image/{schematic_id}/{target.version}"
    known = PLATFORMS[target.platform]
    found = {"cmdline": f"{images}/cmdline-{target.suffix}", "uki": f"{images}/{target.suffix}-uki.efi"}
    if "iso" in known.media:
        found["iso"] = f"{images}/{target.suffix}.iso"
    if "pxe" in known.media:
        found["pxe"] = f"{(pxe_url or base).rstrip('/')}/pxe/{schematic_id}/{target.version}/{target.suffix}"
    if known.disk_image:
        found["disk_image"] = f"{images}/{target.suffix}.{known.disk_image}"
    return found


def registry_of(factory_url: str) -> str:
    """The registry host of a factory address: the factory serves both."""
    return urlsplit(factory_url).netloc.rpartition("@")[2]


def _is_host(text: str) -> bool:
    # As in Docker's rule: a first part without a dot, a port or "localhost" is a name, not a host.
    return text == "localhost" or "." in text or ":" in text


def _check_id(schematic_id: str) -> None:
    if not _SCHEMATIC.fullmatch(schematic_id):
        raise _bad("a schematic id is not 64 lower-case hexadecimal digits", "use the id the factory gave")


def _bad(found: str, do: str) -> BadReference:
    return BadReference(found, "only an exactly named image can be checked before a node is wiped", do)
