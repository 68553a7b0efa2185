# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mutants of playbooks and roles."""

from __future__ import annotations

import yaml
from mutation import plays

PLAY = """\
- name: First
  hosts: all
  serial: 1
  tasks:
    - name: Ask
      talosops.selinux.gate:
        evidence: "{{ it }}"
        policy: strict
      when: it is defined
    - name: Insist
      ansible.builtin.assert:
        that: it == 1
"""


def test_what_a_play_becomes() -> None:
    found = {mutant.operator: yaml.safe_load(mutant.applied(PLAY))[0] for mutant in plays.mutants_of("p.yml", PLAY)}
    assert set(found) == {
        "serial dropped",
        "a task dropped",
        "an option not given",
        "when dropped",
        "an assert made true",
    }
    assert "serial" not in found["serial dropped"]
    assert "when" not in found["when dropped"]["tasks"][0]
    assert found["an assert made true"]["tasks"][1]["ansible.builtin.assert"] == {"that": True}
    assert found["an option not given"]["tasks"][1]["ansible.builtin.assert"] is None
    assert found["a task dropped"]["tasks"][1] == {"name": "Insist", "ansible.builtin.meta": "noop"}


def test_another_default_of_a_role() -> None:
    text = "---\na: 3\nb: [one, two]\nc: false\nd: null\n"
    new = [yaml.safe_load(mutant.applied(text)) for mutant in plays.mutants_of("roles/r/defaults/main.yml", text)]
    before = {"a": 3, "b": ["one", "two"], "c": False, "d": None}
    assert new == [before | {"a": 4}, before | {"b": ["one"]}, before | {"c": True}, before | {"d": "other"}]
