# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mutants of Python code.

What nobody can observe is left alone: documentation, annotations, the words of messages, ``__slots__``, codecs, what
is for type checkers only. A mutant is a change of what the code does, not of what it says.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

from .mutant import Mutant, at

_COMPARE = {"==": "!=", "!=": "==", "<": "<=", ">": ">=", "<=": "<", ">=": ">", "is": "is not", "is not": "is"}
_COMPARE |= {"in": "not in", "not in": "in"}
_TEXT_OF: dict[type[ast.AST], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.Gt: ">",
    ast.LtE: "<=",
    ast.GtE: ">=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
}
_ARITHMETIC = {"+": "-", "-": "+", "*": "//", "/": "*", "//": "*"}
_CALLED = {"min": "max", "max": "min", "any": "all", "all": "any"}
#: A text that is a name or a value; others are words for people.
_VALUE = re.compile(r"[\w./:@=-]+\Z")
#: Arguments whose loss or change is seen by nobody, or is what the default says.
_UNSEEN = {"encoding", "errors", "strict"}
#: What is called to speak to people.
_SPEAKING = {"display", "warning", "vv", "vvv", "deprecated"}
#: What is given the names of a codec and of what it does to what it cannot hold, which have many spellings.
_CODECS = {"encode", "decode"}
_TYPING = {"TypeVar", "cast", "NewType", "ParamSpec"}


def mutants_of(path: str, text: str) -> list[Mutant]:
    """The mutants of a Python file, in the order of their places; a few may turn out to be none (see changes)."""
    finder = _Finder(path, text)
    finder.visit(ast.parse(text))
    found = {(mutant.start, mutant.old, mutant.new): mutant for mutant in finder.found}
    return sorted(found.values(), key=lambda one: (one.start, one.operator, one.new))


def changes(mutant: Mutant, text: str) -> bool:
    """Whether a mutant of a file with this text is code, and other code than it was."""
    if not mutant.path.endswith(".py"):
        return True
    try:
        return _meaning(mutant.applied(text)) != _meaning(text)
    except SyntaxError:
        return False


def _meaning(text: str) -> str:
    return ast.dump(ast.parse(text))


