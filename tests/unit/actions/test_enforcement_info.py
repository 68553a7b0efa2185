# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A proof is told with what it lacks, each doubt in the words of its witness."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.action import enforcement_info

from .made import made

GOOD = {"ok": True, "found": "good"}
BAD = {"ok": False, "found": "it is permissive"}
UNKNOWN = {"ok": None, "found": "nobody knows its disk"}


@pytest.mark.parametrize(
    ("witnesses", "reinstall", "words"),
    [
        ([GOOD], [GOOD], "cp-1 is proven to enforce after a reinstall"),
        ([GOOD, BAD], [GOOD], "cp-1 is not proven to enforce after a reinstall: it is permissive"),
        (
            [BAD],
            [UNKNOWN, GOOD],
            "cp-1 is not proven to enforce after a reinstall: it is permissive; nobody knows its disk",
        ),
    ],
)
def test_a_proof(witnesses: Any, reinstall: Any, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    proven = all(item["ok"] for item in [*witnesses, *reinstall])
    monkeypatch.setattr(enforcement_info.files, "load", lambda path: {"path": path, "node": {"name": "cp-1"}})
    asked: list[Any] = []

    def prove(before: Any, after: Any, *, target: Any) -> dict[str, Any]:
        asked.append((before["path"], after["path"], target))
        return {"proven": proven, "witnesses": witnesses, "reinstall": reinstall}

    monkeypatch.setattr(enforcement_info, "prove", prove)
    found = made(enforcement_info, before="b", after="a", target={"version": "v1.14.1"}).act()
    assert found == {
        "proven": proven,
        "witnesses": witnesses,
        "reinstall": reinstall,
        "summary": words,
        "changed": False,
    }
    assert asked == [("b", "a", {"version": "v1.14.1"})]
