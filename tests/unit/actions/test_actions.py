# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all actions share: which node a task is for, whom it asks, and by whose settings."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.util
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import jinja2
import pytest
from ansible.errors import AnsibleError, AnsibleValueOmittedError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.action import ActionBase
from ansible.release import __version__
from ansible.template import Templar, trust_as_template
from ansible_collections.talosops.selinux.plugins.action import evidence
from ansible_collections.talosops.selinux.plugins.plugin_utils import actions
from ansible_collections.talosops.selinux.plugins.plugin_utils.actions import (
    FleetUnread,
    InventoryProblem,
    Target,
    summary,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import MissingLibrary, Problem, missing_library
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.config import Context
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import Unreachable

from .made import made

GROUPS = {"all": ["n-1", "n-2", "bastion", "alone"], "talos": ["n-1", "n-2"], "ungrouped": ["n-1", "alone"]}
HOSTS: dict[str, dict[str, Any]] = {"n-1": {}, "n-2": {}, "bastion": {}, "alone": {}, "here": {}}


@pytest.mark.parametrize(
    ("delegate", "variables", "host"),
    [
        (None, {}, "n-1"),
        ("", {}, "n-1"),
        ("n-2", {}, "n-2"),
        ("n-2", {"ansible_play_hosts_all": []}, "n-2"),
        ("n-2", {"ansible_play_hosts_all": None}, "n-2"),
        ("alone", {"ansible_play_hosts_all": ["n-1", "alone"]}, "alone"),
        # Hosts without a group, and those that share only the groups that all have.
        ("alone", {"ansible_play_hosts_all": ["n-1"]}, "n-1"),
        ("bastion", {"ansible_play_hosts_all": ["n-1"]}, "n-1"),
        ("bastion", {"groups": {**GROUPS, "other": ["bastion"]}, "ansible_play_hosts_all": []}, "n-1"),
        ("localhost", {}, "n-1"),
        ("n-2", {"hostvars": {**HOSTS, "n-2": {"ansible_connection": "local"}}}, "n-1"),
        ("n-2", {"hostvars": {**HOSTS, "n-2": {"ansible_connection": "ssh"}}}, "n-2"),
    ],
)
def test_which_node_a_task_is_for(delegate: str | None, variables: dict[str, Any], host: str) -> None:
    given = {"groups": GROUPS, "ansible_play_hosts_all": ["n-1", "n-2"], **variables}
    assert made(evidence, HOSTS, delegate_to=delegate, variables=given).host == host


def test_whose_hosts_a_task_is_for() -> None:
    assert made(evidence, HOSTS).hosts() == ["n-1"]
    batch = {"ansible_play_batch": ["n-1", "n-2"]}
    assert made(evidence, HOSTS, run_once=True, variables=batch).hosts() == ["n-1", "n-2"]
    assert made(evidence, HOSTS, variables=batch).hosts() == ["n-1"]
    assert made(evidence, HOSTS, hosts=["n-2"], run_once=True, variables=batch).hosts() == ["n-2"]
    assert made(evidence, HOSTS, hosts=[]).hosts() == []
    with pytest.raises(InventoryProblem, match="no host named x, y") as raised:
        made(evidence, HOSTS, hosts=["x", "n-1", "y"]).hosts()
    assert raised.value.context["hosts"] == ["x", "y"]


def test_whether_a_variable_is_set_be_it_to_nothing() -> None:
    action = made(evidence, {"n-1": {"a": None, "b": 1}})
    assert [action.has_variable("n-1", name) for name in ("a", "b", "c")] == [True, True, False]
    assert [action.variable("n-1", name) for name in ("a", "b", "c")] == [None, 1, None]
    assert (action.known("n-1"), action.known("n-2")) == (True, False)
    assert (action.check, made(evidence, check=True).check, action.run_once) == (False, True, False)


PASSED_ON = "{{ rollout_x | default(omit) }}"


def _option(of: Any, value: Any, variables: dict[str, Any]) -> Any:
    """What an option becomes; ``omitted`` for one that is left out."""
    engine = Templar(loader=DataLoader(), variables=variables)
    try:
        return of.finalize_task_arg("x", value, engine, None)
    except AnsibleValueOmittedError:
        return "omitted"


@pytest.mark.parametrize(
    "value",
    [
        *("text", "", "#jinja2: trim_blocks:False", True, 3, 0.5, None, [], ["a"], {"b": trust_as_template("{{ c }}")}),
        *map(trust_as_template, ("{{ rollout_y }}", "{{ missing }}", "{{ omit }}", "a {{ c }}", "{# nothing #}")),
        "{{ never }} trusted",
    ],
)
def test_an_option_that_passes_a_variable_on_becomes_what_ansible_makes_of_it(value: Any) -> None:
    variables = {"rollout_x": value, "rollout_y": "other", "c": 1}
    for text in (PASSED_ON, "{{ rollout_x | default(omit)}}", "{{ rollout_x | default(omit) }} ", "{{ rollout_x }}"):
        option = trust_as_template(text)
        try:
            expected = _option(ActionBase, option, variables)
        except AnsibleError as error:
            with pytest.raises(type(error)):
                _option(evidence.ActionModule, option, variables)
        else:
            found = _option(evidence.ActionModule, option, variables)
            assert (found, type(found)) == (expected, type(expected))


def test_an_option_that_nobody_set_is_left_out_and_no_template_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    def compiled(*_given: Any, **_settings: Any) -> None:
        raise AssertionError("a template is compiled")

    monkeypatch.setattr(jinja2.Environment, "compile", compiled)
    option = trust_as_template(PASSED_ON)
    assert _option(evidence.ActionModule, option, {}) == "omitted"
    assert _option(evidence.ActionModule, option, {"rollout_x": "grub"}) == "grub"
    # What nobody vouches for is no template.
    assert _option(evidence.ActionModule, PASSED_ON, {}) == PASSED_ON


@pytest.mark.parametrize(
    ("given", "terms"),
    [
        ({}, (0, False)),
        ({"talos_serial_baseline": 3}, (3, False)),
        ({"talos_serial_baseline": 0}, (0, False)),
        ({"talos_serial_baseline": "12"}, (12, False)),
        ({"talos_strict_messages": True}, (0, True)),
        ({"talos_strict_messages": False}, (0, False)),
        ({"talos_serial_baseline": -1}, "talos_serial_baseline of n-1 is -1"),
        ({"talos_serial_baseline": True}, "talos_serial_baseline of n-1 is True"),
        ({"talos_serial_baseline": "x"}, "talos_serial_baseline of n-1 is 'x'"),
        ({"talos_serial_baseline": 1.5}, "talos_serial_baseline of n-1 is 1.5"),
        ({"talos_strict_messages": "true"}, "talos_strict_messages of n-1 is 'true'"),
        ({"talos_strict_messages": 1}, "talos_strict_messages of n-1 is 1"),
    ],
)
def test_what_is_written_down_about_a_log(given: dict[str, Any], terms: Any) -> None:
    action = made(evidence, {"n-1": given})
    if isinstance(terms, str):
        with pytest.raises(InventoryProblem, match=terms) as raised:
            action.audit_terms("n-1")
        assert raised.value.context["host"] == "n-1"
    else:
        assert action.audit_terms("n-1") == {"baseline_missing": terms[0], "strict_messages": terms[1]}


CONTEXT = Context("c", ["192.0.2.9"], crt=b"crt", key=b"key")


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str | None, str | None]]:
    """Which talosconfigs were read, and which of their contexts was asked for."""
    read: list[tuple[str | None, str | None]] = []

    class Config:
        def __init__(self, path: str | None) -> None:
            self.path = path

        def context(self, name: str | None) -> Context:
            read.append((self.path, name))
            return dataclasses.replace(CONTEXT, name=f"{self.path} {name}")

    monkeypatch.setattr(actions.Talosconfig, "load", Config)
    return read


