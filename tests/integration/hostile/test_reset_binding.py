# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A verdict holds for what it was given for: whatever changes afterwards, the wipe is refused and nothing is sent."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import canonical_json, sha256_of
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.signing import OUTSIDE, sign
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from integration import playbook
from simulator import Simulator

Verdict = dict[str, Any]
#: Changes of the verdict file, sealed again by whoever changed it, and the bound value that the refusal must name.
FORGED: dict[str, tuple[Callable[[Verdict], Any], str]] = {
    "node": (lambda v: v.update(node="worker-2"), "node"),
    "identity": (lambda v: v["binds"].update(identity="another"), "identity"),
    "uuid": (lambda v: v["binds"].update(uuid="another"), "uuid"),
    "boot": (lambda v: v["binds"].update(boot_id="another"), "boot_id"),
    "no boot": (lambda v: v["binds"].update(boot_id=None), "boot_id"),
    "boot time": (lambda v: v["binds"].update(boot_time="2026-01-01T00:00:00Z"), "boot_time"),
    "version": (lambda v: v["binds"].update(talos_version="v1.14.0"), "talos_version"),
    "policy": (lambda v: v["binds"].update(policy_sha256="0" * 64), "policy_sha256"),
    "config": (lambda v: v["binds"].update(config_sha256="0" * 64), "config_sha256"),
    "evidence": (lambda v: v["binds"].update(evidence_sha256="0" * 64), "evidence_sha256"),
    "target version": (lambda v: v["binds"]["target"].update(version="v1.14.0"), "target.version"),
    "target schematic": (lambda v: v["binds"]["target"].update(schematic="0" * 64), "target.schematic"),
    "target installer": (lambda v: v["binds"]["target"].update(installer="factory.talos.dev/x:v1"), "target.installer"),
    "target digest": (lambda v: v["binds"]["target"].update(installer_digest="sha256:0"), "target.installer_digest"),
    "expired": (lambda v: v.update(issued_at="2020-01-01T00:00:00Z", expires_at="2020-01-02T00:00:00Z"), "expires_at"),
    "from the future": (lambda v: v.update(issued_at="2999-01-01T00:00:00Z"), "issued_at"),
    "without end": (lambda v: v.pop("expires_at"), "expires_at"),
    "decision": (lambda v: v.update(decision="refused"), "decision"),
    "a failed check": (lambda v: v["checks"][0].update(result="fail", severity="block"), "decision"),
    "binds nothing": (lambda v: v.pop("binds"), "binds"),
    "schema": (lambda v: v.update(schema=2), "schema"),
    "a waiver that expired since": (
        lambda v: v.update(waived=[{"waiver_id": "w", "owner": "ada", "expires": "2026-01-01T00:00:00Z"}]),
        "waived",
    ),
}
#: What changes on the node after the verdict, and the bound value that the refusal must name.
LIVE = {"worker-2": "identity", "worker-3": "denials", "worker-4": "boot_id", "worker-5": "denials"}


#: Seconds that a clock may be off, and more than the time of boot wavers.
STEP = -5


@dataclasses.dataclass(frozen=True)
class Tried:
    """A fleet, and the result of every attempt to wipe a node."""

    sim: Simulator
    bound: dict[str, Any]
    workers: playbook.Run
    live: playbook.Run
    control_planes: playbook.Run


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tried]:
    """Judge a fleet, then change things and try to wipe it."""
    directory = tmp_path_factory.mktemp("binding")
    evidence = directory / "evidence"
    nodes: dict[str, Any] = {
        **{f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)},
        **{f"worker-{number}": {} for number in range(1, 6)},
    }
    with Simulator({"name": "binding", "uptime": "96h", "nodes": nodes}, directory / "fleet") as sim:
        gate = playbook.run(
            sim, directory / "gate", "talosops.selinux.gate", variables=playbook.settings(sim, evidence)
        )
        judged = gate.of("Judge the evidence")
        assert judged["decisions"]["eligible"] == sorted(nodes), gate.output
        given = {name: playbook.reset_options(entry) for name, entry in judged["nodes"].items()}

        sim.set_fault("worker-2", "wrong_machine")
        sim.add_denial("worker-3", "nfs")
        sim.restart("worker-4")
        sim.set_fault("worker-5", "lost_records")
        sim.wait_for("worker-4", "running", ready=True)
        # NTP corrects the clock: the time of boot moves, the boot is the same.
        sim.step_clock("worker-1", STEP)
        workers = playbook.play(sim, directory / "workers", _worker_tasks(directory, given), hosts="worker-1")
        live = playbook.play(
            sim,
            directory / "live",
            [_task("live", {key: "{{ given[inventory_hostname]." + key + " }}" for key in given["worker-2"]})],
            hosts=",".join(LIVE),
            variables={"given": given},
        )

        async def lose_a_member() -> None:
            etcd = sim.fleet.etcd
            etcd.remove(etcd.members["cp-3"].id)

        tasks = _control_plane_tasks(sim, given["cp-1"])
        three = playbook.play(sim, directory / "three", tasks, hosts="cp-1")
        sim.run(lose_a_member())
        two = playbook.play(sim, directory / "two", [{**tasks[1], "name": "two members"}], hosts="cp-1")
        bound = playbook.verdict(judged["nodes"]["worker-1"])["binds"]
        yield Tried(sim, bound, workers, live, dataclasses.replace(three, records=[*three.records, *two.records]))


