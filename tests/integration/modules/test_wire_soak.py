# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A soak outlasts the node's memory: many reads make one stream, holes are told, and the gate sees the union."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.store import AuditStore
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence import files
from integration import playbook
from simulator import Simulator

DENIAL = {"scontext": "pod_t", "tcontext": "run_t", "tclass": "dir", "perms": "write", "comm": "late"}
SIGNATURE = "pod_t:run_t:dir:write"
#: More events than fit into the memory of the node.
FLOOD = 3000


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Simulator]:
    nodes = {"cp-1": {"role": "controlplane"}, "worker-1": {"uptime": "96h"}, "worker-2": {}}
    with Simulator({"name": "wire", "time_scale": 400, "nodes": nodes}, tmp_path / "fleet") as simulator:
        yield simulator


def collect(directory: Path, name: str = "Keep the logs", **more: Any) -> dict[str, Any]:
    return {"name": name, "talosops.selinux.audit_log": {"directory": str(directory), **more}, "run_once": True}


def evidence(directory: Path, store: Path | None, name: str = "Collect", **task: Any) -> dict[str, Any]:
    options = {"directory": str(directory), **({"store": str(store)} if store else {})}
    return {"name": name, "talosops.selinux.evidence": options, "run_once": True, **task}


def flood(sim: Simulator, node: str, count: int = FLOOD) -> None:
    sim.add_denial(node, {"template": "hostpath_run", "count": count, "comm": "flood"})


