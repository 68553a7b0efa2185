# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one call evidence is made of."""

from __future__ import annotations

import json
from typing import Any

import audit_streams as streams
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.analysis import COUNTS, analyze, merge

DENIAL_KEYS = {
    "signature", "source_type", "target_type", "class", "permissions", "permissive", "count", "first", "last", "comms",
    "paths", "owners", "catalogue_id", "known_benign", "waiver_id", "constraint", "doubtful", "samples",
}  # fmt: skip


def test_the_result_is_plain_data_with_exactly_these_counts() -> None:
    found = analyze(streams.service_log(), streams.kernel_ring(), streams.healthy())
    json.dumps(found, allow_nan=False)
    assert tuple(found["counts"]) == COUNTS
    assert all(isinstance(count, int) for count in found["counts"].values())
    assert found["coverage"]["verdict"] == "complete"
    assert all(set(denial) >= DENIAL_KEYS for denial in found["denials"])
    assert sum(denial["count"] for denial in found["denials"]) == found["counts"]["denied"]


def test_both_logs_are_added_up() -> None:
    start = streams.avc(5).index(b"): ") + 1
    early = b"kern:  notice: [2026-11-18T11:06:42.1Z]: audit: type=1400 audit" + streams.key(5) + streams.avc(5)[start:]
    found = analyze(streams.avc(6, comm="other") + streams.avc(7), streams.kernel_ring() + early)
    assert len(found["denials"]) == 1
    denial = found["denials"][0]
    assert denial["count"] == 3
    assert denial["comms"] == ["other", "sh"]
    assert (denial["first"], denial["last"]) < (denial["last"], "9")


def test_the_number_of_samples() -> None:
    log = b"".join(streams.avc(serial) for serial in range(5, 25))
    assert len(analyze(log, None)["denials"][0]["samples"]) == 5
    assert len(analyze(log, None, max_samples=2)["denials"][0]["samples"]) == 2
    assert len(analyze(log, None, max_samples=0)["denials"][0]["samples"]) == 20


def test_nothing_read_is_nothing_known() -> None:
    found = analyze(None, None)
    assert found["coverage"]["verdict"] == "none"
    assert found["kernel"] is None
    assert found["counts"]["lines"] == 0


BENIGN = (
    b'avc:  denied  { prog_run } for  pid=1746 comm="cilium-agent" scontext=system_u:system_r:pod_t:s0'
    b" tcontext=system_u:system_r:sys_containerd_t:s0 tclass=bpf permissive=0"
)


def _benign(line: bytes, version: str | None) -> list[dict[str, Any]]:
    log = streams.service_log() + line + b"\n"
    denials = analyze(log, None, streams.healthy(talos_version=version))["denials"]
    return [denial for denial in denials if denial["class"] == "bpf"]


def test_benign_holds_for_reviewed_releases_and_the_kernels_own_word_only() -> None:
    record = b"type=AVC msg=audit" + streams.key(35) + b": " + BENIGN
    claimed = b"type=USER_AVC msg=audit" + streams.key(35) + b": pid=9 uid=0 subj=system_u:system_r:pod_t:s0 msg='"
    assert _benign(record, "v1.14.1")[0]["known_benign"] is True
    for line, version in ((record, "v1.13.9"), (record, None), (claimed + BENIGN + b"'", "v1.14.1")):
        (denial,) = _benign(line, version)
        assert denial["catalogue_id"] == "bpf-prog-run-residual"
        assert denial["known_benign"] is False


def test_what_is_benign_on_one_node_is_not_on_another() -> None:
    record = b"type=AVC msg=audit" + streams.key(35) + b": " + BENIGN
    new, old = _benign(record, "v1.14.1"), _benign(record, "v1.13.9")
    for pair in (new + old, old + new):
        (denial,) = merge(pair)
        assert denial["count"] == 2
        assert denial["known_benign"] is False
    assert merge(new + _benign(record, "v1.14.2"))[0]["known_benign"] is True
