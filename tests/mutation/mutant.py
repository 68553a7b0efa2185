# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One small change of a file, as text, so that changes of code and of plays are the same thing."""

from __future__ import annotations

import dataclasses
import difflib


class DoesNotApply(Exception):
    """A mutant's text is not in its file, or is there more than once."""


@dataclasses.dataclass(frozen=True)
class Mutant:
    """``old`` at ``start`` of a file becomes ``new``.

    Attributes:
        path: within the working copy.
        line: the line of ``start``, from 1.
        operator: what kind of change it is, or the name of a fixed mutant.
        start: the offset of ``old`` in the file's text, in characters.
        tests: files and folders below ``tests`` that are to notice it, which are asked before any other.
    """

    path: str
    line: int
    operator: str
    start: int
    old: str
    new: str
    tests: tuple[str, ...] = ()

    @property
    def last(self) -> int:
        """The line on which ``old`` ends."""
        return self.line + self.old.count("\n")

    @property
    def where(self) -> str:
        """The place as compilers write it."""
        return f"{self.path}:{self.line}"

    def applied(self, text: str) -> str:
        """The file's text with the change.

        Raises:
            DoesNotApply: the text is not the one that the mutant was made of.
        """
        end = self.start + len(self.old)
        if text[self.start : end] != self.old:
            raise DoesNotApply(f"{self.where}: the file was changed since the mutant was made")
        return text[: self.start] + self.new + text[end:]

    def diff(self, text: str) -> list[str]:
        """The lines that differ, each with ``-`` or ``+`` before it."""
        lines = difflib.unified_diff(text.splitlines(), self.applied(text).splitlines(), lineterm="", n=0)
        return [line for line in list(lines)[2:] if not line.startswith("@@")]


def at(path: str, text: str, start: int, old: str, new: str, operator: str, tests: tuple[str, ...] = ()) -> Mutant:
    """A mutant of the text at an offset."""
    return Mutant(path, text.count("\n", 0, start) + 1, operator, start, old, new, tests)
