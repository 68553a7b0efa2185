# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all tests of the gate share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils import problem
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import compat, expression
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.policy import Policy, load_policy


@pytest.fixture(scope="session")
def strict() -> Policy:
    """The built-in policy."""
    return load_policy("strict")


@pytest.fixture(autouse=True)
def _nothing_cached() -> None:
    """Each test builds the function library and reads the table itself."""
    expression._class.cache_clear()
    compat._load.cache_clear()


@pytest.fixture(autouse=True)
def _problems_are_told_well(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every problem raised in a test tells its three parts in plain sentences."""
    told: list[tuple[Any, Any, Any]] = []
    original = problem.Problem.__init__

    def init(self: problem.Problem, found: str, why: str, do: str, **context: Any) -> None:
        told.append((found, why, do))
        original(self, found, why, do, **context)

    monkeypatch.setattr(problem.Problem, "__init__", init)
    yield
    for found, why, do in told:
        for text in (found, why, do):
            assert isinstance(text, str)
            assert len(text) > 10
            assert text.isprintable()
            # A sentence begins with a word, a name in quotes or a number.
            assert re.match(r"""[a-z0-9'"`]|[A-Z][a-z ]""", text)
        for text in (why, do):
            # Names such as MIB or YAML are fine; shouting is not.
            assert sum(letter.islower() for letter in text) > len(text) / 4
