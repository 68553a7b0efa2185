# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tests of a mutant are those that reach it, in stages: what is named after it, near and quick comes first."""

from __future__ import annotations

import json
from pathlib import Path

import coverage
import pytest
from mutation import covering
from mutation.covering import Covering
from mutation.mutant import Mutant

WIRE = "plugins/plugin_utils/talos/wire.py"
SECONDS = {
    "unit/talos/test_wire.py": 60,
    "unit/talos/test_near.py": 2,
    "unit/talos/test_slow.py": 30,
    "unit/gate/test_far.py": 1,
    "unit/gate/test_other.py": 1,
    "integration/modules/test_long.py": 80,
    "integration/modules/test_short.py": 20,
    "integration/rollout/demo/test_one.py": 5,
    "integration/rollout/demo/test_two.py": 5,
}
#: The second, which is in a function, by some; the fourth, which runs on import, by what started a process.
REACHED = {
    2: ["unit/talos/test_wire.py", "unit/gate/test_other.py"],
    4: ["integration/modules/test_short.py"],
    6: [*(name for name in SECONDS if "demo" not in name and "other" not in name), "integration/rollout/demo"],
}


def wire(line: int, path: str = WIRE) -> Mutant:
    return Mutant(path, line, "a constant changed", 0, "1", "2")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A working copy with tests, and what was measured there."""
    for name in SECONDS:
        file = tmp_path / "tests" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("talosops.selinux.drain" if "short" in name else "")
    measured = tmp_path / "build" / "coverage"
    measured.mkdir(parents=True)
    (tmp_path / "plugins" / "plugin_utils" / "talos").mkdir(parents=True)
    (tmp_path / WIRE).write_text("def a():\n    return 1\n\nb = 1\ndef c():\n    return 1\n")
    data = coverage.CoverageData(str(measured / "data"))
    for line, names in REACHED.items():
        for name in names:
            data.set_context(name)
            data.add_lines({str(tmp_path / WIRE): [line]})
    data.write()
    (measured / "times.json").write_text(json.dumps({f"tests/{name}::test": took for name, took in SECONDS.items()}))
    return tmp_path


def test_what_reaches_the_line_in_stages(root: Path) -> None:
    assert Covering(root).stages(wire(2), 9) == [["unit/talos/test_wire.py"], ["unit/gate/test_other.py"]]
    assert Covering(root).stages(wire(6), 9) == [
        ["unit/talos/test_wire.py", "unit/talos/test_near.py"],
        ["unit/gate/test_far.py"],
        ["unit/talos/test_slow.py"],
        ["integration/rollout/demo"],
        ["integration/modules/test_short.py"],
        ["integration/modules/test_long.py"],
    ]


def test_at_most_so_many_outside_unit(root: Path) -> None:
    assert Covering(root).stages(wire(6), 1)[3:] == [["integration/rollout/demo"]]


def test_what_runs_on_import_is_of_all_that_reach_its_file(root: Path) -> None:
    stages = Covering(root).stages(wire(4), 9)
    assert {name for stage in stages for name in stage} == {name for names in REACHED.values() for name in names}


def test_what_is_not_measured_is_looked_for_by_its_name(root: Path) -> None:
    assert Covering(root).stages(wire(1, "plugins/modules/drain.py"), 9) == [["integration/modules/test_short.py"]]


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("plugins/plugin_utils/talos/wire.py", "talos"),
        ("plugins/action/gate.py", "actions"),
        ("plugins/modules/gate.py", "collection"),
        ("plugins/doc_fragments/rollout.py", "collection"),
        ("playbooks/tasks/plan.yml", "collection"),
        ("roles/compliance/defaults/main.yml", "collection"),
    ],
)
def test_the_folder_that_is_asked_of_what_is_not_measured(path: str, near: str) -> None:
    folders = {"talos", "actions", "collection", "image"}
    assert [folder for folder in sorted(folders) if covering._is_near(f"unit/{folder}/test_a.py", path)] == [near]


def test_what_is_named_after_it_is_asked_though_it_was_not_measured(root: Path) -> None:
    new = root / "tests" / "unit" / "talos" / "new" / "test_wire.py"
    new.parent.mkdir()
    new.write_text("")
    # Its time is not known, and taken for short.
    first = ["unit/talos/new/test_wire.py", "unit/talos/test_wire.py"]
    assert Covering(root).stages(wire(2), 9) == [first, ["unit/gate/test_other.py"]]


def test_constants_and_defaults_are_read_by_their_own_test(root: Path) -> None:
    test = root / "tests" / "unit" / "collection" / "test_constants.py"
    test.parent.mkdir()
    test.write_text("")
    asked = {
        line: any("unit/collection/test_constants.py" in stage for stage in Covering(root).stages(wire(line), 9))
        for line in (2, 4, 5)
    }
    assert asked == {2: False, 4: True, 5: True}


PACKAGE = "ansible_collections.talosops.selinux.plugins.plugin_utils.talos"


@pytest.mark.parametrize(
    ("imports", "named"),
    [
        (f"from {PACKAGE}.wire import x", True),
        (f"import {PACKAGE}.wire", True),
        (f"from {PACKAGE} import a, wire", True),
        (f"from {PACKAGE} import (\n    a,\n    wire,\n)", True),
        (f"from {PACKAGE} import (\n    a,\n)\nfrom other import wire", False),
        (f"from {PACKAGE} import a\nfrom other import wire", False),
        (f"from {PACKAGE} import wired", False),
    ],
)
def test_what_imports_a_module_names_it(imports: str, named: bool, root: Path) -> None:
    assert (Covering(root)._named(WIRE, imports) > 0) is named


def test_what_a_fixed_mutant_names_comes_first(root: Path) -> None:
    fixed = Mutant(WIRE, 2, "a name", 0, "1", "2", ("integration/modules/test_long.py", "unit/gate/test_other.py"))
    assert Covering(root).stages(fixed, 0) == [[*fixed.tests], ["unit/talos/test_wire.py"]]
