# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every way in which a node or its logs can fail, over real TLS, against every module that reads.

Each fault has one node of its own in one fleet, beside healthy ones. No module may return a clean state for a node that
it could not read, and each failure keeps its own kind. The playbooks run at once, as hanging nodes cost only waiting.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from integration import playbook
from simulator import Simulator


@dataclasses.dataclass(frozen=True)
class Silent:
    """A node that gives no answer at all: every module reports it as unread, with this kind."""

    fault: dict[str, Any]
    kind: str
    decision: str = "inconclusive"


@dataclasses.dataclass(frozen=True)
class Torn:
    """A node that answers, but whose log cannot be read whole: with this kind; an audit trail is not written."""

    fault: dict[str, Any]
    kind: str
    decision: str = "inconclusive"
    check: str = "evidence-complete"


@dataclasses.dataclass(frozen=True)
class Doubtful:
    """A node whose answers do not suffice: the gate decides by this check; ``coverage`` is what its log is worth."""

    fault: dict[str, Any]
    check: str
    coverage: str
    decision: str = "refused"
    talos: str = "v1.14.1"


CASES: dict[str, Silent | Torn | Doubtful] = {
    "unreachable": Silent({"unreachable": True}, "unreachable"),
    "slow": Silent({"slow": 60}, "deadline"),
    "hanging": Silent({"hanging_stream": "all"}, "deadline"),
    "wrong-certificate": Silent({"wrong_certificate": True}, "unknown_authority"),
    "expired-certificate": Silent({"expired_certificate": True}, "tls"),
    "not-tls": Silent({"not_tls": True}, "tls"),
    "permission": Silent({"permission_denied": True}, "permission"),
    "reset-mid-stream": Torn({"reset_mid_stream": True}, "torn_stream"),
    "torn-log": Torn({"torn_log": True}, "torn_stream"),
    "permission-logs": Torn({"permission_denied": ["Logs"]}, "permission"),
    "permission-dmesg": Torn({"permission_denied": ["Dmesg"]}, "permission"),
    "boot-during-read": Torn({"boot_during_read": True}, "boot_changed", "refused"),
    "auditd-restarted": Doubtful({"auditd_dead": True}, "evidence-complete", "partial"),
    "auditd-failed": Doubtful({"auditd_dead": "failed"}, "evidence-complete", "partial"),
    "auditd-dead": Doubtful({"auditd_dead": True}, "auditd-trusted", "partial", talos="v1.12.4"),
    "audit-off": Doubtful({"audit_disabled": True}, "kernel-args-clean", "none"),
    "auditd-disabled": Doubtful({"auditd_disabled": True}, "kernel-args-clean", "none"),
    "wrapped-ring": Doubtful({"wrapped_ring": True}, "evidence-complete", "partial"),
    "wrapped-kernel-ring": Doubtful({"wrapped_ring": "kernel"}, "evidence-complete", "partial"),
    "lost-records": Doubtful({"lost_records": True}, "evidence-complete", "partial", "inconclusive"),
    "lost-backlog": Doubtful({"lost_records": "backlog"}, "evidence-complete", "partial", "inconclusive"),
    "lost-netlink": Doubtful({"lost_records": "netlink"}, "evidence-complete", "partial", "inconclusive"),
    "lost-printk": Doubtful({"lost_records": "printk"}, "evidence-complete", "partial", "inconclusive"),
    "extension": Doubtful({"extension": True}, "extensions-reviewed", "complete"),
    # At first sight a stranger's word is all there is; but Kubernetes knows no pods of it.
    "wrong-machine": Doubtful({"wrong_machine": True}, "workloads-restarted", "complete"),
    "clock-skew": Doubtful({"clock_skew": True}, "time-in-sync", "partial"),
    "garbage-yaml": Doubtful({"garbage_yaml": True}, "identity-known", "partial", "inconclusive"),
    "garbage-state": Doubtful({"garbage_yaml": "securitystate"}, "selinux-permissive", "partial", "inconclusive"),
}
#: Its logs alone hang; what else it is asked it answers.
HANGING = "hanging-stream"
#: Of these only a deadline ends the wait, so they are asked apart from the many, which a busy machine may answer late.
WAITED = ("slow", "hanging", HANGING)
SHORT = {
    "talos.tls:Deadlines.__init__": {"connect": 60, "call": 10, "log": 10, "node": 60},
    # What the hanging node's two logs cost together is more than a node gets.
    "actions:TalosAction.ask_fleet": {"node_deadline": 15},
}
HEALTHY = ("healthy-1", "healthy-2")


