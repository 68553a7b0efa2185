# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waves: canary first, never two zones, every eligible node once, control planes alone and last."""

from __future__ import annotations

import json
import random

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import is_sealed
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.budget import BadBudget, exceeded, share
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.plan import UnsafePlan, make_plan, voters
from hypothesis import given, settings
from hypothesis import strategies as st


def node(name, machine_type="worker", zone=None, decision="eligible", selinux_state="permissive", reasons=()):
    return {
        "name": name,
        "machine_type": machine_type,
        "zone": zone,
        "decision": decision,
        "selinux_state": selinux_state,
        "reasons": list(reasons),
    }


CONTROL = [node(f"cp-{n}", "controlplane", zone) for n, zone in ((1, "a"), (2, "b"), (3, "c"))]


def waves(plan):
    return [(wave.kind, list(wave.nodes)) for wave in plan.waves]


def test_the_whole_order():
    plan = make_plan(
        CONTROL
        + [node(f"w-{n}", zone="ab"[n % 2]) for n in (10, 2, 3, 4, 5)]
        + [node("bad", decision="refused", reasons=[{"id": "denials", "found": "3 denials"}])]
        + [node("old", decision="refused", selinux_state="enforcing")],
        batch=2,
        etcd_voters=3,
    )
    assert waves(plan) == [
        ("canary", ["w-2"]),
        ("workers", ["w-4", "w-10"]),
        ("workers", ["w-3", "w-5"]),
        ("control_plane", ["cp-1"]),
        ("control_plane", ["cp-2"]),
        ("control_plane", ["cp-3"]),
    ]
    assert plan.done == ("old",)
    assert [row["name"] for row in plan.not_eligible] == ["bad"]
    assert plan.not_eligible[0]["reasons"] == [{"id": "denials", "found": "3 denials"}]
    assert plan.etcd == {"voters": 3, "quorum": 2, "tolerance": 1, "tolerance_after_removal": 0}
    assert any("fresh, verified snapshot" in note for note in plan.notes)
    document = plan.as_dict()
    assert is_sealed(document)
    assert json.loads(json.dumps(document)) == document


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"decision": None}, "plan.decision"),
        ({"decision": "inconclusive"}, "plan.decision"),
        ({"decision": True}, "plan.decision"),
        ({"machine_type": None}, "plan.machine_type"),
        ({"selinux_state": "unknown"}, "plan.selinux_state"),
        ({"selinux_state": None}, "plan.selinux_state"),
        ({"selinux_state": "disabled"}, "plan.selinux_state"),
    ],
)
def test_unknown_never_goes(change, expected):
    plan = make_plan([{**node("w-1"), **change}])
    assert plan.waves == ()
    assert plan.not_eligible[0]["reasons"][0]["id"] == expected


def test_reasons_of_the_gate_keep_a_refused_node_out():
    assert make_plan([node("w", decision="refused", reasons=["denials"])]).waves == ()


def test_control_planes_can_be_left_out():
    plan = make_plan([*CONTROL, node("w-1")], control_planes=False)
    assert waves(plan) == [("canary", ["w-1"])]
    assert {row["reasons"][0]["id"] for row in plan.not_eligible} == {"plan.control_planes"}
    assert plan.etcd is None


@pytest.mark.parametrize("few", [1, 2])
def test_small_etcd_is_refused(few):
    with pytest.raises(UnsafePlan, match=f"etcd has {few} voting member"):
        make_plan(CONTROL, etcd_voters=few)
    assert make_plan([*CONTROL, node("w")], control_planes=False).waves


def test_control_planes_are_not_counted_where_nobody_knows_who_votes():
    with pytest.raises(UnsafePlan, match="how many members of etcd vote is not known"):
        make_plan(CONTROL)
    assert make_plan(CONTROL, control_planes=False, resume=["cp-2"]).etcd is None


@pytest.mark.parametrize(
    ("told", "recorded", "voting"),
    [([], [], None), ([3, 3], [], 3), ([5, 3], [], 3), ([2, 2], [3], 3), ([], [3], 3), ([5], [3], 5), ([1], [], 1)],
)
def test_a_member_that_is_being_reinstalled_still_votes(told, recorded, voting):
    assert voters(told, recorded) == voting


