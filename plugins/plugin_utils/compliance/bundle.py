# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bundle: the report in its formats, the evidence it cites, and a manifest by which anybody can check it offline."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..canonical import canonical_json, is_sealed, parse_json, sealed
from ..evidence.files import DOCUMENT, EvidenceProblem
from ..gate import signing
from ..gate.errors import VerdictRefused
from ..private_files import private_directory
from ..problem import Problem
from . import cited as citing
from .model import is_report

MANIFEST = "manifest.json"
REPORT = "report.json"
KIND = "compliance-bundle"


def write_bundle(
    directory: Path,
    files: Mapping[str, bytes],
    cited: Iterable[citing.Citation],
    *,
    about: Mapping[str, Any],
    signing_key: bytes | None = None,
) -> Path:
    """Write a bundle into a new directory, at once: a reader sees the whole bundle or none.

    Args:
        directory: the bundle's place, which must not exist.
        files: content by name.
        cited: the documents that the report cites. Everything beside an evidence document comes along with it.
        about: who ran what, when, with which versions; copied into the manifest.
        signing_key: PEM of an Ed25519 private key, or None.

    Raises:
        EvidenceProblem: it cannot be written.
        SignatureProblem: the key cannot be used.
    """
    try:
        private_directory(directory.parent)
        scratch = Path(tempfile.mkdtemp(prefix=".writing-", dir=directory.parent))
        try:
            for name, data in files.items():
                _write(scratch / name, data)
            for one in cited:
                _bring(Path(one.path), scratch / one.place)
            manifest = sealed({"schema": 1, "kind": KIND, "about": dict(about), "files": _hashes(scratch)})
            if signing_key is not None:
                manifest = signing.sign(manifest, signing_key)
            _write(scratch / MANIFEST, canonical_json(manifest) + b"\n")
            for written in (scratch, *scratch.rglob("*")):
                written.chmod(0o700 if written.is_dir() else 0o600)
            scratch.rename(directory)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
    except OSError as error:
        raise EvidenceProblem(
            f"the compliance bundle {directory} cannot be written: {error.strerror or error}",
            "a report that is not kept proves nothing later",
            "make the directory writable and give it room; a bundle is never written over an older one",
            path=str(directory),
        ) from error
    return directory


def defects(directory: Path, public_key: bytes | None = None) -> list[str]:
    """Everything wrong with a bundle, as sentences; nothing when it is as it was written.

    Looks at files only: no network, no clock. With a key the manifest must be signed by its owner; without one, a
    bundle whose files and manifest were all replaced cannot be told from a genuine one.

    Raises:
        SignatureProblem: the key cannot be used.
    """
    try:
        data = (directory / MANIFEST).read_bytes()
        manifest = parse_json(data)
        intact = _as_written(manifest, data)
    except (OSError, ValueError):
        return [f"{MANIFEST} is missing or not JSON"]
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND or not isinstance(manifest.get("files"), dict):
        return [f"{MANIFEST} is no manifest of a compliance bundle"]
    found = [f"{MANIFEST} is a link"] if (directory / MANIFEST).is_symlink() else []
    if not intact:
        found.append(f"{MANIFEST} was changed after it was written")
    if public_key is not None:
        try:
            signing.verify(manifest, public_key)
        except VerdictRefused as problem:
            found.append(f"{MANIFEST}: {problem.found}")
    present = _hashes(directory)
    listed = manifest["files"]
    found += [f"{name} is missing" for name in sorted(set(listed) - set(present))]
    found += [f"{name} is not part of the bundle" for name in sorted(set(present) - set(listed))]
    found += [f"{name} was changed" for name in sorted(set(listed) & set(present)) if listed[name] != present[name]]
    return found or _defects_of_report(directory)


def _as_written(manifest: Any, data: bytes) -> bool:
    if not isinstance(manifest, dict):
        return False
    unsigned = {key: value for key, value in manifest.items() if key != "signature"}
    return is_sealed(unsigned) and data == canonical_json(manifest) + b"\n"


def _defects_of_report(directory: Path) -> list[str]:
    try:
        report = parse_json((directory / REPORT).read_bytes())
        found = citing.defects(directory, report) if is_report(report) else None
    except (OSError, ValueError):
        found = None
    return [f"{REPORT} is no compliance report"] if found is None else found


class BundleUnsound(Problem):
    """A bundle is not as it was written."""

    kind = "bundle_unsound"


def _hashes(directory: Path) -> dict[str, str]:
    return {
        path.relative_to(directory).as_posix(): _sha256(path)
        for path in sorted(_files(directory))
        if path != directory / MANIFEST
    }


def _files(directory: Path) -> Iterator[Path]:
    """All files, and what is there beside files: links and empty directories, of which a bundle has none."""
    for place, folders, names in os.walk(directory):
        yield from (Path(place) / name for name in names)
        # A link is looked at as what it is: its target could be anywhere.
        yield from (Path(place) / name for name in folders if (Path(place) / name).is_symlink())
        if not folders and not names:
            yield Path(place)


def _sha256(path: Path) -> str:
    if path.is_symlink() or not path.is_file():
        return "no regular file"
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"unreadable: {error.strerror}"


def _bring(source: Path, place: Path) -> None:
    if source.name == DOCUMENT:
        shutil.copytree(source.parent, place.parent, ignore=shutil.ignore_patterns(".*"))
    elif not place.exists():
        _write(place, source.read_bytes())


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
