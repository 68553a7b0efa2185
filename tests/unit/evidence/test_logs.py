# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was read of a node's logs, judged by itself or together with all that was ever read of its boot."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path
from typing import Any

import audit_streams as streams
import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.store import AuditStore
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.stream import StoreError
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence import logs
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.visit import Visit
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.boots import Look

SERVICE, KERNEL = streams.service_log(), streams.kernel_ring()
BOTH: dict[str, bytes | None] = {"service": SERVICE, "kernel": KERNEL}
SAME = (Look("a", streams.BOOT), Look("a", streams.BOOT))
NOW = dt.datetime.fromtimestamp(streams.BOOT + 86_400, dt.UTC)


def judged(store: AuditStore | None, fresh: Any = BOTH, looks: Any = SAME, keep: bool = True) -> tuple[Any, Visit]:
    """What is said of the logs, and the visit with its errors."""
    nobody: Any = None
    visit = Visit(nobody)
    context = streams.healthy(looks=looks)
    audit = logs.judge_logs(visit, fresh, context, looks=looks, now=NOW, max_samples=5, store=store, keep=keep)
    return audit, visit


def notes(audit: Any) -> list[str]:
    return [note["id"] for note in audit.found["coverage"]["notes"]]


def sources(**read: bytes) -> list[dict[str, Any]]:
    return [
        {"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in (("auditd.log", read.get("service")), ("dmesg.log", read.get("kernel")))
        if data is not None
    ]


def test_without_a_store_what_was_read_is_judged_by_itself() -> None:
    audit, visit = judged(None)
    assert audit.found["coverage"]["verdict"] == "complete"
    assert (audit.sources, audit.kernel, visit.errors) == (sources(service=SERVICE, kernel=KERNEL), KERNEL, [])
    assert {name: b"".join(pieces()) for name, pieces in audit.logs.items()} == {
        "auditd.log": SERVICE,
        "dmesg.log": KERNEL,
    }
    assert "store" not in notes(audit)
    alone, _visit = judged(None, {"service": None, "kernel": KERNEL})
    assert (alone.sources, list(alone.logs)) == (sources(kernel=KERNEL), ["dmesg.log"])


def test_with_a_store_all_that_was_read_of_the_boot_is_judged(tmp_path: Path) -> None:
    store = AuditStore(tmp_path / "n")
    judged(store)
    later, visit = judged(store, {"service": streams.service_log(5, 40)[len(SERVICE) // 2 :], "kernel": KERNEL})
    assert visit.errors == []
    assert "store" not in notes(later)
    assert later.found["coverage"]["last_serial"] == 44
    assert later.found["coverage"]["first_serial"] == 1
    assert set(later.logs) == {"auditd.log", "dmesg.log"}
    assert later.kernel is not None
    assert b"selinux: policy loaded" in later.kernel
    assert b"Kernel command line" in later.kernel
    assert b"state=initialized" not in later.kernel
    assert [source["bytes"] for source in later.sources] == [
        len(b"".join(later.logs[name]())) for name in ("auditd.log", "dmesg.log")
    ]


@pytest.mark.parametrize(
    ("fresh", "looks"),
    [
        ({"service": None, "kernel": KERNEL}, SAME),
        ({"service": b"", "kernel": KERNEL}, SAME),
        ({"service": SERVICE, "kernel": None}, SAME),
        ({"service": SERVICE, "kernel": b""}, SAME),
        (BOTH, (Look("a", streams.BOOT), Look("b", streams.BOOT))),
        (BOTH, (Look(), Look("a", streams.BOOT))),
    ],
)
def test_what_is_stored_says_nothing_about_now(fresh: Any, looks: Any, tmp_path: Path) -> None:
    store = AuditStore(tmp_path / "n")
    judged(store)
    before = sorted((path, path.stat().st_size) for path in tmp_path.rglob("*"))
    audit, visit = judged(store, fresh, looks)
    assert notes(audit)[-1] == "store"
    assert visit.errors == []
    assert sorted((path, path.stat().st_size) for path in tmp_path.rglob("*")) == before
    given = {name: data for name, data in fresh.items() if data is not None}
    assert audit.sources == sources(**given)


def test_in_check_mode_a_copy_takes_what_is_new(tmp_path: Path) -> None:
    store = AuditStore(tmp_path / "n")
    judged(store)
    before = sorted((path, path.stat().st_size) for path in tmp_path.rglob("*"))
    audit, _visit = judged(store, {"service": streams.service_log(5, 40), "kernel": KERNEL}, keep=False)
    assert audit.found["coverage"]["last_serial"] == 44
    assert audit.logs == {}
    assert len(audit.sources) == 2
    assert sorted((path, path.stat().st_size) for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (StoreError("it is damaged", "w", "d"), "it is damaged"),
        (OSError(28, "No space left on device"), "the audit store: No space left on device"),
    ],
)
def test_a_store_that_cannot_be_used_is_an_error_and_what_was_read_is_judged(
    error: Exception, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_of: Any, **_how: Any) -> None:
        raise error

    monkeypatch.setattr(AuditStore, "boot_key", broken)
    audit, visit = judged(AuditStore(tmp_path / "n"))
    assert visit.errors == [{"source": "audit store", "kind": StoreError.kind, "found": found}]
    assert notes(audit)[-1] == "store"
    assert audit.sources == sources(service=SERVICE, kernel=KERNEL)
