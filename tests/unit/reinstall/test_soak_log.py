# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which logs let a soak pass: only those in which every record was read, believed, and is no unreviewed denial."""

from __future__ import annotations

from typing import Any

import audit_streams as streams
import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.analysis import analyze
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.after import _stops

AVC = (
    b'avc:  denied  { read } for  pid=7 comm="x" name="y" scontext=system_u:system_r:pod_t:s0'
    b" tcontext=system_u:object_r:etc_t:s0 tclass=file"
)


def audit(*records: bytes) -> dict[str, Any]:
    """The audit section of a node whose log holds these records, and is complete."""
    log = streams.service_log(count=3) + b"".join(
        b"type=" + kind + b" msg=audit" + streams.key(8 + number) + b": " + text + b"\n"
        for number, (kind, text) in enumerate(record.split(b"|", 1) for record in records)
    )
    found = analyze(log, streams.kernel_ring(), streams.healthy())
    return {**found, "coverage": {"verdict": "complete", "reasons": []}}


def test_a_whole_log_without_denials_passes() -> None:
    assert _stops(audit()) is None


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (b"AVC|" + AVC + b" permissive=0", "it enforces, and denied"),
        (b"AVC|" + AVC, "not known to have enforced"),
        (b"AVC|" + AVC + b" permissive=1", "not known to have enforced"),
        (b"AVC|avc:  denied  { read", "may be denials"),
        (b"SELINUX_ERR|op=security_compute_sid invalid_context=x", "may be denials"),
    ],
    ids=["enforced", "not said", "permissive", "torn", "error"],
)
def test_what_is_or_may_be_a_denial_does_not_pass(record: bytes, told: str) -> None:
    stops = _stops(audit(record))
    assert stops is not None and told in stops[0]
