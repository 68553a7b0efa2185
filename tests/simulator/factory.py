# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A simulated Image Factory: HTTP API, PXE scripts and the registry API, with faults that can be switched.

The node simulator asks the same object in process (`Factory.resolve_installer`) what an installer image
would install, so what a test sees over HTTP and what a node boots have one source.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import factory_schematic as schematics
from .factory_auth import REALM, FactoryAuth, FactoryRequest, ImageError, Refused
from .factory_data import DEFAULT_EXTENSIONS, DEFAULT_OVERLAYS, DEFAULT_VERSIONS
from .factory_schematic import SchematicError, release, version_key
from .httpd import HttpServer, Request, Response, json_response, text_response

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

_IMAGE_SUFFIXES = (".iso", "-uki.efi", ".tar", ".raw", ".raw.xz", ".raw.zst", ".raw.gz", ".qcow2", ".vhd.gz", ".ova")
_PLAIN_INSTALLER = re.compile(r"ghcr\.io/siderolabs/installer:(?P<version>v[^@]+)\Z")
_REFERENCE = re.compile(
    r"(?P<host>[^/]+)/(?P<image>[a-z0-9-]+)/(?P<schematic>[0-9a-f]{64})"
    r"(?::(?P<tag>[^@]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?\Z"
)


class Factory:
    """The simulated Image Factory.

    Args:
        versions: the Talos versions it offers, oldest first.
        extensions: name -> (extension version, first Talos version that has it).
        auth: turns the enterprise rules on; a mapping (of a scenario) holds the fields of `FactoryAuth`.
        faults: faults that are on from the start, see `set_fault`.
        known: schematics (data or text) the factory has already seen; the empty one always is.
    """

    def __init__(
        self,
        versions: Sequence[str] = DEFAULT_VERSIONS,
        extensions: Mapping[str, tuple[str, str]] | None = None,
        *,
        auth: FactoryAuth | Mapping[str, Mapping[str, str]] | None = None,
        faults: Mapping[str, Any] | None = None,
        known: Iterable[Mapping[str, Any] | str] = (),
    ) -> None:
        self.versions = sorted(versions, key=version_key)
        self.extensions = dict(DEFAULT_EXTENSIONS if extensions is None else extensions)
        self.auth = FactoryAuth(**auth) if isinstance(auth, Mapping) else auth
        self.requests: list[FactoryRequest] = []
        self.faults: dict[str, Any] = {}
        self._schematics: dict[str, dict[str, Any]] = {}
        self._digests: dict[str, tuple[str, str, str]] = {}
        self._builds = 0
        self._retry_after = 1
        self._server = HttpServer(self._answer)
        for schematic in ({}, *known):
            self.put(schematic)
        for name, value in (faults or {}).items():
            self.set_fault(name, value)

    # --- in process ------------------------------------------------------------------------------

    async def start(self, host: str, port: int) -> None:
        """Serve plain HTTP on ``host``:``port`` (0 takes a free port)."""
        await self._server.start(host, port)

    async def stop(self) -> None:
        """Stop serving and drop hanging requests."""
        await self._server.stop()

    @property
    def host(self) -> str:
        """``address:port``: the registry part of an image reference."""
        return f"{self._server.host}:{self._server.port}"

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://{self.host}"

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
            self._retry_after = int(value.get("after", 1))
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
            parsed = None if schematic is None else self._find(schematic)
            extensions = self._build(parsed, version)
            arguments = self._command_line(parsed, version, platform, arch, secureboot, iso=iso)
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
            platform, secureboot = _installer(image)
            if digest:
                version = self._version_of_digest(image, schematic, digest)
                if tag and self._resolve_tag(tag) != version:
                    raise Refused(404, f"{image_ref}: the digest does not belong to the tag")
            else:
                version = self._resolve_tag(tag or "latest")
        except Refused as refused:
            raise ImageError(refused.message, refused.status) from refused
        result = self.describe(schematic, version, platform=platform, secureboot=secureboot)
        fault = self.faults.get("wrong_installer")
        if fault:
            result["kernel_args"] = _spoiled(result["kernel_args"], fault)
        return result

    # --- what images contain ---------------------------------------------------------------------

    def _find(self, identity: str) -> dict[str, Any]:
        lost = self.faults.get("lost_schematic")
        empty = schematics.schematic_id("customization: {}\n")
        if identity not in self._schematics or (lost and identity == lost) or (lost is True and identity != empty):
            raise Refused(404, f"schematic {identity} not found")
        return self._schematics[identity]

    def _build(self, schematic: Mapping[str, Any] | None, version: str) -> list[dict[str, str]]:
        """The extensions in an image; raises what a failed build answers."""
        if version not in self.versions:
            raise Refused(404, f"Talos version {version} is not available")
        if schematic is None:
            return []
        names = schematic["customization"].get("systemExtensions", {}).get("officialExtensions", [])
        fault = self.faults.get("missing_extension")
        status = fault.get("status", 400) if isinstance(fault, Mapping) else 400
        available = self._available_extensions(version)
        for name in names:
            if name not in available:
                message = f'official extension "{name}" is not available for Talos version {version}'
                raise Refused(status, "internal server error" if status >= 500 else message)
        return [{"name": name.removeprefix("siderolabs/"), "version": available[name]} for name in names]

    def _available_extensions(self, version: str) -> dict[str, str]:
        fault = self.faults.get("missing_extension")
        missing = fault.get("name", True) if isinstance(fault, Mapping) else fault
        return {
            name: its_version
            for name, (its_version, since) in sorted(self.extensions.items())
            if version_key(since) <= version_key(version) and missing is not True and missing != name
        }

    def _command_line(
        self,
        schematic: Mapping[str, Any] | None,
        version: str,
        platform: str,
        arch: str,
        secureboot: bool,
        *,
        iso: bool = False,
    ) -> list[str]:
        if platform not in schematics.PLATFORMS or arch not in schematics.ARCHITECTURES:
            raise Refused(400, f'invalid profile path: "{platform}-{arch}"')
        arguments = schematics.kernel_command_line(
            schematic, version, platform=platform, arch=arch, secureboot=secureboot, iso=iso
        )
        fault = self.faults.get("wrong_cmdline")
        return _spoiled(arguments, fault) if fault else arguments

    def _resolve_tag(self, tag: str) -> str:
        if tag == "latest":
            return next(version for version in reversed(self.versions) if "-" not in version)
        if tag not in self.versions:
            raise Refused(404, f"Talos version {tag} is not available")
        return tag

    def _manifest(self, image: str, schematic: str, version: str) -> tuple[bytes, str]:
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
            for arch in schematics.ARCHITECTURES
        ]
        index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests}
        body = json.dumps(index, separators=(",", ":")).encode()
        digest = "sha256:" + hashlib.sha256(body).hexdigest()
        self._digests[digest] = (image, schematic, version)
        return body, digest

    def _version_of_digest(self, image: str, schematic: str, digest: str) -> str:
        self._find(schematic)
        if digest not in self._digests and not self.faults.get("digest_changes"):
            # A digest noted in an earlier run of the same fleet: builds are reproducible.
            for version in self.versions:
                self._manifest(image, schematic, version)
        known = self._digests.get(digest)
        if known is None or known[:2] != (image, schematic):
            raise Refused(404, f"manifest {digest} unknown")
        return known[2]

    # --- HTTP ------------------------------------------------------------------------------------

    async def _answer(self, request: Request) -> Response:
        identity = None
        try:
            if self._hit("hang"):
                self.requests.append(FactoryRequest(request.method, request.path, 0, None, ""))
                await asyncio.Event().wait()
            self._fail_by_fault()
            if self.auth is not None:
                identity = self.auth.identify(request)
            response = self._route(request, identity)
            if response.content_type == "application/json" and self._hit("bad_json"):
                response = Response(response.status, response.body[: len(response.body) // 2], "application/json")
        except Refused as refused:
            response = text_response(refused.message + "\n", refused.status, refused.headers)
        except SchematicError as error:
            response = text_response(f"{error}\n", 400)
        body = request.body.decode(errors="replace")
        self.requests.append(FactoryRequest(request.method, request.path, response.status, identity, body))
        return response

    def _hit(self, name: str) -> bool:
        """Whether this request is hit by a fault that may be limited to a number of requests."""
        value = self.faults.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            self.faults[name] = value - 1
            if value <= 1:
                del self.faults[name]
            return value > 0
        return bool(value)

    def _fail_by_fault(self) -> None:
        if self._hit("rate_limited"):
            raise Refused(429, "too many requests", {"Retry-After": str(self._retry_after)})
        if self._hit("server_error"):
            raise Refused(500, "internal server error")

    def _route(self, request: Request, identity: str | None) -> Response:
        parts = [part for part in request.path.split("/") if part]
        read = request.method in ("GET", "HEAD")
        match parts:
            case ["versions"] if read:
                broken = request.argument("broken") == "true"
                return json_response([] if broken else self.versions)
            case ["version", version, ("extensions" | "overlays") as kind, "official"] if read:
                return self._official(_with_v(version), kind)
            case ["healthz" | "readyz"] if read:
                return Response()
            case ["schematics"] if request.method == "POST":
                self._authenticate(identity)
                return self._create(request, identity)
            case ["schematics", schematic] if read:
                text = schematics.canonical(self._owned(schematic, identity))
                return Response(200, text.encode(), "application/yaml")
            case ["image", schematic, version, file] if read:
                return self._image(self._owned(schematic, identity), _with_v(version), file)
            case ["pxe", schematic, version, target] if read:
                return self._pxe(schematic, self._owned(schematic, identity), _with_v(version), target)
            case ["v2"] if read:
                self._authenticate(identity)
                return Response()
            case ["v2", image, schematic, "manifests", reference] if read:
                return self._serve_manifest(image, schematic, reference, identity)
        raise Refused(404 if read else 405, "404 page not found" if read else "Method Not Allowed")

    def _authenticate(self, identity: str | None) -> None:
        if self.auth is not None and identity is None:
            raise Refused(401, "authentication required", {"WWW-Authenticate": f"Basic {REALM}"})

    def _owned(self, schematic: str, identity: str | None) -> dict[str, Any]:
        self._authenticate(identity)
        found = self._find(schematic)
        if self.auth is not None and found.get("owner") != identity:
            raise Refused(403, "access denied")
        return found

    def _create(self, request: Request, identity: str | None) -> Response:
        try:
            schematic = schematics.parse(request.body.decode())
        except UnicodeDecodeError as error:
            raise Refused(400, "yaml: invalid UTF-8") from error
        if self.auth is None and "owner" in schematic:
            raise Refused(400, "owner field is only supported in Enterprise edition")
        if self.auth is not None:
            if schematic.get("owner", identity) != identity:
                raise Refused(403, "access denied")
            schematic = {"owner": identity, **schematic}
        text = schematics.canonical(schematic)
        found = schematics.schematic_id(text)
        self._schematics[found] = schematic
        if self.faults.get("wrong_id"):
            found = schematics.schematic_id(text + "\n")
        return json_response({"id": found, "schematic": text}, 201)

    def _official(self, version: str, kind: str) -> Response:
        if version not in self.versions:
            raise Refused(404, f"Talos version {version} is not available")
        if kind == "overlays":
            return json_response(
                [
                    {"name": name, "image": image, "ref": f"ghcr.io/{image}:{version}", "digest": _digest_of(image)}
                    for name, image in DEFAULT_OVERLAYS.items()
                ]
            )
        return json_response(
            [
                {
                    "name": name,
                    "ref": f"ghcr.io/{name}:{its_version}",
                    "digest": _digest_of(f"{name}:{its_version}:{version}"),
                    "author": "Sidero Labs",
                    "description": f"The {name.partition('/')[2]} system extension.\n",
                }
                for name, its_version in self._available_extensions(version).items()
            ]
        )

    def _image(self, schematic: Mapping[str, Any], version: str, file: str) -> Response:
        if version not in self.versions:
            raise Refused(404, f"Talos version {version} is not available")
        if file.startswith("cmdline-"):
            platform, arch, secureboot = _target(file.removeprefix("cmdline-"))
            arguments = self._command_line(schematic, version, platform, arch, secureboot)
            return _attachment(file, " ".join(arguments).encode())
        if not file.startswith(("kernel-", "initramfs-")) and not file.endswith(_IMAGE_SUFFIXES):
            raise Refused(400, f'invalid profile path: "{file}"')
        if not file.startswith("kernel-"):
            self._build(schematic, version)
        return _attachment(file, f"simulated {file} of Talos {version}\n".encode())

    def _pxe(self, identity: str, schematic: Mapping[str, Any], version: str, target: str) -> Response:
        if version not in self.versions:
            raise Refused(404, f"Talos version {version} is not available")
        platform, arch, secureboot = _target(target)
        line = " ".join(self._command_line(schematic, version, platform, arch, secureboot))
        base = f"{self.url}/image/{identity}/{version}"
        if secureboot:
            script = f"kernel {base}/{platform}-{arch}-secureboot-uki.efi {line}"
        else:
            script = f"kernel {base}/kernel-{arch} {line}\ninitrd {base}/initramfs-{arch}.xz"
        return text_response(f"#!ipxe\n\nimgfree\n{script}\nboot\n")

    def _serve_manifest(self, image: str, schematic: str, reference: str, identity: str | None) -> Response:
        found = self._owned(schematic, identity)
        _installer(image)
        if reference.startswith("sha256:"):
            version = self._version_of_digest(image, schematic, reference)
        else:
            version = self._resolve_tag(reference)
        self._build(found, version)
        body, digest = self._manifest(image, schematic, version)
        media_type = "application/vnd.oci.image.index.v1+json"
        return Response(200, body, media_type, {"Docker-Content-Digest": digest})


def _with_v(version: str) -> str:
    tag = version if version.startswith("v") else f"v{version}"
    try:
        release(tag)
    except ValueError as error:
        # The real factory does not tell a caller's mistake from its own here.
        raise Refused(500, "internal server error") from error
    return tag


def _target(text: str) -> tuple[str, str, bool]:
    """``<platform>-<arch>[-secureboot]`` taken apart."""
    plain = text.removesuffix("-secureboot")
    platform, _unused, arch = plain.rpartition("-")
    return platform, {"x86_64": "amd64", "i386": "amd64"}.get(arch, arch), plain != text


def _installer(image: str) -> tuple[str, bool]:
    """The platform and the kind of an installer repository's name."""
    plain = image.removesuffix("-secureboot")
    if plain == "installer":
        return "metal", plain != image
    platform = plain.removesuffix("-installer")
    if platform == plain or platform not in schematics.PLATFORMS:
        raise Refused(400, f"invalid image: {image}")
    return platform, plain != image


def _spoiled(arguments: Sequence[str], fault: Any) -> list[str]:
    if isinstance(fault, str):
        return fault.split()
    return [argument for argument in arguments if not argument.startswith("enforcing=")]


def _digest_of(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _attachment(file: str, body: bytes) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{file}"'}
    return Response(200, body, "application/octet-stream", headers)
