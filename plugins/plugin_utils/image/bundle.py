# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an Image Factory said, taken along to where there is none.

A bundle is a directory with ``manifest.json``: for each image the whole outcome of `factory.Factory.verify`. It is
written where the factory can be reached, and used instead of the factory behind the air gap. Its seal shows damage and
careless edits; it is no signature, so carry the bundle the way you carry the images themselves.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import canonical
from ..problem import Problem
from . import kernel_args, references
from . import schematic as schematics
from .factory import check_cmdline
from .references import Target

MANIFEST = "manifest.json"
SCHEMA = 1

_LIMIT = 16 * 1024 * 1024
_KEYS: Mapping[str, type] = {
    "id": str,
    "schematic": str,
    "version": str,
    "platform": str,
    "arch": str,
    "secureboot": bool,
    "goal": str,
    "installer": str,
    "digest": str,
    "cmdline": str,
}


class BundleError(Problem):
    """A prepared bundle that cannot be used."""

    kind = "bundle_broken"


class MissingBundle(BundleError):
    """There is no bundle where one should be."""

    kind = "bundle_missing"


class NotInBundle(BundleError):
    """The bundle holds other images than the one asked for."""

    kind = "not_in_bundle"


def add(directory: str | os.PathLike[str], factory_url: str, images: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Write outcomes of `factory.Factory.verify` into a bundle; one of the same schematic, target and goal is replaced.

    Ansible works on several hosts at a time, each in a process of its own, so the directory is locked meanwhile.

    Returns:
        the sealed manifest: ``{schema, created_at, factory, images: [outcome of Factory.verify], sha256}``.

    Raises:
        BundleError: an old manifest in the directory is broken, or the directory cannot be written.
    """
    place = Path(directory)
    try:
        place.mkdir(parents=True, exist_ok=True)
        with _locked(place):
            kept: list[Mapping[str, Any]] = load(place)["images"] if (place / MANIFEST).exists() else []
            for image in images:
                kept = [*(old for old in kept if _identity(old) != _identity(image)), image]
            manifest = canonical.sealed(
                {
                    "schema": SCHEMA,
                    "created_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "factory": factory_url,
                    "images": sorted(kept, key=_identity),
                }
            )
            _write(place / MANIFEST, json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    except OSError as error:
        raise BundleError(
            f"the bundle cannot be written to {place} ({error.strerror})",
            "behind the air gap there would be nothing to prove what an installer holds",
            "make the directory writable and give it room",
            path=str(place),
        ) from None
    return manifest


@contextlib.contextmanager
def _locked(place: Path) -> Iterator[None]:
    handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def load(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a bundle's manifest and check its seal and its shape.

    Raises:
        MissingBundle: there is none.
        BundleError: it is damaged, was changed by hand, or is of another schema.
    """
    path = Path(directory) / MANIFEST
    try:
        with path.open("rb") as stream:
            raw = stream.read(_LIMIT + 1)
    except OSError as error:
        raise MissingBundle(
            f"the bundle's {MANIFEST} cannot be read in {directory} ({error.strerror})",
            "without a factory only a prepared bundle can prove what an installer holds",
            "prepare the bundle where the factory can be reached, and copy it here",
            path=str(path),
        ) from None
    if len(raw) > _LIMIT:
        raise _broken(path, "is too large")
    try:
        manifest: dict[str, Any] = json.loads(raw)
    except (ValueError, RecursionError):
        raise _broken(path, "is not JSON") from None
    try:
        intact = isinstance(manifest, dict) and canonical.is_sealed(manifest)
    except ValueError:
        intact = False
    if not intact:
        raise _broken(path, "does not have the hash it carries")
    images = manifest.get("images")
    if manifest.get("schema") != SCHEMA or not isinstance(images, list):
        raise _broken(path, f"is not of schema {SCHEMA}")
    for image in images:
        if not isinstance(image, dict) or not all(isinstance(image.get(key), kind) for key, kind in _KEYS.items()):
            raise _broken(path, "holds an image whose description is not complete")
    return manifest


def verify_offline(
    directory: str | os.PathLike[str],
    schematic: str,
    version: str,
    platform: str = "metal",
    arch: str = "amd64",
    *,
    secureboot: bool = False,
    goal: kernel_args.Goal = "enforcing",
    registry: str | None = None,
    expected_digest: str | None = None,
) -> dict[str, Any]:
    """The same proof as `Factory.verify`, from a bundle.

    The schematic's id, the kernel command line and the references are all checked again; only the digest and the
    built command line are taken from the bundle.

    Args:
        registry: ``host[:port][/prefix]`` of the registry behind the air gap, if it is not the bundle's.
        expected_digest: digest of an earlier check.

    Returns:
        as `Factory.verify`, and ``bundle``: ``{created_at, factory, sha256}``.

    Raises:
        BundleError and its kinds; factory.WrongCmdline; factory.DigestChanged; references.BadReference.
    """
    target = Target(version, platform, arch, secureboot)
    manifest = load(directory)
    wanted = schematics.parse(schematic)
    place = Path(directory) / MANIFEST
    image = _find(manifest["images"], wanted, target, goal)
    if image is None:
        held = sorted(
            {f"{i['version']} {i['platform']}-{i['arch']} {i['goal']} {i['id'][:12]}" for i in manifest["images"]}
        )
        raise NotInBundle(
            f"the bundle has no {goal} image of this schematic for {version} {target.suffix}",
            "nobody has proven what such an installer holds",
            f"prepare it where the factory can be reached; the bundle holds: {', '.join(held) or 'nothing'}",
            path=str(place),
        )
    if not schematics.is_text_of(image["schematic"], image["id"]):
        raise _broken(place, "holds a schematic whose id is another")
    check_cmdline(image["cmdline"], wanted, target, goal)
    parsed = references.parse(image["installer"])
    if registry is not None:
        parsed = references.installer(image["id"], target, registry)
    elif parsed.tag != version or not parsed.repository.endswith(image["id"]):
        raise _broken(place, "holds an installer reference of another image")
    if not references.DIGEST.fullmatch(image["digest"]):
        raise _broken(place, "holds a digest that is none")
    if expected_digest is not None and expected_digest != image["digest"]:
        raise NotInBundle(
            f"the bundle's installer is {image['digest']}, not {expected_digest}",
            "it is another image than the one that was checked",
            "find out which bundle the earlier check used",
            path=str(place),
        )
    return {
        **image,
        "installer": str(parsed),
        "pinned": str(parsed.pinned(image["digest"])),
        "bundle": {key: manifest[key] for key in ("created_at", "factory", "sha256")},
    }


def _find(
    images: Sequence[dict[str, Any]], wanted: schematics.Schematic, target: Target, goal: kernel_args.Goal
) -> dict[str, Any] | None:
    for image in images:
        same = (image["version"], image["platform"], image["arch"], image["secureboot"], image["goal"])
        if same != (target.version, target.platform, target.arch, target.secureboot, goal):
            continue
        kept = dict(schematics.parse(image["schematic"]).data)
        if "owner" not in wanted.data:
            # An enterprise factory stamped its caller as the owner.
            kept.pop("owner", None)
        if kept == wanted.data:
            return image
    return None


def _identity(image: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(image[key]) for key in ("version", "platform", "arch", "secureboot", "goal", "id"))


def _write(path: Path, text: str) -> None:
    """Replace a file as a whole: a reader sees the old bundle or the new one, never half of one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".manifest-")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise


def _broken(path: Path, what: str) -> BundleError:
    return BundleError(
        f"the bundle's manifest {path} {what}",
        "a damaged bundle proves nothing",
        "prepare the bundle again and copy it as it is",
        path=str(path),
    )
