# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is looked at before a node is touched: by whose word, of which machine, and what is recorded of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import sealed
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.disks import FIELDS
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.joined import NotThisNode
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import signing
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.errors import VerdictRefused
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.document import ConfigError
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall import before, configuration
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.work import StepProblem
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

UUID = "6f1d0a9e-0000-4000-8000-000000000011"
TARGET = {"version": "v1.14.1", "installer": "i:v1.14.1@d", "installer_digest": "d", "kernel_args": ["enforcing=1"]}


class Work:
    """As much of the work on a node as these steps use, in the place of it."""

    host, node_name, control_plane = "n-1", "n-1.example", False

    def __init__(self, directory: Path, variables: dict[str, Any] | None = None, **params: Any) -> None:
        self.directory = directory
        self.variables = {"talos_planned_identity": "identity", "talos_target": TARGET, **(variables or {})}
        usual = {"consent": "wipe", "boot_hook": None, "boot": "uki", "policy": "strict", "waivers": None}
        usual |= {"signing_key": None, "kubeconfig": "k", "kube_context": "c", "drain_timeout": 7, "poll_seconds": 3}
        self.params: dict[str, Any] = {**usual, **params}
        self.facts: dict[str, Any] = {"target": TARGET, "boot_path": "in_place", "uuid": UUID}
        self.failure: dict[str, Any] | None = None
        self.changed = False
        self.asked: list[Any] = []
        self.recorded: list[Any] = []
        self.identity: str | None = "identity"
        self.action = SimpleNamespace(
            variable=lambda host, name: self.variables.get(name),
            has_variable=lambda host, name: name in self.variables,
            audit_terms=lambda host: {"baseline_missing": 2, "strict_messages": True},
            machine_config_text=lambda host: "text",
            required_machine_config_text=lambda host: "text",
            operation=lambda host, **how: {"of": host, **how},
        )
        self.ledger = SimpleNamespace(
            run="run",
            intent=lambda *what: self.recorded.append(("intent", *what)),
            sent=lambda *what: self.recorded.append(("sent", *what)),
            refuse_halted=lambda *what: self.recorded.append(("halted?", *what)),
        )

    def ask(self, question: Callable[[Any], Any], where: Any = None) -> Any:
        async def spec(_name: str) -> dict[str, Any]:
            return {"nodeId": self.identity}

        async def members() -> list[str]:
            return ["members"]

        return asyncio.run(question(SimpleNamespace(spec=spec, etcd_members=members, endpoint="e")))

    def where(self, address: str | None = None) -> Any:
        return SimpleNamespace(address=address or "192.0.2.1", context=SimpleNamespace(name="ctx", endpoints=[]))

    def judged(self) -> dict[str, Any]:
        return {"kubernetes": {"unschedulable": False}}

    def hold_cluster(self) -> None:
        self.recorded.append("held")


