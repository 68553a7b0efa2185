# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The known-denial catalogue: what experts already learnt about a denial, as data.

The data file (``data/catalogue.yml``) is the thing to review; this module only reads it, refuses
one that is wrong, and finds the entry for a denial.

A command name, a path and a pod's name are chosen by the workload. They may narrow an entry: all of a
denial's names have to fit, so that one well-behaved process never vouches for another, but for a
breaking entry one is enough, so that it never hides a known outage either.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, ClassVar

import yaml

from ...problem import Problem
from ...yaml_loader import load_yaml

DATA = Path(__file__).parent / "data" / "catalogue.yml"
SCHEMA = 1

IMPACTS = ("boot", "node", "cni", "csi", "workload", "noise")
REMEDY_KINDS = ("upgrade", "mount_option", "chart_value", "workload_change", "relabel", "reinstall", "none_needed")
CONSTRAINTS = ("mcs", "neverallow")
FILE_CLASSES = frozenset({"file", "dir", "lnk_file", "chr_file", "blk_file", "sock_file", "fifo_file"})

_TYPE = re.compile(r"[a-z][a-z0-9_]*\Z")
_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*\Z")
_ISSUE = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+#[0-9]+\Z")
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?\Z")
_CLAUSE = re.compile(r"(>=|<=|>|<|==)\s*(\S+)\Z")
_NEVER_SEEN: tuple[tuple[int, int, str], ...] = ((2, 0, ""),)


class CatalogueError(Problem):
    """A catalogue file that cannot be trusted: unreadable, or an entry breaks the schema."""

    kind = "catalogue"


@dataclass(frozen=True)
class Remedy:
    """One way out: ``kind`` from REMEDY_KINDS, ``do`` a sentence, ``value`` what to set, ``version`` for upgrades."""

    kind: str
    do: str
    value: str | None = None
    version: str | None = None


@dataclass(frozen=True)
class Example:
    """A real-shaped audit record (one line of text) that the entry must match, and its pod when that is known."""

    record: str
    owner: str | None = None


@dataclass(frozen=True)
class Benign:
    """A review's result: under these versions the denial does no harm, as ``reviewed`` on a day from ``source``."""

    versions: str
    reviewed: date
    source: str


@dataclass(frozen=True)
class Match:
    """What a denial must look like; None means that anything will do.

    ``one_name`` says that one fitting command, path or owner is enough, instead of all of them.
    """

    source: frozenset[str] | None
    target: frozenset[str] | None
    classes: frozenset[str] | None
    permissions: frozenset[str] | None
    comm: re.Pattern[str] | None
    path: re.Pattern[str] | None
    owner: re.Pattern[str] | None
    raw_context: bool | None
    constraint: str | None
    versions: str | None
    one_name: bool

    def __call__(self, denial: Mapping[str, Any], version: str | None) -> bool:
        """Whether ``denial`` (a denial dict) fits; an unknown version leaves ``versions`` open."""
        return (
            (self.source is None or denial["source_type"] in self.source)
            and (self.target is None or denial["target_type"] in self.target)
            and (self.classes is None or denial["class"] in self.classes)
            and (self.permissions is None or _subset(denial["permissions"], self.permissions))
            and (self.comm is None or self._named(denial.get("comms"), self.comm))
            and (self.path is None or self._named(denial.get("paths"), self.path))
            and (self.owner is None or self._named(denial.get("owners"), self.owner))
            and (self.raw_context is None or has_raw_context(denial) is self.raw_context)
            and (self.constraint is None or denial.get("constraint") == self.constraint)
            and (self.versions is None or version is None or in_range(version, self.versions))
        )

    def _named(self, values: Iterable[str] | None, pattern: re.Pattern[str]) -> bool:
        fits = [pattern.search(value) is not None for value in values or ()]
        return any(fits) if self.one_name else bool(fits) and all(fits)

    @property
    def specificity(self) -> tuple[int, ...]:
        """Larger is more specific: a stated fact of the record first, then how narrow the type sets are."""
        return (
            self.constraint is not None,
            self.raw_context is True,
            self.owner is not None,
            self.path is not None,
            self.comm is not None,
            self.permissions is not None,
            self.versions is not None,
            *(_narrowness(values) for values in (self.target, self.source, self.classes, self.permissions)),
        )


