# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate's action: what it says of its verdicts, where they lie, and by whom a new machine is judged."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from pathlib import Path
from typing import Any

import pytest
import waiver_file
import yaml
from ansible_collections.talosops.selinux.plugins.action import gate
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import is_sealed
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence import files
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.files import EvidenceProblem, safe_name
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import signing
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.errors import WaiverProblem
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.functions import iso
from compliance_fleets import samples
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from .made import made


def check(name: str, result: str = "fail", severity: str = "block") -> dict[str, Any]:
    texts = {key: f"{key} of {name}" for key in ("found", "reason", "remedy", "doc")}
    return {"id": name, "result": result, "severity": severity, "title": "t", **texts}


CHECKS = [check("a"), check("b", "unknown"), check("c", "pass"), check("d", severity="warn"), check("e", "waived")]


def test_what_stands_in_the_way() -> None:
    keys = ("id", "result", "found", "reason", "remedy", "doc")
    assert gate.reasons({"checks": CHECKS}) == [{key: one[key] for key in keys} for one in CHECKS[:2]]


def test_a_verdict_in_one_line() -> None:
    assert gate._summary("n", {"decision": "eligible", "reasons": []}) == "n is eligible."
    told = gate._summary("n", {"decision": "refused", "reasons": CHECKS[:2]})
    assert told == "n is refused: a: found of a. remedy of a b: found of b. remedy of b"


@pytest.mark.parametrize(("identifier", "named"), [("soak-reached", "soak-reached"), (None, "its settings")])
def test_what_a_policy_weakens(identifier: str | None, named: str) -> None:
    change = {"id": identifier, "field": "severity", "by": {"who": "me", "why": "tests"}}
    told = gate._weakened("ours", change)
    assert told == f"The policy ours weakens the built-in one: {named}, severity, on the word of me: tests"


def test_a_verdict_lies_beside_its_evidence_or_in_the_nodes_directory(tmp_path: Path) -> None:
    action = made(gate, directory=str(tmp_path))
    for evidence, place in (
        (str(tmp_path / "x" / "evidence.json"), tmp_path / "x"),
        (None, tmp_path / safe_name("n/1")),
    ):
        assert action._save("n/1", evidence, {"a": 1}) == place / "verdict.json"
        assert (place / "verdict.json").read_bytes() == b'{"a":1}\n'
    (tmp_path / "file").write_text("")
    with pytest.raises(EvidenceProblem) as caught:
        action._save("n/1", str(tmp_path / "file" / "evidence.json"), {})
    place = tmp_path / "file" / "verdict.json"
    assert caught.value.found.startswith(f"the verdict on n/1 cannot be written to {place}: ")
    assert caught.value.why == "nothing is wiped without a saved verdict"
    assert caught.value.do == "make the directory writable and give it room"


def test_a_cohort_is_named_by_the_operator_and_judged_by_this_run() -> None:
    hosts: dict[str, dict[str, Any]] = {
        "new": {"talos_cohort": ["n-1", "n-2", "gone"]},
        "n-1": {"talos_pool": "p", "talos_workload": "w"},
        "n-2": {},
    }
    cohort = made(gate, hosts)._cohort("new", {"n-1": {"decision": "d"}}, {"n-1": {"cluster": {"id": "c"}}})
    unknown = {"verdict": None, "cluster": None, "pool": None, "workload": None}
    assert cohort == [{"verdict": {"decision": "d"}, "cluster": "c", "pool": "p", "workload": "w"}, unknown, unknown]
    assert made(gate, {"new": {}})._cohort("new", {}, {}) is None
    assert made(gate, {"new": {"talos_cohort": []}})._cohort("new", {}, {}) == []


def test_a_document_that_cannot_be_read_is_its_nodes_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def document_of(entry: dict[str, Any]) -> dict[str, Any]:
        if "bad" in entry:
            raise EvidenceProblem("it was changed", "w", "d")
        return {"of": entry["path"]}

    monkeypatch.setattr(gate.files, "document_of", document_of)
    unread = {"n-3": {"kind": "unreachable"}}
    collected = {"nodes": {"n-1": {"path": "p"}, "n-2": {"bad": True}}, "unread": unread}
    documents, problems = gate._documents(collected)
    assert documents == {"n-1": {"of": "p"}}
    assert {host: (one["kind"], one.get("found")) for host, one in problems.items()} == {
        "n-2": (EvidenceProblem.kind, "it was changed"),
        "n-3": ("unreachable", None),
    }
    assert unread == {"n-3": {"kind": "unreachable"}}


