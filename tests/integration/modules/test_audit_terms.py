# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an operator wrote down about a node's audit log decides how it is judged, and is told in the evidence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import audit_streams as streams
import pytest
from integration import playbook
from simulator import Simulator


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """A node that misses two serials, and on which a pod sent an honest audit message."""
    directory = tmp_path_factory.mktemp("terms")
    events = streams.service_events(5, 200)
    events[95] = [streams.user(100)]
    del events[30], events[20]
    (directory / "auditd.log").write_bytes(b"".join(line for one in events for line in one))
    (directory / "dmesg.log").write_bytes(streams.kernel_ring())
    logs = {"audit_log": str(directory / "auditd.log"), "dmesg": str(directory / "dmesg.log")}
    nodes = {"cp-1": {"role": "controlplane"}, "worker-1": logs}
    with Simulator({"name": "terms", "nodes": nodes}, directory / "fleet") as simulator:
        yield simulator


def coverage(sim: Simulator, directory: Path, **variables: Any) -> dict[str, Any]:
    tasks = [
        {"name": "evidence", "talosops.selinux.evidence": {"directory": str(directory / "kept")}},
        {"name": "denials", "talosops.selinux.denials_info": {}},
    ]
    run = playbook.play(sim, directory, tasks, hosts="worker-1", variables=variables)
    assert run.code == 0, run.output
    found = playbook.document(run.of("evidence")["nodes"]["worker-1"])["audit"]["coverage"]
    assert run.of("denials")["nodes"]["worker-1"]["coverage"]["verdict"] == found["verdict"]
    return found


def ids(entries: list[dict[str, str]]) -> set[str]:
    return {entry["id"] for entry in entries}


def test_missing_serials_are_unexplained_until_somebody_explains_them(sim: Simulator, tmp_path: Path) -> None:
    found = coverage(sim, tmp_path / "1")
    assert (found["verdict"], ids(found["reasons"]), found["lost_at_least"]) == ("partial", {"F6"}, 2)
    found = coverage(sim, tmp_path / "2", talos_serial_baseline=1)
    assert (found["verdict"], ids(found["reasons"])) == ("partial", {"F6"})
    found = coverage(sim, tmp_path / "3", talos_serial_baseline=2)
    assert found["verdict"] == "complete", found["reasons"]
    (note,) = [note for note in found["notes"] if note["id"] == "F6"]
    assert note["text"] == "2 serials are missing; the documented baseline is 2"


def test_messages_of_workloads_count_where_that_is_asked_for(sim: Simulator, tmp_path: Path) -> None:
    found = coverage(sim, tmp_path / "1", talos_serial_baseline=2, talos_strict_messages=True)
    assert (found["verdict"], ids(found["reasons"])) == ("partial", {"forged"})
    assert coverage(sim, tmp_path / "2", talos_serial_baseline=2, talos_strict_messages=False)["verdict"] == "complete"


@pytest.mark.parametrize(
    "variables", [{"talos_serial_baseline": -1}, {"talos_serial_baseline": True}, {"talos_strict_messages": "perhaps"}]
)
def test_what_is_neither_is_refused_and_never_guessed(
    sim: Simulator, tmp_path: Path, variables: dict[str, Any]
) -> None:
    task = {"name": "evidence", "talosops.selinux.evidence": {"directory": str(tmp_path / "kept")}}
    run = playbook.play(sim, tmp_path / "1", [task], hosts="worker-1", variables=variables)
    assert run.code != 0
    assert next(iter(variables)) in run.output
    assert not list(tmp_path.glob("kept/*/*/evidence.json"))