class _Finder(ast.NodeVisitor):
    """Collects mutants, and walks past what is not mutated."""

    def __init__(self, path: str, text: str) -> None:
        self.path, self.text = path, text
        self.found: list[Mutant] = []
        self._starts = [0]
        for line in text.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._lines = text.splitlines()

    # -- places ----------------------------------------------------------------------------------------------------

    def _offset(self, line: int, column: int) -> int:
        # The column counts bytes.
        return self._starts[line - 1] + len(self._lines[line - 1].encode()[:column].decode())

    def _span(self, node: ast.AST) -> tuple[int, int]:
        place: ast.expr = node  # type: ignore[assignment]  # all nodes that are asked for have places
        return self._offset(place.lineno, place.col_offset), self._offset(
            place.end_lineno or place.lineno, place.end_col_offset or 0
        )

    def _source(self, node: ast.AST) -> str:
        start, end = self._span(node)
        return self.text[start:end]

    def _replace(self, node: ast.AST, operator: str, new: str) -> None:
        start, end = self._span(node)
        self._change(start, self.text[start:end], operator, new)

    def _change(self, start: int, old: str, operator: str, new: str) -> None:
        self.found.append(at(self.path, self.text, start, old, new, operator))

    def _between(self, left: ast.AST, right: ast.AST, word: str, new: str, operator: str) -> None:
        """Replace the operator that stands between two operands."""
        start, end = self._span(left)[1], self._span(right)[0]
        pattern = r"\b" + word.replace(" ", r"\s+") + r"\b" if word[0].isalpha() else re.escape(word)
        match = re.search(pattern, self.text[start:end])
        if match:
            self._change(start + match.start(), match[0], operator, new)

    # -- what is walked past ---------------------------------------------------------------------------------------

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if any(isinstance(one, ast.Name) and one.id == "overload" for one in node.decorator_list):
            return
        self._all([*node.args.defaults, *(one for one in node.args.kw_defaults if one is not None), *node.body])

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._all(node.body)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Texts that are put together are words for people."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self._assignment(node, [node.target], node.value)

    def visit_Assert(self, node: ast.Assert) -> None:
        """An assert says what cannot be."""

    def _all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    # -- statements ------------------------------------------------------------------------------------------------

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant) or _speaks(node.value):
            return
        if isinstance(node.value, ast.Call | ast.Await):
            self._replace(node, "a statement dropped", "pass")
        self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        self._replace(node, "an error not raised", "pass")

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is None or _is_message(node.value):
            return
        if not isinstance(node.value, ast.Constant):
            self._replace(node, "nothing returned", "return None")
        self.visit(node.value)

    def visit_Continue(self, node: ast.Continue) -> None:
        self._replace(node, "a continue dropped", "pass")

    def visit_Assign(self, node: ast.Assign) -> None:
        self._assignment(node, node.targets, node.value)

    def _assignment(self, node: ast.stmt, targets: list[ast.expr], value: ast.expr) -> None:
        names = {target.id for target in targets if isinstance(target, ast.Name)}
        if names & {"__slots__", "__all__"} or _is_typing(value):
            return
        if all(isinstance(target, ast.Attribute | ast.Subscript) for target in targets):
            self._replace(node, "a statement dropped", "pass")
        self.visit(value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if not _is_message(node.value):
            self._replace(node, "a statement dropped", "pass")
            self.visit(node.value)

    def visit_If(self, node: ast.If) -> None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        self._condition(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if not any(isinstance(inner, ast.Raise) for inner in node.body):
            start, end = self._span(node.body[0])[0], self._span(node.body[-1])[1]
            self._change(start, self.text[start:end], "an error not handled", "raise")
        self._all(node.body)

    # -- expressions -----------------------------------------------------------------------------------------------

    def _condition(self, test: ast.expr) -> None:
        if not isinstance(test, ast.Compare) and not (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)):
            self._replace(test, "a condition negated", f"not ({self._source(test)})")

    def visit_IfExp(self, node: ast.IfExp) -> None:
        if not (_is_message(node.body) or _is_message(node.orelse)):
            self._condition(node.test)
            self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self._replace(test, "a filter dropped", "True")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for left, kind, right in zip(operands, node.ops, node.comparators, strict=False):
            word = _TEXT_OF[type(kind)]
            self._between(left, right, word, _COMPARE[word], "a comparison changed")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        both = isinstance(node.op, ast.And)
        word, other = ("and", "or") if both else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._between(left, right, word, other, f"{word} to {other}")
        for value in node.values:
            if not _is_message(value):
                self._replace(value, "a part of a condition dropped", str(both))
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._replace(node, "a not dropped", f"({self._source(node.operand)})")
            self.visit(node.operand)
        elif not (isinstance(node.operand, ast.Constant) and isinstance(node.operand.value, int)):
            self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        word = _TEXT_OF.get(type(node.op))
        if word is not None and not _is_message(node) and not _is_typing(node):
            lists = ast.List | ast.ListComp | ast.Tuple | ast.JoinedStr
            if not isinstance(node.left, lists) and not isinstance(node.right, lists):
                self._between(node.left, node.right, word, _ARITHMETIC[word], "arithmetic changed")
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        index = self._source(node.slice)
        if index in ("0", "-1"):
            self._replace(node.slice, "the other end", "-1" if index == "0" else "0")
            self.visit(node.value)
        elif isinstance(node.slice, ast.Constant):
            # Another key is found nowhere, which whatever runs there notices.
            self.visit(node.value)
        else:
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = _name(node.func)
        if name in _TYPING or _speaks(node):
            return
        if _is_message_made(node):
            return
        if isinstance(node.func, ast.Name) and name in _CALLED:
            self._replace(node.func, f"{name} to {_CALLED[name]}", _CALLED[name])
        self.visit(node.func)
        self._all(node.args if name not in _CODECS else ())
        for keyword in node.keywords:
            if keyword.arg in _UNSEEN or _is_message(keyword.value):
                continue
            self._drop_keyword(node, keyword)
            self.visit(keyword.value)

    def _drop_keyword(self, call: ast.Call, keyword: ast.keyword) -> None:
        start, end = self._span(keyword)
        rest = re.match(r"\s*,\s*", self.text[end : self._span(call)[1]])
        if rest:
            end += rest.end()
        else:
            before = re.search(r",\s*\Z", self.text[self._span(call.func)[1] : start])
            start -= len(before[0]) if before else 0
        self._change(start, self.text[start:end], "an argument dropped", "")

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self._replace(node, "a constant changed", str(not value))
        elif isinstance(value, int | float):
            self._replace(node, "a constant changed", str(value + 1))
        elif isinstance(value, str) and _VALUE.match(value):
            self._replace(node, "a value changed", repr(value + "_")[:1].replace("'", '"') + value + '_"')


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _speaks(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and _name(node.func) in _SPEAKING


def _is_message(node: ast.expr) -> bool:
    """Whether an expression is words for people."""
    if isinstance(node, ast.JoinedStr):
        return True
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and not _VALUE.match(node.value) and len(node.value.split()) > 1
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _is_message(node.left) or _is_message(node.right)
    if isinstance(node, ast.IfExp):
        return _is_message(node.body) or _is_message(node.orelse)
    return False


def _is_message_made(node: ast.Call) -> bool:
    """Whether a call makes an error or a finding of words: its name is a class's, and it is given words."""
    name = _name(node.func).lstrip("_")
    return name[:1].isupper() and any(_is_message(one) for one in node.args)


def _is_typing(node: ast.expr) -> bool:
    """Whether a value is a type: ``Answer = tuple[bool | None, str]``."""
    if isinstance(node, ast.Call):
        return _name(node.func) in _TYPING
    return isinstance(node, ast.Subscript) and _name(node.value) in {
        "tuple",
        "dict",
        "list",
        "Mapping",
        "Callable",
        "Literal",
        "Sequence",
        "Union",
    }


def options_of(path: str, text: str) -> Iterator[Mutant]:
    """Other defaults in the documentation of a module, where its action reads them."""
    for match in re.finditer(r"(?m)^ +default: (.+)$", text):
        value = match[1]
        yield at(path, text, match.start(1), value, other(value), "another default")


def other(value: str) -> str:
    """Another value of the same kind, both as YAML."""
    if value in ("true", "false"):
        return "false" if value == "true" else "true"
    if re.fullmatch(r"\d+", value):
        return str(int(value) + 1)
    if re.fullmatch(r"\d+\.\d+", value):
        return str(float(value) + 1)
    if value == "[]":
        return "[other]"
    if value.startswith("["):
        return "[" + value.strip("[]").rpartition(",")[0] + "]"
    if value in ("{}", "null"):
        return "other"
    return value.strip("\"'") + "_"