INVENTORY = {
    "ansible_host": "192.0.2.1",
    "talos_config": "of-host",
    "talos_context": "context-of-host",
    "talos_endpoints": "192.0.2.7",
    "talos_route": "endpoint",
    "talos_server_name": "name-of-host",
}
OPTIONS = {
    "talosconfig": "of-task",
    "context": "context-of-task",
    "endpoints": ["192.0.2.8", "192.0.2.6"],
    "route": "direct",
    "server_name": "name-of-task",
}


@pytest.mark.parametrize(
    ("variables", "options", "expected"),
    [
        ({}, {}, ("n-1", "None None", ["192.0.2.9"], "direct", None)),
        (INVENTORY, {}, ("192.0.2.1", "of-host context-of-host", ["192.0.2.7"], "endpoint", "name-of-host")),
        (
            INVENTORY,
            OPTIONS,
            ("192.0.2.1", "of-task context-of-task", ["192.0.2.8", "192.0.2.6"], "direct", "name-of-task"),
        ),
        ({**INVENTORY, "talos_endpoints": ["a", "b"]}, {}, (..., ..., ["a", "b"], ..., ...)),
        ({**INVENTORY, "ansible_host": ""}, {}, ("n-1", ..., ..., ..., ...)),
    ],
)
def test_a_node_is_reached_by_the_tasks_options_and_then_by_the_hosts_variables(
    variables: dict[str, Any], options: dict[str, Any], expected: tuple[Any, ...], loaded: list[Any]
) -> None:
    target = made(evidence, {"n-1": variables}, **options).target()
    found = (target.address, target.context.name, target.context.endpoints, target.route, target.server_name)
    assert target.host == "n-1"
    assert [one for one, two in zip(expected, found, strict=True) if one is not ... and one != two] == []


