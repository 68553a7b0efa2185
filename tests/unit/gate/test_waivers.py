# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waivers cover what they name, where and while they hold, and each lint finds its waiver by name."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.knowledge import catalogue as known_denials
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import waivers
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.errors import WaiverProblem
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.policy import Policy
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.verdict import judge
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.waiver_files import load_waivers
from ansible_collections.talosops.selinux.plugins.plugin_utils.operator_files import FileProblem
from waiver_file import write

from .samples import NOW, denial, evidence

SIGNATURE = "pod_t:etcd_t:sock_file:write"
ENTRY: dict[str, Any] = {
    "id": "agent-socket",
    "signature": SIGNATURE,
    "scope": {"clusters": ["lab"], "nodes": ["node-*"], "talos": ["1.14"]},
    "reason": "The agent falls back to TCP.",
    "owner": "ada@example.org",
    "ticket": "OPS-1",
    "granted": dt.date(2026, 11, 1),
    "expires": dt.date(2026, 12, 31),
}
MATCH = {
    "source_type": ["pod_t", "kubelet_t"],
    "target_type": ["etcd_t"],
    "class": ["sock_file", "dir"],
    "permissions": ["write", "append"],
}


def load(directory: Path, policy: Policy, *entries: dict[str, Any], now: dt.datetime = NOW) -> waivers.Waivers:
    return waivers.load(write(directory, *entries), policy=policy, now=now)


def denied(*denials: dict[str, Any], **changes: Any) -> dict[str, Any]:
    listed = list(denials) or [denial(SIGNATURE)]
    return evidence(audit__denials=listed, audit__counts__denied=sum(item["count"] for item in listed), **changes)


def result(directory: Path, policy: Policy, document: dict[str, Any], **change: Any) -> str:
    """The result of no-denials with the one waiver, changed."""
    entry = {key: value for key, value in {**ENTRY, **change}.items() if value is not None}
    now = change.pop("now", NOW)
    entry.pop("now", None)
    given = judge(document, policy, waivers=load(directory, policy, entry, now=now), now=NOW)
    return str(next(check["result"] for check in given["checks"] if check["id"] == "no-denials"))


def test_a_waived_denial_stays_and_is_counted_apart(tmp_path: Path, strict: Policy) -> None:
    given = judge(denied(), strict, waivers=load(tmp_path, strict, ENTRY), now=NOW)
    assert given["decision"] == "eligible"
    assert given["denials"] == {"open": [], "waived": [SIGNATURE], "benign": []}
    assert given["waived"] == [
        {
            "signature": SIGNATURE,
            "count": 3,
            "waiver_id": "agent-socket",
            "owner": "ada@example.org",
            "ticket": "OPS-1",
            "reason": "The agent falls back to TCP.",
            "expires": "2026-12-31T00:00:00Z",
        }
    ]
    check = next(check for check in given["checks"] if check["id"] == "no-denials")
    assert check["result"] == "waived"
    assert SIGNATURE in check["found"]
    assert given["binds"]["evidence_sha256"] == denied()["sha256"]


def test_what_is_not_waived_still_refuses(tmp_path: Path, strict: Policy) -> None:
    document = denied(denial(SIGNATURE), denial("pod_t:run_t:file:read"))
    given = judge(document, strict, waivers=load(tmp_path, strict, ENTRY), now=NOW)
    assert given["decision"] == "refused"
    assert given["denials"] == {"open": ["pod_t:run_t:file:read"], "waived": [SIGNATURE], "benign": []}


@pytest.mark.parametrize(
    ("scope", "covered"),
    [
        ({"clusters": ["lab"]}, True),
        ({"clusters": ["prod", "la?"]}, True),
        ({"clusters": ["prod"]}, False),
        ({"clusters": ["LAB"]}, False),
        ({"nodes": ["node-1"]}, True),
        ({"nodes": ["node-2", "worker-*"]}, False),
        ({"talos": ["1.14"]}, True),
        ({"talos": ["v1.14"]}, True),
        ({"talos": ["v1.14.1"]}, True),
        ({"talos": ["1.13", "1.14.1"]}, True),
        ({"talos": ["v1.14.0"]}, False),
        ({"talos": ["v1.14.2"]}, False),
        ({"talos": ["1.1"]}, False),
        ({"talos": ["2.14"]}, False),
        ({"clusters": ["lab"], "nodes": ["node-1"], "talos": ["1.13"]}, False),
        ({"clusters": ["lab"], "nodes": ["x"], "talos": ["1.14"]}, False),
    ],
)
def test_scope(tmp_path: Path, strict: Policy, scope: dict[str, list[str]], covered: bool) -> None:
    assert result(tmp_path, strict, denied(), scope=scope) == ("waived" if covered else "fail")


