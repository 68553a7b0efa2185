# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a Python program as if nothing but ``requirements.txt`` were installed.

    python required_only.py LOG PROGRAM [ARGUMENT ...]

Whatever belongs to a distribution that no line of the file needs, directly or through others, cannot be imported; what
was asked for all the same is written to LOG, a name a line.
"""

from __future__ import annotations

import importlib.metadata
import runpy
import sys
from collections.abc import Iterable, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"


def needed(lines: Iterable[str]) -> set[str]:
    """The names of the distributions that requirements need, and of all that those need."""
    found: set[str] = set()
    waiting = [Requirement(line) for line in lines]
    while waiting:
        requirement = waiting.pop()
        extras = requirement.extras or {""}
        marker = requirement.marker
        name = canonicalize_name(requirement.name)
        if name in found or (marker is not None and not any(marker.evaluate({"extra": extra}) for extra in extras)):
            continue
        found.add(name)
        waiting += [Requirement(line) for line in importlib.metadata.requires(name) or ()]
    return found


class Refuse(MetaPathFinder):
    """Finds nothing, and ends the search for what is not needed."""

    def __init__(self, distributions: set[str], log: Path) -> None:
        self._log = log
        owners = importlib.metadata.packages_distributions()
        self._refused = {
            name
            for name, owning in owners.items()
            if not distributions & {canonicalize_name(one) for one in owning}
            # Ansible puts the collections together by itself; they are no package of its community distribution.
            and name != "ansible_collections"
        }

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: object = None) -> None:
        """Raise for a refused package; else leave it to those that find modules."""
        if fullname.partition(".")[0] in self._refused:
            with self._log.open("a") as log:
                log.write(f"{fullname}\n")
            raise ModuleNotFoundError(f"requirements.txt does not bring {fullname}", name=fullname)


def main() -> None:
    """Refuse what is not needed, and run the program."""
    log, program, *arguments = sys.argv[1:]
    lines = [line.partition("#")[0].strip() for line in REQUIREMENTS.read_text().splitlines()]
    sys.meta_path.insert(0, Refuse(needed(line for line in lines if line), Path(log)))
    sys.argv = [program, *arguments]
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()
