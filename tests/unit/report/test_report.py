# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One model, the same counts everywhere, and nothing from a node reaches a terminal or a browser as it came."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import canonical_json, is_sealed
from ansible_collections.talosops.selinux.plugins.plugin_utils.report import html, table
from ansible_collections.talosops.selinux.plugins.plugin_utils.report.model import OUTCOMES, build_model
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger import Ledger
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.plan import make_plan
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.steps import STEP_NAMES
from hypothesis import given, settings
from hypothesis import strategies as st

NOW = "2026-11-22T14:00:00+00:00"
GOOD = {
    "proven": True,
    "witnesses": [{"id": "selinux_state", "ok": True, "found": "SecurityState says enforcing"}],
    "reinstall": [{"id": "identity", "ok": True, "found": "the node identity was a and is b"}],
}
BAD = {
    "proven": False,
    "witnesses": [{"id": "selinux_state", "ok": True, "found": "SecurityState says enforcing"}],
    "reinstall": [{"id": "identity", "ok": None, "found": "the node identity is not known on both sides"}],
}
HOSTILE = "\x1b[2J\x1b]0;owned\x07<script>alert(1)</script>\r\n\u202egpj.exe\u200b\x00 'quoted' \"too\" & more"


def node(name, decision="eligible", selinux_state="permissive", machine_type="worker", reasons=()):
    return {
        "name": name,
        "machine_type": machine_type,
        "zone": "a",
        "decision": decision,
        "selinux_state": selinux_state,
        "reasons": list(reasons),
    }


def verdict(found):
    return {
        "decision": "refused",
        "checks": [
            {
                "id": "denials",
                "severity": "block",
                "result": "fail",
                "found": found,
                "reason": None,
                "remedy": found,
                "doc": "d",
            },
            {
                "id": "fine",
                "severity": "block",
                "result": "pass",
                "found": "ok",
                "reason": "ok",
                "remedy": "",
                "doc": "",
            },
        ],
    }


@pytest.fixture
def fleet(tmp_path):
    """One node for every outcome."""
    clock = [datetime(2026, 11, 22, 12, tzinfo=UTC)]
    ledger = Ledger(tmp_path / "ledger.jsonl", now=lambda: clock[0])

    def run(name, last, outcome="done", leave_open=False):
        for step in STEP_NAMES[: STEP_NAMES.index(last) + 1]:
            ledger.begin(name, step, machine_type="worker")
            if step in ("drain", "reset"):
                ledger.intent(name, step)
            clock[0] += timedelta(seconds=30)
            if step == last and leave_open:
                return
            facts = {"found": f"{HOSTILE} no disk", "do": "add a disk"} if outcome == "failed" and step == last else {}
            ledger.finish(name, step, outcome if step == last else "done", **facts)

    run("moved", "soak")
    run("unproven", "soak")
    run("failed", "install", "failed")
    run("open", "reset", leave_open=True)
    plan = make_plan(
        [
            *(node(name) for name in ("moved", "unproven", "failed", "open", "waiting")),
            node("bad", "refused"),
            node("blind", "inconclusive", reasons=["no log"]),
            node("done", "refused", "enforcing"),
            node("cp", machine_type="controlplane"),
        ],
        control_planes=False,
    ).as_dict()
    proofs = {"moved": GOOD, "unproven": BAD}
    return {"plan": plan, "verdicts": {"bad": verdict(HOSTILE)}, "ledger": ledger.read().as_dict(), "proofs": proofs}


def model_of(fleet, **options):
    return build_model(fleet["plan"], fleet["verdicts"], fleet["ledger"], fleet["proofs"], generated_at=NOW, **options)