@dataclass(frozen=True)
class Entry:
    """One family of denials, as reviewed on ``checked``.

    ``breaking`` says whether enforcing it stops something from working; ``fixed_in`` is the first
    Talos release whose policy no longer denies it, or None when there is none yet.
    """

    id: str
    family: str
    title: str
    match: Match
    cause: str
    breaks: str
    impact: str
    breaking: bool
    remedies: tuple[Remedy, ...]
    issues: tuple[str, ...]
    fixed_in: str | None
    benign: tuple[Benign, ...]
    checked: date
    examples: tuple[Example, ...]

    def benign_for(self, version: str | None) -> bool:
        """Whether a review found this harmless on exactly this Talos version.

        An unknown version and a pre-release are never benign: nobody reviewed them.
        """
        parsed = parse_version(version)
        return parsed is not None and not parsed[3] and any(in_range(str(version), b.versions) for b in self.benign)


class Catalogue:
    """The entries, most specific first."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries: tuple[Entry, ...] = tuple(sorted(entries, key=_order))
        self._by_id = {entry.id: entry for entry in self.entries}

    def __getitem__(self, entry_id: str) -> Entry:
        return self._by_id[entry_id]

    def match(self, denial: Mapping[str, Any], talos_version: str | None) -> Entry | None:
        """The most specific entry that fits a denial dict, or None; equal specificity goes by id."""
        for entry in self.entries:
            if entry.match(denial, talos_version):
                return entry
        return None

    def is_benign(self, denial: Mapping[str, Any], talos_version: str | None) -> bool:
        """Whether a denial may be listed as known-benign.

        Doubtful records may be forged, and user messages say what their sender likes: neither is ever benign.
        """
        if denial.get("doubtful") or denial.get("userspace"):
            return False
        entry = self.match(denial, talos_version)
        return entry is not None and entry.benign_for(talos_version)


def load(path: str | Path | None = None) -> Catalogue:
    """Read a catalogue; without a path the one that ships with the collection.

    Raises CatalogueError for an unreadable file or for the first entry that breaks the schema.
    """
    return _load(Path(path)) if path is not None else _shipped()


@functools.cache
def _shipped() -> Catalogue:
    # Reading it costs more than all other work on a node's logs.
    return _load(DATA)


def _load(file: Path) -> Catalogue:
    try:
        document = load_yaml(file.read_bytes())
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise CatalogueError(
            f"the known-denial catalogue {file} cannot be read ({error})",
            "without it no denial can be explained or recognised as reviewed",
            "give a readable YAML file, or leave the option out to use the one that ships with the collection",
            file=str(file),
        ) from error
    return Catalogue(_Reader(file).document(document))


def has_raw_context(denial: Mapping[str, Any]) -> bool:
    """Whether the kernel reported a label that its policy does not know (``trawcon=`` or ``srawcon=``).

    Both fields follow ``permissive=`` at the end of a record, so a file name cannot fake them.
    """
    if denial.get("raw_contexts"):
        return True
    for sample in denial.get("samples") or ():
        try:
            raw = base64.b64decode(sample.get("raw") or "")
        except (binascii.Error, ValueError, TypeError):
            continue
        tail = raw.rpartition(b" permissive=")[2]
        if b" trawcon=" in tail or b" srawcon=" in tail:
            return True
    return False


def parse_version(version: str | None) -> tuple[int, int, int, str] | None:
    """``v1.14.0-rc.1`` as ``(1, 14, 0, "rc.1")``; None for anything that is not such a version."""
    found = _VERSION.match(version) if isinstance(version, str) else None
    if found is None:
        return None
    return int(found[1]), int(found[2]), int(found[3]), found[4] or ""


def in_range(version: str, clauses: str) -> bool:
    """Whether a version satisfies all of ``>=1.14.0,<1.15.0``; pre-releases order before their release.

    A version that cannot be parsed satisfies nothing.
    """
    parsed = parse_version(version)
    if parsed is None:
        return False
    return all(_TESTS[operator](_key(parsed), _key(bound)) for operator, bound in _clauses(clauses))


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    "==": lambda a, b: a == b,
}


def _clauses(text: str) -> list[tuple[str, tuple[int, int, int, str]]]:
    clauses = []
    for part in text.split(","):
        found = _CLAUSE.match(part.strip())
        bound = parse_version(found[2]) if found else None
        if found is None or bound is None:
            raise ValueError(f"{part.strip()!r} is not a comparison with a version")
        clauses.append((found[1], bound))
    return clauses


def _key(version: tuple[int, int, int, str]) -> tuple[int, int, int, tuple[tuple[int, int, str], ...]]:
    major, minor, patch, pre = version
    if not pre:
        return major, minor, patch, _NEVER_SEEN
    parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre.split("."))
    return major, minor, patch, parts


def _subset(values: Iterable[str], allowed: frozenset[str]) -> bool:
    values = set(values)
    return bool(values) and values <= allowed


def _narrowness(values: frozenset[str] | None) -> int:
    return 0 if values is None else 1000 - len(values)


def _order(entry: Entry) -> tuple[Any, ...]:
    return (*(-weight for weight in entry.match.specificity), entry.id)


class _Reader:
    """Turns the YAML document into entries; every complaint names the file, the entry and the field."""

    MATCH: ClassVar[frozenset[str]] = frozenset(
        {
            *("source", "target", "class", "permissions", "comm", "path", "owner"),
            *("raw_context", "constraint", "versions"),
        }
    )
    REQUIRED: ClassVar[frozenset[str]] = frozenset(
        {
            *("id", "family", "title", "match", "cause", "breaks", "impact", "breaking"),
            *("remedies", "issues", "checked", "examples"),
        }
    )
    OPTIONAL: ClassVar[frozenset[str]] = frozenset({"fixed_in", "benign"})

    def __init__(self, file: Path) -> None:
        self.file = file
        self.entry = "the document"

    def bad(self, field: str, found: str) -> CatalogueError:
        return CatalogueError(
            f"in the known-denial catalogue {self.file}, {self.entry}: {field} {found}",
            "a wrong entry could hide or misjudge a denial, so the whole catalogue is refused",
            f"correct {field} (docs/denials/ describes the fields)",
            file=str(self.file),
            entry=self.entry,
            field=field,
        )

    def document(self, document: Any) -> list[Entry]:
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            raise self.bad("schema", f"is not {SCHEMA}")
        self.fields("document", document, {"schema", "entries"}, set())
        if not isinstance(document["entries"], list) or not document["entries"]:
            raise self.bad("entries", "is not a list of entries")
        entries: dict[str, Entry] = {}
        for number, data in enumerate(document["entries"], 1):
            self.entry = f"entry {number}"
            entry = self.read_entry(data)
            if entry.id in entries:
                raise self.bad("id", "occurs twice")
            entries[entry.id] = entry
        return list(entries.values())

    def read_entry(self, data: Any) -> Entry:
        if not isinstance(data, dict):
            raise self.bad("the entry", "is not a mapping")
        if not isinstance(data.get("id"), str) or not _ID.match(data["id"]):
            raise self.bad("id", "is not lower-case words joined by hyphens")
        self.entry = f"entry {data['id']}"
        self.fields("the entry", data, self.REQUIRED, self.OPTIONAL)
        if not isinstance(data["family"], str) or not _ID.match(data["family"]):
            raise self.bad("family", "is not lower-case words joined by hyphens")
        if data["impact"] not in IMPACTS:
            raise self.bad("impact", f"is not one of {', '.join(IMPACTS)}")
        if not isinstance(data["breaking"], bool):
            raise self.bad("breaking", "is not true or false")
        fixed_in = data.get("fixed_in")
        if fixed_in is not None and parse_version(fixed_in) is None:
            raise self.bad("fixed_in", "is not a version such as v1.14.0")
        entry = Entry(
            id=data["id"],
            family=data["family"],
            title=self.text("title", data["title"]),
            match=self.read_match(data["match"], data["breaking"]),
            cause=self.text("cause", data["cause"]),
            breaks=self.text("breaks", data["breaks"]),
            impact=data["impact"],
            breaking=data["breaking"],
            remedies=tuple(self.remedy(item) for item in self.items("remedies", data["remedies"], least=1)),
            issues=tuple(self.issue(item) for item in self.items("issues", data["issues"])),
            fixed_in=fixed_in,
            benign=tuple(self.read_benign(item) for item in self.items("benign", data.get("benign", []))),
            checked=self.day("checked", data["checked"]),
            examples=tuple(self.example(item) for item in self.items("examples", data["examples"], least=1)),
        )
        if entry.breaking and entry.benign:
            raise self.bad("benign", "contradicts breaking: true")
        if entry.benign and not (entry.match.source and entry.match.target and entry.match.classes):
            raise self.bad("benign", "needs a match on source, target and class: comm and path can be forged")
        if entry.benign and entry.match.permissions is None:
            raise self.bad("benign", "needs a match on permissions: a review covers only what was seen")
        return entry

    def read_match(self, data: Any, breaking: bool) -> Match:
        if not isinstance(data, dict) or not data:
            raise self.bad("match", "is not a mapping with at least one field")
        self.fields("match", data, set(), self.MATCH)
        raw_context = data.get("raw_context")
        if raw_context is not None and not isinstance(raw_context, bool):
            raise self.bad("match.raw_context", "is not true or false")
        if data.get("constraint") is not None and data["constraint"] not in CONSTRAINTS:
            raise self.bad("match.constraint", f"is not one of {', '.join(CONSTRAINTS)}")
        classes = self.names("class", data)
        if classes is not None and "any_file" in classes:
            classes = (classes - {"any_file"}) | FILE_CLASSES
        return Match(
            source=self.names("source", data),
            target=self.names("target", data),
            classes=classes,
            permissions=self.names("permissions", data),
            comm=self.pattern("comm", data),
            path=self.pattern("path", data),
            owner=self.pattern("owner", data),
            raw_context=raw_context,
            constraint=data.get("constraint"),
            versions=self.range("match.versions", data.get("versions")),
            one_name=breaking,
        )

    def remedy(self, data: Any) -> Remedy:
        if not isinstance(data, dict):
            raise self.bad("remedies", "has an item that is not a mapping")
        self.fields("remedies", data, {"kind", "do"}, {"value", "version"})
        if data["kind"] not in REMEDY_KINDS:
            raise self.bad("remedies.kind", f"is not one of {', '.join(REMEDY_KINDS)}")
        version = data.get("version")
        if version is not None and parse_version(version) is None:
            raise self.bad("remedies.version", "is not a version such as v1.14.0")
        if (data["kind"] == "upgrade") != (version is not None):
            raise self.bad("remedies.version", "belongs to the kind upgrade, and to no other")
        value = data.get("value")
        return Remedy(
            kind=data["kind"],
            do=self.text("remedies.do", data["do"]),
            value=None if value is None else self.text("remedies.value", value),
            version=version,
        )

    def read_benign(self, data: Any) -> Benign:
        if not isinstance(data, dict):
            raise self.bad("benign", "has an item that is not a mapping")
        self.fields("benign", data, {"versions", "reviewed", "source"}, set())
        versions = self.range("benign.versions", data["versions"])
        if versions is None or not any(operator in ("<", "<=", "==") for operator, _unused in _clauses(versions)):
            raise self.bad("benign.versions", "has no upper bound: nobody reviewed the releases to come")
        return Benign(versions, self.day("benign.reviewed", data["reviewed"]), self.issue(data["source"]))

    def example(self, data: Any) -> Example:
        if isinstance(data, str):
            data = {"record": data}
        if not isinstance(data, dict):
            raise self.bad("examples", "has an item that is neither a line nor a mapping")
        self.fields("examples", data, {"record"}, {"owner"})
        record = self.text("examples.record", data["record"])
        if "avc:" not in record or "\n" in record:
            raise self.bad("examples.record", "is not one line with an AVC record")
        owner = data.get("owner")
        return Example(record, None if owner is None else self.text("examples.owner", owner))

    def issue(self, data: Any) -> str:
        if not isinstance(data, str) or not _ISSUE.match(data):
            raise self.bad("issues", f"has {data!r}, which is not owner/repository#number")
        return data

    def day(self, field: str, data: Any) -> date:
        # A timestamp is a date to isinstance.
        if not isinstance(data, date) or isinstance(data, datetime):
            raise self.bad(field, "is not a date such as 2026-11-22")
        return data

    def text(self, field: str, data: Any) -> str:
        if not isinstance(data, str) or not data.strip():
            raise self.bad(field, "is not a text")
        return data.strip()

    def items(self, field: str, data: Any, least: int = 0) -> list[Any]:
        if not isinstance(data, list) or len(data) < least:
            raise self.bad(field, f"is not a list of at least {least}" if least else "is not a list")
        return data

    def names(self, field: str, data: Mapping[str, Any]) -> frozenset[str] | None:
        if field not in data:
            return None
        values = self.items(f"match.{field}", data[field], least=1)
        for value in values:
            if not isinstance(value, str) or not _TYPE.match(value):
                raise self.bad(f"match.{field}", f"has {value!r}, which is not a policy name")
        return frozenset(values)

    def pattern(self, field: str, data: Mapping[str, Any]) -> re.Pattern[str] | None:
        if field not in data:
            return None
        try:
            return re.compile(self.text(f"match.{field}", data[field]))
        except re.error as error:
            raise self.bad(f"match.{field}", f"is not a regular expression ({error})") from error

    def range(self, field: str, data: Any) -> str | None:
        if data is None:
            return None
        try:
            _clauses(self.text(field, data))
        except ValueError as error:
            raise self.bad(field, f"is not a version range such as >=1.14.0,<1.15.0 ({error})") from error
        return str(data)

    def fields(self, where: str, data: Mapping[str, Any], required: Iterable[str], optional: Iterable[str]) -> None:
        required = set(required)
        unknown = set(map(str, data)) - required - set(optional)
        if unknown:
            raise self.bad(where, f"has the unknown field {min(unknown)}")
        missing = required - set(data)
        if missing:
            raise self.bad(where, f"lacks the field {min(missing)}")
