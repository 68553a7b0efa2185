# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""After which ends a rollout's lock is released, be the report written or not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.action import rollout_report
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.files import EvidenceProblem
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem

from .made import made


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(
    ("after", "outcome", "released"),
    [
        ("gate", "good", False),
        ("gate", "failed", False),
        ("gate", "broken", False),
        ("wave", "good", False),
        ("wave", "failed", True),
        ("wave", "broken", True),
        ("rollout", "good", True),
        ("rollout", "failed", True),
        ("rollout", "broken", True),
        ("stop", "failed", True),
        ("stop", "broken", True),
    ],
)
def test_when_the_lock_is_released(
    after: str, outcome: str, released: bool, check: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if check and (after, outcome) == ("wave", "failed"):
        outcome = "good"  # nothing fails that was only looked at
    done: list[str] = []
    monkeypatch.setattr(rollout_report, "Work", lambda _action: SimpleNamespace(let_go=lambda: done.append("let go")))

    def reported(self: Any, _work: Any, when: str) -> dict[str, Any]:
        assert when == after
        if outcome == "broken":
            raise Problem("it cannot be written", "w", "d")
        return {"failed": True} if outcome == "failed" else {"halted": None}

    monkeypatch.setattr(rollout_report.ActionModule, "_reported", reported)
    action = made(rollout_report, after=after, check=check)
    if outcome == "broken":
        with pytest.raises(Problem, match="it cannot be written"):
            action.act()
    else:
        assert action.act() == ({"failed": True} if outcome == "failed" else {"halted": None})
    assert done == (["let go"] if released and not check else [])


def test_the_report_is_two_files_for_their_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout_report.html, "render", lambda model: f"<p>{model['a']}")
    directory = tmp_path / "rollout"
    found = made(rollout_report, directory=str(directory))._write({"b": [2], "a": 1})
    assert found == [str(directory / "report.json"), str(directory / "report.html")]
    assert (directory / "report.json").read_bytes() == b'{"a":1,"b":[2]}\n'
    assert (directory / "report.html").read_bytes() == b"<p>1"
    assert [oct(path.stat().st_mode)[-3:] for path in sorted(directory.iterdir())] == ["600", "600"]


def test_a_report_that_cannot_be_written_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(path: Path, _data: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(rollout_report.html, "render", lambda _model: "")
    monkeypatch.setattr(rollout_report, "write_private", write)
    with pytest.raises(EvidenceProblem) as raised:
        made(rollout_report, directory="d")._write({})
    assert raised.value.found == "the report cannot be written to d: No space left on device"
