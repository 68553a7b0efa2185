# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All mutants there are: fixed ones, and those of each file."""

from __future__ import annotations

import itertools
import random
from fnmatch import fnmatch
from pathlib import Path

import yaml

from . import code, plays
from .mutant import DoesNotApply, Mutant, at

_FIXED = Path(__file__).resolve().parent / "fixed.yml"
#: What is mutated, and how.
_CODE = ("plugins/plugin_utils/**/*.py", "plugins/action/*.py")
_OPTIONS = ("plugins/modules/*.py", "plugins/doc_fragments/*.py")
_PLAYS = ("playbooks/**/*.yml", "roles/*/tasks/*.yml", "roles/*/defaults/*.yml")


def fixed(root: Path) -> list[Mutant]:
    """The fixed mutants.

    Raises:
        DoesNotApply: a text is not in its file, or more than once.
    """
    found = []
    for entry in yaml.safe_load(_FIXED.read_text(encoding="utf-8")):
        text = (root / entry["file"]).read_text(encoding="utf-8")
        if text.count(entry["old"]) != 1:
            raise DoesNotApply(
                f"{entry['name']}: {entry['file']} holds {entry['old']!r} {text.count(entry['old'])} times, not once"
            )
        start, tests = text.index(entry["old"]), tuple(entry.get("tests", ()))
        found.append(at(entry["file"], text, start, entry["old"], entry["new"], entry["name"], tests))
    return found


def made(root: Path) -> list[Mutant]:
    """Every mutant that can be made, in order of files and places."""
    found: list[Mutant] = []
    for patterns, make in ((_CODE, code.mutants_of), (_OPTIONS, code.options_of), (_PLAYS, plays.mutants_of)):
        for path in sorted({path for pattern in patterns for path in root.glob(pattern)}):
            found += make(str(path.relative_to(root)), path.read_text(encoding="utf-8"))
    return found


def sample(root: Path, mutants: list[Mutant], seed: int, size: int) -> list[Mutant]:
    """Mutants drawn by a seed, each as likely as any other."""
    order = list(mutants)
    random.Random(seed).shuffle(order)
    changing = (one for one in order if code.changes(one, (root / one.path).read_text(encoding="utf-8")))
    return list(itertools.islice(changing, size))


def only(mutants: list[Mutant], patterns: list[str]) -> list[Mutant]:
    """The mutants of files that a shell pattern names; a pattern that begins with ``!`` takes its files out."""
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")] or ["*"]
    unwanted = [pattern[1:] for pattern in patterns if pattern.startswith("!")]

    def fits(path: str) -> bool:
        return any(fnmatch(path, one) for one in wanted) and not any(fnmatch(path, one) for one in unwanted)

    return [mutant for mutant in mutants if fits(mutant.path)]
