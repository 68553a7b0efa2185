# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is looked at and done for an order to wipe: all of it, in which order, and by which facts it is judged again."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.actions import Target
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.errors import RequestRefused, VerdictRefused
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall import order
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.config import Context
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import (
    PermissionRefused,
    Refused,
    Unreachable,
    WriteNeedsLook,
)

from .orders import NOBODY, ORDER, UUID, Node, act


class Asked(Node):
    """A node that keeps everything that is done to it, in order."""

    def __init__(self, done: list[Any]) -> None:
        super().__init__()
        self.done = done
        self.endpoint = "10.0.0.9"

    async def etcd_forfeit_leadership(self) -> str:
        self.done.append("forfeited")
        return ""

    async def reset(self, labels: tuple[str, ...], **how: Any) -> str:
        self.done.append(("reset", labels, how))
        return "actor"


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("machine_type", ["worker", "controlplane"])
@pytest.mark.parametrize("path", ["in_place", "hook"])
def test_what_is_done_in_which_order(
    monkeypatch: pytest.MonkeyPatch, path: str, machine_type: str, check: bool
) -> None:
    done: list[Any] = []

    def noted(name: str) -> Any:
        async def note(*_given: Any) -> None:
            done.append(name)

        return note

    monkeypatch.setattr(order, "_judge", noted("judged"))
    monkeypatch.setattr(order, "_refuse_own_endpoint", noted("no endpoint of its own"))
    monkeypatch.setattr(order, "_spare", noted("spared by etcd"))
    monkeypatch.setattr(order, "_require_node", lambda *_given: done.append("the same in Kubernetes"))
    node = Asked(done)
    evidence = {
        "node": {"machine_type": machine_type, "identity": "judged", "uuid": "u"},
        "boot": {"id": "b", "look": {"processes": 500}},
    }
    given = dataclasses.replace(
        ORDER,
        boot_path=path,
        record_intent=lambda: done.append("intent"),
        record_sent=lambda actor: done.append(f"sent {actor}"),
        record_unsent=lambda found: done.append(f"unsent: {found}"),
    )
    action: Any = SimpleNamespace(host="n-1", check=check)
    client: Any = node
    sent = asyncio.run(order._act(action, given, NOBODY, client, evidence, {}))
    labels = order.BY_NAME[path].labels
    assert (sent.actor_id, sent.labels, sent.boot.boot_id) == (None if check else "actor", labels, "b")
    looked = ["judged"]
    looked += ["no endpoint of its own", "spared by etcd"] if machine_type == "controlplane" else []
    looked += ["the same in Kubernetes"]
    acted = ["forfeited"] if machine_type == "controlplane" else []
    acted += ["intent", ("reset", labels, {"graceful": True, "reboot": True, "mode": "system_disk"}), "sent actor"]
    assert done == looked + ([] if check else acted)


@pytest.mark.parametrize(
    ("problem", "nothing_done"),
    [
        (Refused("no", "w", "d", grpc_status=2), True),
        (Refused("no", "w", "d", grpc_status=3), True),
        (Refused("no", "w", "d", grpc_status=9), True),
        (Refused("no", "w", "d", grpc_status=1), False),
        (Refused("no", "w", "d", grpc_status=13), False),
        (Refused("no", "w", "d"), False),
        (PermissionRefused("no", "w", "d"), True),
        (WriteNeedsLook("no", "w", "d"), True),
        (Unreachable("gone", "w", "d"), False),
        (Problem("strange", "w", "d"), False),
    ],
)
def test_which_errors_of_the_write_show_that_nothing_was_done(
    monkeypatch: pytest.MonkeyPatch, problem: Problem, nothing_done: bool
) -> None:
    assert order._surely_not_done(problem) is nothing_done
    told: list[str] = []
    node = Node()

    async def reset(_labels: Any, **_how: Any) -> str:
        raise problem

    monkeypatch.setattr(node, "reset", reset)
    with pytest.raises(type(problem), match=problem.found):
        act(node, monkeypatch, told)
    assert told == ["intent", *([f"unsent: {problem.found}"] if nothing_done else [])]


