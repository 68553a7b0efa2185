# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read a file of the known-denial catalogue, and refuse one that is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, ClassVar

import yaml

from ...problem import Problem
from ...yaml_loader import load_yaml
from .entries import Benign, Entry, Example, Match, Remedy
from .ranges import clauses_of, version_of

SCHEMA = 1

IMPACTS = ("boot", "node", "cni", "csi", "workload", "noise")
REMEDY_KINDS = ("upgrade", "mount_option", "chart_value", "workload_change", "relabel", "reinstall", "none_needed")
CONSTRAINTS = ("mcs", "neverallow")
FILE_CLASSES = frozenset({"file", "dir", "lnk_file", "chr_file", "blk_file", "sock_file", "fifo_file"})

_TYPE = re.compile(r"[a-z][a-z0-9_]*\Z")
_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*\Z")
_ISSUE = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+#[0-9]+\Z")


class CatalogueError(Problem):
    """A catalogue file that cannot be trusted: unreadable, or an entry breaks the schema."""

    kind = "catalogue"


def read(file: Path) -> list[Entry]:
    """The entries of a catalogue file, in its order.

    Raises:
        CatalogueError: the file cannot be read, or an entry (the first is named) breaks the schema.
    """
    try:
        document = load_yaml(file.read_bytes())
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise CatalogueError(
            f"the known-denial catalogue {file} cannot be read ({error})",
            "without it no denial can be explained or recognised as reviewed",
            "give a readable YAML file, or leave the option out to use the one that ships with the collection",
            file=str(file),
        ) from error
    return _Reader(file).document(document)


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
        if fixed_in is not None and version_of(fixed_in) is None:
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
        if version is not None and version_of(version) is None:
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
        if versions is None or not any(operator in ("<", "<=", "==") for operator, _unused in clauses_of(versions)):
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
            clauses_of(self.text(field, data))
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
