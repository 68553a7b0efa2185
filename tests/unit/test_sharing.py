# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests that are shared out to processes end as they would in one, and none is left out unsaid."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import sharing

CONFTEST = """
import itertools, pytest, sharing

@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    sharing.run(session, [list(share) for _path, share in itertools.groupby(session.items, lambda item: item.path)], 2)
    return True
"""
FILES = {
    "test_ends.py": """
import os, pytest, warnings

@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("made")
    yield path
    (path / "after").write_text(str(os.getpid()))

def test_passes(made):
    warnings.warn("look at this")
    (made / "first").write_text(str(os.getpid()))

def test_uses_what_the_first_made(made):
    assert (made / "first").read_text() == str(os.getpid())

def test_fails():
    print("said before")
    assert 1 == 2, "with its reason"

@pytest.mark.skip(reason="none to be had")
def test_skipped():
    pass
""",
    "test_killed.py": """
import os, signal

def test_before():
    pass

def test_kills_its_process():
    os.kill(os.getpid(), signal.SIGKILL)

def test_never_begun():
    pass
""",
    "test_other.py": "def test_other(): pass",
}


def ran(directory: Path, *options: str) -> tuple[dict[str, str], str]:
    """How each test ended, and what was printed."""
    for name, text in {"pytest.ini": "[pytest]", "conftest.py": CONFTEST, **FILES}.items():
        (directory / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-rs", "--junitxml", "ends.xml"]
    environment = {
        **os.environ,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": str(Path(sharing.__file__).parent),
    }
    done = subprocess.run(
        [*command, "--basetemp", "made", *options], cwd=directory, env=environment, capture_output=True, check=False
    )
    assert done.returncode == 1, done.stdout.decode() + done.stderr.decode()
    cases = ET.parse(directory / "ends.xml").iter("testcase")
    return {case.attrib["name"]: "".join(child.tag for child in case) for case in cases}, done.stdout.decode()


def test_every_test_ends_as_it_would_in_one_process_or_fails_with_its_process(tmp_path: Path) -> None:
    ends, output = ran(tmp_path)
    assert ends == {
        "test_passes": "",
        "test_uses_what_the_first_made": "",
        "test_fails": "failure",
        "test_skipped": "skipped",
        "test_before": "",
        "test_kills_its_process": "failure",
        "test_never_begun": "failure",
        "test_other": "",
    }
    for said in ("with its reason", "said before", "none to be had", "UserWarning: look at this"):
        assert said in output
    assert len(list(tmp_path.glob("made/worker-*/made0/after"))) == 1


def test_the_first_failure_ends_all_where_it_is_told_to(tmp_path: Path) -> None:
    ends, output = ran(tmp_path, "-x", "--deselect", "test_killed.py")
    assert ends.get("test_fails") == "failure" and "test_skipped" not in ends
    assert "stopping after 1 failures" in output
