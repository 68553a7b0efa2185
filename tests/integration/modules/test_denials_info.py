# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""denials_info: from nodes and files, with remedies, the difference to earlier evidence, all records on request."""

from __future__ import annotations

import base64
import gzip
from pathlib import Path
from typing import Any

import pytest
from integration import playbook
from simulator import Simulator

REAL = Path(__file__).resolve().parents[2] / "data" / "real-kernel"
COUNTS = {"lines", "parsed", "ignored", "unparsed", "denied", "granted", "doubtful", "mac_errors", "events", "probe"}
DENIAL = {
    *("signature", "source_type", "target_type", "class", "permissions", "permissive", "count", "first", "last"),
    *("comms", "paths", "owners", "catalogue_id", "known_benign", "waiver_id", "constraint", "doubtful", "samples"),
}
BENIGN = (
    b'avc:  denied  { prog_run } for  pid=1746 comm="cilium-agent" scontext=system_u:system_r:pod_t:s0'
    b" tcontext=system_u:system_r:sys_containerd_t:s0 tclass=bpf permissive=0"
)
OTHER = (
    b"type=AVC msg=audit(1795000002.004:5): avc:  denied  { write } for  pid=7 comm=61207368 name=776F206F"
    b' dev="vda" ino=12 scontext=system_u:system_r:pod_t:s0 tcontext=system_u:object_r:opt_t:s0 tclass=dir permissive=0'
)
SAMPLE = {"pid", "comm", "name", "path", "timestamp", "serial", "raw"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All tasks of this file in one play, before and after worker-1 changes what it does."""
    directory = tmp_path_factory.mktemp("denials")
    (directory / "policy.33").write_bytes(b"not a policy")
    early = b"audit: type=1400 audit(1795000001.004:4): " + BENIGN
    (directory / "forms.gz").write_bytes(
        gzip.compress(b"".join(b"10.5.0.3: " + line + b"\r\n" for line in (early, OTHER)))
    )
    module = "talosops.selinux.denials_info"
    files = [str(REAL / "permissive.audit.log.gz"), str(REAL / "permissive.dmesg.log.gz")]
    scenario = {
        "name": "denials",
        "nodes": {
            "cp-1": {"role": "controlplane"},
            "worker-1": {"denials": ["hostpath_run"]},
            "worker-2": {"denials": ["hostpath_run"]},
        },
    }
    with Simulator(scenario, directory / "fleet") as sim:
        tasks = [
            {"name": "nodes", module: {}, "run_once": True},
            {"name": "files", module: {"files": files}, "run_once": True},
            {
                "name": "all",
                module: {"files": files[:1], "max_samples": 0, "talos_version": "v1.14.1"},
                "run_once": True,
            },
            {"name": "policy", module: {"policy": str(directory / "policy.33")}, "run_once": True},
            {
                "name": "benign",
                module: {"files": [str(directory / "forms.gz")], "talos_version": "v1.14.1"},
                "run_once": True,
            },
            {"name": "evidence", "talosops.selinux.evidence": {"directory": str(directory)}, "run_once": True},
        ]
        run = playbook.play(sim, directory / "1", tasks)
        assert run.code == 0, run.output
        found = {task["name"]: run.of(str(task["name"])) for task in tasks}
        sim.add_denial("worker-1", {"template": "csi_unlabeled"})
        earlier = found["evidence"]["nodes"]["worker-1"]["path"]
        run = playbook.play(
            sim, directory / "2", [{"name": "later", module: {"compare_with": earlier}}], hosts="worker-1"
        )
        assert run.code == 0, run.output
        return {**found, "later": run.of("later")}


def test_nodes_are_grouped_with_remedies(results: dict[str, Any]) -> None:
    found = results["nodes"]
    (denial,) = (entry for entry in found["denials"] if entry["signature"] == "pod_t:run_t:dir:write")
    assert denial["nodes"] == ["worker-1", "worker-2"]
    remedies = denial["suggestion"]["remedies"]
    assert remedies[0]["do"] and remedies[0]["do"][:40] in found["table"]
    assert remedies[-1]["kind"] == "waiver" and "cil" not in {remedy["kind"] for remedy in remedies}
    assert denial["suggestion"]["cil"]["rule"] in found["advice"]["cil"]
    assert denial["suggestion"]["cil"]["proof"]["state"] == "unproven"


@pytest.mark.parametrize("name", ["files", "all"])
def test_files_hold_what_was_promised(results: dict[str, Any], name: str) -> None:
    found = results[name]
    assert set(found["counts"]) == COUNTS and all(isinstance(count, int) for count in found["counts"].values())
    assert {"verdict", "reasons", "lost_at_least"} <= set(found["coverage"])
    assert found["denials"]
    for denial in found["denials"]:
        assert set(denial) >= DENIAL
        assert len(denial["samples"]) == (denial["count"] if name == "all" else min(1, denial["count"]))
        assert all(set(sample) >= SAMPLE for sample in denial["samples"])
        assert denial["constraint"] in (None, "mcs", "neverallow")
        assert (denial["suggestion"]["cil"] is None) != (denial["suggestion"]["cil_refused"] is None)
        if denial["constraint"]:
            # A rule may still help those records of the signature that the constraint did not refuse.
            assert denial["suggestion"]["cil_refused"] or denial["suggestion"]["cil"]["warnings"]


def test_a_policy_that_cannot_be_read_is_no_permission(results: dict[str, Any]) -> None:
    found = results["policy"]
    assert {denial["policy_verdict"] for denial in found["denials"]} == {"unknown"}
    assert found["advice"]["policy_unread"]
    assert found["table"].count("the target policy was not read") == 1


def test_the_difference_to_earlier_evidence(results: dict[str, Any]) -> None:
    difference = results["later"]["difference"]
    assert "pod_t:run_t:dir:write" in difference["still"]
    assert difference["new"] and all("unlabeled_t" in signature for signature in difference["new"])
    assert difference["gone"] == []


def test_the_kernels_own_words_come_back_as_bytes(results: dict[str, Any]) -> None:
    log = gzip.decompress((REAL / "permissive.audit.log.gz").read_bytes())
    raw = [sample["raw"] for denial in results["all"]["denials"][:5] for sample in denial["samples"][:5]]
    assert len(raw) > 5
    for record in raw:
        assert base64.b64decode(record).strip() in log


def test_what_is_known_to_be_harmless_is_listed_apart_and_never_dropped(results: dict[str, Any]) -> None:
    found = results["benign"]
    assert found["counts"]["denied"] == 2 and found["counts"]["unparsed"] == 0
    flags = {denial["signature"]: denial["known_benign"] for denial in found["denials"]}
    benign = "pod_t:sys_containerd_t:bpf:prog_run"
    assert flags == {benign: True, "pod_t:opt_t:dir:write": False}
    assert found["known_benign"] == [{"signature": benign, "catalogue_id": "bpf-prog-run-residual", "count": 1}]
    assert [denial["signature"] for denial in found["enforced"]] == ["pod_t:opt_t:dir:write"]
    assert "known-benign: 1 of 2 denials (1 records)" in found["table"]


def test_files_in_several_forms_at_once_are_decoded(results: dict[str, Any]) -> None:
    (denial,) = (one for one in results["benign"]["denials"] if one["class"] == "dir")
    (sample,) = denial["samples"]
    assert (sample["comm"], sample["name"], sample["serial"], sample["pid"]) == ("a sh", "wo o", 5, 7)
    assert base64.b64decode(sample["raw"]).strip(b"\r") == b"10.5.0.3: " + OTHER


def test_what_was_not_read_is_never_an_empty_list(tmp_path: Path) -> None:
    module = "talosops.selinux.denials_info"
    scenario = {
        "name": "unread",
        "uptime": "96h",
        "nodes": {"cp-1": {"role": "controlplane"}, "worker-1": {}, "worker-2": {}, "worker-3": {}},
    }
    with Simulator(scenario, tmp_path / "fleet") as sim:
        whole = playbook.play(sim, tmp_path / "1", [{"name": "whole", module: {}, "run_once": True}]).of("whole")
        sim.set_fault("worker-1", "permission_denied", ["Logs"])
        sim.set_fault("worker-2", "permission_denied", ["Dmesg"])
        sim.set_fault("worker-3", "permission_denied", ["Logs", "Dmesg"])
        task = {"name": "torn", module: {"watch_seconds": 0.1}, "run_once": True}
        torn = playbook.play(sim, tmp_path / "2", [task]).of("torn")
        sim.set_fault("worker-1", "permission_denied", ["Version"])
        alone = {"name": "alone", module: {}, "run_once": True}
        unread = playbook.play(sim, tmp_path / "3", [alone], hosts="cp-1,worker-1").of("alone")
    assert (whole["denials"], whole["enforced"]) == ([], [])
    assert {node["watched"] for node in whole["nodes"].values()} == {None}
    assert {host: node["denials"] for host, node in torn["nodes"].items()} == {
        "cp-1": [],
        "worker-1": None,
        "worker-2": None,
        "worker-3": None,
    }
    assert {node["watched"] for node in torn["nodes"].values()} == {"same"}
    assert (torn["denials"], torn["enforced"]) == (None, None)
    assert "not known whether there are denials" in torn["table"]
    assert list(unread["unread"]) == ["worker-1"]
    assert (unread["nodes"]["cp-1"]["denials"], unread["denials"], unread["enforced"]) == ([], None, None)