@pytest.mark.parametrize("part", ["cluster__name", "node__name", "talos__version"])
def test_an_unknown_place_is_out_of_scope(tmp_path: Path, strict: Policy, part: str) -> None:
    assert result(tmp_path, strict, denied(**{part: None})) == "fail"
    assert result(tmp_path, strict, denied(talos__version="new")) == "fail"


@pytest.mark.parametrize(
    ("changes", "covered"),
    [
        ({}, True),
        ({"permissions": ["append"]}, True),
        ({"permissions": ["append", "write"]}, True),
        ({"source_type": "kubelet_t", "class": "dir"}, True),
        ({"permissions": ["write", "unlink"]}, False),
        ({"permissions": []}, False),
        ({"permissions": "write"}, False),
        ({"source_type": "init_t"}, False),
        ({"target_type": "run_t"}, False),
        ({"class": "file"}, False),
        ({"class": None}, False),
    ],
)
def test_match(tmp_path: Path, strict: Policy, changes: dict[str, Any], covered: bool) -> None:
    document = denied(denial(SIGNATURE, **changes))
    waived = load(tmp_path, strict, {**{k: v for k, v in ENTRY.items() if k != "signature"}, "match": MATCH})
    assert [bool(item["waiver_id"]) for item in waived.applied(document["audit"], document)["denials"]] == [covered]


def test_an_expired_waiver_never_reads_as_waived(tmp_path: Path, strict: Policy) -> None:
    end = dt.datetime(2026, 11, 22, 12, 0, 0, tzinfo=dt.UTC)
    assert result(tmp_path, strict, denied(), expires=end + dt.timedelta(seconds=1)) == "waived"
    assert result(tmp_path, strict, denied(), expires=end) == "fail"
    assert result(tmp_path, strict, denied(), expires=dt.date(2026, 11, 22)) == "fail"
    assert result(tmp_path, strict, denied(), granted=end) == "waived"
    assert result(tmp_path, strict, denied(), granted=end + dt.timedelta(seconds=1)) == "fail"


def test_a_waiver_that_is_too_long_has_no_owner_or_breaks_is_not_applied(tmp_path: Path, strict: Policy) -> None:
    assert result(tmp_path, strict, denied(), granted=dt.date(2026, 10, 2)) == "waived"
    assert result(tmp_path, strict, denied(), granted=dt.date(2026, 10, 1)) == "fail"
    assert result(tmp_path, strict, denied(), owner=" ") == "fail"
    assert result(tmp_path, strict, denied(), owner=None) == "fail"
    breaking = "pod_t:unlabeled_t:file:read"
    assert result(tmp_path, strict, denied(denial(breaking)), signature=breaking) == "fail"


def test_a_known_denial_that_breaks_nothing_can_be_waived(tmp_path: Path, strict: Policy) -> None:
    known = "pod_t:run_t:sock_file:write"
    entry = known_denials.load().match(denial(known), "v1.14.1")
    assert entry is not None and not entry.breaking
    assert result(tmp_path, strict, denied(denial(known)), signature=known) == "waived"
    assert lints(tmp_path, strict, denied(denial(known)), signature=known) == []


@pytest.mark.parametrize(
    "audit", [None, {}, {"counts": {"denied": 1}}, {"denials": None}, {"denials": "pod_t"}, {"denials": ["pod_t"]}]
)
def test_where_no_denials_are_listed_nothing_is_waived_or_changed(audit: Any, strict: Policy) -> None:
    given = waivers.Waivers((), strict, NOW)
    assert given.applied(audit, evidence()) == audit
    assert given.used(audit) == []
    assert given.lint([{"audit": audit}]) == []


