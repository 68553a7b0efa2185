# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mutants of code change what it does, and leave alone what it says."""

from __future__ import annotations

import pytest
from mutation import code

#: A line of code, and what it becomes.
CHANGES = {
    "a == b and c": {"a != b and c", "a == b or c", "True and c", "a == b and True"},
    "not a": {"(a)"},
    "a = any(x for x in y if x.z)": {"a = all(x for x in y if x.z)", "a = any(x for x in y if True)"},
    "f(a, b=c, d=e)": {"f(a, d=e)", "f(a, b=c)", "pass"},
    "x[0]": {"x[-1]"},
    "x = 3": {"x = 4"},
    "x = True": {"x = False"},
    "a.b = c": {"pass"},
    "a += b": {"pass"},
    'a == "é" or b == "two"': {
        'a != "é" or b == "two"',
        'a == "é" and b == "two"',
        'False or b == "two"',
        'a == "é_" or b == "two"',
        'a == "é" or False',
        'a == "é" or b != "two"',
        'a == "é" or b == "two_"',
    },
    'raise Problem("it is so", "why", "do")': {"pass"},
    "if a < 1: b()": {"if a <= 1: b()", "if a < 2: b()", "if a < 1: pass"},
}
#: What nobody can observe, or only people read.
LEFT = (
    '"""A documentation."""',
    "def f(a: int | None) -> bool: ...",
    "__slots__ = ('a', 'b')",
    "Answer = tuple[bool | None, str]",
    'T = TypeVar("T")',
    'Display().display("a b", color="red")',
    'x = f"{a if b else c} of {d[0]}"',
    "assert a == b",
    'a = b.decode("ascii", "replace")',
    "if TYPE_CHECKING:\n    import a",
)


@pytest.mark.parametrize("text", CHANGES)
def test_what_a_line_becomes(text: str) -> None:
    assert {mutant.applied(text) for mutant in code.mutants_of("one.py", text) if code.changes(mutant, text)} == (
        CHANGES[text]
    )


@pytest.mark.parametrize("text", LEFT)
def test_what_is_left_alone(text: str) -> None:
    assert [mutant.applied(text) for mutant in code.mutants_of("one.py", text) if code.changes(mutant, text)] == []


def test_a_return_gives_nothing_and_an_error_is_not_handled() -> None:
    text = "def f(a):\n    try:\n        return a.b\n    except ValueError:\n        a.c = 2\n"
    changed = {mutant.operator: mutant.applied(text) for mutant in code.mutants_of("one.py", text)}
    assert "return None" in changed["nothing returned"]
    assert changed["an error not handled"].endswith("except ValueError:\n        raise\n")
    assert [mutant.line for mutant in code.mutants_of("one.py", text)] == [3, 5, 5, 5]


def test_another_default_of_an_option() -> None:
    text = "options:\n  a:\n    default: 3\n  b:\n    default: true\n  c:\n    default: strict\n"
    assert [mutant.new for mutant in code.options_of("one.py", text)] == ["4", "false", "strict_"]
