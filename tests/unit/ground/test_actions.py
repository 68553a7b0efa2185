# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task says when something happens that nobody foresaw."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.talosops.selinux.plugins.plugin_utils import actions
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import canonical_json


def acted(monkeypatch: pytest.MonkeyPatch, act: Any) -> dict[str, Any]:
    """The result of a task whose work is ``act``."""

    class Odd(actions.TalosAction):
        MODULE = "machine_status_info"

    monkeypatch.setattr(actions.ActionBase, "run", lambda *_given: {})
    monkeypatch.setattr(actions.ActionBase, "validate_argument_spec", lambda *_given, **_more: (None, {}))
    monkeypatch.setattr(Odd, "act", lambda self: act())
    return Odd.__new__(Odd).run(task_vars={})


@pytest.mark.parametrize(
    ("act", "found"),
    [
        (lambda: {}["token: s3cret"], "KeyError in plugin_utils/actions.py, line "),
        (lambda: int("s3cret"), "ValueError in plugin_utils/actions.py, line "),
        (lambda: canonical_json({"s3cret": {1}}), "TypeError in plugin_utils/canonical.py, line "),
        (lambda: [][0], "IndexError in plugin_utils/actions.py, line "),
    ],
)
def test_no_trace_and_nothing_that_an_error_quotes_is_shown(
    monkeypatch: pytest.MonkeyPatch, act: Any, found: str
) -> None:
    result = acted(monkeypatch, act)
    assert result["failed"] is True and result["failure"]["kind"] == "unexpected"
    assert f"machine_status_info ended with an unexpected {found}" in result["msg"] and "s3cret" not in str(result)


def test_what_ansible_says_itself_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def act() -> None:
        raise AnsibleActionFail("an option is missing")

    with pytest.raises(AnsibleActionFail, match="an option is missing"):
        acted(monkeypatch, act)
