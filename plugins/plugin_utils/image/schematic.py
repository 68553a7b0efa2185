# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Image Factory schematics: read strictly, write canonically, compute the id offline, change only the arguments.

The id is the SHA-256 of the schematic as Go's YAML v4 encoder writes the factory's own structure (image-factory
``pkg/schematic/schematic.go``). This module writes that text for every schematic it is sure about; for the rest it
raises `UncertainSchematic`, and the factory's own answer is what counts.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import yaml

from ..problem import Problem
from ..yaml_loader import LOADER
from . import kernel_args

ID = re.compile(r"[0-9a-f]{64}")

_TYPES_DOC = "compare it with the schematic fields in the Image Factory documentation"


class SchematicError(Problem):
    """A schematic that cannot be read, or not with certainty."""

    kind = "bad_schematic"


class UnknownField(SchematicError):
    """A field that this version does not know: dropping it would build another image."""

    kind = "unknown_schematic_field"


class UncertainSchematic(SchematicError):
    """A schematic whose canonical text only the factory can tell."""

    kind = "uncertain_schematic"


@dataclass(frozen=True)
class Schematic:
    """A schematic as plain data in the factory's field order, empty fields dropped.

    Attributes:
        data: nested dicts and lists of str, int, bool; ``customization`` is always there.
    """

    data: Mapping[str, Any]

    @property
    def kernel_args(self) -> tuple[str, ...]:
        """``customization.extraKernelArgs`` in order."""
        return tuple(self.data["customization"].get("extraKernelArgs", ()))

    @property
    def extensions(self) -> tuple[str, ...]:
        """``customization.systemExtensions.officialExtensions`` in order."""
        return tuple(self.data["customization"].get("systemExtensions", {}).get("officialExtensions", ()))

    @property
    def overlay(self) -> str | None:
        """The name of the board overlay, or None."""
        name: str | None = self.data.get("overlay", {}).get("name")
        return name

    @property
    def owner(self) -> str | None:
        """The enterprise owner, which is part of the id, or None."""
        owner: str | None = self.data.get("owner")
        return owner

    def canonical(self) -> str:
        """The canonical YAML text.

        Raises:
            UncertainSchematic: for values whose form in Go's encoder is not certain.
        """
        return "".join(_mapping(self.data, 0))

    def id(self) -> str:
        """The id as the factory computes it: lower-case hex SHA-256 of `canonical`.

        Raises:
            UncertainSchematic: as `canonical`.
        """
        return hashlib.sha256(self.canonical().encode()).hexdigest()

    def body(self) -> str:
        """A text to send to the factory: canonical, or quoted YAML where the canonical form is uncertain."""
        try:
            return self.canonical()
        except UncertainSchematic:
            return _SURROGATES.sub(_one_escape, json.dumps(self.data, ensure_ascii=True))

    def shown(self) -> list[str]:
        """The schematic for human eyes, one line each; values that may hold secrets are replaced by a short hash."""
        text: str = yaml.safe_dump(_masked(self.data), sort_keys=False, width=4096)
        return text.splitlines()

    def with_kernel_args(self, args: Sequence[str]) -> Schematic:
        """The same schematic with other ``extraKernelArgs``."""
        customization = {**self.data["customization"], "extraKernelArgs": list(args)}
        return Schematic(_in_order({**self.data, "customization": customization}))


@dataclass(frozen=True)
class Derivation:
    """The schematic a node should get, and the proof that it differs from its present one only in kernel arguments.

    Attributes:
        present, target: the two schematics.
        present_id, target_id: their ids; None where only the factory can tell.
        kernel: what the solver did.
        diff: unified diff of the masked schematics; empty when nothing changes.
    """

    present: Schematic
    target: Schematic
    present_id: str | None
    target_id: str | None
    kernel: kernel_args.Solution
    diff: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Whether the node's schematic is not yet the wanted one."""
        return self.kernel.changed


def parse(text: str) -> Schematic:
    """Read a schematic (YAML or JSON) as strictly as the factory does, or more so.

    Raises:
        UnknownField: for a field this version does not know.
        UncertainSchematic: for YAML whose reading differs between implementations (anchors, tags, several documents).
        SchematicError: for anything else that is not a schematic.
    """
    try:
        documents = list(yaml.compose_all(text, Loader=LOADER))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise _bad("the schematic is not readable YAML", f"line {mark.line + 1}" if mark else "") from None
    if len(documents) != 1:
        raise _uncertain(f"the schematic text holds {len(documents)} YAML documents")
    for token in yaml.scan(text, Loader=LOADER):
        if isinstance(token, (yaml.AnchorToken, yaml.AliasToken, yaml.TagToken)):
            raise _uncertain("the schematic uses YAML anchors, aliases or tags")
    return Schematic(_in_order(_read_schema(documents[0], _SCHEMA, "")))


