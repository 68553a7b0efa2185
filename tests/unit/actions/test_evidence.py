# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The evidence action: for which image a host is judged, and who holds it."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.action import evidence
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.owner import of_process

from .made import made

ONE, OTHER = {"version": "v1.14.1"}, {"version": "v1.14.0"}


@pytest.mark.parametrize(
    ("images", "target", "hosts", "image"),
    [
        (None, None, ["a"], None),
        (None, ONE, ["a"], ONE),
        ({}, ONE, ["a"], ONE),
        ({"nodes": None}, ONE, ["a"], ONE),
        ({"nodes": {"a": {"target": OTHER}}}, ONE, ["a"], OTHER),
        ({"nodes": {"a": {"target": None}}}, ONE, ["a"], ONE),
        ({"nodes": {"b": {"target": OTHER}}}, None, ["a", "b"], OTHER),
        ({"nodes": {"a": {"target": ONE}, "b": {"target": OTHER}}}, None, ["a", "b"], ONE),
        ({"nodes": {"a": {"target": None}, "b": {"target": OTHER}}}, None, ["a", "b"], OTHER),
        ({"nodes": {"c": {"target": OTHER}}}, None, ["a", "b"], None),
    ],
)
def test_the_image_of_the_first_host_that_has_one(images: Any, target: Any, hosts: list[str], image: Any) -> None:
    assert made(evidence, images=images, target=target)._image(*hosts) == image


def test_without_a_kubeconfig_no_kubernetes_api_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    class Cluster:
        def __init__(self, *where: Any) -> None:
            asked.append(where)

        def of_node(self) -> None:
            raise AssertionError("nobody asks")

    monkeypatch.setattr(evidence, "read_cluster", Cluster)
    assert made(evidence)._kubernetes() is None
    assert asked == []
    assert made(evidence, kubeconfig="k", kube_context="c")._kubernetes().__name__ == "of_node"
    assert asked == [("k", "c")]


HERE = str(of_process(os.getpid()))
GONE = HERE.rsplit(":", 1)[0] + ":1"


@pytest.mark.parametrize(
    ("operation", "holder"),
    [
        (None, None),
        ({"run": "mine", "may_be_wiped": True, "by": HERE}, None),
        ({"run": "other", "may_be_wiped": True, "by": HERE}, "run other"),
        ({"run": "other", "may_be_wiped": False, "by": HERE}, "run other"),
        ({"run": "other", "may_be_wiped": True, "by": GONE}, "run other"),
        # It was stopped before it did anything that lasts.
        ({"run": "other", "may_be_wiped": False, "by": GONE}, None),
    ],
)
def test_who_holds_a_node(operation: dict[str, Any] | None, holder: str | None) -> None:
    assert made(evidence, run="mine")._holder(operation) == holder


def test_a_new_machine_without_its_configuration_costs_no_other_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "new-2.yaml"
    kept.write_text("version: v1alpha1\n")
    hosts = {
        "new-1": {"talos_machine_config": str(tmp_path / "absent.yaml")},
        "new-2": {"talos_machine_config": str(kept)},
    }
    monkeypatch.setattr(evidence.fleet, "ask_all", lambda asked, *_given, **_how: asked)
    monkeypatch.setattr(evidence.fleet, "run", lambda asked: dict.fromkeys(asked, ({"uuid": "u"}, None)))
    monkeypatch.setattr(evidence, "planned_config", lambda text, *_given: {"text": text})
    action = made(evidence, hosts)
    monkeypatch.setattr(action, "target", lambda host: SimpleNamespace(context=SimpleNamespace(name="c")))
    found, failures = action._machines(list(hosts), {})
    assert {host: one["config"] for host, one in found.items()} == {"new-2": {"text": "version: v1alpha1\n"}}
    assert {
        host: (one["kind"], one["found"].endswith("No such file or directory")) for host, one in failures.items()
    } == {"new-1": ("file", True)}


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("logs", [None, {}, {"nodes": None}, {"nodes": {"n-1": {"appended": 1}}}])
def test_a_collection(check: bool, logs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    shown: list[str] = []
    collection = SimpleNamespace(document={"of": "n-1"}, logs={"auditd.log": 1})

    def keep(name: str, answer: Any) -> Any:
        return lambda *given: asked.append((name, *given)) or answer

    def ask_fleet(self: Any, _read: Any, *, without: list[str]) -> Any:
        asked.append(("asked", without))
        return {"n-1": collection}, {"n-2": {"found": "away"}}

    def entry_of(document: dict[str, Any], path: Any) -> dict[str, Any]:
        return {"path": path, "summary": {"of": document["of"]}}

    monkeypatch.setattr(evidence.files, "save", keep("saved", "the path"))
    monkeypatch.setattr(evidence.files, "entry_of", entry_of)
    monkeypatch.setattr(evidence.collected_table, "render", keep("rendered", "the table"))
    monkeypatch.setattr(evidence, "Display", lambda: SimpleNamespace(display=shown.append))
    monkeypatch.setattr(evidence.ActionModule, "ask_fleet", ask_fleet)
    machines = ({"new": {"machine": 1}}, {"silent": {"found": "nobody answers"}})
    monkeypatch.setattr(
        evidence.ActionModule,
        "_machines",
        lambda self, hosts, operations: asked.append((hosts, operations)) or machines,
    )
    hosts: dict[str, Any] = {"n-1": {}, "n-2": {}, **{name: {evidence.FINGERPRINT: "f"} for name in ("new", "silent")}}
    action = made(evidence, hosts, run_once=True, check=check, directory="d", logs=logs, show=check)
    entry = {"path": None if check else "the path", "summary": {"of": "n-1"}}
    unread = {"n-2": {"found": "away"}, "silent": {"found": "nobody answers"}}
    assert action.act() == {
        "nodes": {"n-1": entry},
        "machines": {"new": {"machine": 1}},
        "table": "the table",
        "unread": unread,
        "summary": {"asked": 4, "answered": 2, "unread": 2},
        "changed": True,
    }
    read = ((logs or {}).get("nodes") or {}) if logs else None
    saved = [] if check else [("saved", "d", {"of": "n-1"}, {"auditd.log": 1})]
    assert asked == [
        (["new", "silent"], {}),
        ("asked", ["new", "silent"]),
        *saved,
        ("rendered", {"n-1": {"of": "n-1"}}, unread, read),
    ]
    assert shown == (["\nthe table\n"] if check else [])