def test_a_second_run_adds_nothing_and_evidence_is_the_union(sim: Simulator, tmp_path: Path) -> None:
    store = tmp_path / "audit"
    first = playbook.play(sim, tmp_path / "1", [collect(store), collect(store, "Again"), evidence(tmp_path, store)])
    assert first.code == 0, first.output
    assert first.of("Keep the logs")["changed"] and not first.of("Again")["changed"]
    assert first.of("Again")["nodes"]["worker-1"]["appended"] == {"kernel": 0, "service": 0}
    before = playbook.document(first.of("Collect")["nodes"]["worker-1"])["audit"]
    assert before["coverage"]["verdict"] == "complete"

    # About half of the memory each time, so that reads meet although the whole is more than the node keeps.
    for number in range(4):
        flood(sim, "worker-1", 500)
        assert playbook.play(sim, tmp_path / f"flood-{number}", [collect(store)]).code == 0
    tasks = [evidence(tmp_path / "union", store), evidence(tmp_path / "alone", None, "Alone")]
    run = playbook.play(sim, tmp_path / "2", tasks)
    assert run.code == 0, run.output
    union = run.of("Collect")["nodes"]["worker-1"]
    alone = playbook.document(run.of("Alone")["nodes"]["worker-1"])["audit"]
    assert alone["coverage"]["verdict"] == "partial", "the node still holds everything: flood more"
    audit = playbook.document(union)["audit"]
    assert audit["coverage"]["verdict"] == "complete", audit["coverage"]["reasons"]
    assert audit["counts"]["denied"] == 2000 > alone["counts"]["denied"]

    saved = files.load(union["path"])
    (boot,) = AuditStore(store / "worker-1").boots()
    stored = AuditStore(store / "worker-1").read(boot)
    for source, stream in (("auditd.log", "service"), ("dmesg.log", "kernel")):
        data = b"".join(stored.streams[stream].chunks())
        assert (Path(union["path"]).parent / source).read_bytes() == data
        told = next(entry for entry in saved["audit"]["sources"] if entry["name"] == source)
        assert told == {"name": source, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_a_wrapped_ring_leaves_a_hole_that_is_told(sim: Simulator, tmp_path: Path) -> None:
    store = tmp_path / "audit"
    assert playbook.play(sim, tmp_path / "1", [collect(store)]).code == 0
    flood(sim, "worker-1")
    check = evidence(tmp_path, store, "Check", check_mode=True)
    run = playbook.play(sim, tmp_path / "2", [check, collect(store, "Check logs") | {"check_mode": True}])
    assert run.code == 0, run.output
    # Check mode tells what would be, and leaves the store as it was.
    assert playbook.document(run.of("Check")["nodes"]["worker-1"])["audit"]["coverage"]["verdict"] == "partial"
    looked = run.of("Check logs")
    assert looked["changed"] and looked["nodes"]["worker-1"]["holes"][0]["kind"] == "gap"
    run = playbook.play(sim, tmp_path / "3", [collect(store, show=True), evidence(tmp_path, store)])
    kept = run.of("Keep the logs")["nodes"]["worker-1"]
    assert kept["appended"] == looked["nodes"]["worker-1"]["appended"]
    assert [hole["kind"] for hole in kept["holes"]] == ["gap"]
    table = run.of("Keep the logs")["table"]
    assert "worker-1: auditd's log fills by" in table and "; 1 hole" in table
    assert table in run.output
    coverage = playbook.document(run.of("Collect")["nodes"]["worker-1"])["audit"]["coverage"]
    assert coverage["verdict"] == "partial" and "F10" in {reason["id"] for reason in coverage["reasons"]}
    assert playbook.document(run.of("Collect")["nodes"]["worker-2"])["audit"]["coverage"]["verdict"] == "complete"


def test_only_the_end_is_fetched_where_it_joins(sim: Simulator, tmp_path: Path) -> None:
    store = tmp_path / "audit"
    flood(sim, "worker-1", 300)
    assert playbook.play(sim, tmp_path / "1", [collect(store)]).code == 0
    sim.add_denial("worker-1", DENIAL)
    run = playbook.play(sim, tmp_path / "2", [collect(store)])
    kept = run.of("Keep the logs")["nodes"]["worker-1"]
    (boot,) = AuditStore(store / "worker-1").boots()
    assert 0 < kept["appended"]["service"] < kept["read"]["service"]
    assert kept["read"]["service"] < AuditStore(store / "worker-1").read(boot).streams["service"].size
    assert kept["holes"] == []


def test_a_reboot_keeps_both_boots(sim: Simulator, tmp_path: Path) -> None:
    store = tmp_path / "audit"
    assert playbook.play(sim, tmp_path / "1", [collect(store)], hosts="worker-1").code == 0
    old = sim.nodes["worker-1"].boot_id
    sim.restart("worker-1")
    sim.wait_for("worker-1", "running", ready=True)
    run = playbook.play(sim, tmp_path / "2", [collect(store), evidence(tmp_path, store)], hosts="worker-1")
    assert run.code == 0, run.output
    assert set(AuditStore(store / "worker-1").boots()) == {old, sim.nodes["worker-1"].boot_id}
    assert all(AuditStore(store / "worker-1").read(boot).size for boot in AuditStore(store / "worker-1").boots())


def test_two_collectors_at_once(sim: Simulator, tmp_path: Path) -> None:
    store = tmp_path / "audit"
    tasks = [collect(store, f"Round {number}") for number in range(3)]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    path = tmp_path / "play.yml"
    path.write_text(yaml.safe_dump([{"hosts": "talos", "gather_facts": False, "tasks": tasks}]))
    running = [(playbook.start(sim, tmp_path / name, path), tmp_path / name) for name in "ab"]
    flood(sim, "worker-1", 50)
    for process, directory in running:
        assert playbook.finish(process, directory).code == 0
    run = playbook.play(sim, tmp_path / "c", [collect(store), evidence(tmp_path, store)])
    audit = playbook.document(run.of("Collect")["nodes"]["worker-1"])["audit"]
    assert audit["coverage"]["verdict"] == "complete" and audit["counts"]["denied"] == 50


def test_following_sees_what_happens_meanwhile(sim: Simulator, tmp_path: Path) -> None:
    store = tmp_path / "audit"
    path = tmp_path / "play.yml"
    tasks = [collect(store, follow_seconds=6)]
    path.write_text(yaml.safe_dump([{"hosts": "worker-1", "gather_facts": False, "tasks": tasks}]))
    process = playbook.start(sim, tmp_path / "1", path)
    wait_for_log(store, b"type=")
    sim.add_denial("worker-1", DENIAL)
    # It is on the disk while the follower still runs.
    wait_for_log(store, b'comm="late"')
    assert process.poll() is None
    run = playbook.finish(process, tmp_path / "1")
    kept = run.of("Keep the logs")["nodes"]["worker-1"]
    assert kept["followed"]["ended"] is None and kept["followed"]["appended"] == kept["appended"]["service"]
    assert kept["holes"] == []


def test_a_stream_that_breaks_is_told_and_its_gap_closed(sim: Simulator, tmp_path: Path) -> None:
    store = tmp_path / "audit"
    path = tmp_path / "play.yml"
    tasks = [collect(store, follow_seconds=20)]
    path.write_text(yaml.safe_dump([{"hosts": "worker-1", "gather_facts": False, "tasks": tasks}]))
    process = playbook.start(sim, tmp_path / "1", path)
    wait_for_log(store, b"type=")

    async def end() -> None:
        # The service's log is another object now, with the same content: a restart of the log's server.
        node = sim.nodes["worker-1"]
        logs = node.kernel_logs()
        content = logs.auditd.read()
        logs.auditd = type(logs.auditd)()
        logs.auditd.write(content)
        node.notify()

    sim.run(end())
    run = playbook.finish(process, tmp_path / "1")
    kept = run.of("Keep the logs")["nodes"]["worker-1"]
    assert kept["followed"]["ended"] == "the node ended the stream" and kept["followed"]["seconds"] < 20
    assert kept["holes"] == []


def test_a_killed_run_leaves_a_readable_store(sim: Simulator, tmp_path: Path) -> None:
    store = tmp_path / "audit"
    path = tmp_path / "play.yml"
    tasks = [collect(store, follow_seconds=60)]
    path.write_text(yaml.safe_dump([{"hosts": "worker-1", "gather_facts": False, "tasks": tasks}]))
    process = playbook.start(sim, tmp_path / "1", path)
    wait_for_log(store, b"type=")
    flood(sim, "worker-1", 200)
    playbook.kill(process)
    (boot,) = AuditStore(store / "worker-1").boots()
    kept = b"".join(AuditStore(store / "worker-1").read(boot).streams["service"].chunks())
    assert kept
    run = playbook.play(sim, tmp_path / "2", [collect(store), evidence(tmp_path, store)], hosts="worker-1")
    assert run.of("Keep the logs")["nodes"]["worker-1"]["holes"] == []
    audit = playbook.document(run.of("Collect")["nodes"]["worker-1"])["audit"]
    assert audit["coverage"]["verdict"] == "complete" and audit["counts"]["denied"] == 200
    assert b"".join(AuditStore(store / "worker-1").read(boot).streams["service"].chunks()).startswith(kept)


def wait_for_log(store: Path, text: bytes) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for path in store.glob("worker-1/*/service.log"):
            if text in path.read_bytes():
                return
        time.sleep(0.05)
    raise AssertionError(f"{text!r} was not stored")