def derive(text: str, goal: kernel_args.Goal = "enforcing", *, present_id: str | None = None) -> Derivation:
    """The schematic that reaches ``goal``, from the one a node runs now.

    Args:
        text: the node's schematic, as in the ``extraInfo`` of its extension ``schematic``, or as kept by the factory.
        goal: ``enforcing``, or ``permissive`` for the way back.
        present_id: the id that the node or the factory gave together with the text; None for a text of the operator.

    Raises:
        SchematicError: see `parse`; also when the text does not hash to ``present_id``.
    """
    if present_id is not None and not is_text_of(text, present_id):
        raise _bad(f"the schematic's text does not belong to its id {present_id}", "")
    present = parse(text)
    solution = kernel_args.solve(present.kernel_args, goal)
    target = present.with_kernel_args(solution.args)
    if target.with_kernel_args(()).data != present.with_kernel_args(()).data:
        raise AssertionError("deriving a schematic changed more than its kernel arguments")
    diff = difflib.unified_diff(present.shown(), target.shown(), "present", "target", lineterm="")
    return Derivation(present, target, known_id(present), known_id(target), solution, tuple(diff))


def known_id(schematic: Schematic) -> str | None:
    """The offline id, or None where only the factory can tell."""
    try:
        return schematic.id()
    except UncertainSchematic:
        return None


def is_text_of(text: str, schematic_id: str) -> bool:
    """Whether a text is the canonical form the id was made from: true for what a node or a factory hands out."""
    return hashlib.sha256(text.encode()).hexdigest() == schematic_id


# --- reading ----------------------------------------------------------------------------------------------------


def _read_schema(node: yaml.Node, schema: Any, where: str) -> Any:
    if callable(schema):
        return schema(node, where)
    if isinstance(schema, list):
        if _is_null(node):
            return []
        if not isinstance(node, yaml.SequenceNode):
            raise _bad(f"{where} is not a list", "")
        return [_read_schema(item, schema[0], f"{where}[{i}]") for i, item in enumerate(node.value)]
    if _is_null(node) and where:
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise _bad(f"{where or 'the schematic'} is not a mapping", "")
    result: dict[str, Any] = {}
    for key, value in _pairs(node, where):
        path = f"{where}.{key}" if where else key
        if key not in schema:
            raise UnknownField(
                f"the schematic has the field {path!r}, which this collection does not know",
                "an image built without it would not be the node's image",
                "use a newer release of the collection, or give the target schematic's id yourself",
                field=path,
            )
        result[key] = _read_schema(value, schema[key], path)
    return result


def _pairs(node: yaml.MappingNode, where: str) -> Iterable[tuple[str, yaml.Node]]:
    seen: set[str] = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
            raise _uncertain(f"{where or 'the schematic'} has a key that is not a plain word")
        if key.value in seen:
            raise _bad(f"{where or 'the schematic'} has the key {key.value!r} twice", "")
        seen.add(key.value)
        yield key.value, value


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _unquoted(node: yaml.ScalarNode) -> bool:
    # The C loader says "", the Python one None.
    return not node.style


