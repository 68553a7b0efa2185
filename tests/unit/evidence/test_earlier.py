# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was saved of a node before: newest first, and nothing that cannot be believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import sealed
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.files import earlier, save


def document(moment: str, *, node: str = "worker-1", schema: int = 1) -> dict[str, Any]:
    return sealed({"schema": schema, "node": {"name": node}, "collected_at": moment, "audit": {"sources": []}})


def test_earlier_documents_come_newest_first_and_sound(tmp_path: Path) -> None:
    moments = [f"2026-11-2{day}T10:00:00Z" for day in range(1, 6)]
    paths = {moment: save(str(tmp_path), document(moment), {}) for moment in moments}
    save(str(tmp_path), document("2026-11-20T10:00:00Z", schema=2), {})
    save(str(tmp_path), document("2026-11-20T11:00:00Z", node="worker-2"), {})
    paths[moments[0]].write_text("{")
    paths[moments[1]].write_bytes(paths[moments[1]].read_bytes().replace(b"audit", b"audio"))

    def seen(now: str) -> list[str]:
        return [found["collected_at"] for found in earlier(tmp_path, document(now))]

    assert seen("2026-11-30T10:00:00Z") == [moments[4], moments[3], moments[2]]
    # The document itself, and what came after it, are no past.
    assert seen(moments[3]) == [moments[2]]
    assert list(earlier(tmp_path / "nowhere", document(moments[3]))) == []