def test_outcomes_and_counts(fleet):
    model = model_of(fleet, halted="1 of 9 nodes failed")
    rows = {row["node"]: row for row in model["nodes"]}
    assert {name: row["outcome"] for name, row in rows.items()} == {
        "moved": "moved",
        "unproven": "failed",
        "failed": "failed",
        "open": "pending",
        "waiting": "not_reached",
        "bad": "refused",
        "blind": "inconclusive",
        "done": "already_enforcing",
        "cp": "not_reached",
    }
    assert model["counts"] == {
        "total": 9,
        "moved": 1,
        "eligible": 0,
        "failed": 2,
        "refused": 1,
        "inconclusive": 1,
        "pending": 1,
        "not_reached": 2,
        "already_enforcing": 1,
    }
    assert rows["moved"]["duration"] == 360
    assert rows["unproven"]["reasons"][0]["id"] == "rollout.prove.identity"
    assert rows["failed"]["reasons"][0]["remedy"] == "add a disk"
    assert [reason["id"] for reason in rows["bad"]["reasons"]] == ["denials"]
    assert rows["waiting"]["reasons"][0]["id"] == "rollout.halted"
    assert rows["cp"]["reasons"][0]["id"] == "plan.control_planes"
    assert any(
        text.startswith(
            "open is unfinished (step reset is open); it was wiped, or may have been; it may still be cordoned."
        )
        for text in model["attention"]
    )
    assert any(text.startswith("failed is unfinished") for text in model["attention"])
    assert is_sealed(model)
    assert json.loads(canonical_json(model)) == model
    assert canonical_json(model) == canonical_json(model_of(fleet, halted="1 of 9 nodes failed")), "bytes are stable"


def test_a_node_that_fell_back_is_not_reported_as_moved(fleet):
    fleet["plan"] = {**fleet["plan"], "after_entry": fleet["ledger"]["entries"]}
    model = model_of(fleet)
    assert model["counts"]["moved"] == 0
    assert "moved was moved earlier but does not enforce any more" in model["attention"]