@pytest.mark.parametrize("part", ["source_type", "target_type", "class", "permissions"])
def test_a_denial_of_which_a_part_is_not_known_is_not_waived(tmp_path: Path, strict: Policy, part: str) -> None:
    assert result(tmp_path, strict, denied(denial(SIGNATURE, **{part: None}))) == "fail"


def test_evidence_cannot_bring_its_own_waiver(tmp_path: Path, strict: Policy) -> None:
    other = denied(denial("pod_t:run_t:file:read", waiver_id="agent-socket"))
    given = judge(other, strict, waivers=load(tmp_path, strict, ENTRY), now=NOW)
    assert given["decision"] == "refused"
    assert given["waived"] == []


# ---------------------------------------------------------------- lint


def lints(directory: Path, policy: Policy, *documents: dict[str, Any], **change: Any) -> list[tuple[str, str]]:
    entry = {key: value for key, value in {**ENTRY, **change}.items() if value is not None}
    return [(finding.waiver, finding.lint) for finding in load(directory, policy, entry).lint(documents)]


def test_a_sound_waiver_has_no_findings(tmp_path: Path, strict: Policy) -> None:
    assert lints(tmp_path, strict, denied()) == []
    load(tmp_path, strict, ENTRY).require_sound([denied()])
    load(tmp_path, strict).require_sound([])


@pytest.mark.parametrize(
    ("change", "lint"),
    [
        ({"expires": dt.date(2026, 11, 22)}, "expired"),
        ({"expires": "2026-11-22T12:00:00Z"}, "expired"),
        ({"granted": dt.date(2026, 10, 1)}, "too-long"),
        ({"granted": dt.date(2026, 11, 23)}, "too-long"),
        ({"owner": ""}, "no-owner"),
        ({"owner": None}, "no-owner"),
        ({"owner": ["ada"]}, "no-owner"),
    ],
)
def test_each_lint_of_the_waiver_itself(tmp_path: Path, strict: Policy, change: dict[str, Any], lint: str) -> None:
    assert lints(tmp_path, strict, denied(), **change) == [("agent-socket", lint)]
    entry = {key: value for key, value in {**ENTRY, **change}.items() if value is not None}
    with pytest.raises(WaiverProblem, match=rf"agent-socket \({lint}\)") as caught:
        load(tmp_path, strict, entry).require_sound([denied()])
    assert caught.value.context["findings"][0]["lint"] == lint
    assert caught.value.kind == "waiver"


def test_one_node_of_a_fleet_does_not_show_that_a_waiver_is_unused(tmp_path: Path, strict: Policy) -> None:
    old = {**ENTRY, "granted": "2026-09-01", "expires": "2026-11-29"}
    waivers = load(tmp_path, strict, old)
    with pytest.raises(WaiverProblem, match=r"agent-socket \(unused\)"):
        waivers.require_sound([evidence()])
    waivers.require_sound([evidence()], whole_fleet=False)


def test_unused(tmp_path: Path, strict: Policy) -> None:
    old = dt.date(2026, 10, 20)
    assert lints(tmp_path, strict, evidence(), granted=old) == [("agent-socket", "unused")]
    assert lints(tmp_path, strict, granted=old) == [("agent-socket", "unused")]
    # 30 days to the second are not yet too many.
    assert lints(tmp_path, strict, granted="2026-10-23T12:00:00Z") == []
    assert lints(tmp_path, strict, granted="2026-10-23T11:59:59Z") == [("agent-socket", "unused")]
    assert lints(tmp_path, strict, denied(), granted=old) == []
    faded = denied(denial(SIGNATURE, last="2026-10-21T00:00:00Z"))
    assert lints(tmp_path, strict, faded, granted=old) == [("agent-socket", "unused")]
    assert lints(tmp_path, strict, faded, denied(), granted=old) == []
    for unreadable in (None, "", "yesterday"):
        broken = denied(denial(SIGNATURE, last=unreadable))
        assert lints(tmp_path, strict, broken, granted=old) == [("agent-socket", "unused")]
    undated = {key: value for key, value in denial(SIGNATURE).items() if key != "last"}
    assert lints(tmp_path, strict, denied(undated), granted=old) == [("agent-socket", "unused")]
    assert lints(tmp_path, strict, {**denied(), "audit": {"denials": ["a text"]}}, granted=old) == [
        ("agent-socket", "unused")
    ]
    other = denied(denial("pod_t:unlabeled_t:file:read"))
    assert lints(tmp_path, strict, other, granted=old) == [("agent-socket", "unused")]
    elsewhere = denied(cluster__name="prod")
    assert lints(tmp_path, strict, elsewhere, granted=old) == [("agent-socket", "unused")]