def of(name: str, machine_type: str = "worker", **changes: Any) -> dict[str, Any]:
    """Evidence of a machine of its own that was collected just now, as it is handed on when it is not saved."""
    own = {
        "node__name": name,
        "node__hostname": name,
        **{f"node__{key}": f"{key}-of-{name}" for key in ("address", "identity", "serial_number")},
        "node__uuid": str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
        "boot__id": f"boot-of-{name}",
        "kubernetes__nodename": name,
    }
    now = dt.datetime.now(dt.UTC)
    return dict(samples.evidence(machine_type, **{**own, "collected_at": iso(now), **changes}))


def entries(*documents: dict[str, Any]) -> dict[str, Any]:
    return {document["node"]["name"]: files.entry_of(document, None) for document in documents}


MACHINE = {
    **{key: f"{key} of the machine" for key in ("name", "uuid", "fingerprint")},
    "stage": "maintenance",
    "installed": False,
    "pool": "workers",
    "workload": "web",
}
PLAN = {"locked_by": None, "boot_path": "in_place", "approved_local_data": ""}
GONE = {"kind": "unreachable", "found": "no answer", "why": "w", "do": "d"}


def test_what_a_run_answers(tmp_path: Path) -> None:
    """With two nodes of which one may move, a machine that they stand for, and one that could not be read."""
    good, bad = of("good"), of("bad", talos__ready=False)
    machine = {
        "machine": {**MACHINE, "name": "new"},
        "target": samples.TARGET,
        "config": good["config"],
        "operation": PLAN,
        "cluster": {"name": "lab", "omni": False},
    }
    collected = {"nodes": entries(good, bad), "unread": {"gone": GONE}, "machines": {"new": machine, "odd": machine}}
    hosts: dict[str, dict[str, Any]] = {
        "good": {"talos_pool": "workers", "talos_workload": "web"},
        "bad": {},
        "new": {"talos_cohort": ["good"]},
        "odd": {},
        "gone": {},
    }
    action = made(gate, hosts, run_once=True, evidence=collected, directory=str(tmp_path))
    answer = action.act()
    nodes = answer.pop("nodes")
    assert answer == {
        "decisions": {"eligible": ["good", "new"], "refused": ["bad"], "inconclusive": ["gone", "odd"]},
        "policy": {"name": "strict", "changes": [], "weakened": False},
        "changed": True,
    }
    verdicts = {host: json.loads(Path(nodes[host]["path"]).read_text()) for host in ("good", "bad", "new", "odd")}
    assert list(nodes) == ["good", "bad", "new", "odd", "gone"]
    for host, verdict in verdicts.items():
        assert nodes[host] == {
            "decision": verdict["decision"],
            "path": str(tmp_path / host / "verdict.json"),
            "sha256": verdict["sha256"],
            "reasons": gate.reasons(verdict),
            "summary": gate._summary(host, {"decision": verdict["decision"], "reasons": gate.reasons(verdict)}),
        }
        assert is_sealed(verdict) and "signature" not in verdict
    assert nodes["gone"] == {
        "decision": "inconclusive",
        "path": None,
        "sha256": None,
        "reasons": [
            {"id": "unreachable", "result": "unknown", "found": "no answer", "reason": "w", "remedy": "d", "doc": None}
        ],
        "summary": "gone is inconclusive: unreachable: no answer. d",
    }
    assert [reason["id"] for reason in nodes["bad"]["reasons"]] == ["stage-running"]
    assert verdicts["good"]["checks"][-1]["id"] == "fleet-distinct"
    assert verdicts["good"]["binds"]["evidence_sha256"] == good["sha256"]
    new, odd = verdicts["new"], verdicts["odd"]
    assert new["cohort"] == [
        {"node": "good", "verdict_sha256": verdicts["good"]["sha256"], "evidence_sha256": good["sha256"]}
    ]
    assert (new["binds"]["target"], new["binds"]["config_sha256"]) == (samples.TARGET, good["config"]["sha256"])
    assert odd["cohort"] == [] and "cohort-named" in {reason["id"] for reason in nodes["odd"]["reasons"]}
    spent = dt.datetime.fromisoformat(new["issued_at"]) - dt.datetime.fromisoformat(good["collected_at"])
    assert dt.timedelta(0) <= spent < dt.timedelta(minutes=10)


