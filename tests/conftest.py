# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make the working copy importable as the collection, wherever it was cloned to; share the tests out to processes."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import coverage
import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
COLLECTIONS = ROOT / ".collections"
LINK = COLLECTIONS / "ansible_collections" / "talosops" / "selinux"
#: The files that take longest, the longest first: they are begun first, so that no process has one left at the end.
LONGEST = (ROOT / "tests" / "longest.txt").read_text().split()

LINK.parent.mkdir(parents=True, exist_ok=True)
if not LINK.is_symlink():
    # Another test process may make it at the same moment.
    with contextlib.suppress(FileExistsError):
        LINK.symlink_to(os.path.relpath(ROOT, LINK.parent), target_is_directory=True)
sys.path[:0] = [str(COLLECTIONS), str(ROOT / "tests")]

# A busy machine is no failure of the example that it slowed down.
settings.register_profile("default", deadline=None)
settings.register_profile("nightly", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several processes run the tests, put the longest first."""
    if hasattr(config, "workerinput"):
        rank = {name: number for number, name in enumerate(LONGEST)}
        items.sort(key=lambda item: rank.get(_together(item.nodeid), len(rank)))


def _together(nodeid: str) -> str:
    """The name of what one process runs as a whole: a file, or a folder whose files look at one fleet."""
    file = Path(nodeid.split("::", 1)[0])
    within = file.relative_to("tests") if file.parts[0] == "tests" else file
    return str(within.parent if len(within.parts) > 3 else within)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give the test processes their shares in the order in which they were collected."""
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _together(nodeid)

    config.option.loadscopereorder = False
    return Together(config, log)


def pytest_runtest_logstart(nodeid: str) -> None:
    """Where it is measured what the tests reach, say which of them does; what they start says so too."""
    measured = coverage.Coverage.current()
    if measured is not None:
        os.environ["COVERAGE_CONTEXT"] = _together(nodeid)
        measured.switch_context(_together(nodeid))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Where it is measured what the tests reach, keep how long each took: tests/mutation begins with the quick ones."""
    if "COVERAGE_PROCESS_START" not in os.environ:
        return
    times: Counter[str] = Counter()
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        if isinstance(report, pytest.TestReport):
            times[report.nodeid] += round(report.duration, 2)
    kept = Path(os.environ["COVERAGE_ROOT"]) / "build" / "coverage" / "times.json"
    kept.write_text(json.dumps(times, indent=0, sort_keys=True), encoding="utf-8")
