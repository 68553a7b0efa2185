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
from collections.abc import Mapping
from typing import Any

from . import factory_schematic as schematics
from .factory_auth import REALM, FactoryAuth, FactoryRequest, Refused
from .factory_cmdline import release
from .factory_data import DEFAULT_OVERLAYS
from .factory_images import Images, installer_of
from .factory_schematic import SchematicError
from .httpd import HttpServer, Request, Response, json_response, text_response

_IMAGE_SUFFIXES = (".iso", "-uki.efi", ".tar", ".raw", ".raw.xz", ".raw.zst", ".raw.gz", ".qcow2", ".vhd.gz", ".ova")


class Factory(Images):
    """The simulated Image Factory: its images, served.

    Args:
        auth: turns the enterprise rules on; a mapping (of a scenario) holds the fields of `FactoryAuth`.
        images: what :class:`Images` takes.
    """

    def __init__(self, *, auth: FactoryAuth | Mapping[str, Mapping[str, str]] | None = None, **images: Any) -> None:
        super().__init__(**images)
        self.auth = FactoryAuth(**auth) if isinstance(auth, Mapping) else auth
        self.requests: list[FactoryRequest] = []
        self._server = HttpServer(self._answer)

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
            raise Refused(429, "too many requests", {"Retry-After": str(self.retry_after)})
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
        found = self.find(schematic)
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
                for name, its_version in self.available_extensions(version).items()
            ]
        )

    def _image(self, schematic: Mapping[str, Any], version: str, file: str) -> Response:
        if version not in self.versions:
            raise Refused(404, f"Talos version {version} is not available")
        if file.startswith("cmdline-"):
            platform, arch, secureboot = _target(file.removeprefix("cmdline-"))
            arguments = self.command_line(schematic, version, platform, arch, secureboot)
            return _attachment(file, " ".join(arguments).encode())
        if not file.startswith(("kernel-", "initramfs-")) and not file.endswith(_IMAGE_SUFFIXES):
            raise Refused(400, f'invalid profile path: "{file}"')
        if not file.startswith("kernel-"):
            self.build(schematic, version)
        return _attachment(file, f"simulated {file} of Talos {version}\n".encode())

    def _pxe(self, identity: str, schematic: Mapping[str, Any], version: str, target: str) -> Response:
        if version not in self.versions:
            raise Refused(404, f"Talos version {version} is not available")
        platform, arch, secureboot = _target(target)
        line = " ".join(self.command_line(schematic, version, platform, arch, secureboot))
        base = f"{self.url}/image/{identity}/{version}"
        if secureboot:
            script = f"kernel {base}/{platform}-{arch}-secureboot-uki.efi {line}"
        else:
            script = f"kernel {base}/kernel-{arch} {line}\ninitrd {base}/initramfs-{arch}.xz"
        return text_response(f"#!ipxe\n\nimgfree\n{script}\nboot\n")

    def _serve_manifest(self, image: str, schematic: str, reference: str, identity: str | None) -> Response:
        found = self._owned(schematic, identity)
        installer_of(image)
        if reference.startswith("sha256:"):
            version = self.version_of_digest(image, schematic, reference)
        else:
            version = self.resolve_tag(reference)
        self.build(found, version)
        body, digest = self.manifest(image, schematic, version)
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


def _digest_of(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _attachment(file: str, body: bytes) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{file}"'}
    return Response(200, body, "application/octet-stream", headers)
