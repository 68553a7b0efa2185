# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with a machine configuration, as far as the text alone shows it, before any node is asked.

The node's own judgement (`dry_run`) comes later and decides; what can be said here is said at the gate already.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .. import references
from . import unresolved
from .document import Configuration, get
from .hostname import node_name
from .kinds import CONTROL_PLANE_ONLY, KEY_SINCE, KEYS, NEWEST, SINCE, Release
from .places import (
    CONFLICTS,
    FORBIDDEN_ON_WORKERS,
    HOSTNAME,
    NEEDED,
    NEEDED_ON_CONTROL_PLANES,
    PLACES,
    UNATTENDED,
    Place,
    value,
    values,
)
from .secrets import wrong_form

_WORD = re.compile(r"[A-Za-z0-9_$/-]{1,40}")
_ROLES = {"controlplane": "controlplane", "init": "controlplane", "worker": "worker"}


def problems_of(
    config: Configuration, *, version: str | None, machine_type: str | None, hostname: str | None
) -> list[str]:
    """What is wrong with a configuration for a reinstall; empty when nothing was found. No secret is ever quoted.

    Args:
        config: the configuration as it will be applied.
        version: the Talos version to install; the image's tag must be it.
        machine_type: ``controlplane`` or ``worker``, what the node is now; None is not compared.
        hostname: the node's present host name. Control planes are replaced in etcd by name, so it has to stay.
    """
    release = None if version is None else references.parse_version(version)[:2]
    problems = list(_document_problems(config, version, release))
    for document in config.documents:
        problems += unresolved.problems(document)
    problems += _secret_problems(config)
    problems += _conflict_problems(config)
    problems += _install_problems(config, version)
    problems += mismatches(config, machine_type=machine_type, hostname=hostname)
    return problems


def mismatches(config: Configuration, *, machine_type: str | None, hostname: str | None) -> list[str]:
    """In which ways a configuration is for another machine than the one described; None is not compared."""
    problems: list[str] = []
    own_type, own_name = role(config), host_name(config)
    if machine_type is not None and own_type is not None and own_type != machine_type:
        problems.append(f"the configuration is for a {own_type}, the node is a {machine_type}")
    # What the node says is its name in Kubernetes, which is not always spelled like the host name.
    if hostname is not None and own_name is not None and node_name(own_name) != node_name(hostname):
        problems.append(f"the configuration's host name is {own_name!r}, the node's is {hostname!r}")
    return problems


def role(config: Configuration) -> str | None:
    """``controlplane`` or ``worker`` (``init`` counts as the first), or None when the configuration does not say."""
    return _ROLES.get(str(value(config, "machine_type")))


def host_name(config: Configuration) -> str | None:
    """The host name the configuration sets, or None when it leaves it to the platform or to Talos."""
    name = value(config, "hostname")
    return None if name is None else str(name)


def _document_problems(config: Configuration, version: str | None, release: Any) -> Iterator[str]:
    if config.main is None:
        yield "there is no v1alpha1 document: the node would stay in maintenance mode"
    for document in config.documents:
        if document.kind is None:
            yield from _key_problems(document.data, version, release)
            continue
        if document.get("apiVersion") != "v1alpha1":
            yield f"the document {_known_word(document.label)} has no apiVersion v1alpha1, which Talos refuses"
        since = SINCE.get(document.kind)
        if since is None and (release is None or release <= NEWEST):
            yield f"{_known_word(document.kind)} is no kind of document that Talos knows"
        elif since is not None and release is not None and release < since:
            yield f"{document.kind} is not known to Talos {version}"
        if document.kind in CONTROL_PLANE_ONLY and role(config) == "worker":
            yield f"{document.kind} must not be in a worker's configuration"
    if config.document(HOSTNAME) is not None:
        automatic, name = config.get(HOSTNAME, "auto"), config.get(HOSTNAME, "hostname")
        if automatic not in (None, "off") and name:
            yield f"{HOSTNAME} has both auto and hostname, which Talos refuses"
        if automatic is None and not name:
            yield f"{HOSTNAME} has neither auto nor hostname, which Talos refuses"


