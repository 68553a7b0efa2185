# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the images of the simulated Image Factory contain, and the faults that can be switched."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import factory_cmdline
from . import factory_schematic as schematics
from .factory_auth import ImageError, Refused
from .factory_cmdline import release, version_key
from .factory_data import DEFAULT_EXTENSIONS, DEFAULT_VERSIONS

FAULTS: tuple[str, ...] = (
    "wrong_id",
    "lost_schematic",
    "rate_limited",
    "server_error",
    "wrong_cmdline",
    "wrong_installer",
    "missing_extension",
    "digest_changes",
    "bad_json",
    "hang",
)

_PLAIN_INSTALLER = re.compile(r"ghcr\.io/siderolabs/installer:(?P<version>v[^@]+)\Z")
_REFERENCE = re.compile(
    r"(?P<host>[^/]+)/(?P<image>[a-z0-9-]+)/(?P<schematic>[0-9a-f]{64})"
    r"(?::(?P<tag>[^@]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?\Z"
)


class Images:
    """The images of one factory; :class:`simulator.factory.Factory` serves them.

    Args:
        versions: the Talos versions it offers, oldest first.
        extensions: name -> (extension version, first Talos version that has it).
        faults: faults that are on from the start, see `set_fault`.
        known: schematics (data or text) the factory has already seen; the empty one always is.
    """

    def __init__(
        self,
        versions: Sequence[str] = DEFAULT_VERSIONS,
        extensions: Mapping[str, tuple[str, str]] | None = None,
        *,
        faults: Mapping[str, Any] | None = None,
        known: Iterable[Mapping[str, Any] | str] = (),
    ) -> None:
        self.versions = sorted(versions, key=version_key)
        self.extensions = dict(DEFAULT_EXTENSIONS if extensions is None else extensions)
        self.faults: dict[str, Any] = {}
        self.retry_after = 1
        self._schematics: dict[str, dict[str, Any]] = {}
        self._digests: dict[str, tuple[str, str, str]] = {}
        self._builds = 0
        for schematic in ({}, *known):
            self.put(schematic)
        for name, value in (faults or {}).items():
            self.set_fault(name, value)

    def set_fault(self, name: str, value: Any = True) -> None:
        """Switch a fault on.

        ``rate_limited``, ``server_error``, ``bad_json`` and ``hang``: a number is how many requests are hit,
        True hits all. ``rate_limited`` also takes ``{"times": n, "after": seconds}``. ``wrong_cmdline`` and
        ``wrong_installer``: a text replaces the kernel command line, True drops ``enforcing``; the first concerns
        every image, the second only what an installer installs. ``missing_extension``: one extension's name,
        True for every one, or ``{"name": ..., "status": ...}`` for another status than 400.

        Raises:
            ValueError: no such fault.
        """
        if name not in FAULTS:
            raise ValueError(f"the factory has no fault {name!r}; it has {', '.join(FAULTS)}")
        if name == "rate_limited" and isinstance(value, Mapping):
            self.retry_after = int(value.get("after", 1))
            value = value.get("times", True)
        self.faults[name] = value

    def clear_fault(self, name: str) -> None:
        """Switch a fault off (also one that is off)."""
        self.faults.pop(name, None)

    def put(self, schematic: Mapping[str, Any] | str) -> str:
        """Make a schematic known and return its id.

        Raises:
            SchematicError: not a schematic.
        """
        text = schematic if isinstance(schematic, str) else json.dumps(schematic)
        parsed = schematics.parse(text)
        identity = schematics.schematic_id(schematics.canonical(parsed))
        self._schematics[identity] = parsed
        return identity

    def schematic_text(self, identity: str) -> str:
        """The canonical YAML of a known schematic; KeyError for an unknown one."""
        return schematics.canonical(self._schematics[identity])

    def describe(
        self,
        schematic: str | None,
        version: str,
        *,
        platform: str = "metal",
        arch: str = "amd64",
        secureboot: bool = False,
        iso: bool = False,
    ) -> dict[str, Any]:
        """What an image of this schematic (None: the plain Talos image) and version boots with.

        Returns:
            ``{schematic, version, platform, kernel_args: [str], extensions: [{name, version}], text}``; ``text`` is
            the canonical schematic YAML, or None.

        Raises:
            ImageError: unknown schematic, version, extension or platform.
        """
        try:
            parsed = None if schematic is None else self.find(schematic)
            extensions = self.build(parsed, version)
            arguments = self.command_line(parsed, version, platform, arch, secureboot, iso=iso)
        except Refused as refused:
            raise ImageError(refused.message, refused.status) from refused
        return {
            "schematic": schematic,
            "version": version,
            "platform": platform,
            "kernel_args": arguments,
            "extensions": extensions,
            "text": None if parsed is None else schematics.canonical(parsed),
        }

    def resolve_installer(self, image_ref: str) -> dict[str, Any]:
        """What installing ``image_ref`` puts on a disk: `describe`'s result.

        Understands ``host[:port]/<platform>-installer[-secureboot]/<schematic>`` and the older ``installer`` with
        ``:<version>``, ``@sha256:<digest>`` or both, and the plain ``ghcr.io/siderolabs/installer:<version>``
        (which ended with 1.13 and carries no schematic).

        Raises:
            ImageError: the image cannot be pulled, or the factory's faults say so.
        """
        if plain := _PLAIN_INSTALLER.match(image_ref):
            version = plain["version"]
            if version not in self.versions or release(version) >= (1, 14, 0):
                raise ImageError(f"{image_ref}: not found", 404)
            return self.describe(None, version)
        match = _REFERENCE.match(image_ref)
        if match is None:
            raise ImageError(f"{image_ref}: not an Image Factory installer reference", 400)
        image, schematic, tag, digest = match["image"], match["schematic"], match["tag"], match["digest"]
        try:
            platform, secureboot = installer_of(image)
            if digest:
                version = self.version_of_digest(image, schematic, digest)
                if tag and self.resolve_tag(tag) != version:
                    raise Refused(404, f"{image_ref}: the digest does not belong to the tag")
            else:
                version = self.resolve_tag(tag or "latest")
        except Refused as refused:
            raise ImageError(refused.message, refused.status) from refused
        result = self.describe(schematic, version, platform=platform, secureboot=secureboot)
        fault = self.faults.get("wrong_installer")
        if fault:
            result["kernel_args"] = _spoiled(result["kernel_args"], fault)
        return result

    def find(self, identity: str) -> dict[str, Any]:
        """A known schematic; raises Refused for another."""
        lost = self.faults.get("lost_schematic")
        empty = schematics.schematic_id("customization: {}\n")
        if identity not in self._schematics or (lost and identity == lost) or (lost is True and identity != empty):
            raise Refused(404, f"schematic {identity} not found")
        return self._schematics[identity]

    def build(self, schematic: Mapping[str, Any] | None, version: str) -> list[dict[str, str]]:
        """The extensions in an image; raises what a failed build answers."""
        if version not in self.versions:
            raise Refused(404, f"Talos version {version} is not available")
        if schematic is None:
            return []
        names = schematic["customization"].get("systemExtensions", {}).get("officialExtensions", [])
        fault = self.faults.get("missing_extension")
        status = fault.get("status", 400) if isinstance(fault, Mapping) else 400
        available = self.available_extensions(version)
        for name in names:
            if name not in available:
                message = f'official extension "{name}" is not available for Talos version {version}'
                raise Refused(status, "internal server error" if status >= 500 else message)
        return [{"name": name.removeprefix("siderolabs/"), "version": available[name]} for name in names]

    def available_extensions(self, version: str) -> dict[str, str]:
        """Extension -> its version, for a Talos version."""
        fault = self.faults.get("missing_extension")
        missing = fault.get("name", True) if isinstance(fault, Mapping) else fault
        return {
            name: its_version
            for name, (its_version, since) in sorted(self.extensions.items())
            if version_key(since) <= version_key(version) and missing is not True and missing != name
        }

    def command_line(
        self,
        schematic: Mapping[str, Any] | None,
        version: str,
        platform: str,
        arch: str,
        secureboot: bool,
        *,
        iso: bool = False,
    ) -> list[str]:
        """The kernel arguments of an image; raises Refused for a platform that is not offered."""
        if platform not in factory_cmdline.PLATFORMS or arch not in factory_cmdline.ARCHITECTURES:
            raise Refused(400, f'invalid profile path: "{platform}-{arch}"')
        arguments = factory_cmdline.kernel_command_line(
            schematic, version, platform=platform, arch=arch, secureboot=secureboot, iso=iso
        )
        fault = self.faults.get("wrong_cmdline")
        return _spoiled(arguments, fault) if fault else arguments

    def resolve_tag(self, tag: str) -> str:
        """The version that a tag names; raises Refused for one that is not offered."""
        if tag == "latest":
            return next(version for version in reversed(self.versions) if "-" not in version)
        if tag not in self.versions:
            raise Refused(404, f"Talos version {tag} is not available")
        return tag

    def manifest(self, image: str, schematic: str, version: str) -> tuple[bytes, str]:
        """The image index of an installer and its digest."""
        if self.faults.get("digest_changes"):
            self._builds += 1
        seed = f"{image}/{schematic}:{version}/{self._builds}"
        manifests = [
            {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": "sha256:" + hashlib.sha256(f"{seed}/{arch}".encode()).hexdigest(),
                "size": 1024,
                "platform": {"architecture": arch, "os": "linux"},
            }
            for arch in factory_cmdline.ARCHITECTURES
        ]
        index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests}
        body = json.dumps(index, separators=(",", ":")).encode()
        digest = "sha256:" + hashlib.sha256(body).hexdigest()
        self._digests[digest] = (image, schematic, version)
        return body, digest

    def version_of_digest(self, image: str, schematic: str, digest: str) -> str:
        """The version of an image that a digest names; raises Refused for one that is none of it."""
        self.find(schematic)
        if digest not in self._digests and not self.faults.get("digest_changes"):
            # A digest noted in an earlier run of the same fleet: builds are reproducible.
            for version in self.versions:
                self.manifest(image, schematic, version)
        known = self._digests.get(digest)
        if known is None or known[:2] != (image, schematic):
            raise Refused(404, f"manifest {digest} unknown")
        return known[2]


def installer_of(image: str) -> tuple[str, bool]:
    """The platform and the kind of an installer repository's name."""
    plain = image.removesuffix("-secureboot")
    if plain == "installer":
        return "metal", plain != image
    platform = plain.removesuffix("-installer")
    if platform == plain or platform not in factory_cmdline.PLATFORMS:
        raise Refused(400, f"invalid image: {image}")
    return platform, plain != image


def _spoiled(arguments: Sequence[str], fault: Any) -> list[str]:
    if isinstance(fault, str):
        return fault.split()
    return [argument for argument in arguments if not argument.startswith("enforcing=")]
