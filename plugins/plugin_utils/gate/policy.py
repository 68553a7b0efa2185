# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gate policies: YAML documents of checks, built in or the operator's own, and how one differs from the other."""

from __future__ import annotations

import dataclasses
import functools
import operator
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..canonical import canonical_json, sha256_of
from ..evidence.schema import conforms
from ..talos.versions import parse_version
from . import shape
from .checks import BLOCK, FIELDS, TEXTS, Check, compile_check
from .documents import read_policy, unusable
from .errors import PolicyProblem
from .functions import duration

SCHEMA = 1
BUILT_IN = ("strict", "canary", "observe")
_DATA = Path(__file__).parent / "data"
_ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_DEEPEST = 8


def _duration_grew(old: Any, new: Any) -> bool:
    return duration(new) > duration(old)


def _duration_shrank(old: Any, new: Any) -> bool:
    return duration(new) < duration(old)


def _floor_fell(old: Any, new: Any) -> bool:
    return parse_version(new) < parse_version(old)


def _list_grew(old: Any, new: Any) -> bool:
    return not set(new) <= set(old)


def _args_widened(old: Any, new: Any) -> bool:
    return any(name not in new or not set(new[name]) <= set(values) for name, values in old.items())


#: Setting -> whether a change makes the policy weaker. Every setting is listed; an unknown one is a typing error.
_WEAKER: dict[str, Callable[[Any, Any], bool]] = {
    "report_only": lambda old, _new: bool(old),
    "verdict_ttl": _duration_grew,
    "max_evidence_age": _duration_grew,
    "soak": _duration_shrank,
    "talos_floor": _floor_fell,
    "target_floor": _floor_fell,
    "boot_paths": _list_grew,
    "reviewed_extensions": _list_grew,
    "allowed_kernel_args": _args_widened,
    "waiver_max_days": operator.lt,
    "waiver_unused_days": operator.lt,
    "waiver_max_matches": operator.lt,
}
_HEAD = {"schema", "name", "extends", "weakened_by", "checks", "description"}


@dataclasses.dataclass(frozen=True)
class Policy:
    """A policy, resolved to the end of its ``extends`` chain.

    ``changes`` is its difference from the built-in it extends: ``{id, field, from, to, weaker, in, by}`` for each field
    (``id`` null for a setting; ``by`` is ``{who, why}`` or null).
    """

    name: str
    settings: Mapping[str, Any]
    checks: tuple[Check, ...]
    changes: tuple[Mapping[str, Any], ...]
    sha256: str

    @property
    def facts(self) -> dict[str, Any]:
        """What expressions may read as ``policy.*``; durations in seconds."""
        durations = ("verdict_ttl", "max_evidence_age", "soak")
        plain = {k: v for k, v in self.settings.items() if k not in durations and not k.startswith("waiver_")}
        return {"name": self.name, **plain, **{f"{key}_seconds": duration(self.settings[key]) for key in durations}}

    def seconds(self, setting: str) -> int:
        """A duration of the settings in seconds."""
        return duration(self.settings[setting])


def load_policy(name_or_path: str | Path = "strict") -> Policy:
    """Load a built-in policy by name (``strict``, ``canary``, ``observe``), or an operator's from a YAML file.

    An operator's document says ``extends:`` and names a built-in or another file (relative to its own directory). It
    overrides checks by id, field by field, and adds its own. What weakens a blocking check needs ``weakened_by: {who,
    why}`` in the same document.

    Raises:
        PolicyProblem: the document cannot be read, is not valid, or weakens a blocking check without saying who and
        why.
    """
    return _built_in(str(name_or_path), _DATA) if str(name_or_path) in BUILT_IN else _load(name_or_path)


@functools.cache
def _built_in(name: str, _directory: Path) -> Policy:
    # Whoever gives the policies another directory is not answered from the one before.
    return _load(name)


def _load(name_or_path: str | Path) -> Policy:
    document, changes = _resolve(name_or_path, Path(), 0)
    return _compile(document, changes)