def _key_problems(data: Any, version: str | None, release: Release | None) -> Iterator[str]:
    if release is not None and release > NEWEST:
        return
    for path, known in KEYS.items():
        found = get(data, *path)
        if not isinstance(found, dict):
            if found is not None:
                yield f"{'.'.join(path)} is not a mapping"
            continue
        for key in found:
            where = ".".join((*path, _known_word(key)))
            since = KEY_SINCE.get((*path, key))
            if key not in known:
                # Other words would only repeat what `unresolved` says about it.
                if key not in ("sops", "$patch"):
                    yield f"{where} is no key that Talos knows, which it refuses"
            elif since is not None and release is not None and release < since:
                yield f"{where} is not known to Talos {version}"


def _secret_problems(config: Configuration) -> Iterator[str]:
    if config.main is None:
        return
    kind = value(config, "machine_type")
    if kind == "init":
        yield "machine.type is init, which bootstraps a new cluster: it must be controlplane"
    elif kind not in _ROLES:
        yield "machine.type is neither controlplane nor worker"
    for group in (*NEEDED, *(NEEDED_ON_CONTROL_PLANES if role(config) == "controlplane" else ())):
        if not values(config, *group):
            yield f"{_places_of(group)} is missing: the node could not rejoin its cluster"
    if role(config) == "worker":
        for found in values(config, *FORBIDDEN_ON_WORKERS):
            yield f"{found.place.where} must not be in a worker's configuration"
        if config.get(None, "cluster", "etcd") is not None:
            yield "cluster.etcd must not be in a worker's configuration"
    for place in PLACES:
        if place.form is None:
            continue
        for found in values(config, place.fact):
            if found.place is place and (wrong := wrong_form(found.value, place.form)):
                name = unresolved.name_of(found.value, "formed") if isinstance(found.value, str) else None
                yield f"{place.where} is {name}, not the value itself" if name else f"{place.where} {wrong}"


def _conflict_problems(config: Configuration) -> Iterator[str]:
    for conflict in CONFLICTS:
        if config.document(conflict.kind) is None:
            continue
        found = config.get(None, *conflict.path)
        if found is not None and (conflict.empty_counts or found not in ("", False, "0", "0s", [], {})):
            yield f"{'.'.join(conflict.path)} stands beside {conflict.kind}: Talos refuses the same in both places"


def _install_problems(config: Configuration, version: str | None) -> Iterator[str]:
    install = config.get(None, "machine", "install")
    images: list[tuple[str, Any]] = []
    if config.document(UNATTENDED) is not None:
        if not config.get(UNATTENDED, "provisioning", "diskSelector", "match"):
            yield f"{UNATTENDED} has no provisioning.diskSelector.match: no disk would be found"
        images.append((f"{UNATTENDED} installer.image", config.get(UNATTENDED, "installer", "image")))
    if isinstance(install, dict):
        if config.document(UNATTENDED) is None and not install.get("disk") and install.get("diskSelector") is None:
            yield "machine.install has neither disk nor diskSelector"
        if install.get("extraKernelArgs") and install.get("grubUseUKICmdline") is True:
            yield "machine.install has both extraKernelArgs and grubUseUKICmdline: true, which Talos refuses"
        for key in ("wipe", "bootloader", "legacyBIOSSupport", "grubUseUKICmdline"):
            if install.get(key) is not None and not isinstance(install[key], bool):
                yield f"machine.install.{key} is neither true nor false"
        images.append(("machine.install.image", install.get("image")))
    if not images:
        yield f"there is neither machine.install nor {UNATTENDED}: nothing would be installed"
    for where, image in images:
        if not image:
            yield f"{where} is missing: the installer would be left to the boot medium"
            continue
        try:
            tag = references.parse(str(image)).tag
        except references.BadReference as error:
            yield f"{where}: {error.found}"
            continue
        if version is not None and tag != version:
            yield f"{where} is for {tag}, not for the target version {version}"


def _places_of(facts: tuple[str, ...]) -> str:
    """All places of a group of facts in one phrase, so that the operator finds the one of their Talos release."""
    found: list[Place] = [place for place in PLACES if place.fact in facts]
    whole = [place for place in found if "*" not in place.path] or found
    return " or ".join(place.where for place in whole)


def _known_word(key: str) -> str:
    return key if _WORD.fullmatch(key) else "<masked>"
