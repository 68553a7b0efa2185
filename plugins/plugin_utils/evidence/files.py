# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of one collection: the sealed document and the raw logs it was made from.

Layout: ``<directory>/<node>/<moment>-<boot>/{evidence.json, auditd.log, dmesg.log}``. A collection is written into a
hidden directory beside its final place and renamed, so that a half-written one is never read as whole.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..canonical import SEAL, canonical_json, is_sealed, parse_json
from ..nested import value_at
from ..private_files import check_private, private_directory, sync_directory
from ..problem import Problem
from .identity import same_uuid

DOCUMENT = "evidence.json"
_LONGEST_NAME = 200
_NOT_OF_A_NAME = re.compile(r"^\.|[^A-Za-z0-9._-]")
_NOT_OF_A_TIME = re.compile(r"[^0-9TZ]")

Log = Callable[[], Iterable[bytes]]
"""A raw log that may be larger than memory is cheap: each call gives the same bytes from the start, in pieces."""


class EvidenceProblem(Problem):
    """Evidence is missing, damaged or cannot be kept."""

    kind = "evidence"


def save(directory: str, document: Mapping[str, Any], logs: Mapping[str, Log]) -> Path:
    """Write a sealed evidence document and its raw logs.

    Args:
        directory: where collections are kept; made when missing, readable by its owner only.
        document: a sealed evidence document.
        logs: raw logs by file name, such as ``auditd.log``.

    Returns:
        The path of the document.

    Raises:
        NotPrivate: when others own the directory, or can write it.
        EvidenceProblem: when the files cannot be written.
    """
    moment = _NOT_OF_A_TIME.sub("", str(document["collected_at"]))
    place = Path(directory) / safe_name(str(document["node"]["name"])) / f"{moment}-{str(document[SEAL])[:12]}"
    try:
        private_directory(place.parent)
        scratch = Path(tempfile.mkdtemp(prefix=".writing-", dir=place.parent))
        try:
            for name, log in logs.items():
                _write(scratch / name, log())
            _write(scratch / DOCUMENT, [canonical_json(document) + b"\n"])
            if place.exists():
                shutil.rmtree(scratch)
            else:
                scratch.rename(place)
                sync_directory(place.parent)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
    except OSError as error:
        raise EvidenceProblem(
            f"the evidence of {document['node']['name']} cannot be written below {directory}:"
            f" {error.strerror or error}",
            "nothing is wiped unless its evidence has been saved",
            "make the evidence directory writable and give it room",
            path=str(place),
        ) from error
    return place / DOCUMENT


def load(path: str | Path) -> dict[str, Any]:
    """Read a saved document and check its seal and the hashes of the logs beside it.

    Raises:
        NotPrivate: when others could have written it.
        EvidenceProblem: when it is missing, not JSON, altered, or one of its logs is missing or altered.
    """
    path = Path(path)
    why = "a verdict rests on the evidence it was given for"
    do = "collect the evidence again and let the gate judge it again"
    try:
        for private in (path, path.parent):
            check_private(private)
        document = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise EvidenceProblem(f"the evidence file {path} cannot be read: {reason}", why, do, path=str(path)) from error
    if not isinstance(document, dict) or not is_sealed(document):
        raise EvidenceProblem(f"the evidence file {path} does not match its own hash", why, do, path=str(path))
    sources = value_at(document, "audit", "sources")
    if not isinstance(sources, list) or not all(map(_is_source, sources)):
        raise EvidenceProblem(f"the evidence file {path} does not list its logs as this release does", why, do)
    for source in sources:
        log = path.parent / source["name"]
        try:
            with log.open("rb") as file:
                intact = hashlib.file_digest(file, "sha256").hexdigest() == source["sha256"]
        except OSError:
            intact = False
        if not intact:
            raise EvidenceProblem(f"the log {log} is missing or was altered", why, do, path=str(path))
    return document