def of(kind: type) -> list[str]:
    """The names of the cases of one kind."""
    return [name for name, case in CASES.items() if isinstance(case, kind)]


@dataclasses.dataclass(frozen=True)
class Asked:
    """What the gate and all modules said about the fleet, and about those whose deadlines are waited for."""

    sim: Simulator
    gate: playbook.Run
    modules: playbook.Run
    waited_gate: playbook.Run
    waited_modules: playbook.Run
    kept: Path

    def judged(self, name: str) -> dict[str, Any]:
        """What the gate says of a node."""
        found: dict[str, Any] = self.gate_of(name).of("Judge the evidence")["nodes"][name]
        return found

    def gate_of(self, name: str) -> playbook.Run:
        """The run of the gate that a node took part in."""
        return self.waited_gate if name in WAITED else self.gate

    def modules_of(self, name: str) -> playbook.Run:
        """The run of all modules that a node took part in."""
        return self.waited_modules if name in WAITED else self.modules


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """One fleet of all faults, asked by every module."""
    directory = tmp_path_factory.mktemp("faults")
    nodes: dict[str, Any] = {
        "cp-1": {"role": "controlplane"},
        "cp-2": {"role": "controlplane", "faults": {"permission_denied": ["EtcdMemberList"]}},
        "cp-3": {"role": "controlplane", "faults": {"unreachable": True}},
        HANGING: {"faults": {"hanging_stream": True}},
        **{name: {} for name in HEALTHY},
    }
    for name, case in CASES.items():
        nodes[name] = {"faults": case.fault, **({"talos": case.talos} if isinstance(case, Doubtful) else {})}
    run_once = {"run_once": True, "ignore_errors": True}
    kept = directory / "kept"
    tasks: list[dict[str, Any]] = [
        {"name": "states", "talosops.selinux.security_state_info": {}, **run_once},
        {"name": "denials", "talosops.selinux.denials_info": {}, **run_once},
        {"name": "logs", "talosops.selinux.audit_log": {"directory": str(kept)}, **run_once},
        {"name": "stage", "talosops.selinux.machine_status_info": {}, "ignore_errors": True},
        {
            "name": "etcd",
            "talosops.selinux.etcd_info": {},
            "ignore_errors": True,
            "when": "inventory_hostname in groups['controlplanes']",
        },
    ]
    rest = ":".join(["talos", *(f"!{name}" for name in WAITED)])
    # The gate needs one node that can be read.
    waited = ":".join([*WAITED, HEALTHY[1]])
    with Simulator({"name": "faults", "uptime": "96h", "nodes": nodes}, directory / "fleet") as sim:

        def gate(place: str, hosts: str, **how: Any) -> playbook.Process:
            settings = playbook.settings(sim, directory / f"evidence of {place}", rollout_hosts=hosts)
            return playbook.start(sim, directory / place, "talosops.selinux.gate", variables=settings, **how)

        def modules(place: str, hosts: str, **how: Any) -> playbook.Process:
            play = playbook.write(directory / place, tasks, hosts=hosts)
            return playbook.start(sim, directory / place, play, **how)

        started = {
            "gate": gate("gate", rest),
            "modules": modules("modules", rest),
            "waited_gate": gate("waited_gate", waited, defaults=SHORT),
            "waited_modules": modules("waited_modules", ":".join(WAITED), defaults=SHORT),
        }
        ended = {place: playbook.finish(process, directory / place) for place, process in started.items()}
        yield Asked(sim, **ended, kept=kept)


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 20


def test_nothing_was_written_to_any_node(asked: Asked) -> None:
    assert asked.sim.writes() == []


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_node_is_eligible(asked: Asked, name: str) -> None:
    judged = asked.judged(name)
    assert judged["decision"] == "eligible", judged["summary"]
    assert asked.modules.of("states")["nodes"][name]["selinux"] == "permissive"
    assert asked.modules.of("denials")["coverage"][name] == "complete"
    assert asked.modules.of("stage", name)["stage"] == "running"
    assert asked.modules.of("logs")["nodes"][name]["appended"]["service"] > 0