def test_a_control_plane_out_of_etcd_for_its_own_reinstall_can_be_resumed():
    plan = make_plan(CONTROL, etcd_voters=voters([2, 2], [3]), resume=["cp-2"])
    assert waves(plan) == [("resume", ["cp-2"]), ("control_plane", ["cp-1"]), ("control_plane", ["cp-3"])]


def test_unsafe_requests():
    with pytest.raises(UnsafePlan, match="at a time"):
        make_plan(CONTROL, control_plane_batch=2)
    with pytest.raises(UnsafePlan, match="more than once"):
        make_plan([node("w"), node("w")])
    for canary in (0, -1, True, "1"):
        with pytest.raises(UnsafePlan, match="canary"):
            make_plan([node("w")], canary=canary)
    for batch in (-1, "101%", "x", None, 1.5, True):
        with pytest.raises(BadBudget, match="batch is "):
            make_plan([node("w")], batch=batch)
    with pytest.raises(BadBudget, match="max_failures is '-1'"):
        make_plan([node("w")], max_failures="-1")


def test_resumed_nodes_go_first_whatever_the_gate_says():
    plan = make_plan(
        [*CONTROL, node("w-1"), node("w-2", decision="inconclusive", selinux_state="unknown")],
        resume=["w-2", "cp-1"],
        etcd_voters=3,
    )
    assert waves(plan)[:3] == [("resume", ["w-2"]), ("resume", ["cp-1"]), ("canary", ["w-1"])]
    assert all(row["name"] != "w-2" for row in plan.not_eligible)


def test_a_crash_in_the_last_step_is_resumed_although_the_node_enforces():
    plan = make_plan([node("w-1", selinux_state="enforcing")], resume=["w-1"])
    assert waves(plan) == [("resume", ["w-1"])]
    assert plan.done == ()


def test_unzoned_workers_go_alone_beside_zoned_ones():
    plan = make_plan([node("a", zone="z"), node("b", zone="z"), node("c"), node("d")], batch="100%")
    assert waves(plan) == [("canary", ["a"]), ("workers", ["b"]), ("workers", ["c"]), ("workers", ["d"])]


def test_percentages_round_down_and_never_to_nothing():
    assert share("25%", 7, "x") == 1
    assert share("10%", 7, "x") == 0
    assert share("3", 7, "x") == 3
    plan = make_plan([node(f"w-{n}") for n in range(9)], batch="25%")
    assert [len(wave.nodes) for wave in plan.waves] == [1, 2, 2, 2, 2]


machines = st.builds(
    node,
    st.integers(0, 60).map(lambda n: f"node-{n}"),
    st.sampled_from(["worker", "worker", "worker", "controlplane", "init", None]),
    st.sampled_from([None, "a", "b", "c"]),
    st.sampled_from(["eligible", "eligible", "eligible", "refused", "inconclusive", None]),
    st.sampled_from(
        ["permissive", "permissive", "permissive", "enforcing", "disabled", "unsupported", "unknown", None]
    ),
    st.lists(st.just({"id": "x", "found": "y"}), max_size=1),
)


@given(
    fleet=st.lists(machines, max_size=40, unique_by=lambda n: n["name"]),
    canary=st.integers(1, 5),
    batch=st.one_of(st.integers(0, 6), st.integers(0, 100).map(lambda n: f"{n}%")),
    resume=st.sets(st.integers(0, 60).map(lambda n: f"node-{n}"), max_size=3),
    seed=st.integers(0, 99),
)
@settings(max_examples=400, deadline=None)
def test_waves_hold_their_promises(fleet, canary, batch, resume, seed):
    plan = make_plan(fleet, canary=canary, batch=batch, resume=resume, etcd_voters=5)
    by_name = {n["name"]: n for n in fleet}
    zoned = any(n["zone"] for n in fleet)
    resumed = resume & set(by_name)
    eligible = {
        n["name"]
        for n in fleet
        if n["decision"] == "eligible"
        and n["selinux_state"] == "permissive"
        and n["machine_type"] is not None
        and n["name"] not in resumed
    }
    went = [name for wave in plan.waves for name in wave.nodes]
    assert sorted(went) == sorted(eligible | resumed), "every eligible node exactly once, and nobody else"
    listed = went + list(plan.done) + [row["name"] for row in plan.not_eligible]
    assert sorted(listed) == sorted(by_name), "every node is told about exactly once"
    assert all(row["reasons"] for row in plan.not_eligible), "nobody stays out without a reason"
    workers = sum(by_name[name]["machine_type"] == "worker" for name in eligible)
    size = max(1, share(batch, workers, "batch"))
    kinds = [wave.kind for wave in plan.waves]
    order = ["resume", "canary", "workers", "control_plane"]
    assert kinds == sorted(kinds, key=order.index)
    for wave in plan.waves:
        zones = {by_name[name]["zone"] for name in wave.nodes}
        assert len(zones) == 1, "one zone per wave"
        if zoned and zones == {None}:
            assert len(wave.nodes) == 1
        managers = [name for name in wave.nodes if by_name[name]["machine_type"] != "worker"]
        if wave.kind in ("canary", "workers"):
            assert not managers
            assert len(wave.nodes) <= (size if wave.kind == "workers" else canary)
        else:
            assert len(wave.nodes) == 1
    assert len(plan.canaries) == min(canary, workers)
    shuffled = list(fleet)
    random.Random(seed).shuffle(shuffled)
    assert make_plan(shuffled, canary=canary, batch=batch, resume=resume, etcd_voters=5) == plan, "deterministic"


