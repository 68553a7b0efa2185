# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Profiles: which rules a fleet is held against, why, and how each relates to the rules of others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..canonical import sha256_of
from ..gate import shape
from ..gate.checks import BLOCK, Check, compile_check
from ..gate.documents import read_yaml
from ..gate.functions import duration
from ..problem import Problem

SCHEMA = 1
BUILT_IN = ("talos-selinux-enforcing", "talos-selinux-permissive-observed")
SEVERITIES = ("high", "medium", "low")
STRENGTHS = ("equivalent", "partial", "supports")
_DATA = Path(__file__).parent / "data"
_HEAD = {"schema", "name", "version", "title", "max_evidence_age", "labels", "rules"}
_MAP = {"framework", "id", "strength", "why"}
#: What a rule has beside the expressions and texts of a gate check.
_OWN = {"severity", "expected", "rationale", "maps", "labels"}
_ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

#: What rules may name: the document that gate checks see, the proof of the node's last reinstall, its last probe, and
#: whether its machine is out of the fleet.
DOCUMENT: dict[str, Any] = {
    **shape.GATE,
    "proof": {"proven": "boolean", "enforcing": "boolean", "reinstalled": "boolean"},
    "retired": {"asked": "boolean", "machine": "boolean", "text": "string"},
    "probe": {"asked": "boolean", "id": "string", "outcome": "string", "observed": ["string"]},
}


class ProfileProblem(Problem):
    """A profile that cannot be used."""

    kind = "profile"


@dataclass(frozen=True)
class Rule:
    """One rule. ``maps`` is ``({framework, id, strength, why}, ...)``, ``labels`` free texts by name."""

    check: Check
    severity: str
    expected: str
    rationale: str
    maps: tuple[Mapping[str, str], ...]
    labels: Mapping[str, str]

    @property
    def id(self) -> str:
        """The stable id."""
        return self.check.id

    def as_dict(self) -> dict[str, Any]:
        """What a report says about the rule itself."""
        return {
            "id": self.id,
            "title": self.check.text("title"),
            "severity": self.severity,
            "expected": self.expected,
            "rationale": self.rationale,
            "remedy": self.check.text("remedy"),
            "maps": [dict(item) for item in self.maps],
            "labels": dict(self.labels),
        }


@dataclass(frozen=True)
class Profile:
    """A profile. ``max_evidence_age`` in seconds: what older evidence says is not known."""

    name: str
    version: str
    title: str
    max_evidence_age: int
    labels: Mapping[str, str]
    rules: tuple[Rule, ...]
    sha256: str


def load_profile(name_or_path: str) -> Profile:
    """A built-in profile by its name, or one from a file.

    Raises:
        ProfileProblem: it is not there, or not a profile.
        PolicyProblem: an expression cannot be used.
    """
    path = _DATA / f"{name_or_path}.yml" if name_or_path in BUILT_IN else Path(name_or_path).expanduser()
    try:
        raw = read_yaml(path, "profile", built_in=BUILT_IN)
    except (ValueError, yaml.YAMLError) as error:
        raise _unusable(name_or_path, f"it cannot be read: {' '.join(str(error).split())[:300]}") from None
    if not isinstance(raw, dict) or set(raw) - _HEAD or _HEAD - {"labels"} - set(raw) or raw["schema"] != SCHEMA:
        raise _unusable(name_or_path, f"it is not a mapping of schema {SCHEMA} with {', '.join(sorted(_HEAD))}")
    if not isinstance(raw["rules"], list) or not raw["rules"]:
        raise _unusable(name_or_path, "it has no rules")
    rules = tuple(_rule(item, name_or_path) for item in raw["rules"])
    ids = [rule.id for rule in rules]
    if len(set(ids)) != len(ids):
        raise _unusable(name_or_path, "two of its rules have one id")
    try:
        age = duration(raw["max_evidence_age"])
    except (ValueError, TypeError) as error:
        raise _unusable(name_or_path, f"max_evidence_age: {error}") from None
    return Profile(
        str(raw["name"]),
        str(raw["version"]),
        str(raw["title"]),
        age,
        _labels(raw.get("labels"), name_or_path),
        rules,
        sha256_of(raw),
    )


def _rule(item: Any, where: str) -> Rule:
    if not isinstance(item, dict) or not isinstance(item.get("id"), str) or not _ID.fullmatch(item["id"]):
        raise _unusable(where, "a rule has no id of lower-case words with hyphens")
    name = item["id"]
    if item.get("severity") not in SEVERITIES:
        raise _unusable(where, f"the severity of {name} is not one of {', '.join(SEVERITIES)}")
    for field in ("expected", "rationale"):
        if not isinstance(item.get(field), str) or not item[field].strip():
            raise _unusable(where, f"the rule {name} has no {field}")
    maps = item.get("maps", [])
    if not isinstance(maps, list) or not all(_is_map(entry) for entry in maps):
        raise _unusable(
            where, f"a mapping of {name} is not {{framework, id, strength, why}} with a strength of {STRENGTHS}"
        )
    # A rule has the severity of a finding; for the gate's own arithmetic every rule stands for itself.
    check = {key: value for key, value in item.items() if key not in _OWN}
    check |= {"severity": BLOCK, "reason": item["rationale"]}
    return Rule(
        compile_check(check, DOCUMENT, where),
        item["severity"],
        item["expected"].strip(),
        item["rationale"].strip(),
        tuple(maps),
        _labels(item.get("labels"), where),
    )


def _is_map(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and set(entry) == _MAP
        and all(isinstance(value, str) and value for value in entry.values())
        and entry["strength"] in STRENGTHS
    )


def _labels(raw: Any, where: str) -> dict[str, str]:
    if raw is None:
        return {}
    if not isinstance(raw, dict) or not all(isinstance(key, str) and isinstance(raw[key], str) for key in raw):
        raise _unusable(where, "labels are not a mapping of texts to texts")
    return dict(raw)


def _unusable(profile: str, why: str) -> ProfileProblem:
    return ProfileProblem(
        f"the profile {profile} cannot be used: {why}",
        "a rule that is not understood to the letter would pass or fail for no reason",
        f"correct the profile, or use one of {', '.join(BUILT_IN)}; docs/compliance.md describes every field",
        profile=profile,
    )
