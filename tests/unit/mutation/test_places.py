# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixed mutants still apply, samples are drawn by their seed, and what is drawn changes something."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from mutation import code, places
from mutation.mutant import DoesNotApply, Mutant

ROOT = Path(__file__).resolve().parent.parent.parent.parent


@functools.cache
def everything() -> list[Mutant]:
    return places.made(ROOT)


def test_every_fixed_mutant_applies_and_changes_what_the_code_does() -> None:
    found = places.fixed(ROOT)
    assert len(found) > 40
    for mutant in found:
        assert code.changes(mutant, (ROOT / mutant.path).read_text()), mutant
    assert len({mutant.operator for mutant in found}) == len(found)


@pytest.mark.parametrize("held", ["", "unsafe unsafe"])
def test_a_fixed_mutant_whose_text_is_not_there_once_is_an_error(
    held: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one.py").write_text(held)
    fixed = tmp_path / "fixed.yml"
    fixed.write_text("[{name: it is safe, file: one.py, old: unsafe, new: safe}]")
    monkeypatch.setattr(places, "_FIXED", fixed)
    with pytest.raises(DoesNotApply, match=f"it is safe: one.py holds 'unsafe' {held.count('unsafe')} times, not once"):
        places.fixed(tmp_path)


def test_a_sample_is_drawn_by_its_seed_from_code_plays_and_options() -> None:
    paths = {mutant.path for mutant in everything()}
    for path in (
        "plugins/plugin_utils/talos/wire.py",
        "plugins/action/gate.py",
        "plugins/modules/rollout_plan.py",
        "playbooks/tasks/judge.yml",
        "roles/reinstall/tasks/main.yml",
        "roles/compliance/defaults/main.yml",
    ):
        assert path in paths
    drawn = places.sample(ROOT, everything(), 7, 20)
    assert drawn == places.sample(ROOT, everything(), 7, 20)
    assert len(set(drawn)) == 20
    assert drawn != places.sample(ROOT, everything(), 8, 20)
    for mutant in drawn:
        text = (ROOT / mutant.path).read_text()
        assert mutant.applied(text) != text
        assert mutant.diff(text)


def test_files_are_chosen_and_left_out_by_patterns() -> None:
    chosen = places.only(everything(), ["plugins/plugin_utils/gate/*", "!*/verdict.py"])
    names = {Path(mutant.path).name for mutant in chosen}
    assert "waivers.py" in names
    assert "verdict.py" not in names
    assert {Path(mutant.path).parent.name for mutant in chosen} == {"gate"}
