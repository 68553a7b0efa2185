# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Would the policy of the target release still deny it? Read from a compiled policy (``policy.33``) with setools.

``seinfo`` and ``sesearch`` print the whole policy once, in under two seconds; every denial is then a look-up. Without
them the verdict is ``unknown``, never ``allowed``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

STILL_DENIED = "still denied"
ALLOWED = "allowed"
UNKNOWN_VECTOR = "unknown class or permission"
UNKNOWN = "unknown"

_RULE = re.compile(r"allow (\S+) (\S+):(\S+) (?:\{ (.+?) \}|(\S+?));\s*\Z")
_ATTRIBUTE = re.compile(r"\s*attribute (\w+);")
_CLASS = re.compile(r"\s*class (\w+)\s*\Z")
_COMMON = re.compile(r"\s*common (\w+)\s*\Z")
_INHERITS = re.compile(r"\s*inherits (\w+)\s*\Z")
_WORD = re.compile(r"\s*(\w+)\s*\Z")
_TIMEOUT = 120


class TargetPolicy:
    """One compiled policy. ``unavailable`` says why it cannot be read, or is None."""

    def __init__(self, path: str | Path, *, seinfo: str = "seinfo", sesearch: str = "sesearch") -> None:
        self.path = Path(path)
        self.unavailable: str | None = None
        self._types: set[str] = set()
        self._attributes: dict[str, set[str]] = {}
        self._classes: dict[str, set[str]] = {}
        self._allowed: dict[tuple[str, str, str], set[str]] = {}
        tools = [shutil.which(seinfo), shutil.which(sesearch)]
        if not self.path.is_file():
            self.unavailable = f"there is no policy file {self.path}"
        elif tools[0] is None or tools[1] is None:
            self.unavailable = "no policy reader: seinfo and sesearch of setools are not on this machine"
        else:
            self._read(tools[0], tools[1])

    def judge(self, denial: Mapping[str, Any]) -> dict[str, str]:
        """``{verdict, detail}``: one of ``still denied``, ``allowed``, ``unknown class or permission``, ``unknown``."""
        if self.unavailable is not None:
            return {"verdict": UNKNOWN, "detail": self.unavailable}
        source, target, tclass = denial["source_type"], denial["target_type"], denial["class"]
        permissions = set(denial["permissions"])
        known = self._classes.get(tclass)
        if known is None:
            return {"verdict": UNKNOWN_VECTOR, "detail": f"the policy does not define the class {_safe(tclass)}"}
        if not permissions or (foreign := permissions - known):
            names = ", ".join(_safe(name) for name in sorted(foreign)) if permissions else "none given"
            return {"verdict": UNKNOWN_VECTOR, "detail": f"the class {tclass} has no permission: {names}"}
        for name in (source, target):
            if name not in self._types:
                return {"verdict": UNKNOWN, "detail": f"the policy does not define the type {_safe(name)}"}
        refused = permissions - self._allowed_to(source, target, tclass)
        if refused:
            return {"verdict": STILL_DENIED, "detail": f"no rule allows: {', '.join(sorted(refused))}"}
        if denial.get("constraint"):
            return {"verdict": STILL_DENIED, "detail": "the rules allow it, but a constraint refuses it"}
        return {"verdict": ALLOWED, "detail": "the policy's rules allow it"}

    def mark(self, denials: Iterable[dict[str, Any]]) -> None:
        """Add ``policy_verdict`` and ``policy_detail`` to each denial dict."""
        for denial in denials:
            judged = self.judge(denial)
            denial["policy_verdict"], denial["policy_detail"] = judged["verdict"], judged["detail"]

    def _allowed_to(self, source: str, target: str, tclass: str) -> set[str]:
        key = (source, target, tclass)
        if key not in self._allowed:
            self._allowed[key] = {
                permission
                for rule_source in (source, *self._holders[source])
                for rule_target in (target, *self._holders[target])
                for permission in self._rules.get((rule_source, rule_target, tclass), ())
            }
        return self._allowed[key]

    def _read(self, seinfo: str, sesearch: str) -> None:
        # setools takes the first word after -t or -a for a name, so the policy comes first.
        path = str(self.path)
        try:
            types = _words(seinfo, path, "-t")
            attributes = _words(seinfo, path, "-a", "-x")
            classes = _words(seinfo, path, "-c", "-x")
            commons = _words(seinfo, path, "--common", "-x")
            rules = _words(sesearch, "-A", path)
        except (OSError, subprocess.SubprocessError) as error:
            self.unavailable = f"setools cannot read the policy file {self.path}: {error}"
            return
        self._types = {found[1] for line in types if (found := _WORD.match(line))}
        self._attributes = _groups(attributes, _ATTRIBUTE)
        shared = _groups(commons, _COMMON)
        self._classes = _groups(classes, _CLASS)
        for name, inherited in _inherited(classes).items():
            self._classes[name] |= shared.get(inherited, set())
        self._rules: dict[tuple[str, str, str], set[str]] = {}
        for line in rules:
            if found := _RULE.match(line):
                source, target, tclass, several, one = found.groups()
                self._rules.setdefault((source, target, tclass), set()).update((several or one).split())
        self._holders: dict[str, list[str]] = {name: [] for name in self._types}
        for attribute, members in self._attributes.items():
            for member in members & self._types:
                self._holders[member].append(attribute)
        if not self._types or not self._classes or not self._rules:
            self.unavailable = f"setools printed nothing of use about the policy file {self.path}"


def _words(*command: str) -> list[str]:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=_TIMEOUT,
        env={**os.environ, "LC_ALL": "C"},
        check=True,
    )
    return done.stdout.decode("ascii", "replace").splitlines()


def _groups(lines: Iterable[str], opening: re.Pattern[str]) -> dict[str, set[str]]:
    groups: dict[str, set[str]] = {}
    current: set[str] | None = None
    for line in lines:
        if found := opening.match(line):
            current = groups.setdefault(found[1], set())
        elif current is not None and (found := _WORD.match(line)):
            current.add(found[1])
    return groups


def _inherited(lines: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    name = ""
    for line in lines:
        if opening := _CLASS.match(line):
            name = opening[1]
        elif name and (common := _INHERITS.match(line)):
            found[name] = common[1]
    return found


def _safe(name: object) -> str:
    return ascii(str(name)[:64])
