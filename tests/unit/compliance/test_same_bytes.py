# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The same report gives the same bytes whatever else is installed, and in whatever order a process hashes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

#: Prints the hash of every format of one fleet, and whether lxml was asked for.
PROGRAM = """
import hashlib, json, sys

asked = []

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "lxml":
            asked.append(name)
            raise ModuleNotFoundError(name=name)

if sys.argv[1] == "without":
    sys.meta_path.insert(0, Absent())

import compliance_fleets as fleets
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import canonical_json
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.formats import (
    junit, openreports, oscal, page, prometheus, sarif, table,
)

report = fleets.report(fleets.every_state(23, 7), fleets.WAIVER, labels={"ticket": "T-1"})
files = {
    "json": canonical_json(report),
    "html": page.render(report),
    "junit": junit.render(report),
    "csv": table.render(report),
    "prometheus": prometheus.render(report),
    "oscal": oscal.render(report),
    "sarif": sarif.render(report, root="/", fallback="README.md"),
    **openreports.render(report, namespace="x"),
}
used = asked or [name for name in sys.modules if name.partition(".")[0] == "lxml"]
print(json.dumps({"files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}, "used": used}))
"""
#: A library that writes XML in its own way, so that whoever prefers it to the standard one would be found.
STAND_IN = """
from xml.etree.ElementTree import *

def tostring(*arguments, **options):
    return b"<written-by-lxml/>"
"""


def formats(directory: Path, how: str, seed: str) -> dict[str, dict[str, str]]:
    """The hashes by format as a process of its own finds them."""
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    if how == "with":
        environment["PYTHONPATH"] = f"{directory}{os.pathsep}{environment['PYTHONPATH']}"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    return found


def test_bytes_are_the_same_with_and_without_lxml(tmp_path: Path) -> None:
    (tmp_path / "lxml").mkdir()
    (tmp_path / "lxml" / "__init__.py").write_text("")
    (tmp_path / "lxml" / "etree.py").write_text(STAND_IN)
    there, absent = formats(tmp_path, "with", "1"), formats(tmp_path, "without", "2")
    assert there["files"] == absent["files"]
    assert len(there["files"]) == 7 + 23
    # Not even looked for, so that no release of it can make a difference.
    assert not there["used"] and not absent["used"]