def test_too_broad(tmp_path: Path, strict: Policy) -> None:
    entry = {k: v for k, v in ENTRY.items() if k != "signature"}
    many = {**MATCH, "source_type": [f"s{index}_t" for index in range(6)]}
    kinds = [denial(f"s{index}_t:etcd_t:dir:write") for index in range(6)]
    wide = load(tmp_path, strict, {**entry, "match": many})
    assert wide.lint([denied(*kinds[:5])]) == []
    assert wide.lint([denied(*kinds[:3]), denied(*kinds[:5])]) == []
    assert [finding.lint for finding in wide.lint([denied(*kinds[:3]), denied(*kinds[3:])])] == ["too-broad"]
    assert wide.lint([denied(*kinds)])[0].text == "it covers 6 signatures, and 5 are allowed"


def test_breaking(tmp_path: Path, strict: Policy) -> None:
    breaking = "pod_t:unlabeled_t:file:read"
    assert lints(tmp_path, strict, denied(denial(breaking)), signature=breaking) == [("agent-socket", "breaking")]
    # Also when no such denial was seen in this run.
    assert lints(tmp_path, strict, signature=breaking) == [("agent-socket", "breaking")]
    for odd in ("not:a:signature", "a:b:c:d:e", "text"):
        assert lints(tmp_path, strict, signature=odd) == []
    entry = {k: v for k, v in ENTRY.items() if k != "signature"}
    wide = {**MATCH, "target_type": ["etcd_t", "unlabeled_t"]}
    found = load(tmp_path, strict, {**entry, "match": wide}).lint([])
    assert [finding.lint for finding in found] == ["breaking"]
    family = known_denials.load().match(denial(breaking), None)
    assert family is not None
    assert found[0].text == f"the catalogue says that {family.id} breaks under enforcing"


def test_every_waiver_is_linted(tmp_path: Path, strict: Policy) -> None:
    second = {**ENTRY, "id": "second", "owner": "", "expires": dt.date(2026, 11, 20)}
    both = load(tmp_path, strict, {**ENTRY, "owner": ""}, second)
    assert [(f.waiver, f.lint) for f in both.lint([denied()])] == [("agent-socket", "no-owner"), ("second", "expired")]


# ---------------------------------------------------------------- the file


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": None}, "no id"),
        ({"id": "with blank"}, "no id"),
        ({"id": 3}, "no id"),
        ({"colour": "red"}, "unknown keys: colour"),
        ({"signature": None}, "exactly one of signature and match"),
        ({"match": MATCH}, "exactly one of signature and match"),
        ({"signature": " "}, "is not a text"),
        ({"signature": 3}, "is not a text"),
        ({"reason": None}, "has no reason"),
        ({"reason": " "}, "has no reason"),
        ({"ticket": None}, "has no ticket"),
        ({"scope": None}, "scope of the waiver agent-socket is not a mapping"),
        ({"scope": {}}, "has no scope"),
        ({"scope": {"zones": ["a"]}}, "keys among clusters, nodes, talos"),
        ({"scope": {"nodes": []}}, "nodes in the scope"),
        ({"scope": {"nodes": "node-1"}}, "nodes in the scope"),
        ({"scope": {"nodes": [""]}}, "nodes in the scope"),
        ({"scope": {"nodes": [1]}}, "nodes in the scope"),
        ({"scope": {"talos": ["newest"]}}, "no Talos version"),
        ({"expires": None}, "expires of the waiver agent-socket"),
        ({"granted": None}, "granted of the waiver agent-socket"),
        ({"expires": "soon"}, "neither a date"),
        ({"expires": "2026-12-31T00:00:00"}, "neither a date"),
        ({"expires": dt.datetime(2026, 12, 31)}, "neither a date"),
        ({"expires": 2026}, "neither a date"),
    ],
    ids=str,
)
def test_a_waiver_is_understood_to_the_letter_or_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    entry = {key: value for key, value in {**ENTRY, **change}.items() if value is not None}
    path = write(tmp_path, entry)
    with pytest.raises(WaiverProblem) as caught:
        load_waivers(path)
    assert words in str(caught.value)
    assert caught.value.found.startswith(f"the waiver file {path} cannot be used: ")
    assert caught.value.context == {"file": str(path)}


