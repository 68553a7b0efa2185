# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection's own promises about itself: complete groups, documented actions, no forbidden calls."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
PLUGINS = "ansible_collections.talosops.selinux.plugins"
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))


def documentation(name: str) -> dict:
    return yaml.safe_load(importlib.import_module(f"{PLUGINS}.modules.{name}").DOCUMENTATION)


def test_every_module_has_its_action_and_the_other_way_round():
    actions = sorted(path.stem for path in (ROOT / "plugins" / "action").glob("*.py"))
    assert actions == MODULES
    assert len(MODULES) >= 10


@pytest.mark.parametrize("name", MODULES)
def test_an_action_serves_the_module_it_is_named_after(name):
    action = importlib.import_module(f"{PLUGINS}.action.{name}")
    assert name == action.ActionModule.MODULE
    assert documentation(name)["module"] == name


def test_the_action_group_holds_exactly_the_modules_that_connect():
    runtime = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())
    connecting = [
        name
        for name in MODULES
        if "talosops.selinux.connection" in documentation(name)["extends_documentation_fragment"]
    ]
    assert sorted(runtime["action_groups"]["talos"]) == connecting
    for name in MODULES:
        claims = "talosops.selinux.connection.group" in documentation(name)["extends_documentation_fragment"]
        assert claims == (name in connecting), name


def test_nothing_that_is_shipped_calls_an_upgrade():
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder in ("plugins", "roles", "playbooks")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix in (".py", ".yml", ".yaml")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"Service/Upgrade|\.upgrade\(|\.Upgrade\(|[\"']Upgrade[\"']", line)
    ]
    assert found == []


def test_the_roles_document_every_variable_they_default():
    roles = sorted((ROOT / "roles").iterdir())
    assert roles
    for role in roles:
        options = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"][
            "options"
        ]
        defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text())
        assert set(defaults) <= set(options), role.name
        for name, option in options.items():
            assert name.startswith(f"{role.name}_")
            assert option.get("required", False) or defaults[name] == option.get("default"), name


def test_no_expression_is_possessive():
    """Python 3.11.0 to 3.11.4, Debian 12's among them, match possessive groups wrongly (cpython issue 106052)."""
    possessive = re.compile(r"[)\]*+?}][*+?}]\+|\)\+\+|\(\?>")
    texts = {path: path.read_text(encoding="utf-8") for path in (ROOT / "plugins").rglob("*.py")}
    found = [
        f"{path.name}: {text.strip()}"
        for path, source in texts.items()
        for text in re.findall(r"""rb?["'](.*)["']""", source)
        if possessive.search(text)
    ]
    assert len(texts) > 50
    assert not found


def test_what_is_attacked_is_held_by_tests_that_exist() -> None:
    rows = [line for line in (ROOT / "tests" / "README.md").read_text().splitlines() if "::test_" in line]
    assert len(rows) > 30
    for row in rows:
        named = re.findall(r"`((?:unit|integration)/[^`\s]+\.py)::(test_\w+)`", row)
        assert len(named) >= 2, row
        for path, name in named:
            assert re.search(rf"^def {name}\(", (ROOT / "tests" / path).read_text(), re.MULTILINE), f"{path}::{name}"


def test_every_figure_is_measured_again_by_one_command():
    """A row that nothing measures is a claim, and a program whose output no row holds is no figure."""
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", "")
    (listed,) = re.findall(r"^FIGURES := (.*)$", makefile, re.MULTILINE)
    programs = shlex.split(listed)
    assert set(re.findall(r"`(bench_[^`]+)`", (ROOT / "docs" / "figures.md").read_text())) == set(programs)
    assert all((ROOT / "tests" / "benchmarks" / program.split()[0]).is_file() for program in programs)