def _string(node: yaml.Node, where: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise _bad(f"{where} is not a string", "")
    if node.tag != "tag:yaml.org,2002:str":
        # Go takes some of these as strings and not others, and PyYAML's YAML 1.1 types differ from Go's.
        if _is_null(node) or not _unquoted(node):
            raise _uncertain(f"{where} is a YAML {node.tag.rpartition(':')[2]}, not a string")
        raise _uncertain(f"{where} is not quoted and reads as a YAML {node.tag.rpartition(':')[2]}")
    return str(node.value)


def _whole_number(low: int, high: int) -> Callable[[yaml.Node, str], int]:
    def read(node: yaml.Node, where: str) -> int:
        value = node.value if isinstance(node, yaml.ScalarNode) and _unquoted(node) else None
        if not isinstance(value, str) or not re.fullmatch(r"0|[1-9][0-9]{0,9}|0x[0-9a-fA-F]{1,8}", value):
            raise _bad(f"{where} is not a whole number", "")
        number = int(value, 0)
        if not low <= number <= high:
            raise _bad(f"{where} is not between {low} and {high}", "")
        return number

    return read


def _truth(node: yaml.Node, where: str) -> bool:
    if isinstance(node, yaml.ScalarNode) and _unquoted(node) and node.value in ("true", "false"):
        return bool(node.value == "true")
    raise _bad(f"{where} is neither true nor false", "")


def _one_of(*words: str) -> Callable[[yaml.Node, str], str]:
    def read(node: yaml.Node, where: str) -> str:
        if isinstance(node, yaml.ScalarNode) and node.value in words:
            return str(node.value)
        raise _uncertain(f"{where} is none of {', '.join(words)}")

    return read


def _options(node: yaml.Node, where: str) -> Any:
    """Overlay options: free-form, so only the types that read the same everywhere are taken."""
    if isinstance(node, yaml.MappingNode):
        # Go writes free-form maps sorted by key.
        return {key: _options(value, f"{where}.{key}") for key, value in sorted(_pairs(node, where), key=itemgetter(0))}
    if isinstance(node, yaml.SequenceNode):
        return [_options(item, where) for item in node.value]
    if isinstance(node, yaml.ScalarNode):
        if node.tag == "tag:yaml.org,2002:str":
            return str(node.value)
        if _unquoted(node) and node.value in ("true", "false"):
            return bool(node.value == "true")
        if _unquoted(node) and re.fullmatch(r"0|-?[1-9][0-9]{0,17}", node.value):
            return int(node.value)
    raise _uncertain(f"{where} holds a value that is no string, whole number, true or false")


_META = {"key": _whole_number(0, 255), "value": _string}

# The order of the keys is the order of the fields in the factory's structure, and so part of every id.
_SCHEMA: dict[str, Any] = {
    "owner": _string,
    "overlay": {"image": _string, "name": _string, "options": _options},
    "customization": {
        "embeddedMachineConfiguration": _string,
        "extraKernelArgs": [_string],
        "meta": [_META],
        "systemExtensions": {"officialExtensions": [_string]},
        "bootloader": _one_of("dual-boot", "grub", "sd-boot"),
        "secureboot": {
            "enrollKeys": _one_of("off", "manual", "if-safe", "force"),
            "includeWellKnownCertificates": _truth,
        },
        "diskImage": {"sectorSize": _whole_number(0, 2**32 - 1)},
    },
}


def _in_order(data: Mapping[str, Any]) -> dict[str, Any]:
    """Fields in the factory's order with what ``omitempty`` drops left out."""
    result = _ordered(data, _SCHEMA)
    result.setdefault("customization", {})
    return {key: result[key] for key in _SCHEMA if key in result}


def _ordered(data: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, rule in schema.items():
        value = data.get(key)
        if isinstance(rule, dict) and isinstance(value, Mapping):
            value = _ordered(value, rule)
            if key == "overlay" and value:
                # image and name have no omitempty: they are written even when empty.
                value = {"image": value.get("image", ""), "name": value.get("name", ""), **value}
        elif isinstance(rule, list) and isinstance(value, list) and rule[0] is _META:
            value = [{"key": item.get("key", 0), "value": item.get("value", "")} for item in value]
        if value not in (None, "", [], {}, False, 0):
            result[key] = value
    return result


# --- writing ----------------------------------------------------------------------------------------------------

_INDENT = 4

# Words that every release of Go's encoder writes in double quotes, since they read as another type.
_RESERVED = frozenset(
    form for word in ("true", "false", "null") for form in (word, word.capitalize(), word.upper())
) | {
    "~",
    ".nan",
    ".NaN",
    ".NAN",
}
# Words of YAML 1.1: measured, releases of the encoder differ in the kind of quotes (4.0.0-rc.6 against 4.0.0).
_UNSURE_WORDS = frozenset(
    form for word in ("y", "n", "yes", "no", "on", "off") for form in (word, word.capitalize(), word.upper())
) | {"<<"}
_NUMBER_LIKE = re.compile(r"[-+]?(?:[._]*[0-9]|\.(?:inf|Inf|INF)$)")
_SURE_NUMBER = re.compile(
    r"[-+]?[0-9]+"
    r"|[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,2})?"
    r"|[-+]?[0-9]+[eE][-+]?[0-9]{1,2}"
    r"|0x[0-9a-fA-F]+|0o[0-7]+|0b[01]+"
    r"|[-+]?\.(?:inf|Inf|INF)"
)
# A word that starts like a number but holds a character no number, date or base-60 value can have.
_NOT_A_NUMBER = re.compile(r"[^0-9a-zA-Z_.:+ -]|[g-np-su-wyzG-NP-SU-WY]|^[0-9]+(?:\.[0-9]+){2,}$")
_PRINTABLE = re.compile(r"[ -~]*")
_BLOCK = re.compile(r"[!-~](?:[ -~]|\n)*")
_INDICATORS_ANYWHERE_FIRST = frozenset("#,[]{}&*!|>'\"%@`")


def _mapping(data: Mapping[str, Any], indent: int) -> Iterable[str]:
    if len(data) > 1 and not all(re.fullmatch(r"[A-Za-z]+", key) for key in data):
        raise _uncertain("the overlay's options have keys whose order only the factory knows")
    blanks = " " * indent
    for key, value in data.items():
        yield from _entry(f"{blanks}{_scalar(key)}:", value, indent)


def _deeper(indent: int) -> int:
    # Go goes to the next multiple of four, also from a key two columns behind a list's dash.
    return (indent // _INDENT + 1) * _INDENT


def _entry(head: str, value: Any, indent: int) -> Iterable[str]:
    if isinstance(value, Mapping):
        if value:
            yield f"{head}\n"
            yield from _mapping(value, _deeper(indent))
        else:
            yield f"{head} {{}}\n"
    elif isinstance(value, list):
        if value:
            yield f"{head}\n"
            yield from _sequence(value, _deeper(indent))
        else:
            yield f"{head} []\n"
    elif isinstance(value, str) and "\n" in value:
        yield from _block(head, value, _deeper(indent))
    else:
        yield f"{head} {_scalar(value)}\n"


def _sequence(items: Sequence[Any], indent: int) -> Iterable[str]:
    blanks = " " * indent
    for item in items:
        if isinstance(item, Mapping) and item:
            lines = list(_mapping(item, indent + 2))
            yield f"{blanks}- {''.join(lines)[indent + 2 :]}"
        elif isinstance(item, (Mapping, list)):
            raise _uncertain("the schematic holds a list in a list")
        elif isinstance(item, str) and "\n" in item:
            raise _uncertain("the schematic holds a list entry of several lines")
        else:
            yield f"{blanks}- {_scalar(item)}\n"


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = str(value)
    if not _PRINTABLE.fullmatch(text):
        raise _uncertain("the schematic holds text beyond printable ASCII")
    if text == "" or text in _RESERVED:
        return f'"{text}"'
    if text in _UNSURE_WORDS:
        raise _uncertain(f"the schematic holds {text!r}, which releases of the factory quote differently")
    if _NUMBER_LIKE.match(text):
        if _SURE_NUMBER.fullmatch(text):
            return f'"{text}"'
        if not _NOT_A_NUMBER.search(text):
            raise _uncertain(f"the schematic holds {text!r}, which may read as a number or a date")
    if _plain(text):
        return text
    return "'" + text.replace("'", "''") + "'"


def _plain(text: str) -> bool:
    """Whether Go's emitter writes a printable ASCII text without quotes in block context."""
    if text[0] == " " or text[-1] == " " or text.startswith(("---", "...")):
        return False
    if text[0] in _INDICATORS_ANYWHERE_FIRST:
        return False
    if text[0] in "-?:" and (len(text) == 1 or text[1] == " "):
        return False
    return not (": " in text or text.endswith(":") or " #" in text)


def _block(head: str, text: str, indent: int) -> Iterable[str]:
    """A literal block: what Go writes for text of several lines, such as an embedded machine configuration."""
    body = text[:-1] if text.endswith("\n") else text
    if not _BLOCK.fullmatch(body) or body.endswith(("\n", " ")) or " \n" in body:
        raise _uncertain("the schematic holds text of several lines that Go's encoder may write in another form")
    yield f"{head} {'|' if text.endswith(chr(10)) else '|-'}\n"
    for line in body.split("\n"):
        yield f"{' ' * indent}{line}\n" if line else "\n"


# JSON writes what lies beyond 16 bits as two escapes, YAML as one; a doubled backslash is no escape.
_SURROGATES = re.compile(r"\\\\|\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})")


def _one_escape(match: re.Match[str]) -> str:
    if match[1] is None:
        return match[0]
    high, low = int(match[1], 16), int(match[2], 16)
    return f"\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08x}"


# --- showing ----------------------------------------------------------------------------------------------------


def _masked(data: Mapping[str, Any]) -> dict[str, Any]:
    customization = dict(data["customization"])
    if "embeddedMachineConfiguration" in customization:
        customization["embeddedMachineConfiguration"] = _digest(customization["embeddedMachineConfiguration"])
    if "extraKernelArgs" in customization:
        customization["extraKernelArgs"] = [kernel_args.masked(arg) for arg in customization["extraKernelArgs"]]
    if "meta" in customization:
        customization["meta"] = [{**entry, "value": _digest(entry["value"])} for entry in customization["meta"]]
    return {**data, "customization": customization}


def _digest(text: str) -> str:
    return f"<{len(text)} characters, sha256 {hashlib.sha256(text.encode()).hexdigest()[:12]}>"


def _bad(found: str, detail: str) -> SchematicError:
    return SchematicError(
        f"{found}{f' ({detail.strip()})' if detail else ''}",
        "no image can be derived from it",
        _TYPES_DOC,
    )


def _uncertain(found: str) -> UncertainSchematic:
    return UncertainSchematic(
        found,
        "the schematic's id cannot be computed offline with certainty",
        "let the Image Factory compute it (verify with the factory instead of offline)",
    )