@pytest.mark.parametrize("seed", range(20))
def test_a_thousand_nodes_stop_at_the_budget(seed):
    dice = random.Random(seed)
    limit = dice.choice([0, 3, "2%"])
    fleet = [node(f"w-{n}", zone=dice.choice("abcde")) for n in range(997)] + CONTROL
    plan = make_plan(fleet, batch=dice.choice([1, 7, "5%"]), max_failures=limit, etcd_voters=3)
    zones = {n["name"]: n["zone"] for n in fleet}
    failed, touched, before = [], [], 0
    for wave in plan.waves:
        if exceeded(failed, plan.canaries, max_failures=limit, fleet=1000):
            break
        before = len(failed)
        touched += wave.nodes
        assert len({zones[name] for name in wave.nodes}) == 1
        failed += [name for name in wave.nodes if dice.random() < 0.02]
    allowed = share(limit, 1000, "x")
    assert before <= allowed, "no wave began once the budget was spent"
    assert len(touched) == len(set(touched))


def test_a_batch_beyond_the_budget_is_noted():
    fleet = [node(f"w-{n}") for n in range(9)]
    assert "5 workers at a time can fail together" in make_plan(fleet, batch=5).notes[0]
    assert make_plan(fleet, batch=5, max_failures=4).notes == ()
    assert make_plan(fleet, batch=1).notes == ()


# -- one machine, one host -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "values", "named"),
    [
        ("address", ("10.0.0.5", "10.0.0.5"), "address"),
        ("uuid", ("4C4C4544-0042", "4c4c4544-0042"), "machine UUID"),
        ("identity", ("abc", "abc"), "node identity"),
        ("boot_id", ("b-1", "b-1"), "boot id"),
    ],
)
def test_two_hosts_that_are_one_machine_refuse_the_plan(key, values, named):
    rows = [{**node(f"w-{number}"), key: value} for number, value in enumerate(values, 1)]
    with pytest.raises(UnsafePlan, match=f"w-1, w-2 with one {named}") as refused:
        make_plan(rows)
    assert refused.value.context["hosts"] == ["w-1", "w-2"]


@pytest.mark.parametrize("key", ["address", "uuid", "identity", "boot_id"])
def test_what_is_not_known_of_two_hosts_is_not_shared(key):
    plan = make_plan([{**node("w-1"), key: None}, {**node("w-2"), key: None}])
    assert [name for wave in plan.waves for name in wave.nodes] == ["w-1", "w-2"]


def test_a_refused_host_is_a_twin_too():
    rows = [{**node("w-1"), "uuid": "u"}, {**node("w-2"), "uuid": "u", "decision": "refused"}]
    with pytest.raises(UnsafePlan, match="w-1, w-2 with one machine UUID"):
        make_plan(rows)


def test_a_node_that_is_resumed_is_a_twin_too():
    rows = [{**node("w-1"), "address": "a"}, {"name": "w-2", "machine_type": "worker", "address": "a"}]
    with pytest.raises(UnsafePlan, match="w-1, w-2 with one address"):
        make_plan(rows, resume=["w-2"])
