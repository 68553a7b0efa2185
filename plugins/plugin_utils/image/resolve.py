# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what a node runs to an image that was verified: the one way to a target, for modules and steps alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..evidence.sections import schematic_of
from ..evidence.visit import text_at
from ..talos.client import NodeClient
from ..talos.errors import InvalidAnswer, NotFound, Unsupported
from . import bundle, errors, factory, kernel_args, references, schematic
from .access import Access

ASKED = ("schematic", "version", "platform", "arch", "secureboot")
"""What must be known of a node to derive its image."""


def factory_of(params: Mapping[str, Any]) -> factory.Factory:
    """The Image Factory that the options of the ``factory`` documentation fragment describe."""

    def access(url: str, settings: Mapping[str, Any]) -> Access:
        return Access(
            url,
            username=settings["username"],
            password=settings["password"],
            token=settings["token"],
            ca_file=settings["ca_path"],
            allow_plain_http=params["allow_plain_http"],
        )

    mirrors = {mirror["registry"]: access(mirror["url"], mirror) for mirror in params["mirrors"]}
    return factory.Factory(access(params["factory_url"], params), registry=params["registry"], mirrors=mirrors)


async def present_image(client: NodeClient) -> dict[str, Any]:
    """What the node runs, as far as an image for it needs it.

    Returns:
        ``{id, schematic, version, platform, arch, secureboot, from_uki, cmdline}``. ``cmdline`` is None before 1.11,
        which has no resource for it.

    Raises:
        TalosError: the node does not say it.
    """
    version = await client.version()
    try:
        resource = await client.get("image_factory_schematic")
    except (NotFound, Unsupported):
        resource = None
    booted = schematic_of(resource, await client.list("extension_statuses"))
    security = await client.security_state()
    try:
        cmdline = text_at(await client.get("kernel_cmdline"), "cmdline")
    except Unsupported:
        cmdline = None
    if booted is None or version.platform is None:
        raise InvalidAnswer(
            "the node does not report which schematic it booted",
            "the enforcing image must keep everything else that the present one has",
            "give the schematic, version, platform and arch yourself, from the image the node was installed with",
            node=client.node,
        )
    return {
        "id": booted["id"],
        "schematic": booted["text"],
        "version": version.tag,
        "platform": version.platform,
        "arch": version.arch,
        "secureboot": security.secure_boot,
        "from_uki": security.booted_with_uki,
        "cmdline": cmdline,
    }


def require_same_command_line(found: Mapping[str, Any], image: Mapping[str, Any]) -> None:
    """Return when the image boots as the node does now, but for SELinux; nothing else may come in, or get lost.

    Only within one version can they be compared, since each has its own defaults; the gate refuses any other target.
    With GRUB the machine configuration may have given some of the present arguments, and the schematic none.

    Args:
        found: what :func:`present_image` said.
        image: what :func:`resolve` returned for it.

    Raises:
        WrongCmdline: they differ.
    """
    target = image["target"]
    if target is None or found["version"] != target["version"]:
        return
    if found["cmdline"] is None:
        raise errors.WrongCmdline(
            "the node does not report its kernel command line, so nothing can be compared with that of the image",
            "the node would be wiped and then boot in a way that nobody looked at",
            "find out why the node does not report it (talosctl get kernelcmdline), and try again",
            of_node=True,
        )
    more, less = kernel_args.compare(found["cmdline"], image["cmdline"])
    if found["from_uki"] is not True:
        own = {kernel_args.masked(word) for entry in target["kernel_args"] for word in kernel_args.split(entry)}
        more, less = [word for word in more if word not in own], []
    if not more and not less:
        return
    raise errors.WrongCmdline(
        "the image's kernel command line differs from the node's own by more than SELinux:"
        f" it has {' '.join(more) or 'nothing more'} where the node has {' '.join(less) or 'nothing'}",
        "the node would be wiped and then boot in another way than it does now",
        "find out who changed it: reinstall or upgrade the node, permissive, with the schematic that it is to keep,"
        " soak, and try again; if the node runs as its schematic says, look at the factory",
        of_node=True,
    )


def resolve(params: Mapping[str, Any], found: dict[str, Any] | None, *, check: bool = False) -> dict[str, Any]:
    """Derive the schematic, register it, and verify the image it makes.

    Args:
        params: the options of the ``factory`` documentation fragment, with ``schematic``, ``version``, ``platform``,
            ``arch``, ``secureboot``, ``goal``, ``bundle``, ``save_bundle`` and ``expect_digest``.
        found: what :func:`present_image` said, used where an option is None; None when all options are set.
        check: register nothing and write nothing.

    Returns:
        The result of M(talosops.selinux.schematic).

    Raises:
        Problem: the image cannot be derived, built or verified, or is another than expected.
    """
    service = factory_of(params)
    derived, wanted = _derived(service, params, found)
    result: dict[str, Any] = {
        "present": found["id"] if found else None,
        "id": derived.target_id,
        "schematic": derived.target.body(),
        "added": list(derived.kernel.added),
        "removed": list(derived.kernel.removed),
        "verified": False,
        "target": None,
        "cmdline": None,
        "media": None,
        "changed": False,
        "diff": {"prepared": "\n".join(derived.diff) + "\n"} if derived.diff else {},
    }
    wanted |= {"schematic": derived.target.body(), "goal": params["goal"], "expected_digest": params["expect_digest"]}
    if params["bundle"]:
        verified = bundle.verify_offline(params["bundle"], registry=params["registry"], **wanted)
        # Elsewhere the pull itself holds the digest against the image: it is part of what the node asks for.
        if references.parse(verified["installer"]).registry in service.registries.mirrors:
            service.registries.resolve(verified["installer"], verified["digest"])
    else:
        known = _is_registered(service, derived.target_id)
        result["changed"] = not known
        if check and not known:
            return result
        verified = service.verify(**wanted)
        if params["save_bundle"]:
            result["changed"] = True
            if not check:
                bundle.add(params["save_bundle"], service.access.url, [verified])
    return result | {
        "id": verified["id"],
        "schematic": verified["schematic"],
        "verified": True,
        "target": {
            "version": verified["version"],
            "schematic": verified["id"],
            "installer": verified["pinned"],
            "installer_digest": verified["digest"],
            "kernel_args": verified["kernel_args"],
        },
        "cmdline": verified["cmdline"],
        "media": verified.get("media"),
    }


def _derived(
    service: factory.Factory, params: Mapping[str, Any], found: Mapping[str, Any] | None
) -> tuple[schematic.Derivation, dict[str, Any]]:
    """The schematic for the image, and for which ``{version, platform, arch, secureboot}`` it is."""
    wanted = {key: params[key] for key in ASKED}
    if found:
        if wanted["schematic"] is None and found["schematic"] is None:
            found = {**found, "schematic": service.get(found["id"])}
        wanted = {key: found[key] if value is None else value for key, value in wanted.items()}
    present = wanted.pop("schematic")
    references.parse_version(wanted["version"])
    try:
        references.Target(**wanted).require_installer()
        return schematic.derive(present, params["goal"], present_id=found["id"] if found else None), wanted
    except (references.BadReference, errors.SchematicError) as problem:
        # What a node runs (in a container, with a field of tomorrow) says nothing about its neighbours.
        problem.context["of_node"] = found is not None
        raise


def _is_registered(service: factory.Factory, identifier: str | None) -> bool:
    if identifier is None:
        return False
    try:
        service.get(identifier)
    except (errors.NotFound, errors.LostSchematic):
        return False
    return True