@pytest.mark.parametrize("name", [*CASES, HANGING])
def test_no_faulty_node_is_eligible(asked: Asked, name: str) -> None:
    judged = asked.judged(name)
    # Refused by what is known to be wrong; inconclusive where something is only not known.
    assert judged["decision"] == ("inconclusive" if name == HANGING else CASES[name].decision)
    assert judged["reasons"] and all(reason["found"] and reason["remedy"] for reason in judged["reasons"])
    assert name not in asked.gate_of(name).of("Order the rollout")["order"]


def _unread(result: Mapping[str, Any]) -> dict[str, Any]:
    if "failure" not in result:
        return dict(result["unread"])
    return {host: problem for problem in result["failure"]["unread"] for host in problem["hosts"]}


@pytest.mark.parametrize("name", of(Silent))
def test_a_silent_node_is_unread_for_every_module(asked: Asked, name: str) -> None:
    case = CASES[name]
    assert isinstance(case, Silent)
    modules = asked.modules_of(name)
    for task in ("states", "denials", "logs"):
        result = modules.of(task)
        assert name not in result.get("nodes", {})
        # Where none of a task's nodes could be read it fails as a whole.
        unread = _unread(result)
        assert unread[name]["kind"] == case.kind, task
        assert unread[name]["do"]
    assert name not in modules.of("denials").get("coverage", {})
    assert not (asked.kept / name).exists()
    stage = modules.of("stage", name)
    assert stage["failure"]["kind"] == case.kind and "stage" not in stage
    unread = asked.gate_of(name).of("Prepare and verify the images")["unread"]
    assert unread[name]["kind"] == case.kind
    judged = asked.judged(name)
    assert (judged["decision"], judged["sha256"]) == ("inconclusive", None)
    assert [reason["id"] for reason in judged["reasons"]] == [case.kind]


@pytest.mark.parametrize("name", of(Torn))
def test_a_log_that_cannot_be_read_whole_is_not_used(asked: Asked, name: str) -> None:
    case = CASES[name]
    assert isinstance(case, Torn)
    logs = asked.modules.of("logs")
    assert name not in logs["nodes"] and logs["unread"][name]["kind"] == case.kind
    assert not list((asked.kept / name).rglob("*")), "a part of a log was kept"
    assert asked.modules.of("denials")["coverage"][name] != "complete"
    judged = asked.judged(name)
    assert case.check in [reason["id"] for reason in judged["reasons"]]


@pytest.mark.parametrize("name", of(Doubtful))
def test_a_doubtful_node_is_refused_by_its_own_check(asked: Asked, name: str) -> None:
    case = CASES[name]
    assert isinstance(case, Doubtful)
    judged = asked.judged(name)
    assert case.check in [reason["id"] for reason in judged["reasons"]], judged["summary"]
    denials = asked.modules.of("denials")
    assert denials["coverage"][name] == case.coverage


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("garbage")])
def test_an_answer_that_is_not_understood_is_no_state(asked: Asked, name: str) -> None:
    states = asked.modules.of("states")
    assert name not in states["nodes"] and states["unread"][name]["kind"] == "invalid_answer"


def test_a_hanging_stream_ends_at_its_deadline(asked: Asked) -> None:
    for task in ("denials", "logs"):
        failure = asked.waited_modules.of(task)["failure"]
        assert failure["kind"] == "fleet_unread" and _unread({"failure": failure})[HANGING]["kind"] == "deadline"
    assert asked.waited_modules.of("states")["nodes"][HANGING]["selinux"] == "permissive"


def test_etcd_is_not_healthy_on_one_members_word(asked: Asked) -> None:
    seen = asked.modules.of("etcd", "cp-1")
    assert seen["etcd"]["agreed"] is not True and seen["etcd"]["healthy"] is not True
    assert {"permission", "unreachable"} <= {error["kind"] for error in seen["errors"]}
    assert asked.modules.of("etcd", "cp-3")["failure"]["kind"] == "unreachable"
    unsure = asked.modules.of("etcd", "cp-2")
    assert unsure["etcd"]["agreed"] is not True and unsure["etcd"]["healthy"] is not True
    for name in ("cp-1", "cp-2", "cp-3"):
        assert asked.judged(name)["decision"] != "eligible"