def test_another_host_or_address_and_a_context_that_is_read_once(loaded: list[Any]) -> None:
    action = made(evidence, {"n-1": INVENTORY, "n-2": {**INVENTORY, "ansible_host": "192.0.2.2"}})
    targets = [action.target(), action.target("n-2"), action.target("n-2", address="192.0.2.3")]
    assert [(one.host, one.address) for one in targets] == [
        ("n-1", "192.0.2.1"),
        ("n-2", "192.0.2.2"),
        ("n-2", "192.0.2.3"),
    ]
    assert loaded == [("of-host", "context-of-host")]


class Client:
    """In the place of a client: opened and closed, and asked nothing."""

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_error: object) -> None:
        return None


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch, loaded: list[Any]) -> Callable[..., tuple[dict[str, Any], dict[str, Any]]]:
    """Asks a fleet of four hosts, of which one has no talosconfig and one does not answer."""
    monkeypatch.setattr(Target, "connect", lambda self: Client())
    hosts = {name: {"ansible_host": f"address of {name}"} for name in ("n-1", "n-2", "n-3", "n-4")}

    def ask(failing: tuple[str, ...], unusable: tuple[str, ...] = (), own: tuple[str, ...] = (), **how: Any) -> Any:
        action = made(evidence, hosts, run_once=True)
        real = action.target

        def target(host: str) -> Target:
            if host in unusable:
                raise InventoryProblem(f"{host} has no talosconfig", "w", "d")
            found: Target = real(host)
            return found

        action.target = target

        async def question(client: Any, where: Target) -> str | Problem:
            await asyncio.sleep(0)
            if where.host in own:
                return Problem(f"the store of {where.host} is damaged", "w", "d")
            if where.host in failing:
                raise Unreachable(f"{where.host} is away", "it matters", f"look at {where.host}")
            return where.address

        typed: Callable[[Any, Target], Awaitable[str | Problem]] = question
        return action.ask_fleet(typed, **how)

    return ask


def test_a_fleet_is_asked_and_each_failure_is_its_nodes(asking: Any) -> None:
    answers, failures = asking(("n-2",), ("n-3",), without=("n-4",))
    assert answers == {"n-1": "address of n-1"}
    assert {host: (one["kind"], one["found"]) for host, one in failures.items()} == {
        "n-2": ("unreachable", "n-2 is away"),
        "n-3": ("inventory", "n-3 has no talosconfig"),
    }
    assert summary(answers, failures) == {"asked": 3, "answered": 1, "unread": 2}


def test_a_problem_of_one_node_costs_the_answers_of_no_other(asking: Any) -> None:
    answers, failures = asking((), own=("n-2", "n-4"))
    assert answers == {"n-1": "address of n-1", "n-3": "address of n-3"}
    assert [one["found"] for one in failures.values()] == ["the store of n-2 is damaged", "the store of n-4 is damaged"]
    with pytest.raises(FleetUnread, match="none of the 2 nodes could be read: the store of the node is damaged"):
        asking((), own=("n-1", "n-2"), without=("n-3", "n-4"))


def test_what_the_inventory_says_of_one_host_costs_the_answers_of_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loaded: list[Any]
) -> None:
    monkeypatch.setattr(Target, "connect", lambda self: Client())
    absent = str(tmp_path / "absent.yaml")
    hosts = {"n-1": {"talos_machine_config": absent}, "n-2": {"talos_serial_baseline": "a few"}, "n-3": {}}
    action = made(evidence, hosts, run_once=True)

    async def question(client: Any, where: Target) -> tuple[str | None, dict[str, Any]]:
        return action.machine_config_text(where.host), action.audit_terms(where.host)

    answers, failures = action.ask_fleet(question)
    assert answers == {"n-3": (None, {"baseline_missing": 0, "strict_messages": False})}
    assert {host: one["kind"] for host, one in failures.items()} == {"n-1": "file", "n-2": "inventory"}
    assert absent in failures["n-1"]["found"] and "a few" in failures["n-2"]["found"]


