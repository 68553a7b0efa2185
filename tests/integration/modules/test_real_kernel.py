# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records of a real kernel under the real Talos policy, replayed by a node: queried, collected, judged, refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from integration import playbook
from simulator import Simulator

_DATA = playbook.ROOT / "tests" / "data" / "real-kernel"
AUDIT, DMESG = _DATA / "permissive.audit.log.gz", _DATA / "permissive.dmesg.log.gz"


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[playbook.Run, playbook.Run]]:
    """The runs of the modules and of the gate playbook."""
    directory = tmp_path_factory.mktemp("real")
    nodes: dict[str, Any] = {
        "cp-1": {"role": "controlplane", "uptime": "96h"},
        "worker-1": {"audit_log": str(AUDIT), "dmesg": str(DMESG)},
    }
    tasks = [
        {"name": "node", "talosops.selinux.denials_info": {}},
        {"name": "files", "talosops.selinux.denials_info": {"files": [str(AUDIT), str(DMESG)]}},
        {"name": "logs", "talosops.selinux.audit_log": {"directory": str(directory / "kept")}},
    ]
    with Simulator({"name": "real", "nodes": nodes}, directory / "fleet") as sim:
        modules = playbook.play(sim, directory / "modules", tasks, hosts="worker-1")
        assert modules.code == 0, modules.output
        gate = playbook.run(
            sim, directory / "gate", "talosops.selinux.gate", variables=playbook.settings(sim, directory / "evidence")
        )
        assert gate.code == 0, gate.output
        assert sim.writes() == []
        yield modules, gate


def groups(denials: list[dict[str, Any]]) -> dict[str, int]:
    """How often each signature was denied."""
    found = {denial["signature"]: denial["count"] for denial in denials}
    assert len(found) == len(denials), "a signature was told twice"
    return found


def test_the_node_and_the_files_give_the_same_groups(asked: tuple[playbook.Run, playbook.Run]) -> None:
    modules, gate = asked
    of_files = groups(modules.of("files")["denials"])
    assert len(of_files) > 1
    assert groups(modules.of("node")["denials"]) == of_files
    assert groups(modules.of("node")["nodes"]["worker-1"]["denials"]) == of_files
    assert (
        groups(playbook.document(gate.of("Collect the evidence")["nodes"]["worker-1"])["audit"]["denials"]) == of_files
    )


def test_every_signature_is_made_of_its_types_class_and_permissions(asked: tuple[playbook.Run, playbook.Run]) -> None:
    denials = asked[0].of("node")["denials"]
    assert len(denials) > 1
    for denial in denials:
        permissions = "+".join(denial["permissions"])
        parts = (denial["source_type"], denial["target_type"], denial["class"], permissions)
        assert denial["signature"] == ":".join(parts)


def test_its_logs_are_kept_as_they_are(asked: tuple[playbook.Run, playbook.Run]) -> None:
    kept = asked[0].of("logs")["nodes"]["worker-1"]
    assert kept["appended"]["service"] > 0 and kept["appended"]["kernel"] > 0


def test_it_is_refused_for_its_denials(asked: tuple[playbook.Run, playbook.Run]) -> None:
    modules, gate = asked
    judged = gate.of("Judge the evidence")["nodes"]["worker-1"]
    assert judged["decision"] == "refused"
    reason = next(reason for reason in judged["reasons"] if reason["id"] == "no-denials")
    assert reason["remedy"]
    assert any(signature in reason["found"] for signature in groups(modules.of("files")["denials"]))
    assert "worker-1" not in gate.of("Order the rollout")["order"]