def _is_source(source: Any) -> bool:
    """Whether an entry names a log beside its document."""
    name = source.get("name") if isinstance(source, Mapping) else None
    return isinstance(name, str) and bool(name) and name.isprintable() and Path(name).name == name


def entry_of(document: Mapping[str, Any], path: Path | None) -> dict[str, Any]:
    """How a document is handed from task to task: ``{path, sha256, summary}``, since a fleet's documents are large.

    A document that was not saved (check mode) has no path, and is in the entry itself, under ``evidence``.
    """
    entry = {"path": str(path) if path else None, "sha256": document[SEAL], "summary": summary_of(document)}
    return entry if path else {**entry, "evidence": dict(document)}


def document_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The document of an entry that :func:`entry_of` made.

    Raises:
        EvidenceProblem: it cannot be read, or is not the one that was handed over.
    """
    document = load(entry["path"]) if entry["path"] is not None else dict(entry["evidence"])
    if document.get(SEAL) != entry["sha256"]:
        raise EvidenceProblem(
            f"the evidence file {entry['path']} is not the one that was collected",
            "another document has other facts, and would be judged in its place",
            "collect the evidence again and let the gate judge it again",
            path=str(entry["path"]),
        )
    return document


def summary_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """What of a document may be shown or planned by without reading it: nothing is judged by this."""
    coverage, denials, etcd = document["audit"]["coverage"], document["audit"]["denials"], document["etcd"]
    return {
        "node": dict(document["node"]),
        "boot_id": document["boot"]["id"],
        "talos_version": document["talos"]["version"],
        "selinux_state": document["selinux"]["state"],
        "disagreements": list(document["selinux"]["disagreements"]),
        "coverage": {
            **{key: coverage[key] for key in ("verdict", "seconds", "lost_at_least")},
            "reasons": [reason["text"] for reason in coverage["reasons"]],
        },
        "denials": len(denials) if denials is not None else None,
        "enforced": sum(denial["enforced"] or 0 for denial in denials) if denials is not None else None,
        "etcd": {key: etcd[key] for key in ("agreed", "voters")} if etcd else None,
    }


def earlier(directory: str | Path, document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The documents saved below ``directory`` of the same node before ``document``, newest first.

    The same node has the same inventory name and the same machine UUID, by what the documents say and not by where they
    lie. Damaged documents and those of another schema are left out: what they said is not known. Logs are not looked
    at.
    """
    place = Path(directory) / safe_name(str(document["node"]["name"]))
    for path in sorted(place.glob(f"[0-9]*/{DOCUMENT}"), reverse=True):
        try:
            found = parse_json(path.read_bytes())
        except (OSError, ValueError):
            continue
        # Times of one form sort as text; one second may hold two readings, but not the same one twice.
        if (
            isinstance(found, dict)
            and is_sealed(found)
            and found.get("schema") == document["schema"]
            and found[SEAL] != document[SEAL]
            and str(found.get("collected_at")) <= str(document["collected_at"])
            and _is_same_node(found.get("node"), document["node"])
        ):
            yield found


def _is_same_node(one: Any, other: Mapping[str, Any]) -> bool:
    return isinstance(one, Mapping) and one.get("name") == other["name"] and same_uuid(one.get("uuid"), other["uuid"])


def safe_name(name: str) -> str:
    """A node's name as a file name; two names never give the same one.

    Whatever could leave the directory or hide the file is written as ``=`` and its bytes in hexadecimal; a name that is
    too long for a file system ends with its hash.
    """
    quoted = _NOT_OF_A_NAME.sub(lambda found: "".join(f"={b:02X}" for b in found[0].encode()), name) or "="
    if len(quoted) <= _LONGEST_NAME:
        return quoted
    return f"{quoted[: _LONGEST_NAME - 65]}={hashlib.sha256(name.encode()).hexdigest()}"


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.writelines(pieces)
        file.flush()
        os.fsync(file.fileno())