def _task(name: str, arguments: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "talosops.selinux.machine_reset": arguments, "ignore_errors": True, **more}


def _worker_tasks(directory: Path, given: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    right = given["worker-1"]
    evidence, verdict = Path(right["evidence"]), Path(right["verdict"])
    forged = directory / "forged"
    forged.mkdir()

    def changed_file(name: str, change: Callable[[bytes], bytes]) -> str:
        """A copy of the whole collection with one file changed; the path of the evidence in it."""
        copy = forged / f"copy-of-{name}"
        shutil.copytree(evidence.parent, copy)
        (copy / name).write_bytes(change((copy / name).read_bytes()))
        return str(copy / "evidence.json")

    def flipped(data: bytes) -> bytes:
        return data[:-10] + bytes([data[-10] ^ 1]) + data[-9:]

    tasks = [_task("all as it was", right, check_mode=True)]
    for number, (name, (change, _unused)) in enumerate(FORGED.items()):
        document = json.loads(verdict.read_bytes())
        change(document)
        path = forged / f"verdict-{number}.json"
        path.write_bytes(canonical_json({**document, "sha256": sha256_of(document, without=OUTSIDE)}))
        tasks.append(_task(f"forged: {name}", {**right, "verdict": str(path)}))
    bare = forged / "verdict-bare.json"
    bare.write_bytes(verdict.read_bytes().replace(b'"decision":"eligible"', b'"decision":"Eligible"'))
    own, foreign = _keys(forged / "own"), _keys(forged / "foreign")
    signed = forged / "verdict-signed.json"
    signed.write_bytes(canonical_json(sign(json.loads(verdict.read_bytes()), own[0].read_bytes())))
    document = json.loads(signed.read_bytes())
    document["binds"]["boot_time"] = "2026-01-01T00:00:00Z"
    resealed = forged / "verdict-signed-and-resealed.json"
    resealed.write_bytes(canonical_json({**document, "sha256": sha256_of(document, without=OUTSIDE)}))
    tasks += [
        _task("verdict byte", {**right, "verdict": str(bare)}),
        _task("verdict missing", {**right, "verdict": str(forged / "none.json")}),
        _task("verdict of another node", {**right, "verdict": given["worker-2"]["verdict"]}),
        _task("evidence byte", {**right, "evidence": changed_file("evidence.json", flipped)}),
        _task("log byte", {**right, "evidence": changed_file("auditd.log", flipped)}),
        _task("log shorter", {**right, "evidence": changed_file("dmesg.log", lambda data: data[: len(data) // 2])}),
        _task("evidence of another node", {**right, "evidence": given["worker-2"]["evidence"]}),
        _task("other config", {**right, "config_sha256": "0" * 64}),
        _task("other digest", {**right, "installer_digest": "sha256:" + "0" * 64}),
        _task("other policy", {**right, "policy": "canary"}),
        _task("unsigned", {**right, "public_key": str(own[1])}),
        _task("foreign key", {**right, "verdict": str(signed), "public_key": str(foreign[1])}),
        _task("resealed", {**right, "verdict": str(resealed), "public_key": str(own[1])}),
        _task("signed", {**right, "verdict": str(signed), "public_key": str(own[1])}, check_mode=True),
    ]
    return tasks


def _keys(stem: Path) -> tuple[Path, Path]:
    """The files of a new key: private, public."""
    key = Ed25519PrivateKey.generate()
    private, public = stem.with_suffix(".key"), stem.with_suffix(".pem")
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


def _control_plane_tasks(sim: Simulator, given: dict[str, Any]) -> list[dict[str, Any]]:
    own, other = sim.nodes["cp-1"].address, sim.nodes["cp-2"].address
    given = {**given, "kubeconfig": str(sim.directory / "kubeconfig")}
    without = {key: value for key, value in given.items() if key != "kubeconfig"}
    return [
        _task("without a lock", {**without, "route": "endpoint", "endpoints": [other]}),
        _task("through another", {**given, "route": "endpoint", "endpoints": [other]}, check_mode=True),
        _task("directly", given),
        _task("through itself", {**given, "route": "endpoint", "endpoints": [own]}),
        _task("perhaps through itself", {**given, "route": "endpoint", "endpoints": [other, own]}),
        _task("perhaps directly", {**given, "route": "auto", "endpoints": [other]}),
    ]


def test_no_node_was_ever_told_to_reset(tried: Tried) -> None:
    assert not any(call.method.endswith("/Reset") for call in tried.sim.calls)
    assert playbook.talos_writes(tried.sim) == []


def test_unchanged_it_would_be_wiped(tried: Tried) -> None:
    # Without this the refusals would prove nothing.
    assert tried.workers.of("all as it was")["changed"] is True
    assert tried.workers.of("signed")["changed"] is True
    assert tried.control_planes.of("through another")["changed"] is True


def test_every_bound_value_was_changed(tried: Tried) -> None:
    bound = {*tried.bound, *(f"target.{key}" for key in tried.bound["target"])} - {"target"}
    assert bound <= {value for _unused, value in FORGED.values()}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_verdict_is_refused(tried: Tried, name: str) -> None:
    failure = tried.workers.of(f"forged: {name}")["failure"]
    assert (failure["kind"], failure["bound"]) == ("verdict_refused", FORGED[name][1])


@pytest.mark.parametrize(
    ("name", "kind", "bound"),
    [
        ("verdict byte", "verdict_refused", "sha256"),
        ("verdict missing", "verdict_refused", "verdict"),
        ("verdict of another node", "verdict_refused", "node"),
        ("evidence byte", "evidence", None),
        ("log byte", "evidence", None),
        ("log shorter", "evidence", None),
        ("evidence of another node", "verdict_refused", "evidence_sha256"),
        ("other config", "verdict_refused", "config_sha256"),
        ("other digest", "verdict_refused", "target.installer_digest"),
        ("other policy", "verdict_refused", "policy_sha256"),
        ("unsigned", "verdict_refused", "signature"),
        ("foreign key", "verdict_refused", "signature"),
        ("resealed", "verdict_refused", "signature"),
    ],
)
def test_other_files_and_arguments_are_refused(tried: Tried, name: str, kind: str, bound: str | None) -> None:
    failure = tried.workers.of(name)["failure"]
    assert (failure["kind"], failure.get("bound")) == (kind, bound), failure


@pytest.mark.parametrize("name", LIVE)
def test_a_changed_node_is_refused(tried: Tried, name: str) -> None:
    failure = tried.live.of("live", name)["failure"]
    assert (failure["kind"], failure["bound"]) == ("verdict_refused", LIVE[name]), failure


@pytest.mark.parametrize("name", ["directly", "through itself", "perhaps through itself", "perhaps directly"])
def test_a_control_plane_is_not_reset_through_its_own_api(tried: Tried, name: str) -> None:
    result = tried.control_planes.of(name)
    assert result["failure"]["kind"] == "request_refused" and "Set route to endpoint" in result["msg"]


def test_a_control_plane_is_not_reset_without_a_lock_in_the_cluster(tried: Tried) -> None:
    failure = tried.control_planes.of("without a lock")["failure"]
    assert (failure["kind"], failure["checks"]) == ("request_refused", ["control-plane-lock"])


def test_one_of_two_members_is_not_taken_away(tried: Tried) -> None:
    failure = tried.control_planes.of("two members")["failure"]
    assert failure["kind"] == "verdict_refused" and "etcd-quorum-to-spare" in failure["checks"]


def test_before_1_14_another_boot_time_is_another_boot(tmp_path: Path) -> None:
    policy = tmp_path / "old.yml"
    weakened = {"target_floor": "v1.13.0", "weakened_by": {"who": "ada", "why": "a machine without an overlay image"}}
    policy.write_text(yaml.safe_dump({"schema": 1, "name": "old", "extends": "strict", **weakened}))
    nodes = {"cp-1": {"role": "controlplane", "talos": "v1.13.9"}, "worker-1": {"talos": "v1.13.9"}}
    with Simulator({"name": "old", "uptime": "96h", "nodes": nodes}, tmp_path / "fleet") as sim:
        settings = playbook.settings(
            sim, tmp_path / "evidence", rollout_policy=str(policy), rollout_version="v1.13.9", rollout_hosts="workers"
        )
        gate = playbook.run(sim, tmp_path / "gate", "talosops.selinux.gate", variables=settings)
        judged = gate.of("Judge the evidence")["nodes"]["worker-1"]
        assert judged["decision"] == "eligible", gate.output
        bound = playbook.verdict(judged)["binds"]
        assert bound["boot_id"] is None and bound["boot_time"] is not None
        task = _task("wipe", {**playbook.reset_options(judged), "policy": str(policy)})
        sim.step_clock("worker-1", STEP)
        same = playbook.play(sim, tmp_path / "same", [{**task, "check_mode": True}], hosts="worker-1")
        assert same.of("wipe")["changed"] is True
        sim.step_clock("worker-1", 4379)
        ahead = playbook.play(sim, tmp_path / "ahead", [task], hosts="worker-1").of("wipe")["failure"]
        # Its clock is wrong, and it is in the boot that was judged.
        assert ahead["checks"] == ["clocks-agree"], ahead
        sim.step_clock("worker-1", -4379)
        sim.restart("worker-1")
        sim.wait_for("worker-1", "running", ready=True)
        other = playbook.play(sim, tmp_path / "other", [task], hosts="worker-1")
        failure = other.of("wipe")["failure"]
        assert (failure["kind"], failure.get("bound")) == ("verdict_refused", "boot_time"), failure
        assert not any(call.method.endswith("/Reset") for call in sim.calls)