@pytest.mark.parametrize("full", [True, False])
def test_what_it_is_judged_by_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: bool) -> None:
    asked: dict[str, Any] = {}
    live = {
        "node": {"identity": "live identity", "uuid": "live uuid"},
        "boot": {"id": "live boot", "time": "live time", "look": {"processes": 1}},
        "talos": {"version": "v1.14.0"},
        "audit": {"coverage": {"verdict": "complete"}, "denials": ["denial"]},
    }
    policy = SimpleNamespace(sha256="of the policy")

    async def collect(client: Any, **how: Any) -> Any:
        asked["client"], asked["collect"] = client, how
        return SimpleNamespace(document=live)

    def keep(name: str, answer: Any = None) -> Any:
        def called(*given: Any, **how: Any) -> Any:
            asked[name] = (given, how)
            return answer

        return called

    monkeypatch.setattr(order, "collect", collect)
    monkeypatch.setattr(order, "load_policy", keep("policy", policy))
    monkeypatch.setattr(order, "recheck", keep("recheck"))
    monkeypatch.setattr(order, "_refuse_expired_waivers", keep("expired"))
    monkeypatch.setattr(order.waivers, "load", keep("waivers", "granted"))
    monkeypatch.setattr(order, "judge_again", keep("judge", "again"))
    monkeypatch.setattr(order, "require_eligible", keep("eligible"))
    monkeypatch.setattr(order, "judge_request", keep("request"))
    action: Any = SimpleNamespace(
        host="n-1",
        check=not full,
        audit_terms=lambda host: {"baseline_missing": 4, "strict_messages": host == "n-1"},
        read_file=lambda path, what: f"{what} {path}",
    )
    where: Any = Target("n-1", "10.0.0.1", Context("c", [], crt=b"", key=b""), "direct", None)
    monkeypatch.setattr(Target, "connect", lambda self: f"to {self.address}")
    given = dataclasses.replace(
        ORDER,
        policy="strict",
        own_cordon=full,
        **({"public_key": "key.pem", "waivers": "waivers.yml", "store": str(tmp_path)} if full else {}),
    )
    target = {"version": "v1.14.1", "installer_digest": "of the evidence"} if full else None
    evidence = {"cluster": {"name": "c"}, "operation": {"target": target}}
    verdict = {"waived": []}
    client: Any = SimpleNamespace(endpoint="10.0.0.9")
    asyncio.run(order._judge(action, given, where, client, evidence, verdict))
    assert asked.pop("client") is client
    collected = asked.pop("collect")
    store, peer = collected.pop("store"), collected.pop("peer")
    assert (store.directory if full else store) == (tmp_path / "n-1" if full else None)
    assert peer("10.0.0.2") == "to 10.0.0.2"
    assert collected == {
        "name": "n-1",
        "address": "10.0.0.1",
        "endpoint": "10.0.0.9",
        "kubernetes": None,
        "config": None,
        "operation": {},
        "cluster": {"name": "c"},
        "baseline_missing": 4,
        "strict_messages": True,
        "keep": full,
    }
    (told, now_and) = asked["expired"][0]
    assert (told, asked["policy"]) == (verdict, (("strict",), {}))
    assert dt.datetime.now(dt.UTC) - now_and < dt.timedelta(minutes=5)
    bound = {**(target or {}), "installer_digest": "d"}
    facts = {
        "node": "n-1",
        "identity": "live identity",
        "uuid": "live uuid",
        "boot_id": "live boot",
        "boot_time": "live time",
        "look": {"processes": 1},
        "talos_version": "v1.14.0",
        "target": bound,
        "config_sha256": "c",
        "policy_sha256": "of the policy",
        "evidence": evidence,
        "coverage": "complete",
        "denials": ["denial"],
    }
    assert asked["recheck"] == ((verdict, facts, now_and), {"required_key": "public key key.pem" if full else None})
    granted = "granted" if full else None
    waived = (("waivers.yml",), {"policy": policy, "now": now_and})
    assert asked.get("waivers") == (waived if full else None)
    assert asked["judge"] == ((evidence, live, policy, granted, now_and), {"own_cordon": full, "node": "n-1"})
    assert asked["eligible"] == (("again",), {})
    request = {
        "api": "Reset",
        "path": "in_place",
        "labels": list(order.BY_NAME["in_place"].labels),
        "mode": "SYSTEM_DISK",
    }
    assert asked["request"] == ((request, live), {})


def test_without_a_kubeconfig_no_control_plane_is_wiped() -> None:
    action: Any = SimpleNamespace(host="cp-1")
    evidence = {"node": {"uuid": UUID}}
    with pytest.raises(
        RequestRefused, match="no kubeconfig was given for the reset of the control plane cp-1"
    ) as raised:
        order._cluster_lock(action, dataclasses.replace(ORDER, kubeconfig=None), evidence)
    assert raised.value.context["checks"] == ["control-plane-lock"]
    lock = order._cluster_lock(action, dataclasses.replace(ORDER, kube_context="c"), evidence)
    assert vars(lock) == {
        "_kubeconfig": "kubeconfig",
        "_context": "c",
        "name": "talosops-selinux-control-plane",
        "holder": f"cp-1 ({UUID})",
        "lasting": True,
    }


@pytest.mark.parametrize(
    ("own", "seen", "processes", "same"),
    [
        (None, None, 600, True),
        (None, "b", 600, True),
        # Fewer processes than were started before: it certainly booted since.
        (None, None, 3, False),
        ("b", "b", 600, True),
        ("b", None, 600, False),
    ],
)
def test_a_boot_without_an_id_is_not_contradicted_and_one_with_an_id_is_the_same(
    own: str | None, seen: str | None, processes: int, same: bool
) -> None:
    node = Node()
    node.now |= {"boot_id": seen, "processes": processes}
    evidence = {"node": {"identity": "judged", "uuid": "u"}, "boot": {"id": own, "look": {"processes": 500}}}
    client: Any = node
    looked = order._last_look("n-1", client, evidence)
    if same:
        assert asyncio.run(looked).processes == processes
    else:
        with pytest.raises(VerdictRefused, match="another machine or boot answers for n-1") as raised:
            asyncio.run(looked)
        assert raised.value.context["bound"] == "boot_id"