@pytest.fixture
def sound(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An image and a configuration with which nothing is wrong; what they were asked for."""
    seen: dict[str, Any] = {}

    async def present(_client: Any) -> dict[str, Any]:
        return {"id": "present"}

    async def judge(_client: Any, _work: Any, config: Any, target: Any) -> Any:
        seen["judged"] = (config.facts["sha256"], target)
        return SimpleNamespace(running="v1.13.0", differences=("a", "b"))

    def resolve(settings: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
        seen["settings"], seen["present"] = settings, found
        return {"target": {"installer_digest": "now"}}

    monkeypatch.setattr(before, "prepared", lambda work, target: SimpleNamespace(facts={"sha256": "of-config"}))
    monkeypatch.setattr(before, "judged_by_node", judge)
    monkeypatch.setattr(before, "present_image", present)
    monkeypatch.setattr(before, "resolve", resolve)
    monkeypatch.setattr(before, "require_same_command_line", lambda *both: seen.update(compared=both))
    return seen


def test_a_node_is_verified_in_one_visit(tmp_path: Path, sound: dict[str, Any]) -> None:
    work: Any = Work(tmp_path, {"talos_boot_path": "in_place"}, schematic="s", platform="aws", registry="r")
    assert before.verify(work) == {
        "target": TARGET,
        "config_sha256": "of-config",
        "boot_path": "in_place",
        "judged_by": "v1.13.0",
        "differences": ["a", "b"],
    }
    assert sound["judged"] == ("of-config", TARGET)
    assert sound["present"] == {"id": "present"}
    settings = sound["settings"]
    given = {key: settings[key] for key in ("version", "goal", "expect_digest", "registry", "policy")}
    assert given == {
        "version": "v1.14.1",
        "goal": "enforcing",
        "expect_digest": "d",
        "registry": "r",
        "policy": "strict",
    }
    assert {settings[key] for key in ("schematic", "platform", "arch", "secureboot", "save_bundle")} == {None}
    assert sound["compared"] == ({"id": "present"}, {"target": {"installer_digest": "now"}})
    assert before.verify_image(work, TARGET, {"id": "present"}) == "now"


@pytest.mark.parametrize(
    ("variables", "params", "words"),
    [
        ({}, {"consent": "Wipe"}, "nobody agreed to wipe n-1"),
        ({}, {"consent": None}, "nobody agreed to wipe n-1"),
        ({"talos_target": None}, {}, "no image was prepared for n-1"),
    ],
)
def test_what_nobody_ordered_is_not_begun(
    variables: dict[str, Any], params: dict[str, Any], words: str, tmp_path: Path, sound: dict[str, Any]
) -> None:
    work: Any = Work(tmp_path, {"talos_boot_path": "in_place", **variables}, **params)
    with pytest.raises(StepProblem, match=words) as raised:
        before.verify(work)
    assert raised.value.context["node"] == "n-1"
    assert sound == {}


@pytest.mark.parametrize(
    ("identity", "planned", "words"),
    [
        ("identity", "identity", None),
        ("identity", None, None),
        (None, None, None),
        ("other", "identity", "the node other answers for n-1, which was identity when the fleet was judged"),
        (None, "identity", "the node unknown answers for n-1"),
    ],
)
def test_the_machine_is_the_one_that_was_planned(
    identity: str | None, planned: str | None, words: str | None, tmp_path: Path
) -> None:
    work: Any = Work(tmp_path, {"talos_planned_identity": planned})
    if words is None:
        assert before._require_planned(work, identity) is None  # type: ignore[func-returns-value]  # that it returns is what is tested
    else:
        with pytest.raises(StepProblem, match=words):
            before._require_planned(work, identity)
    del work.variables["talos_planned_identity"]
    with pytest.raises(StepProblem, match="n-1 is not part of a plan"):
        before._require_planned(work, identity)


def document(machine_type: str = "worker") -> dict[str, Any]:
    """Evidence, as far as the gate's step reads it."""
    keys = ("uuid", "serial_number", "hostname", "address")
    return {
        "node": {**{key: f"the {key}" for key in keys}, "identity": "identity", "machine_type": machine_type},
        "boot": {"id": "b", "time": "t"},
        "etcd": {"member_id": "m"} if machine_type == "controlplane" else None,
        "sha256": "of-evidence",
    }


@pytest.fixture
def judging(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Evidence and a verdict in the place of collecting and judging; what was asked and which ways were looked for."""
    seen: dict[str, Any] = {"document": document(), "verdict": {"decision": "eligible", "checks": []}}

    async def collect(_client: Any, **how: Any) -> Any:
        seen["collected"] = how
        how["config"]({"node": 1})
        return SimpleNamespace(document=seen["document"], logs={"log": 1})

    def save(directory: str, saved: Any, logs: Any) -> Path:
        seen["saved"] = (directory, saved, logs)
        place = tmp_path / "evidence"
        place.mkdir(exist_ok=True)
        place.chmod(0o700)
        return place / "evidence.json"

    monkeypatch.setattr(before, "read_cluster", lambda *where: SimpleNamespace(of_node=("of", *where)))
    monkeypatch.setattr(before, "collect", collect)
    monkeypatch.setattr(before, "planned_config", lambda *given: seen.update(planned=given))
    monkeypatch.setattr(before.files, "save", save)
    monkeypatch.setattr(before, "_judged", lambda work, of: seen["verdict"])
    monkeypatch.setattr(before, "peers_of", lambda members, own: [{"address": f"peer of {own} in {members}"}])
    monkeypatch.setattr(before, "ways_without", lambda *given: seen.update(ways=given))
    return seen


def test_fresh_evidence_is_judged_and_both_are_kept(tmp_path: Path, judging: dict[str, Any]) -> None:
    work: Any = Work(tmp_path)
    found = before.gate(work)
    evidence = tmp_path / "evidence"
    assert found == {
        "evidence": str(evidence / "evidence.json"),
        "evidence_sha256": "of-evidence",
        "verdict": str(evidence / "verdict.json"),
        "uuid": "the uuid",
        "serial_number": "the serial_number",
        "identity": "identity",
        "boot_id": "b",
        "boot_time": "t",
        "hostname": "the hostname",
        "address": "the address",
        "machine_type": "worker",
        "member": None,
        "peers": [],
    }
    assert json.loads((evidence / "verdict.json").read_text()) == judging["verdict"]
    assert judging["saved"] == (str(tmp_path), document(), {"log": 1})
    assert judging["planned"] == ("text", TARGET, "uki", {"node": 1})
    how = judging["collected"]
    operation = {"of": "n-1", "locked_by": None, "image": TARGET, "boot_path": "in_place"}
    assert (how["name"], how["address"], how["endpoint"], how["operation"]) == ("n-1", "192.0.2.1", "e", operation)
    assert (how["kubernetes"], how["cluster"]) == (("of", "k", "c"), {"name": "ctx"})
    assert (how["baseline_missing"], how["strict_messages"]) == (2, True)
    assert how["store"].directory == tmp_path / "audit" / "n-1"
    assert "ways" not in judging


def test_a_control_plane_has_to_be_reached_through_another(tmp_path: Path, judging: dict[str, Any]) -> None:
    judging["document"] = document("controlplane")
    work: Any = Work(tmp_path)
    found = before.gate(work)
    peers = [{"address": "peer of m in ['members']"}]
    assert (found["member"], found["peers"]) == ("m", peers)
    _context, address, others = judging["ways"]
    assert (address, others) == ("192.0.2.1", [peers[0]["address"]])


def test_what_is_not_eligible_or_another_machine_ends_the_step(tmp_path: Path, judging: dict[str, Any]) -> None:
    work: Any = Work(tmp_path)
    work.variables["talos_planned_identity"] = "another"
    with pytest.raises(StepProblem, match="the node identity answers for n-1"):
        before.gate(work)
    assert "saved" not in judging
    judging["verdict"] = {"decision": "refused", "node": "n-1", "checks": []}
    with pytest.raises(VerdictRefused):
        before.gate(Work(tmp_path))  # type: ignore[arg-type]  # as much of it as is used
    assert (tmp_path / "evidence" / "verdict.json").exists()


@pytest.mark.parametrize("signed", [True, False])
def test_a_verdict_is_signed_where_a_key_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signed: bool
) -> None:
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    given: list[Any] = []
    monkeypatch.setattr(before, "load_policy", lambda name: f"policy {name}")
    monkeypatch.setattr(before.files, "earlier", lambda directory, of: (directory, of))
    monkeypatch.setattr(before, "judge_past", lambda of, earlier, now: ("past", earlier))

    def judge(of: Any, policy: Any, *, waivers: Any, now: Any, node: str, history: Any) -> dict[str, Any]:
        given.append((of, policy, waivers, node, history))
        return sealed({"decision": "eligible"})

    monkeypatch.setattr(before, "judge", judge)
    work: Any = Work(tmp_path, signing_key="key.pem" if signed else None)
    work.action.read_file = lambda *what: {("key.pem", "signing key"): private}[what]
    verdict = before._judged(work, {"of": "n-1"})
    past = ("past", (str(tmp_path), {"of": "n-1"}))
    assert given == [({"of": "n-1"}, "policy strict", None, "n-1", past)]
    assert verdict["decision"] == "eligible" and ("signature" in verdict) is signed
    if signed:
        signing.verify(verdict, public)


def test_of_a_control_plane_a_snapshot_is_saved_from_another_member(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work: Any = Work(tmp_path)
    taken: list[Any] = []
    work.judged = lambda: taken.append("judged")
    assert before.save(work) == {"snapshot": None, "snapshot_sha256": None, "snapshot_from": None}
    work.control_plane = True
    peer = SimpleNamespace(target="where", hostname="cp-2")

    def take(path: Path, _ask: Any, *, of: str) -> dict[str, Any]:
        taken.append((path, of))
        return {"sha256": "of-snapshot"}

    monkeypatch.setattr(before, "take_snapshot", take)
    monkeypatch.setattr(before, "ask_a_peer", lambda _work, ask, *, what: (ask(peer), peer))
    path = tmp_path / "etcd" / "n-1-run.snapshot"
    assert before.save(work) == {"snapshot": str(path), "snapshot_sha256": "of-snapshot", "snapshot_from": "cp-2"}
    # That the evidence is whole is looked at before anything is saved beside it.
    assert taken == ["judged", "judged", (path, "cp-2")]


@pytest.mark.parametrize(
    ("cordoned", "pods", "recorded", "changed"),
    [(True, ["a", "b"], True, True), (True, [], True, True), (False, ["a"], False, True), (False, [], False, False)],
)
def test_what_a_drain_is_asked_for_and_what_is_recorded_of_it(
    cordoned: bool, pods: list[str], recorded: bool, changed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def drain(*where: Any, meanwhile: Any, require: Any, **how: Any) -> dict[str, Any]:
        asked.append((where, how))
        meanwhile()
        return {"cordoned": cordoned, "pods": pods}

    monkeypatch.setattr(before.drain, "drain", drain)
    monkeypatch.setattr(before.Machine, "of", lambda _document: None)
    work: Any = Work(tmp_path)
    assert before.drain_node(work) == {"cordoned": cordoned, "evicted": len(pods)}
    assert asked == [(("k", "c", "n-1.example"), {"timeout": 7, "poll": 3, "mark": True})]
    sent = [("sent", "n-1", "drain")] if recorded else []
    assert work.recorded == ["held", ("halted?", "n-1", "drain"), *sent]
    assert work.changed is changed


@pytest.mark.parametrize(
    ("told", "refused"), [(UUID.upper(), None), ("other", "other"), (None, "unknown"), ("", "unknown")]
)
def test_a_cordon_is_taken_back_from_the_machine_itself(
    told: str | None, refused: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def uncordon(*where: Any, require: Any, **how: Any) -> bool:
        asked.append((where, how))
        require([{"status": {"nodeInfo": {"systemUUID": told}}}])
        return True

    monkeypatch.setattr(before.drain, "uncordon", uncordon)
    work: Any = Work(tmp_path)
    expected = pytest.raises(NotThisNode, match=f"is the machine {refused}, not {UUID}") if refused else None
    with expected or contextlib.nullcontext():
        assert before.undo_drain(work) is True
    assert asked == [(("k", "c", "n-1.example"), {"timeout": 7, "poll": 3, "mark": True})]
    assert work.changed is (refused is None)


def facts(sha256: str, **changes: Any) -> dict[str, Any]:
    """The facts of a configuration."""
    usual = {"machine_type": "worker", "hostname": "h", "cluster": {"cluster_id": "i"}, "problems": []}
    return {"sha256": sha256, **usual, **changes}


@pytest.mark.parametrize(
    ("failure", "because"),
    [
        ({"found": "no disk"}, "no disk"),
        ({}, "the file was changed while the node waited for it"),
        (None, "the file was changed while the node waited for it"),
    ],
)
def test_what_is_recorded_of_a_repair(failure: dict[str, Any] | None, because: str, tmp_path: Path) -> None:
    work: Any = Work(tmp_path)
    work.failure = failure
    fixed: Any = SimpleNamespace(facts=facts("new"))
    assert configuration.require_repair(work, {"config": facts("old")}, fixed) == {
        "from": "old",
        "to": "new",
        "because": because,
    }


def test_a_repair_that_makes_something_else_of_the_node_is_refused(tmp_path: Path) -> None:
    work: Any = Work(tmp_path)
    fixed: Any = SimpleNamespace(facts=facts("new", cluster={"cluster_id": "other"}))
    with pytest.raises(ConfigError, match=r"of n-1 is not the one that was judged: .*is for another cluster") as raised:
        configuration.require_repair(work, {"config": facts("old")}, fixed)
    assert raised.value.context["node"] == "n-1"


def disk(name: str, **fields: Any) -> dict[str, Any]:
    return {**FIELDS, "name": name, "dev_path": f"/dev/{name}", "size": 9, "transport": "sata", **fields}


SDA, SDB = disk("sda", serial="S1"), disk("sdb", serial="S2")


@pytest.mark.parametrize(
    ("now", "install", "told"),
    [
        ([SDA, SDB], {"disk": "/dev/sda"}, None),
        (
            [{**SDA, "name": "sdb", "dev_path": "/dev/sdb"}, SDB],
            {"disk": "/dev/sdb"},
            r"the disks /dev/sdb \(.*S1\), /dev/sdb \(.*S2\), and was judged for /dev/sdb \(serial number S2\)",
        ),
        # A medium took the name that it had.
        (
            [SDB | {"name": "sda", "dev_path": "/dev/sda"}, SDA | {"name": "sdb", "dev_path": "/dev/sdb"}],
            {"disk": "/dev/sda"},
            r"to the disks /dev/sda \(serial number S2\), and was judged for /dev/sda \(serial number S1\)",
        ),
        (
            [SDB | {"name": "sda", "dev_path": "/dev/sda"}, SDA | {"name": "sdb", "dev_path": "/dev/sdb"}],
            {"disk_selector": {"serial": "S1"}},
            None,
        ),
        ([SDB], {"disk": "/dev/sda"}, "to the disks none, and was judged for /dev/sda"),
        ([SDA, SDB, disk("sdc", serial="S3")], {"disk_selector": {"serial": "S*"}}, r"S3\), and was judged for .*S2\)"),
        ([SDA], {"disk_selector": {"serial": "S*"}}, r"to the disks /dev/sda \(.*S1\), and was judged for .*S2\)"),
        # Of several Talos takes the first.
        (
            [SDA | {"name": "sdb", "dev_path": "/dev/sdb"}, SDB | {"name": "sda", "dev_path": "/dev/sda"}],
            {"disk_selector": {"serial": "S*"}},
            r"to the disks /dev/sda \(.*S2\), /dev/sdb \(.*S1\), and was judged for /dev/sda \(.*S1\)",
        ),
        # With none the machine stays down, whoever let it pass.
        ([SDA, SDB], {"disk": "/dev/sdz"}, "to the disks none, and was judged for none"),
        # A waiver let it pass: it is for what the policy knew.
        ([SDA, SDB], {"disk": "/dev/sdb"}, None),
        ([SDA, SDB], {"disk_selector": {"serial": "S*"}}, None),
        ([SDA, SDB], None, None),
        (["unread"], {"disk": "/dev/sda"}, "to a disk that is not known"),
        # As with the evidence, by a policy that let it pass.
        ([SDA, SDB], {"disk_selector": {"name": "sda"}}, None),
        # What was understood of the disks then, and is not of those now.
        ([SDA | {"size": 2**63}, SDB], {"disk_selector": "disk.size * 2u > 1u"}, "to a disk that is not known"),
    ],
)
def test_the_configuration_goes_to_the_disk_that_was_judged_and_to_no_other(
    now: list[Any], install: dict[str, Any] | None, told: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def listed(kind: str) -> list[Any]:
        assert kind == "disks"
        return [
            SimpleNamespace(id=one["name"], spec=one) if one != "unread" else SimpleNamespace(spec="") for one in now
        ]

    work: Any = Work(tmp_path)
    monkeypatch.setattr(work, "judged", lambda: {"disks": [SDA, SDB], "system_disk": "sda"}, raising=False)
    client: Any = SimpleNamespace(list=listed)
    facts = None if install is None else {"disk": None, "disk_selector": None, **install}
    config: Any = SimpleNamespace(facts={"install": facts})
    expected = pytest.raises(StepProblem, match=told) if told else contextlib.nullcontext()
    with expected:
        asyncio.run(configuration.require_judged_disk(client, work, config))


@pytest.mark.parametrize("judged", [{}, {"disks": None, "system_disk": "sda"}])
def test_where_no_disk_was_judged_none_is_asked_for(
    judged: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work: Any = Work(tmp_path)
    monkeypatch.setattr(work, "judged", lambda: judged, raising=False)
    nobody: Any = SimpleNamespace()
    asyncio.run(configuration.require_judged_disk(nobody, work, nobody))


def test_what_a_configuration_is_prepared_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    def prepare(text: str, **how: Any) -> Any:
        given.append((text, how))
        return SimpleNamespace(require_usable=lambda node: f"usable for {node}")

    monkeypatch.setattr(configuration, "prepare", prepare)
    work: Any = Work(tmp_path)
    work.facts |= {"machine_type": "worker", "hostname": "h"}
    assert configuration.prepared(work, TARGET) == "usable for n-1"
    how = {"installer": "i:v1.14.1@d", "version": "v1.14.1", "boot": "uki", "kernel_args": ["enforcing=1"]}
    assert given == [("text", {**how, "machine_type": "worker", "hostname": "h"})]


def test_what_the_node_is_asked_about_its_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    async def judge(client: Any, rewritten: Any, **how: Any) -> Any:
        seen.append((client, rewritten, how))
        return SimpleNamespace(require=lambda approved, *, node: seen.append((approved, node)))

    monkeypatch.setattr(configuration, "judge", judge)
    work: Any = Work(tmp_path, {configuration.APPROVED: "approved"})
    config: Any = SimpleNamespace(rewritten="rewritten")
    client: Any = "client"
    asyncio.run(configuration.judged_by_node(client, work, config, TARGET))
    assert seen == [("client", "rewritten", {"target": "v1.14.1", "node": "n-1"}), ("approved", "n-1")]


@pytest.mark.parametrize(
    ("ours", "cordoned", "judged", "outcome"),
    [
        (False, False, False, "intent"),
        (False, False, True, "intent"),
        (True, True, False, "intent"),
        (True, True, True, "intent"),
        # Somebody else's, who had set it when the node was judged: theirs to take back.
        (False, True, True, None),
        (False, True, False, "refused"),
        (False, True, None, "refused"),
    ],
)
def test_whose_cordon_it_is_decides_whether_it_is_written(
    ours: bool,
    cordoned: bool,
    judged: bool | None,
    outcome: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = {"metadata": {"annotations": {"talosops.selinux/cordoned": "x"} if ours else {}}}
    node["spec"] = {"unschedulable": cordoned}
    joined: list[Any] = []

    def drain(*_where: Any, require: Any, **_how: Any) -> dict[str, Any]:
        require([node])
        return {"cordoned": False, "pods": []}

    monkeypatch.setattr(before.drain, "drain", drain)
    monkeypatch.setattr(before.Machine, "of", lambda document: ("machine of", document["kubernetes"]))
    monkeypatch.setattr(before, "require_joined", lambda *both: joined.append(both))
    work: Any = Work(tmp_path)
    kubernetes = {"unschedulable": judged}
    work.judged = lambda: {"kubernetes": kubernetes}
    if outcome == "refused":
        with pytest.raises(StepProblem, match="n-1 is cordoned, and was not when it was judged"):
            before.drain_node(work)
    else:
        assert before.drain_node(work) == {"cordoned": ours, "evicted": 0}
    assert joined == [([node], ("machine of", kubernetes))]
    assert [one for one in work.recorded if one[0] == "intent"] == (
        [("intent", "n-1", "drain")] if outcome == "intent" else []
    )