def test_nothing_is_saved_in_check_mode_and_nothing_changes_where_no_evidence_is(tmp_path: Path) -> None:
    good = of("n-1")
    collected = {"nodes": entries(good), "unread": {}, "machines": {}}
    answer = made(gate, check=True, evidence=collected, directory=str(tmp_path)).act()
    entry = answer["nodes"]["n-1"]
    assert (entry["decision"], entry["path"], entry["sha256"]) == ("eligible", None, entry["verdict"]["sha256"])
    assert list(tmp_path.iterdir()) == [] and answer["changed"] is True
    answer = made(gate, evidence={"nodes": {}, "unread": {"n-1": GONE}}, directory=str(tmp_path)).act()
    assert answer["changed"] is False
    assert answer["decisions"] == {"eligible": [], "refused": [], "inconclusive": ["n-1"]}


def test_a_machine_without_a_target_is_judged_as_that(tmp_path: Path) -> None:
    machine = {"machine": MACHINE, "target": None, "config": None, "operation": {}, "cluster": {}}
    collected = {"nodes": {}, "unread": {}, "machines": {"new": machine}}
    answer = made(gate, {"new": {}}, check=True, evidence=collected, directory=str(tmp_path)).act()
    assert answer["decisions"]["inconclusive"] == ["new"]
    assert answer["nodes"]["new"]["verdict"]["binds"]["target"] == dict.fromkeys(samples.TARGET)


def test_what_enforces_is_compared_with_what_was_saved_of_it_before(tmp_path: Path) -> None:
    files.save(str(tmp_path), of("n-1", collected_at="2026-11-22T11:55:00Z"), {})
    upgraded = of("n-1", selinux__state="enforcing")
    collected = {"nodes": entries(upgraded), "unread": {}, "machines": {}}
    answer = made(gate, check=True, evidence=collected, directory=str(tmp_path)).act()
    assert {reason["id"] for reason in answer["nodes"]["n-1"]["reasons"]} == {
        "selinux-permissive",
        "upgraded-not-reinstalled",
    }


@pytest.mark.parametrize(
    ("run_once", "variables", "unread", "stops"),
    [
        (True, {}, {}, True),
        (False, {}, {}, False),
        (True, {"ansible_limit": "n-1"}, {}, False),
        (True, {}, {"n-2": GONE}, False),
    ],
    ids=["the whole fleet", "each host alone", "some hosts", "one that could not be read"],
)
def test_only_a_whole_fleet_shows_that_a_waiver_is_unused(
    tmp_path: Path, run_once: bool, variables: dict[str, Any], unread: dict[str, Any], stops: bool
) -> None:
    today = dt.datetime.now(dt.UTC).date()
    waiver = waiver_file.waiver(
        "pod_t:etcd_t:sock_file:write",
        id="agent",
        granted=today - dt.timedelta(days=40),
        expires=today + dt.timedelta(days=2),
    )
    path = waiver_file.write(tmp_path, waiver)
    denied = samples.denial("pod_t:run_t:dir:write", last=iso(dt.datetime.now(dt.UTC)))
    document = of("n-1", audit__denials=[denied], audit__counts__denied=3)
    action = made(
        gate,
        {"n-1": {}, "n-2": {}},
        check=True,
        run_once=run_once,
        variables=variables,
        evidence={"nodes": entries(document), "unread": unread, "machines": {}},
        directory=str(tmp_path),
        waivers=str(path),
    )
    if stops:
        with pytest.raises(WaiverProblem, match=r"agent \(unused\)"):
            action.act()
        waiver["match"] = {
            "source_type": ["pod_t"],
            "target_type": ["run_t"],
            "class": ["dir"],
            "permissions": ["write"],
        }
        del waiver["signature"]
        waiver_file.write(tmp_path, waiver)
        assert action.act()["nodes"]["n-1"]["verdict"]["waived"][0]["waiver_id"] == "agent"
    else:
        assert action.act()["decisions"]["refused"] == ["n-1"]


def test_verdicts_are_signed_and_what_weakens_is_a_warning(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "key").write_bytes(key.private_bytes(*kinds))
    policy = {"schema": 1, "name": "ours", "extends": "strict", "soak": "1h", "verdict_ttl": "1h"}
    by = {"who": "me", "why": "tests"}
    (tmp_path / "ours.yml").write_text(yaml.safe_dump({**policy, "weakened_by": by}))
    action = made(
        gate,
        check=True,
        evidence={"nodes": entries(of("n-1")), "unread": {}, "machines": {}},
        directory=str(tmp_path),
        policy=str(tmp_path / "ours.yml"),
        signing_key=str(tmp_path / "key"),
    )
    answer = action.act()
    assert answer["warnings"] == [
        "The policy ours weakens the built-in one: its settings, soak, on the word of me: tests"
    ]
    assert answer["policy"]["weakened"] is True and len(answer["policy"]["changes"]) == 2
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    signing.verify(answer["nodes"]["n-1"]["verdict"], public)
