# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one base of every error an operator may see."""

from __future__ import annotations

import re
import shlex
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from .texts import printable, printable_all

_LONGEST = 4000
#: In the path of every file of the collection's plugins.
_PACKAGE = "/selinux/plugins/"
_REQUIREMENTS = Path(__file__).parents[2] / "requirements.txt"


class Problem(Exception):
    """Something an operator must know about, told in three parts.

    Every package under ``plugin_utils`` derives its errors from this class; the action plugins turn
    it into a failed task. Its texts are made printable and bounded here, whatever they quote.

    Args:
        found: what was found, as a sentence without the final period.
        why: why that matters for the rollout.
        do: what the operator should do next.
        context: plain JSON-able facts (node, method, file) that the task's ``failure`` key has beside the message.
            Never key material, tokens or machine configuration.
    """

    kind: ClassVar[str] = "problem"

    def __init__(self, found: str, why: str, do: str, **context: Any) -> None:
        # Any of them may quote what a node, a log, a factory or a cluster said.
        self.found = printable(found, _LONGEST)
        self.why = printable(why, _LONGEST)
        self.do = printable(do, _LONGEST)
        self.context = context
        super().__init__(self.found, self.why, self.do)

    def __str__(self) -> str:
        # What was found may begin with a name, which is written as it is.
        parts = [self.found, *(part[:1].upper() + part[1:] for part in (self.why.strip(), self.do.strip()))]
        return " ".join(_sentence(part) for part in parts if part)

    def facts(self) -> dict[str, Any]:
        """What the text does not say in a form to go by: ``{kind, **context}``."""
        context: dict[str, Any] = printable_all(self.context, _LONGEST)
        return {"kind": self.kind, **context}

    def as_dict(self) -> dict[str, Any]:
        """The error as plain data: ``{kind, found, why, do, **context}``."""
        return {**self.facts(), "found": self.found, "why": self.why, "do": self.do}


class Unexpected(Problem):
    """The collection did not foresee something: a mistake of its own, or an answer that nobody thought of."""

    kind = "unexpected"


def unexpected(what: str, error: Exception) -> Unexpected:
    """The problem to raise for an error that nobody foresaw; what the error itself says may be anything.

    Args:
        what: what was done, such as a module's name.
    """
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _PACKAGE in frame.filename]
    place = f" in {frames[-1].filename.rpartition(_PACKAGE)[2]}, line {frames[-1].lineno}" if frames else ""
    return Unexpected(
        f"{what} ended with an unexpected {type(error).__name__}{place}",
        "how far it came is not known, so nothing of it counts as done, and nothing that it looked at as good",
        "look at what it was to change; report this with the collection's release if it happens again",
    )


def alike(problems: Mapping[str, Mapping[str, Any]]) -> list[tuple[list[str], dict[str, Any]]]:
    """The problems of several hosts, each once, with the hosts that have it; the one that most have comes first.

    Args:
        problems: ``{found, do, ...}`` by inventory name. One names its own node, or its address as ``node``, which
            would make it another one for each host.

    Returns:
        The hosts in their order, and the problem of the first of them, with "the node" for its name and no ``node``.
    """
    groups: dict[tuple[str, str], tuple[list[str], dict[str, Any]]] = {}
    for host, problem in sorted(problems.items()):
        own = "|".join(re.escape(name) for name in sorted({host, str(problem.get("node") or host)}))
        found, do = (
            re.sub(rf"(?<![\w.-])(?:node )?(?:{own})(?![\w.-])", "the node", str(problem[part]))
            for part in ("found", "do")
        )
        told = {**{key: value for key, value in problem.items() if key != "node"}, "found": found, "do": do}
        groups.setdefault((found, do), ([], told))[0].append(host)
    return sorted(groups.values(), key=lambda group: (-len(group[0]), group[0]))


def missing_library(name: str, error: ImportError | None) -> MissingLibrary:
    """The problem to raise when the Python library ``name`` cannot be imported."""
    command = shlex.join([sys.executable, "-m", "pip", "install", "-r", str(_REQUIREMENTS)])
    return MissingLibrary(
        f"the Python library {name} cannot be imported by the Python that runs Ansible ({error})",
        "the collection's work happens in Ansible's own process",
        f"install what the collection requires into that Python environment (`{command}`)",
        library=name,
    )


class MissingLibrary(Problem):
    """A required Python library is absent from the control host."""

    kind = "missing_library"


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