def test_a_match_names_all_four_parts(tmp_path: Path) -> None:
    entry = {k: v for k, v in ENTRY.items() if k != "signature"}
    for part in MATCH:
        with pytest.raises(
            WaiverProblem, match=r"/waivers.yml .* does not name all of source_type, target_type, class"
        ):
            load_waivers(write(tmp_path, {**entry, "match": {k: v for k, v in MATCH.items() if k != part}}))
    with pytest.raises(WaiverProblem, match="keys among"):
        load_waivers(write(tmp_path, {**entry, "match": {**MATCH, "comm": ["x"]}}))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "schema: 2\nwaivers: []",
        "schema: 1",
        "schema: 1\nwaivers: []\nextra: 1",
        "schema: 1\nwaivers: {}",
        "schema: 1\nwaivers: [3]",
        "schema: 1\nschema: 1\nwaivers: []",
        "a: [",
    ],
)
def test_a_broken_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "waivers.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(WaiverProblem) as caught:
        load_waivers(path)
    assert caught.value.context == {"file": str(path)}


def test_a_missing_file_and_a_waiver_that_is_there_twice(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match="cannot be read"):
        load_waivers(tmp_path / "none.yml")
    with pytest.raises(WaiverProblem, match="agent-socket is there twice"):
        load_waivers(write(tmp_path, ENTRY, ENTRY))


def test_an_id_has_at_most_a_hundred_characters(tmp_path: Path) -> None:
    (waiver,) = load_waivers(write(tmp_path, {**ENTRY, "id": "a" * 100}))
    assert waiver.id == "a" * 100
    with pytest.raises(WaiverProblem, match="a waiver has no id"):
        load_waivers(write(tmp_path, {**ENTRY, "id": "a" * 101}))


def test_dates_and_times(tmp_path: Path) -> None:
    for value in (dt.date(2026, 12, 31), "2026-12-31", "2026-12-31T00:00:00Z", "2026-12-31T01:00:00+01:00"):
        (waiver,) = load_waivers(write(tmp_path, {**ENTRY, "expires": value}))
        assert waiver.expires == dt.datetime(2026, 12, 31, tzinfo=dt.UTC)


def test_the_documented_example_loads(tmp_path: Path, strict: Policy) -> None:
    text = (Path(__file__).parents[3] / "docs" / "waivers.md").read_text(encoding="utf-8")
    path = tmp_path / "waivers.yml"
    path.write_text(text.split("```yaml\n")[1].split("```")[0], encoding="utf-8")
    assert [waiver.id for waiver in waivers.load(path, policy=strict, now=NOW).waivers] == ["agent-socket"]


def test_what_is_said_of_waivers_that_cannot_stand(tmp_path: Path, strict: Policy) -> None:
    second = {**ENTRY, "id": "second", "owner": "", "expires": dt.date(2026, 11, 20)}
    with pytest.raises(WaiverProblem) as caught:
        load(tmp_path, strict, {**ENTRY, "owner": ""}, second).require_sound([denied()])
    no_owner = {"waiver": "agent-socket", "lint": "no-owner", "text": "it has no owner"}
    expired = {"waiver": "second", "lint": "expired", "text": "it expired at 2026-11-20T00:00:00Z"}
    assert caught.value.as_dict() == {
        "kind": "waiver",
        "findings": [no_owner, expired],
        "found": "waivers that cannot stand: agent-socket (no-owner): it has no owner; second (expired): it expired at"
        " 2026-11-20T00:00:00Z",
        "why": "a waiver is a debt with a name and a date; one that nobody keeps up hides a denial",
        "do": "renew, narrow or delete each of them; docs/waivers.md explains every lint",
    }
