# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client of the Image Factory that believes nothing it has not checked.

The factory's interface is described in image-factory ``docs/api.md``; its authentication in ``docs/authentication.md``.
Everything here runs before any node is touched, so every doubt is an error, each with its own kind.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from . import kernel_args, references
from . import schematic as schematics
from .access import Access
from .answers import Answer, bad_answer, expect, json_of, not_found, reject, text_of
from .errors import LostSchematic, MissingExtension, NotFound, SchematicError, WrongCmdline, WrongId
from .http import Http
from .references import Target
from .registry import Registries

_PRINTABLE = re.compile(r"[ -~]+")
PUBLIC_FACTORY = "https://factory.talos.dev"


class Factory:
    """An Image Factory.

    Args:
        access: the factory, as an address or with credentials and CA.
        registry: ``host[:port][/prefix]`` of installer references, when it is not the factory's own.
        pxe_url: address of the PXE frontend, when it has a host of its own.
        mirrors: registry host -> how to really reach it, as in a node's registry mirrors.
        http: how patient to be.
    """

    def __init__(
        self,
        access: Access | str = PUBLIC_FACTORY,
        *,
        registry: str | None = None,
        pxe_url: str | None = None,
        mirrors: Mapping[str, Access] | None = None,
        http: Http | None = None,
    ) -> None:
        self.access = Access(access) if isinstance(access, str) else access
        self.registry = registry or references.registry_of(self.access.url)
        self.pxe_url = pxe_url
        self._http = http or Http()
        self.registries = Registries(self._http, self.access, mirrors or {})

    # --- schematics -------------------------------------------------------------------------------------------

    def create(self, text: str) -> str:
        """Register a schematic and prove that the factory keeps exactly it.

        Args:
            text: the schematic, YAML or JSON.

        Returns:
            its id. With credentials the factory may have added the ``owner``, which makes it another id.

        Raises:
            WrongId: the id, or the text behind it, is another than what was sent.
            LostSchematic: it cannot be read back.
            FactoryError: see the module.
            SchematicError: the text is no schematic.
        """
        wanted = schematics.parse(text)
        answer = self._call("POST", "/schematics", wanted.body().encode(), {"Content-Type": "application/yaml"})
        if answer.status == 400:
            reject(self.access, answer, "the factory refuses the schematic")
        expect(self.access, answer, 201, "the factory did not register the schematic")
        data = json_of(answer, dict)
        given = data.get("id")
        if not isinstance(given, str) or not schematics.ID.fullmatch(given):
            raise bad_answer(answer, "gave no schematic id")
        returned = data.get("schematic")
        if returned is not None and not isinstance(returned, str):
            raise bad_answer(answer, "gave a schematic that is no text")
        expected = schematics.known_id(wanted)
        if given != expected:
            self._accept_other_id(wanted, expected, given, returned)
        kept = self.get(given)
        if returned is not None and kept != returned:
            raise self._wrong_id(expected, given, "the schematic read back differs from the one it answered with")
        return given

    def get(self, schematic_id: str) -> str:
        """The canonical text of a schematic, checked against its id.

        Raises:
            LostSchematic: the factory does not know it.
            WrongId: the text does not belong to the id.
        """
        answer = self._call("GET", f"/schematics/{quote(schematic_id, safe='')}")
        if answer.status == 404:
            raise LostSchematic(
                f"the factory does not know the schematic {schematic_id}",
                "an installer that nobody can build cannot be installed, and the node would stay empty",
                "create the schematic again; if that does not help, the factory has lost its storage",
                schematic=schematic_id,
                url=answer.url,
            )
        expect(self.access, answer, 200, "the factory did not show the schematic")
        text = text_of(answer)
        if not schematics.is_text_of(text, schematic_id):
            raise self._wrong_id(
                schematic_id, hashlib.sha256(answer.body).hexdigest(), "the schematic read back has another hash"
            )
        return text

    def _accept_other_id(
        self, wanted: schematics.Schematic, expected: str | None, given: str, returned: str | None
    ) -> None:
        """Whether an id that is not the offline one still stands for the very schematic that was sent."""
        if returned is None or not schematics.is_text_of(returned, given):
            raise self._wrong_id(expected, given, "the text it answered with has not this id either")
        try:
            kept = dict(schematics.parse(returned).data)
        except SchematicError:
            raise self._wrong_id(expected, given, "the text it answered with cannot be read") from None
        if self.access.authorization() is not None and "owner" not in wanted.data:
            # An enterprise factory stamps the caller as the owner, which is part of the id.
            kept.pop("owner", None)
            if expected is not None and schematics.known_id(schematics.parse(returned)) != given:
                raise self._wrong_id(expected, given, "the text it answered with is not canonical")
        elif expected is not None:
            raise self._wrong_id(expected, given, "it answered with another schematic")
        if kept != wanted.data:
            raise self._wrong_id(expected, given, "it answered with another schematic")

    def _wrong_id(self, expected: str | None, given: str, detail: str) -> WrongId:
        return WrongId(
            f"the factory's schematic id {given} is not the expected {expected or 'one'}: {detail}",
            "the image behind it would not be the node's image plus enforcing=1",
            "check which factory this is and whether a proxy changes its answers",
            expected=expected,
            given=given,
            url=self.access.url,
        )

    # --- what exists ------------------------------------------------------------------------------------------

    def versions(self) -> list[str]:
        """The Talos versions the factory builds, with the leading ``v``."""
        answer = self._call("GET", "/versions")
        expect(self.access, answer, 200, "the factory did not list its versions")
        return _strings(answer, json_of(answer, list))

    def extensions(self, version: str) -> list[dict[str, Any]]:
        """The official extensions for a version: ``[{name, ref, digest, author, description}]``."""
        return self._named(version, "extensions")

    def overlays(self, version: str) -> list[dict[str, Any]]:
        """The official overlays for a version: ``[{name, image, ref, digest}]``."""
        return self._named(version, "overlays")

    def _named(self, version: str, what: str) -> list[dict[str, Any]]:
        references.parse_version(version)
        answer = self._call("GET", f"/version/{version}/{what}/official")
        if answer.status == 404:
            raise not_found(answer, f"the factory has no list of {what} for {version}")
        expect(self.access, answer, 200, f"the factory did not list the {what}")
        entries: list[dict[str, Any]] = json_of(answer, list)
        if not all(isinstance(entry, dict) and isinstance(entry.get("name"), str) for entry in entries):
            raise bad_answer(answer, f"listed {what} without names")
        return entries

    def cmdline(self, schematic_id: str, target: Target) -> str:
        """The kernel command line that the factory builds into the image.

        Raises:
            NotFound: no such image.
            BadAnswer: the file is not one line of printable text.
        """
        url = references.media(schematic_id, target, self.access.url)["cmdline"]
        answer = self._http.request(self.access, "GET", url)
        if answer.status == 404:
            raise not_found(answer, f"the factory has no image of {schematic_id} for {target.version}")
        expect(self.access, answer, 200, "the factory did not build the kernel command line")
        text = text_of(answer).strip()
        if not _PRINTABLE.fullmatch(text):
            raise bad_answer(answer, "gave a kernel command line that is not one line of text")
        return text

    # --- the whole proof --------------------------------------------------------------------------------------

    def verify(
        self,
        schematic: str,
        version: str,
        platform: str = "metal",
        arch: str = "amd64",
        *,
        secureboot: bool = False,
        goal: kernel_args.Goal = "enforcing",
        expected_digest: str | None = None,
    ) -> dict[str, Any]:
        """Prove, before any node is touched, that the installer exists and is what the goal needs.

        Args:
            schematic: text of the schematic to install.
            expected_digest: digest of an earlier check; another one is an error.

        Returns:
            ``{id, schematic, owner, version, platform, arch, secureboot, goal, installer, digest, pinned, cmdline,
            kernel_args, extensions, media}``. ``installer`` is the reference with its tag, ``pinned`` has the
            digest too; ``media`` holds download addresses.

        Raises:
            FactoryError: one of its kinds for each thing that is not as it should be.
        """
        target = Target(version, platform, arch, secureboot)
        if references.parse_version(version) < (1, 10, 0):
            raise references.BadReference(
                f"Talos {version} is older than v1.10.0",
                "its installer does not carry the schematic's kernel arguments",
                "use a newer version",
            )
        wanted = schematics.parse(schematic)
        if version not in self.versions():
            raise NotFound(
                f"the factory does not build Talos {version}",
                "there is no installer to reinstall the node with",
                "use one of the versions it lists, or another factory",
                version=version,
                url=self.access.url,
            )
        self._check_parts(wanted, version)
        schematic_id = self.create(schematic)
        canonical = self.get(schematic_id)
        cmdline = self.cmdline(schematic_id, target)
        check_cmdline(cmdline, wanted, target, goal)
        installer = references.installer(schematic_id, target, self.registry)
        digest = self.registries.resolve(str(installer), expected_digest)
        return {
            "id": schematic_id,
            "schematic": canonical,
            "owner": schematics.parse(canonical).owner,
            "version": version,
            "platform": platform,
            "arch": arch,
            "secureboot": secureboot,
            "goal": goal,
            "installer": str(installer),
            "digest": digest,
            "pinned": str(installer.pinned(digest)),
            "cmdline": cmdline,
            "kernel_args": list(wanted.kernel_args),
            "extensions": list(wanted.extensions),
            "media": references.media(schematic_id, target, self.access.url, pxe_url=self.pxe_url),
        }

    def _check_parts(self, wanted: schematics.Schematic, version: str) -> None:
        missing: list[str] = []
        if wanted.extensions:
            names = {entry["name"] for entry in self.extensions(version)}
            missing += [name for name in wanted.extensions if name not in names]
        if wanted.overlay:
            names = {entry["name"] for entry in self.overlays(version)}
            missing += [f"overlay {wanted.overlay}"] if wanted.overlay not in names else []
        if missing:
            raise MissingExtension(
                f"the factory has no {', '.join(missing)} for Talos {version}",
                "the image cannot be built, and the node would stay empty after the wipe",
                "choose a version that has it, or remove it from the schematic first and soak without it",
                missing=missing,
                version=version,
            )

    # --- HTTP -------------------------------------------------------------------------------------------------

    def _call(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        return self._http.request(self.access, method, f"{self.access.url.rstrip('/')}{path}", body, headers)


def check_cmdline(cmdline: str, schematic: schematics.Schematic, target: Target, goal: kernel_args.Goal) -> None:
    """Prove that a built kernel command line reaches the goal and belongs to this schematic and platform.

    Raises:
        WrongCmdline: with every reason.
    """
    words = kernel_args.split(cmdline)
    problems = kernel_args.effective(cmdline).problems(goal)
    for arg in schematic.kernel_args:
        problems += [
            f"the schematic's argument {kernel_args.masked(word)} is missing"
            for word in kernel_args.split(arg)
            if not word.startswith("-") and word not in words
        ]
    if f"talos.platform={target.platform}" not in words:
        problems.append(f"talos.platform={target.platform} is missing: it is an image for another platform")
    if problems:
        raise WrongCmdline(
            f"the image's kernel command line is wrong: {'; '.join(problems)}",
            "the node would be wiped and then not boot as wanted",
            "check the schematic's extraKernelArgs, then the factory",
            problems=problems,
        )


def _strings(answer: Answer, data: list[Any]) -> list[str]:
    if not all(isinstance(item, str) for item in data):
        raise bad_answer(answer, "gave a list with other things than words")
    return data
