# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbooks and the tasks of the roles: what stands in which order, what each task gives its module, and why.

An outline has roles and imported tasks in their places, and below ``given`` what a play's ``module_defaults`` give each
module that it uses, by the action groups. It names every change; the rules below it say which are wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import quick_yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.arguments import argument_spec
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.steps import STEP_NAMES
from expected import require_expected

ROOT = Path(__file__).resolve().parents[3]
NAMES = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))
OURS = "talosops.selinux."
GROUPS = quick_yaml.load((ROOT / "meta" / "runtime.yml").read_text())["action_groups"]
#: Those that ask one node; all others do the work of every node of the play.
OF_ONE_NODE = {"reinstall_step", "enforcement_probe"}


class Task(NamedTuple):
    """A task where it stands, with all that its module is given."""

    play: int
    path: tuple[str, ...]
    name: str
    module: str
    options: dict[str, Any]
    keywords: dict[str, Any]


@cache
def plays(name: str) -> list[dict[str, Any]]:
    """The plays of a playbook."""
    return list(quick_yaml.load((ROOT / "playbooks" / f"{name}.yml").read_text()))


def module_of(task: dict[str, Any]) -> str:
    """The name of the only module of a task."""
    (module,) = (key for key in task if "." in key)
    return module


def included(task: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The tasks that a task brings in, or None."""
    module = module_of(task)
    options = task[module]
    if module == "ansible.builtin.import_tasks":
        path = ROOT / "playbooks" / options
    elif module in ("ansible.builtin.import_role", "ansible.builtin.include_role"):
        # Outside check mode.
        entry = re.sub(r"{{ '\w+' if ansible_check_mode else '(\w+)' }}", r"\1", options.get("tasks_from", "main"))
        path = ROOT / "roles" / options["name"].removeprefix(OURS) / "tasks" / f"{entry}.yml"
    else:
        return None
    return list(quick_yaml.load(path.read_text()))


def given(play: dict[str, Any], module: str) -> dict[str, Any]:
    """What a play's defaults give a module: those of its groups, then its own, as Ansible puts them together."""
    defaults = play.get("module_defaults", {})
    found: dict[str, Any] = {}
    for group, options in defaults.items():
        if group.startswith(f"group/{OURS}") and module.removeprefix(OURS) in GROUPS[group.rpartition(".")[2]]:
            found |= options
    return found | defaults.get(module, {})


def outline(tasks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Tasks with what they bring in."""
    for task in tasks:
        if "block" in task:
            yield task | {part: list(outline(task[part])) for part in ("block", "rescue", "always") if part in task}
        else:
            inner = included(task)
            yield task if inner is None else task | {"tasks": list(outline(inner))}


def flat(name: str) -> list[Task]:
    """The tasks of a playbook, one after another."""
    return [task for number, play in enumerate(plays(name)) for task in _flat(play, number, play["tasks"], ())]


def _flat(play: dict[str, Any], number: int, tasks: list[dict[str, Any]], path: tuple[str, ...]) -> Iterator[Task]:
    for task in tasks:
        parts = [part for part in ("block", "rescue", "always") if part in task]
        for part in parts:
            yield from _flat(play, number, task[part], (*path, part))
        if not parts:
            module = module_of(task)
            inner = included(task)
            options = task[module] or {}
            options = options if isinstance(options, dict) else {"free_form": options}
            keywords = {key: value for key, value in task.items() if key not in ("name", module)}
            if inner is None:
                all_options = given(play, module) | options
                yield Task(number, path, task["name"], module.removeprefix(OURS), all_options, keywords)
            else:
                yield from _flat(play, number, inner, (*path, task["name"]))


def ours(name: str) -> list[Task]:
    """The tasks of a playbook that call this collection's modules."""
    return [task for task in flat(name) if "." not in task.module]


@pytest.mark.parametrize("name", NAMES)
def test_outline(name: str) -> None:
    whole = []
    for play in plays(name):
        used = {OURS + task.module for task in ours(name) if play is plays(name)[task.play]}
        defaults = {module: given(play, module) for module in sorted(used) if given(play, module)}
        rest = {key: value for key, value in play.items() if key not in ("module_defaults", "tasks")}
        whole.append(rest | {"given": defaults, "tasks": list(outline(play["tasks"]))})
    require_expected(f"plays/{name}.txt", _text(whole))


def _text(document: Any) -> str:
    class Whole(quick_yaml.Dumper):
        """Writes what occurs twice twice."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    return str(quick_yaml.yaml.dump(document, Dumper=Whole, sort_keys=False, width=110))


@pytest.mark.parametrize("name", NAMES)
def test_a_play_depends_on_no_setting_of_its_surroundings(name: str) -> None:
    for play in plays(name):
        assert (play["strategy"], play["gather_facts"]) == ("linear", False)
        assert not {"any_errors_fatal", "max_fail_percentage", "ignore_errors", "ignore_unreachable"} & set(play)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_module_is_given_are_options_that_it_has(name: str) -> None:
    assert ours(name)
    for task in ours(name):
        spec = argument_spec(task.module)
        assert set(task.options) <= set(spec), task.name
        assert {option for option in spec if spec[option].get("required")} <= set(task.options), task.name
        written = {option: value for option, value in task.options.items() if "{{" not in str(value)}
        assert all(value in spec[option].get("choices", [value]) for option, value in written.items()), task.name


@pytest.mark.parametrize("name", NAMES)
def test_a_default_of_a_playbook_is_that_of_the_module(name: str) -> None:
    """Two would disagree one day. What has no default in the module is left out, and not given a weaker one here."""
    for task in ours(name):
        for option, value in task.options.items():
            match = re.fullmatch(r"{{ \w+ (?:\| default\(\w+\) )*\| default\((.+?)\) }}", str(value))
            if match and match[1] != "omit":
                spec = argument_spec(task.module)[option]
                # The module refuses a needed text that is empty, and names the playbook's variable.
                expected = "" if spec.get("required") else spec.get("default")
                assert quick_yaml.load(match[1]) == expected, task.name


def test_a_variable_of_the_rollout_is_the_option_of_its_name() -> None:
    found = [
        (option, match[1])
        for name in ("gate", "rollout")
        for task in ours(name)
        for option, value in task.options.items()
        if (match := re.fullmatch(r"{{ rollout_(\w+) \| default\(omit\) }}", str(value)))
    ]
    assert len(found) > 100
    assert [pair for pair in found if pair[0] != pair[1]] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_task_for_all_nodes_runs_once(name: str) -> None:
    for task in ours(name):
        assert task.keywords.get("run_once", False) is (task.module not in OF_ONE_NODE), task.name


def test_failures_are_ignored_where_a_report_follows_and_nowhere_else() -> None:
    every = [(name, task) for name in NAMES for task in flat(name)]
    assert {key for _name, task in every for key in task.keywords} == {
        *("changed_when", "ignore_errors", "loop", "register", "run_once", "when")
    }
    assert [(name, task.name) for name, task in every if "ignore_errors" in task.keywords] == [
        ("compliance", "Probe enforcement"),
        ("compliance", "Collect the evidence"),
        ("rollout", "Record what failed, and leave a node that was not wiped as it was found"),
    ]
    assert [
        (task.module, task.keywords["changed_when"]) for _name, task in every if "changed_when" in task.keywords
    ] == [("ansible.builtin.add_host", False)]


def test_only_the_rollout_takes_nodes_away() -> None:
    taking = {"reinstall_step", "machine_reset", "node_drain", "rollout_start"}
    assert {name for name in NAMES for task in ours(name) if task.module in taking} == {"rollout"}
    # It wipes by the step that judges again, and drains by the step that looks who else cordoned.
    assert {task.module for task in ours("rollout")} & taking == {"reinstall_step", "rollout_start"}
    assert [name for name in NAMES for task in ours(name) if task.module == "enforcement_probe"] == ["compliance"]


def test_nothing_is_probed_that_nobody_asked_for() -> None:
    first, probe, *others = flat("compliance")
    assert (first.module, first.options) == ("ansible.builtin.meta", {"free_form": "end_play"})
    assert first.keywords == {"when": "compliance_probe_image | default(none) is none"}
    assert (probe.module, probe.play) == ("enforcement_probe", first.play)
    # The report is written by a play that this does not end.
    assert {task.play for task in others} == {first.play + 1}


@pytest.mark.parametrize("name", ["gate", "rollout"])
def test_a_node_is_judged_by_evidence_of_its_image_and_ordered_by_its_verdict(name: str) -> None:
    chain = [task for task in ours(name) if task.play == 0 and task.module not in ("rollout_start", "rollout_report")]
    assert [task.module for task in chain] == ["schematic", "evidence", "gate", "rollout_plan"]
    image, evidence, judged, planned = chain
    assert evidence.options["images"] == _of(image)
    assert evidence.options["hosts"] == image.options["hosts"] == "{{ judge_hosts }}"
    assert judged.options["evidence"] == _of(evidence)
    for option, task in (("evidence", evidence), ("judged", judged)):
        result = task.keywords["register"]
        assert planned.options[option] == f"{{{{ {result} if {result}.nodes is defined else omit }}}}"
    assert {task.keywords["when"] for task in (image, evidence, judged)} == {"judge_hosts | length > 0"}
    assert "when" not in planned.keywords


def _of(task: Task) -> str:
    return f"{{{{ {task.keywords['register']} }}}}"


def test_the_step_judges_by_the_same_policy_waivers_and_keys_as_the_plan() -> None:
    (judged,) = (task for task in ours("rollout") if task.module == "gate")
    step, *others = (given(play, OURS + "reinstall_step") for play in plays("rollout"))
    assert others == [step] * 2
    for option in ("policy", "waivers", "signing_key"):
        assert step[option] == judged.options[option] == f"{{{{ rollout_{option} | default(omit) }}}}"
    assert step["public_key"] == "{{ rollout_public_key | default(omit) }}"


def test_the_rollout_takes_its_lock_first_and_releases_it_however_it_ends() -> None:
    tasks = flat("rollout")
    assert (tasks[0].module, tasks[0].path) == ("rollout_start", ())
    assert not {"when", "ignore_errors"} & set(tasks[0].keywords)
    # Whatever fails before there is a plan ends in the rescue.
    before = [task for task in tasks[1:] if task.play == 0]
    assert {task.path[0] for task in before[:-1]} == {"block"}
    assert (before[-1].path, before[-1].options["after"]) == (("rescue",), "stop")
    assert (tasks[-1].module, tasks[-1].options["after"], tasks[-1].play) == ("rollout_report", "rollout", 2)
    assert [task.options["after"] for task in tasks if task.module == "rollout_report"] == ["stop", "wave", "rollout"]
    assert not any("when" in task.keywords for task in tasks if task.module == "rollout_report")


def test_nodes_go_as_they_were_planned_and_each_wave_is_counted_before_the_next() -> None:
    (put,) = (task for task in flat("rollout") if task.module == "ansible.builtin.add_host")
    assert put.keywords["loop"] == "{{ rollout_planned.order }}"
    wave = plays("rollout")[1]
    group = put.options["groups"]
    assert wave["hosts"] == f"{{{{ '{group}' if '{group}' in groups else 'all:!all' }}}}"
    assert "rollout_planned.sizes | default([1])" in wave["serial"]
    tasks = [task for task in ours("rollout") if task.play == 1]
    assert [task.module for task in tasks] == ["reinstall_step"] * (len(STEP_NAMES) + 1) + ["rollout_report"]
    assert {task.options["wave"] for task in tasks[:-1]} == {"{{ rollout_planned.waves[inventory_hostname] }}"}
    assert tasks[-1].path == ()
    assert all("max_failures" in task.options for task in ours("rollout") if task.module == "rollout_report")


def test_in_check_mode_a_node_is_told_of_and_no_step_is_run() -> None:
    steps = [task for task in ours("rollout") if task.module == "reinstall_step" and "step" in task.options]
    assert [task.options["step"] for task in steps] == list(STEP_NAMES)
    (role,) = (task["ansible.builtin.import_role"] for task in plays("rollout")[1]["tasks"][:1])
    assert role["tasks_from"] == "{{ 'announce' if ansible_check_mode else 'main' }}"
    announced = quick_yaml.load((ROOT / "roles" / "reinstall" / "tasks" / "announce.yml").read_text())
    assert [task[OURS + "reinstall_step"] for task in announced] == [{"step": STEP_NAMES[0]}]


@pytest.mark.parametrize("name", NAMES)
def test_what_was_registered_is_used_after_that(name: str) -> None:
    registered = {task.keywords["register"] for task in flat(name) if "register" in task.keywords}
    done: set[str] = set()
    for task in flat(name):
        read = str([task.options, task.keywords.get("when"), task.keywords.get("loop")])
        used = registered & set(re.findall(r"\w+", read))
        assert used <= done, task.name
        done |= {task.keywords.get("register", "")}


def test_the_variables_of_the_rollout_are_those_of_its_page() -> None:
    texts = [path.read_text() for path in (ROOT / "playbooks").rglob("*.yml")]
    read = set(re.findall(r"\brollout_\w+(?= \| default)", "\n".join(texts)))
    table = [row for row in (ROOT / "docs" / "rollout.md").read_text().splitlines() if row.startswith("| `rollout_")]
    assert read == set(re.findall(r"`(rollout_\w+)`", "\n".join(table)))
