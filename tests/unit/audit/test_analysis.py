# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one call evidence is made of."""

from __future__ import annotations

import json
from typing import Any

import audit_streams as streams
import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.analysis import COUNTS, analyze, merge
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.denials import MORE

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


def _denial(**fields: Any) -> dict[str, Any]:
    """One denial of one node, as analyze gives it."""
    return {**analyze(streams.avc(5), None, streams.healthy())["denials"][0], **fields}


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (False, True, False),
        (False, None, False),
        (False, False, False),
        (True, None, True),
        (True, True, True),
        (None, None, None),
    ],
)
def test_what_was_enforced_once_counts_as_enforced(one: bool | None, other: bool | None, both: bool | None) -> None:
    for pair in ((one, other), (other, one)):
        (merged,) = merge([_denial(permissive=mode) for mode in pair])
        assert merged["permissive"] is both


def test_a_denial_of_both_modes_was_enforced() -> None:
    record = streams.avc(5).replace(b"permissive=1", b"permissive=%d")
    assert record.count(b"permissive=%d") == 1
    for modes in ((0, 1), (1, 0)):
        log = b"".join(record.replace(b":5)", b":%d)" % (5 + at)) % mode for at, mode in enumerate(modes))
        (found,) = analyze(log, None)["denials"]
        assert (found["permissive"], found["enforced"], found["count"]) == (False, 1, 2)


def test_what_nodes_say_of_one_denial_is_joined() -> None:
    one = _denial(
        count=2,
        doubtful=1,
        enforced=0,
        mcs_count=1,
        first="2026-11-02",
        last="2026-11-03",
        constraint=None,
        catalogue_id=None,
        comms=["b"],
        paths=["/b", MORE],
        owners=["y"],
        raw_contexts=[],
        samples=[{"line": "1"}],
    )
    other = _denial(
        count=3,
        doubtful=0,
        enforced=4,
        mcs_count=5,
        first="2026-11-01",
        last=None,
        constraint="mcs",
        catalogue_id="known",
        comms=["a", "b"],
        paths=["/a"],
        owners=["x"],
        raw_contexts=["r"],
        samples=[{"line": "2"}, {"line": "3"}],
    )
    for pair in ([one, other], [other, one]):
        (merged,) = merge(pair)
        assert {key: merged[key] for key in ("count", "doubtful", "enforced", "mcs_count")} == {
            "count": 5,
            "doubtful": 1,
            "enforced": 4,
            "mcs_count": 6,
        }
        assert (merged["first"], merged["last"]) == ("2026-11-01", "2026-11-03")
        assert (merged["constraint"], merged["catalogue_id"]) == ("mcs", "known")
        assert (merged["comms"], merged["paths"], merged["owners"]) == (["a", "b"], ["/a", "/b", MORE], ["x", "y"])
        assert merged["raw_contexts"] == ["r"]
        assert len(merged["samples"]) == 3
        assert len(merge(pair, max_samples=2)[0]["samples"]) == 2
        assert len(merge(pair, max_samples=0)[0]["samples"]) == 3
    assert one["count"] == 2, "what was given is not changed"


def test_what_a_program_says_is_not_what_the_kernel_says_and_the_most_frequent_comes_first() -> None:
    given = [_denial(count=1), _denial(count=3, userspace=True), _denial(count=3, signature="a")]
    assert [(one["signature"] == "a", one["userspace"], one["count"]) for one in merge(given)] == [
        (True, False, 3),
        (False, True, 3),
        (False, False, 1),
    ]
