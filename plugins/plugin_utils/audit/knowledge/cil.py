# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prove a CIL rule against the sources of a policy: it compiles, and it adds the wanted vectors and nothing else.

Needs ``secilc`` and, for the second half, ``sediff`` of setools. Neither is a dependency: without them, or without the
sources, the answer is ``unproven``, never a pass.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .suggest import Rule

# libsepol before 3.6 does not know this capability, which grants nothing: a copy without the line compiles alike.
_NEW_CAPABILITY = re.compile(rb"^\(policycap userspace_initial_context\)[ \t]*$", re.MULTILINE)
_UNKNOWN_CAPABILITY = "Invalid policycap (userspace_initial_context)"
_DIFFERENCE = re.compile(r"\s*([+*-]) allow (\S+) (\S+):(\S+) (?:\{ (.+?) \}|(\S+));\Z")
_HEADING = re.compile(
    r"\s*(?:Allow Rules \(\d+ Added, \d+ Removed, \d+ Modified\)|(?:Added|Removed|Modified) Allow Rules: \d+)\s*\Z"
)
_TIMEOUT = 120

_EXACT = "it compiles and adds exactly the wanted vectors"
_PARTLY = "it compiles and adds wanted vectors only; the others are allowed already"
_REDUNDANT = "the policy allows it already, so a constraint or another check refused it"


class Prover:
    """Compiles a policy's sources once and then rules on top of them. A context manager; it owns a directory.

    ``unavailable`` says why nothing can be proven (no compiler, no sources, sources that do not compile), or is None.
    """

    def __init__(self, policy_dir: str | Path | None, *, secilc: str = "secilc", sediff: str = "sediff") -> None:
        self.unavailable: str | None = None
        self._secilc = shutil.which(secilc)
        self._sediff = shutil.which(sediff)
        self._sources: list[Path] = []
        self._work = tempfile.TemporaryDirectory(prefix="talosops-cil-")
        self._base = Path(self._work.name) / "base.33"
        if self._secilc is None:
            self.unavailable = "no secilc on this machine"
        elif policy_dir is None:
            self.unavailable = "no policy sources were given"
        else:
            self._prepare(Path(policy_dir))

    def __enter__(self) -> Prover:
        return self

    def __exit__(self, *_unused: object) -> None:
        self._work.cleanup()

    def prove(self, rules: Sequence[Rule]) -> dict[str, Any]:
        """Judge rules together, as ``{state, detail, added}``.

        States: ``exact`` (compiles, and ``added`` is what was wanted and nothing else), ``redundant`` (all of it is
        allowed already, so something else refused the access), ``inexact`` (``added`` differs from what was wanted),
        ``compiles`` (no sediff at hand), ``neverallow`` and ``does_not_compile`` (with the compiler's words), and
        ``unproven``. ``added`` is a sorted list of ``source target:class permission``.
        """
        if self.unavailable is not None:
            return _proof("unproven", self.unavailable)
        extra = Path(self._work.name) / "suggestion.cil"
        extra.write_text("".join(f"{rule.text}\n" for rule in rules), encoding="ascii")
        output = Path(self._work.name) / "suggestion.33"
        status, words = self._compile([*self._sources, extra], output)
        if status:
            return _proof("neverallow" if "neverallow check failed" in words else "does_not_compile", words)
        if self._sediff is None:
            return _proof("compiles", "it compiles; no sediff on this machine to show that it adds nothing else")
        status, words = _run([self._sediff, str(self._base), str(output)])
        if status:
            return _proof("compiles", f"it compiles; sediff failed: {words}")
        added = _added(words)
        wanted = {vector for rule in rules for vector in rule.vectors}
        if added is None:
            return _proof("inexact", f"it changes more than allow rules: {words}")
        listed = [_shown(vector) for vector in sorted(added)]
        if not added:
            return _proof("redundant", _REDUNDANT)
        if added <= wanted:
            return _proof("exact", _EXACT if added == wanted else _PARTLY, listed)
        return _proof("inexact", "it adds vectors that were not wanted", listed)

    def prove_each(self, rules: Sequence[Rule]) -> list[dict[str, Any]]:
        """A proof for each rule, in order, with few runs of the compiler: it names but the first bad statement."""
        if not rules:
            return []
        proof = self.prove(rules)
        if len(rules) == 1 or proof["state"] == "unproven":
            return [proof] * len(rules)
        if proof["state"] in ("exact", "redundant"):
            return [_part(rule, set(proof["added"])) for rule in rules]
        if proof["state"] == "compiles":
            return [proof] * len(rules)
        middle = len(rules) // 2
        return self.prove_each(rules[:middle]) + self.prove_each(rules[middle:])

    def _prepare(self, policy_dir: Path) -> None:
        sources = sorted(policy_dir.rglob("*.cil")) if policy_dir.is_dir() else []
        if not sources:
            self.unavailable = f"no CIL sources below {policy_dir}"
            return
        status, words = self._compile(sources, self._base)
        if status and _UNKNOWN_CAPABILITY in words:
            sources = [self._copy(number, source) for number, source in enumerate(sources)]
            status, words = self._compile(sources, self._base)
        if status:
            self.unavailable = f"the policy sources below {policy_dir} do not compile: {words}"
            return
        self._sources = sources

    def _copy(self, number: int, source: Path) -> Path:
        copy = Path(self._work.name) / f"{number:04d}-{source.name}"
        copy.write_bytes(_NEW_CAPABILITY.sub(b"", source.read_bytes()))
        return copy

    def _compile(self, sources: Sequence[Path], output: Path) -> tuple[int, str]:
        if self._secilc is None:
            raise AssertionError("compiling was asked for without a compiler")
        return _run([self._secilc, "-O", "-c", "33", "-f", os.devnull, "-o", str(output), *map(str, sources)])


def _added(words: str) -> set[tuple[str, str, str, str]] | None:
    """The vectors that sediff calls new; None when anything else changed."""
    added = set()
    for line in words.splitlines():
        found = _DIFFERENCE.match(line)
        if found is None:
            if line.strip() and not _HEADING.match(line):
                return None
            continue
        sign, source, target, tclass, several, one = found.groups()
        permissions = (several or one).split()
        if sign == "-" or any(permission.startswith("-") for permission in permissions):
            return None
        if sign == "*":
            permissions = [permission[1:] for permission in permissions if permission.startswith("+")]
        added |= {(source, target, tclass, permission) for permission in permissions}
    return added


def _part(rule: Rule, added: set[str]) -> dict[str, Any]:
    own = sorted(added & {_shown(vector) for vector in rule.vectors})
    if not own:
        return _proof("redundant", _REDUNDANT)
    return _proof("exact", _EXACT if len(own) == len(rule.vectors) else _PARTLY, own)


def _shown(vector: tuple[str, str, str, str]) -> str:
    source, target, tclass, permission = vector
    return f"{source} {target}:{tclass} {permission}"


def _proof(state: str, detail: str, added: Sequence[str] = ()) -> dict[str, Any]:
    return {"state": state, "detail": detail, "added": list(added)}


def _run(command: list[str]) -> tuple[int, str]:
    """Exit status and the tool's words, cleaned and cut for a report."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_TIMEOUT,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    words = done.stdout.decode("ascii", "replace").strip()
    if done.returncode:
        words = " / ".join(line.strip() for line in words.splitlines() if line.strip())[:600]
    return done.returncode, "".join(c if c.isprintable() or c == "\n" else "?" for c in words)