def test_the_ledger_alone_carries_the_proof(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for step in STEP_NAMES:
        ledger.begin("w", step, machine_type="worker")
        ledger.finish("w", step, "done", **(GOOD if step == "prove" else {}))
    plan = make_plan([node("w")]).as_dict()
    model = build_model(plan, {}, ledger.read().as_dict(), generated_at=NOW)
    assert model["counts"]["moved"] == 1
    assert model["nodes"][0]["witnesses"] == GOOD["witnesses"]


def test_nobody_moved_without_a_proof(fleet):
    fleet["proofs"] = {}
    assert model_of(fleet)["counts"]["moved"] == 0


def test_what_the_gate_lets_go_is_told_apart_from_what_stopped(fleet):
    fleet["ledger"] = None
    reasons = {row["node"]: [reason["id"] for reason in row["reasons"]] for row in model_of(fleet)["nodes"]}
    assert reasons["waiting"] == ["rollout.planned"]
    judged = model_of(fleet)
    assert {row["node"] for row in judged["nodes"] if row["outcome"] == "eligible"} == {
        "waiting",
        "moved",
        "unproven",
    } | {
        "failed",
        "open",
    }
    # Who may go stands in the first line and under a heading of its own, before who may not.
    lines = table.render(judged, width=200).splitlines()
    assert lines[1].endswith(": 9 nodes: 5 eligible, 1 refused, 1 inconclusive, 1 not reached, 1 already enforcing")
    assert lines[3] == "ELIGIBLE: may be reinstalled (5)" and "<h2>ELIGIBLE" in html.render(judged)
    assert (
        table.counts_line({**judged, "counts": {**dict.fromkeys(OUTCOMES, 0), "total": 1, "moved": 1}})
        == "1 node: 1 moved"
    )
    stopped = {row["node"]: row["reasons"] for row in model_of(fleet, halted="nothing can be planned")["nodes"]}
    assert [reason["id"] for reason in stopped["waiting"]] == ["rollout.halted"]


def test_check_mode_says_so(fleet):
    fleet["ledger"] = None
    model = model_of(fleet, check_mode=True)
    assert model["ledger"] is None
    assert {row["outcome"] for row in model["nodes"]} == {
        "eligible",
        "not_reached",
        "refused",
        "inconclusive",
        "already_enforcing",
    }
    assert "check mode: nothing was changed" in table.render(model)
    assert "Check mode: nothing was changed." in html.render(model)


def test_a_broken_ledger_is_told(fleet):
    fleet["ledger"] = {**fleet["ledger"], "ok": False, "broken": "line 3 is not canonical", "torn": 4}
    model = model_of(fleet)
    assert any("broken: line 3" in text for text in model["attention"])
    assert any("4 bytes" in text for text in model["attention"])
    assert "CHAIN BROKEN" in table.render(model, width=200)


class Reader(HTMLParser):
    """What a browser would make of the page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.attributes = [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text.append(data)


def test_html_is_inert_and_whole(fleet):
    model = model_of(fleet, halted=HOSTILE, title=HOSTILE)
    page = html.render(model)
    reader = Reader(page)
    text = " ".join(reader.text)
    assert not {"script", "img", "a", "link", "iframe", "form"} & set(reader.tags)
    assert not [name for name, _value in reader.attributes if name.startswith("on") or name in ("src", "href")]
    assert "<script>alert(1)</script>" in text
    assert "\x1b" not in page and "\u202e" not in page and "\x00" not in page
    shown = [outcome for outcome in OUTCOMES if model["counts"][outcome]]
    assert len(shown) == 7, "all but the eligible nodes, which a stopped rollout has none of"
    for outcome in shown:
        heading = f"{table.HEADINGS[outcome]} ({model['counts'][outcome]})"
        assert heading in text and heading in table.render(model)
    assert reader.tags.count("tr") == model["counts"]["total"] + len(shown)
    assert table.counts_line(model) in text
    assert model["sha256"] in text
    assert is_sealed(model), "rendering leaves the model as it was"


def test_html_shows_each_proof_and_each_reason(fleet):
    page = html.render(model_of(fleet))
    assert page.count('<li><code>selinux_state</code>: <b class="yes">yes</b>, SecurityState says enforcing</li>') == 2
    assert '<li><code>identity</code>: <b class="yes">yes</b>, the node identity was a and is b</li>' in page
    assert '<code>identity</code>: <b class="unknown">not known</b>, the node identity is not known on' in page
    assert page.count("</ul>") >= 4
    assert '<p class="do"><b>Do:</b> add a disk</p>' in page
    assert '<p class="do">See d</p>' in page
    failed = {**GOOD, "reinstall": [{"id": "identity", "ok": False, "found": "the same"}]}
    unproven = html.render(model_of({**fleet, "proofs": {"moved": failed}}))
    assert '<code>identity</code>: <b class="no">NO</b>, the same</li>' in unproven
    assert "<ul></ul>" not in page


def _alike(count, found="up for 60 seconds"):
    reason = {"id": "soak-reached", "found": found, "reason": "", "remedy": "Wait.", "doc": None}
    row = {"outcome": "refused", "role": "worker", "zone": None, "reasons": [reason], "waived": [], "witnesses": []}
    return [{**row, "node": f"{found[-1]}{number}"} for number in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_what_many_nodes_share_is_told_once(fleet, count):
    other = _alike(1, "another")
    model = {**model_of(fleet), "nodes": [*_alike(count), *other]}
    text = table.render(model, width=80)
    assert text.count("soak-reached: up for 60") == (1 if count > 2 else count)
    assert text.count("do: Wait.") == (2 if count > 2 else count + 1)
    assert all(f" {row['node']}" in text for row in model["nodes"])
    assert (f"  {count} nodes: s0, s1" in text) is (count > 2)
    assert max(map(table.columns, text.splitlines())) <= 80


@pytest.mark.parametrize("width", [20, 60, 80, 100, 200])
def test_table_fits_and_tells(fleet, width):
    text = table.render(model_of(fleet, halted=HOSTILE), width=width)
    assert all(table.columns(line) <= max(width, 60) for line in text.splitlines())
    assert re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u200b]", text) is None
    words = re.sub(r"\s+", " ", text)
    assert (
        "9 nodes: 1 moved, 2 failed, 1 refused, 1 inconclusive, 1 pending, 2 not reached, 1 already enforcing" in words
    )
    assert "do:" in words and "ATTENTION" in words


def test_colors_only_when_asked(fleet):
    model = model_of(fleet)
    plain, colored = table.render(model), table.render(model, color=True)
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == plain


@given(st.text(max_size=300), st.integers(60, 120))
@settings(max_examples=200, deadline=None)
def test_any_text_is_safe(text, width):
    plan = make_plan(
        [node(f"n{text}", "refused", reasons=[{"id": "x", "found": text, "remedy": text, "doc": text}])]
    ).as_dict()
    model = build_model(plan, {}, None, {}, generated_at=NOW, halted=text, title=text)
    shown = table.render(model, width)
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert all(table.columns(line) <= width for line in shown.split("\n"))
    reader = Reader(html.render(model))
    skeleton = {"html", "head", "meta", "title", "style", "body", "section", "footer"}
    content = {"h1", "h2", "p", "table", "thead", "tbody", "tr", "th", "td", "code", "b", "ul", "li"}
    assert set(reader.tags) <= skeleton | content
    assert reader.tags.count("section") <= 3


@pytest.mark.parametrize(("seconds", "text"), [(5, "5 s"), (64, "1 min 4 s"), (3725, "1 h 2 min")])
def test_durations(seconds, text):
    assert table.duration(seconds) == text


def test_wrapping_keeps_wide_characters_whole():
    assert table.wrap("\u6771\u4eac\u6771\u4eac yz", 5) == ["\u6771\u4eac", "\u6771\u4eac", "yz"]
    assert table.wrap("  abc def", 6) == ["  abc", "  def"]
    assert table.wrap("", 6) == [""]


def policy_of(*changes):
    return {"name": "ours", "changes": list(changes), "weakened": any(change["weaker"] for change in changes)}


def change(identifier, field, old, new, by=None):
    return {"id": identifier, "field": field, "from": old, "to": new, "weaker": by is not None, "in": "ours", "by": by}


def test_the_policy_and_all_that_it_changes_are_told(fleet):
    by = {"who": "ada", "why": f"tried for a week {HOSTILE}"}
    policy = policy_of(
        change("our-own", "check", None, "added"),
        change("no-denials", "severity", "block", "warn", by),
        change(None, "soak", "72h", "96h"),
    )
    model = model_of(fleet, policy=policy)
    assert model["policy"] == policy
    lines = [
        "policy ours: the check our-own was added (in ours)",
        'policy ours: no-denials: severity was "block" and is "warn" (in ours). This is WEAKER, on the word of ada: '
        "tried for a week",
        'policy ours: setting soak was "72h" and is "96h" (in ours)',
    ]
    # What weakens stands where nobody overlooks it, on whose word and why.
    assert [line.startswith(lines[1]) for line in model["attention"]].count(True) == 1
    assert not [line for line in model["attention"] if "our-own" in line or "soak" in line]
    text = re.sub(r"\s+", " ", table.render(model, width=100))
    page = re.sub(r"\s+", " ", " ".join(Reader(html.render(model)).text))
    for line in ("judged by the policy ours", *lines):
        assert line in text and line in page
    assert "\x1b" not in table.render(model) + html.render(model)
    assert "judged by the policy strict, unchanged" in table.render(
        model_of(fleet, policy={"name": "strict", "changes": [], "weakened": False})
    )
    assert model_of(fleet)["policy"] is None and "POLICY" not in table.render(model_of(fleet))


def test_waived_denials_stay_and_are_counted_apart(fleet):
    waived = {
        "signature": "pod_t:run_t:sock_file:write",
        "count": 3,
        "waiver_id": "agent-socket",
        "owner": "ada@example.org",
        "ticket": "OPS-1",
        "reason": "It falls back to TCP.",
        "expires": "2026-12-31T00:00:00Z",
    }
    plain = model_of(fleet)
    for name in ("moved", "waiting", "bad"):
        known = fleet["verdicts"].get(name, {"decision": "eligible", "checks": []})
        fleet["verdicts"][name] = {**known, "waived": [waived]}
    model = model_of(fleet)
    assert model["counts"] == plain["counts"]
    assert (plain["waived"], model["waived"]) == (
        {"signatures": 0, "records": 0},
        {"signatures": 1, "records": 9},
    )
    told = (
        "waived: pod_t:run_t:sock_file:write, 3 records, by agent-socket of ada@example.org (OPS-1) until "
        "2026-12-31T00:00:00Z: It falls back to TCP."
    )
    text = re.sub(r"\s+", " ", table.render(model, width=300))
    page = re.sub(r"\s+", " ", " ".join(Reader(html.render(model)).text))
    for shown in (text, page):
        assert shown.count(told) == 3
        assert "denials waived: 1 kinds, 9 records" in shown
    assert "denials waived" not in table.render(plain) + html.render(plain)
