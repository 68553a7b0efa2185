# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The YAML files of the gate, in which no key is written twice."""

from __future__ import annotations

import locale
from functools import partial
from pathlib import Path

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.documents import read_policy, read_yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.errors import (
    PolicyProblem,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.policy import load_policy
from ansible_collections.talosops.selinux.plugins.plugin_utils.operator_files import FileProblem


def test_keys_that_are_lists_are_refused_as_such(tmp_path: Path) -> None:
    """Two of them are not one key that is there twice."""
    path = tmp_path / "our-policy.yml"
    path.write_text("? [a]\n: b\n? [c]\n: d\n", encoding="utf-8")
    with pytest.raises(PolicyProblem, match="found unhashable key"):
        load_policy(path)


def test_a_policy_is_read_as_utf_8_wherever_the_machine_is(tmp_path: Path) -> None:
    path = tmp_path / "our-policy.yml"
    document = {"schema": 1, "name": "our-policy", "extends": "strict", "description": "für das Labor"}
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    before = locale.setlocale(locale.LC_CTYPE)
    locale.setlocale(locale.LC_CTYPE, "C")
    try:
        assert load_policy(path).name == "our-policy"
        assert read_yaml(path, "policy")["description"] == "für das Labor"
    finally:
        locale.setlocale(locale.LC_CTYPE, before)


#: Where a key is read, every level of it takes a part of the stack.
DEEP = f"? {'[' * 600}{']' * 600}\n: x"


@pytest.mark.parametrize("text", ["- 1", "a: [", "schema: 1\nschema: 1", DEEP])
def test_an_unreadable_policy_is_named_by_its_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PolicyProblem) as caught:
        load_policy(path)
    assert caught.value.context["policy"] == str(path)
    if text == DEEP:
        assert caught.value.found.endswith("it is nested too deeply")
    if "schema" in text:
        assert "line 2" in caught.value.found
    if text == "- 1":
        assert caught.value.as_dict() == {
            "kind": "policy",
            "policy": str(path),
            "found": f"the gate policy {path} cannot be used: it is not a YAML mapping",
            "why": "a policy that is not understood to the letter cannot decide about a wipe",
            "do": "correct the policy; docs/policies.md describes every field",
        }


@pytest.mark.parametrize(
    ("built_in", "why"),
    [
        ((), "the task names it"),
        (("strict", "canary"), "the task names it, and it is none of those built in (strict, canary)"),
    ],
)
def test_who_mistyped_a_name_is_told_those_that_there_are(tmp_path: Path, built_in: tuple[str, ...], why: str) -> None:
    for read in (partial(read_yaml, what="policy"), read_policy):
        with pytest.raises(FileProblem) as caught:
            read(tmp_path / "strickt", built_in=built_in)
        assert caught.value.why == why