def _resolve(name_or_path: str | Path, base: Path, depth: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    if depth > _DEEPEST:
        raise unusable(str(name_or_path), f"the chain of extends is longer than {_DEEPEST} documents, or is a circle")
    built_in = str(name_or_path) in BUILT_IN
    path = _DATA / f"{name_or_path}.yml" if built_in else base / Path(name_or_path).expanduser()
    raw = read_policy(path, built_in=BUILT_IN)
    _check_head(raw, path)
    extends = raw.get("extends")
    if extends is None:
        if not built_in:
            raise unusable(str(path), "it does not say which policy it extends; start it with `extends: strict`")
        return raw, []
    document, changes = _resolve(extends, path.parent, depth + 1)
    merged, added = _merge(document, raw, path)
    return merged, [*changes, *added]


def _check_head(raw: Mapping[str, Any], path: Path) -> None:
    where = str(path)
    if raw.get("schema") != SCHEMA:
        raise unusable(where, f"its schema is {raw.get('schema')!r}, and this gate reads schema {SCHEMA}")
    if not isinstance(raw.get("name"), str) or not _ID.fullmatch(raw["name"]):
        raise unusable(where, "its name is not a word in lower-case letters, digits and hyphens")
    unknown = sorted(set(raw) - _HEAD - set(_WEAKER))
    if unknown:
        raise unusable(where, f"it has unknown keys: {', '.join(unknown)}")
    checks = raw.get("checks", [])
    if not isinstance(checks, list) or not all(isinstance(item, dict) for item in checks):
        raise unusable(where, "its checks are not a list of mappings")
    ids = [item.get("id") for item in checks]
    for identifier in ids:
        if not isinstance(identifier, str) or not _ID.fullmatch(identifier):
            raise unusable(
                where, f"the check id {identifier!r} is not a word in lower-case letters, digits and hyphens"
            )
        if ids.count(identifier) > 1:
            raise unusable(where, f"the check {identifier} is there twice")
    for item in checks:
        unknown = sorted(set(item) - FIELDS)
        if unknown:
            raise unusable(where, f"the check {item['id']} has unknown keys: {', '.join(unknown)}")
    by = raw.get("weakened_by")
    if by is not None and not (
        isinstance(by, dict)
        and set(by) == {"who", "why"}
        and all(isinstance(text, str) and text.strip() for text in by.values())
    ):
        raise unusable(where, "weakened_by does not hold exactly `who` and `why`, both with text")


def _merge(
    document: Mapping[str, Any], raw: Mapping[str, Any], path: Path
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """``raw`` on top of ``document``, and the list of what that changes."""
    merged = {**document, "name": raw["name"]}
    changes = []
    for setting, is_weaker in _WEAKER.items():
        if setting in raw and raw[setting] != document[setting]:
            try:
                weaker = is_weaker(document[setting], raw[setting])
            except (ValueError, TypeError, AttributeError):
                raise unusable(str(path), f"the value {raw[setting]!r} of {setting} cannot be used") from None
            changes.append(_change(None, setting, document[setting], raw[setting], weaker))
            merged[setting] = raw[setting]
    checks = {item["id"]: item for item in document["checks"]}
    for item in raw.get("checks", []):
        old = checks.get(item["id"])
        checks[item["id"]] = {**(old or {}), **item}
        if old is None:
            changes.append(_change(item["id"], "check", None, "added", False))
            continue
        for field in sorted(item):
            if item[field] != old.get(field):
                weaker = _weakens(old, field, item[field])
                changes.append(_change(item["id"], field, old.get(field), item[field], weaker))
    merged["checks"] = list(checks.values())
    by = raw.get("weakened_by")
    weaker_ones = [f"{change['id'] or 'setting'}: {change['field']}" for change in changes if change["weaker"]]
    if weaker_ones and by is None:
        raise PolicyProblem(
            f"the policy {path} weakens what blocks a node ({', '.join(weaker_ones)}) and does not say who and why",
            "whoever reads the verdict must know on whose word a blocking check was relaxed",
            "add `weakened_by: {who: ..., why: ...}` to the policy, or take the change out",
            policy=str(path),
            weakened=weaker_ones,
        )
    return merged, [{**change, "in": raw["name"], "by": by if change["weaker"] else None} for change in changes]


def _weakens(old: Mapping[str, Any], field: str, value: Any) -> bool:
    """Whether a changed field may let a node pass that the old check stopped. A changed condition counts as weaker:
    that it is stronger cannot be shown."""
    if old.get("severity") != BLOCK or not old.get("enabled", True):
        return False
    if field in TEXTS:
        return False
    if field == "enabled":
        return value is not True
    if field == "needs":
        return not set(old.get("needs", ())) <= set(value or ())
    return True


def _change(identifier: str | None, field: str, old: Any, new: Any, weaker: bool) -> dict[str, Any]:
    return {"id": identifier, "field": field, "from": old, "to": new, "weaker": weaker}


def _compile(document: Mapping[str, Any], changes: list[dict[str, Any]]) -> Policy:
    name = document["name"]
    checks = tuple(
        compile_check(item, shape.GATE, name) for item in document["checks"] if _flag(item, "enabled", True, name)
    )
    settings = {key: document[key] for key in _WEAKER}
    _check_settings(settings, name)
    resolved = {"schema": SCHEMA, "name": name, **settings, "checks": document["checks"], "changes": changes}
    try:
        canonical_json(resolved)
    except (TypeError, ValueError):
        raise unusable(name, "it holds a value that JSON cannot carry (write times and dates as quoted text)") from None
    return Policy(name, settings, checks, tuple(changes), sha256_of(resolved))


def _check_settings(settings: Mapping[str, Any], name: str) -> None:
    try:
        for key in ("verdict_ttl", "max_evidence_age", "soak"):
            duration(settings[key])
        for key in ("talos_floor", "target_floor"):
            parse_version(settings[key])
    except (ValueError, TypeError, AttributeError) as problem:
        raise unusable(name, str(problem)) from None
    for key in ("boot_paths", "reviewed_extensions"):
        if not conforms(settings[key], ["string"]):
            raise unusable(name, f"{key} is not a list of texts")
    allowed = settings["allowed_kernel_args"]
    if not isinstance(allowed, dict) or not all(conforms(values, ["string"]) for values in allowed.values()):
        raise unusable(name, "allowed_kernel_args is not a mapping of parameters to lists of quoted values")
    for key in ("waiver_max_days", "waiver_unused_days", "waiver_max_matches"):
        # To isinstance true and false are whole numbers as well.
        if not isinstance(settings[key], int) or isinstance(settings[key], bool) or settings[key] < 1:
            raise unusable(name, f"{key} is not a whole number above zero")
    if not isinstance(settings["report_only"], bool):
        raise unusable(name, "report_only is neither true nor false")


def _flag(item: Mapping[str, Any], key: str, default: bool, where: str) -> bool:
    value = item.get(key, default)
    if not isinstance(value, bool):
        raise unusable(where, f"{key} of the check {item['id']} is neither true nor false")
    return value
