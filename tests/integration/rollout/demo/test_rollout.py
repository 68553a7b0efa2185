# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rollout playbook, end to end, on the fleet of the demo: who moves, who stays, what is proven, what is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance import gather
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence import files
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger_file import verify
from demo.run import MUST_MOVE, MUST_STAY
from integration import playbook
from integration.rollout.undisturbed import of_node, of_run, words


def test_ends_well_and_quietly(finished: playbook.Finished) -> None:
    assert finished.run.code == 0, finished.run.output
    for word in ("WARNING", "Traceback", "DEPRECAT", "ERROR"):
        assert word not in finished.run.output


def test_exactly_the_right_nodes_moved(finished: playbook.Finished) -> None:
    sim = finished.sim
    assert {name for name, row in finished.rows.items() if row["outcome"] == "moved"} == MUST_MOVE
    assert {name for name, node in sim.nodes.items() if node.selinux == "enforcing"} == MUST_MOVE
    assert sorted(playbook.resets(sim)) == sorted(MUST_MOVE)
    assert all(node.ready for node in sim.nodes.values())
    assert not any(node.unschedulable for node in sim.nodes.values())


def test_who_stays_was_not_touched(finished: playbook.Finished) -> None:
    for name in MUST_STAY:
        node = finished.sim.nodes[name]
        assert (node.boot_id, node.node_id) == finished.before[name]
    assert {call.node for call in playbook.talos_writes(finished.sim)} <= MUST_MOVE


def test_who_moved_is_a_new_installation(finished: playbook.Finished) -> None:
    for name in MUST_MOVE:
        node = finished.sim.nodes[name]
        assert node.node_id != finished.before[name][1]
        assert finished.rows[name]["outcome"] == "moved"


def test_nobody_was_told_to_upgrade(finished: playbook.Finished) -> None:
    assert finished.sim.upgrades() == []


@pytest.mark.parametrize("name", sorted(MUST_STAY))
def test_refused_for_its_own_reason_with_a_remedy(finished: playbook.Finished, name: str) -> None:
    reasons = {reason["id"]: reason for reason in finished.rows[name]["reasons"]}
    assert MUST_STAY[name] in reasons
    for reason in reasons.values():
        assert reason["found"] and reason["remedy"]
    # The table that ends the run tells it as well.
    assert MUST_STAY[name] in finished.run.output


def test_one_control_plane_at_a_time_and_the_canary_first(finished: playbook.Finished) -> None:
    begun = [entry for entry in playbook.ledger(finished.directory / "evidence") if entry["kind"] == "begin"]
    order = [entry["node"] for entry in begun if entry["step"] == "verify"]
    assert order[0].startswith("worker-") and order[-3:] == ["cp-1", "cp-2", "cp-3"]
    away: set[str] = set()
    been: list[str] = []
    for entry in playbook.ledger(finished.directory / "evidence"):
        if entry["node"].startswith("cp-") and entry.get("step") == "drain" and entry["kind"] == "begin":
            assert not away, f"{entry['node']} was begun while {away} was away"
            away.add(entry["node"])
        elif entry["node"] in away and entry.get("step") == "soak" and entry["kind"] == "finish":
            away.discard(entry["node"])
            been.append(entry["node"])
    assert been == ["cp-1", "cp-2", "cp-3"]


def test_the_ledger_has_the_entries_of_each_step_and_no_others(finished: playbook.Finished) -> None:
    """What the crash tests count on."""
    directory = finished.directory / "evidence"
    written: dict[str, list[str]] = {}
    for entry in playbook.ledger(directory):
        written.setdefault(entry["node"], []).extend(words([entry]))
    nodes = verify(directory / "ledger.jsonl").nodes
    moved = {name: of_node(nodes[name].facts["machine_type"], nodes[name].facts["boot_path"]) for name in MUST_MOVE}
    assert {name: entries for name, entries in written.items() if name in MUST_MOVE} == moved
    assert written["*"] == [entry for entry in of_run("worker", "in_place") if "rollout" in entry or "cluster" in entry]


def test_a_control_plane_is_reset_through_another_one(finished: playbook.Finished) -> None:
    resets = [call for call in finished.sim.calls if call.method.endswith("/Reset") and call.node.startswith("cp-")]
    assert {call.node for call in resets if not call.dry_run} == {"cp-1", "cp-2", "cp-3"}
    for call in resets:
        assert call.via and call.via != call.node


def test_a_compliance_report_has_its_waves_and_proofs(finished: playbook.Finished) -> None:
    directory = finished.directory / "evidence"
    after = {
        name: Path(node.results["prove"]["evidence_after"])
        for name, node in verify(directory / "ledger.jsonl").nodes.items()
        if "prove" in node.results
    }
    found = gather.gather(
        [],
        {name: files.entry_of(files.load(path), path) for name, path in after.items()},
        {},
        directory=directory,
        zones={},
        configs={},
        ledger=directory / "ledger.jsonl",
        previous=None,
    )
    subjects, waves = found.subjects, found.waves
    assert [wave["number"] for wave in waves] == list(range(1, len(waves) + 1))
    assert waves[0]["kind"] == "canary"
    assert {name for wave in waves for name in wave["moved"]} == MUST_MOVE
    assert [wave["moved"] for wave in waves] == [wave["nodes"] for wave in waves]
    assert {one.name for one in subjects if one.proof and one.proof["proven"]} == MUST_MOVE


def test_no_secret_leaves_its_file(finished: playbook.Finished) -> None:
    secrets = playbook.secrets(finished.sim.directory)
    assert len(secrets) > 10
    files = [path for path in finished.directory.rglob("*") if path.is_file() and "fleet" not in path.parts]
    assert any(path.name == "evidence.json" for path in files)
    for path in files:
        data = path.read_bytes()
        for secret in secrets:
            assert secret not in data, f"{path} holds a secret"


def test_a_second_run_has_nothing_to_do(finished: playbook.Finished) -> None:
    calls = len(finished.sim.writes())
    again = playbook.run(
        finished.sim,
        finished.directory / "again",
        "talosops.selinux.rollout",
        variables=playbook.settings(finished.sim, finished.directory / "evidence"),
    )
    assert again.code == 0, again.output
    assert len(finished.sim.writes()) == calls
    rows = playbook.report(finished.directory / "evidence")
    assert {name for name, row in rows.items() if row["decision"] == "eligible"} == set()