def test_a_library_that_is_missing_is_missing_for_all(monkeypatch: pytest.MonkeyPatch, loaded: list[Any]) -> None:
    monkeypatch.setattr(Target, "connect", lambda self: Client())

    async def question(client: Any, where: Target) -> str:
        raise missing_library("grpclib", None)

    with pytest.raises(MissingLibrary, match="grpclib"):
        made(evidence, {"n-1": {}, "n-2": {}}, run_once=True).ask_fleet(question)


def test_a_fleet_of_which_nobody_answers_is_a_failure(asking: Any) -> None:
    with pytest.raises(FleetUnread, match="none of the 2 nodes could be read: the node is away") as raised:
        asking(("n-1", "n-2"), without=("n-3", "n-4"))
    assert (raised.value.kind, raised.value.do) == ("fleet_unread", "look at the node")
    (shared,) = raised.value.context["unread"]
    assert (shared["hosts"], shared["kind"]) == (["n-1", "n-2"], "unreachable")


def test_what_many_nodes_share_is_named_once_and_the_rest_counted() -> None:
    def problems(*found: str) -> dict[str, dict[str, Any]]:
        return {f"n-{number:02}": {"found": text, "do": "look"} for number, text in enumerate(found)}

    told = FleetUnread.of(problems(*["no talosconfig"] * 40, "a", "b", "n-42 is old", "c"))
    assert told.found == (
        "none of the 44 nodes could be read: n-00 and 39 more: no talosconfig; n-40: a; n-41: b; and 2 more problems"
    )
    assert (told.do, len(told.context["unread"])) == ("look", 5)
    assert told.context["unread"][0]["hosts"] == [f"n-{number:02}" for number in range(40)]
    assert FleetUnread.of(problems("n-00 is away")).found == "n-00 could not be read: the node is away"


def test_a_fleet_of_nobody_is_none(asking: Any) -> None:
    assert asking((), without=("n-1", "n-2", "n-3", "n-4")) == ({}, {})


def test_a_machine_configuration_is_named_by_the_task_or_the_host_and_may_be_missing(tmp_path: Path) -> None:
    for name in ("of-host", "of-task"):
        (tmp_path / name).write_text(f"machine: {name}\n")
    action = made(evidence, {"n-1": {"talos_machine_config": str(tmp_path / "of-host")}, "n-2": {}})
    src = str(tmp_path / "of-task")
    for read in (action.machine_config_text, action.required_machine_config_text):
        assert (read("n-1"), read("n-1", src), read("n-2", src)) == (
            "machine: of-host\n",
            "machine: of-task\n",
            "machine: of-task\n",
        )
    assert action.machine_config_text("n-2") is None
    with pytest.raises(InventoryProblem, match="the inventory names no machine configuration for n-2"):
        action.required_machine_config_text("n-2")


def test_how_many_are_asked_at_once_and_for_how_long(monkeypatch: pytest.MonkeyPatch, loaded: list[Any]) -> None:
    asked: list[Any] = []

    async def ask_all(targets: list[str], _visit: Any, **how: Any) -> dict[str, str]:
        asked.append((targets, how))
        return dict.fromkeys(targets, "answer")

    monkeypatch.setattr(actions.fleet, "ask_all", ask_all)
    action = made(evidence, {"n-1": {}, "n-2": {}}, run_once=True, in_flight=7)
    for how, seconds in (({}, 45.0), ({"node_deadline": 75.0}, 75.0)):
        assert action.ask_fleet(None, **how) == ({"n-1": "answer", "n-2": "answer"}, {})
        assert asked.pop() == (["n-1", "n-2"], {"in_flight": 7, "node_deadline": seconds})


def test_a_node_is_asked_by_the_task_or_as_it_is_told(monkeypatch: pytest.MonkeyPatch, loaded: list[Any]) -> None:
    connected: list[Target] = []
    monkeypatch.setattr(Target, "connect", lambda self: connected.append(self) or Client())

    async def question(client: Any) -> str:
        return type(client).__name__

    action = made(evidence, {"n-1": {}, "n-2": {"ansible_host": "192.0.2.2"}})
    assert [action.ask(question), action.ask(question, action.target("n-2"))] == ["Client", "Client"]
    assert [where.address for where in connected] == ["n-1", "192.0.2.2"]


def test_an_ansible_that_is_too_old_is_named_and_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("ansible.errors.AnsibleValueOmittedError")
    spec = importlib.util.spec_from_file_location(f"{actions.__name__}_again", str(actions.__file__))
    assert spec is not None and spec.loader is not None
    with pytest.raises(AnsibleError, match=rf"does not work with ansible-core {re.escape(__version__)}"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
