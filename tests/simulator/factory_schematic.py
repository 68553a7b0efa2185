# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Schematics as the simulated Image Factory sees them.

Written without a look at the collection's own implementation: two independent readings of the same
facts are what makes a comparison of schematic ids worth something.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml
from yaml.emitter import Emitter
from yaml.resolver import Resolver

# Field order is the identity of a schematic: the factory hashes its struct as marshalled.
TOP = ("owner", "overlay", "customization")
_OVERLAY = ("image", "name", "options")
CUSTOMIZATION = (
    "embeddedMachineConfiguration",
    "extraKernelArgs",
    "meta",
    "systemExtensions",
    "bootloader",
    "secureboot",
    "diskImage",
)
_BOOTLOADERS = ("none", "dual-boot", "sd-boot", "grub")

# YAML 1.1 booleans are quoted by Go's emitter although its own parser reads them as text.
_OLD_BOOLEANS = frozenset({*"yYnN", "yes", "Yes", "YES", "on", "On", "ON", "no", "No", "NO", "off", "Off", "OFF"})
_NULLS = ("", "~", "null", "Null", "NULL")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?\Z")


class SchematicError(ValueError):
    """The text is no schematic; the factory answers 400 with this message."""


class _StrictLoader(yaml.BaseLoader):
    """Scalars stay text, as they do in Go's string fields, but for a plain null; a key given twice is an error."""

    def construct_scalar(self, node: yaml.Node) -> Any:
        """The text of a scalar, or None."""
        if isinstance(node, yaml.ScalarNode) and node.style is None and node.value in _NULLS:
            return None
        return super().construct_scalar(node)  # type: ignore[arg-type] # PyYAML's stubs want the subclass


def _mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise SchematicError("yaml: invalid map key")
        if key in result:
            raise SchematicError(f'yaml: mapping key "{key}" already defined')
        result[key] = loader.construct_object(value_node, deep=True)
    return result


_StrictLoader.add_constructor("tag:yaml.org,2002:map", _mapping)


def parse(text: str) -> dict[str, Any]:
    """A schematic (YAML or JSON text) as plain data with only the fields that count.

    Raises:
        SchematicError: no YAML, an unknown field, or a value of the wrong type.
    """
    try:
        documents = list(yaml.load_all(text, Loader=_StrictLoader))
        natural = next(iter(yaml.safe_load_all(text)), None)
    except yaml.YAMLError as error:
        raise SchematicError(f"yaml: {error}") from error
    if not documents:
        raise SchematicError("EOF")
    top = _fields(documents[0], TOP, "Schematic")
    overlay = _fields(top.get("overlay"), _OVERLAY, "Overlay")
    given = _fields(top.get("customization"), CUSTOMIZATION, "Customization")

    customization: dict[str, Any] = {}
    if config := _text(given.get("embeddedMachineConfiguration")):
        customization["embeddedMachineConfiguration"] = config
    if arguments := _texts(given.get("extraKernelArgs")):
        customization["extraKernelArgs"] = arguments
    if meta := [_meta(value) for value in _list(given.get("meta"))]:
        customization["meta"] = meta
    extensions = _fields(given.get("systemExtensions"), ("officialExtensions",), "SystemExtensions")
    if names := _texts(extensions.get("officialExtensions")):
        customization["systemExtensions"] = {"officialExtensions": names}
    bootloader = _text(given.get("bootloader")) or "none"
    if bootloader not in _BOOTLOADERS:
        raise SchematicError(f"{bootloader} does not belong to BootloaderKind values")
    if bootloader != "none":
        customization["bootloader"] = bootloader
    secureboot = _fields(
        given.get("secureboot"), ("enrollKeys", "includeWellKnownCertificates"), "SecureBootCustomization"
    )
    chosen: dict[str, Any] = {}
    if keys := _text(secureboot.get("enrollKeys")):
        chosen["enrollKeys"] = keys
    if _boolean(secureboot.get("includeWellKnownCertificates")):
        chosen["includeWellKnownCertificates"] = True
    if chosen:
        customization["secureboot"] = chosen
    disk_image = _fields(given.get("diskImage"), ("sectorSize",), "DiskImageCustomization")
    if size := _integer(disk_image.get("sectorSize"), 2**64 - 1):
        customization["diskImage"] = {"sectorSize": size}

    schematic: dict[str, Any] = {}
    if owner := _text(top.get("owner")):
        schematic["owner"] = owner
    image, name = _text(overlay.get("image")), _text(overlay.get("name"))
    options = natural["overlay"]["options"] if natural and overlay.get("options") else None
    if options is not None and not isinstance(options, dict):
        raise SchematicError("yaml: cannot unmarshal into map[string]interface {}")
    if image or name or options:
        schematic["overlay"] = {"image": image, "name": name, **({"options": options} if options else {})}
    schematic["customization"] = customization
    return schematic


def canonical(schematic: Mapping[str, Any]) -> str:
    """The canonical YAML of a parsed schematic (facts, section 6.2)."""
    return "".join(_emit(schematic, 0))


def schematic_id(text: str) -> str:
    """The id of a canonical text: its SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()


def _fields(value: Any, known: Sequence[str], kind: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SchematicError(f"yaml: unmarshal errors:\n  cannot unmarshal into schematic.{kind}")
    for key in value:
        if key not in known:
            raise SchematicError(f"yaml: unmarshal errors:\n  field {key} not found in type schematic.{kind}")
    return value


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise SchematicError("yaml: unmarshal errors:\n  cannot unmarshal into string")
    return value


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise SchematicError("yaml: unmarshal errors:\n  cannot unmarshal into a list")
    return value


def _texts(value: Any) -> list[str]:
    return [_text(item) for item in _list(value)]


def _integer(value: Any, most: int) -> int:
    text = _text(value) or "0"
    try:
        number = int(text, 0)
    except ValueError as error:
        raise SchematicError(f"yaml: unmarshal errors:\n  cannot unmarshal `{text}` into an integer") from error
    if not 0 <= number <= most:
        raise SchematicError(f"yaml: unmarshal errors:\n  cannot unmarshal `{text}`: out of range")
    return number


def _boolean(value: Any) -> bool:
    text = _text(value).lower()
    if text not in ("", "true", "false", "yes", "no", "on", "off"):
        raise SchematicError(f"yaml: unmarshal errors:\n  cannot unmarshal `{text}` into bool")
    return text in ("true", "yes", "on")


def _meta(value: Any) -> dict[str, Any]:
    fields = _fields(value, ("key", "value"), "MetaValue")
    return {"key": _integer(fields.get("key"), 255), "value": _text(fields.get("value"))}


def _emit(value: Mapping[str, Any], depth: int) -> Iterable[str]:
    pad = "    " * depth
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            # Only the overlay's options are a map in Go, whose keys come sorted, numbers in them by value.
            ordered = dict(sorted(item.items(), key=_natural)) if key == "options" or depth > 1 else item
            yield f"{pad}{_scalar(key)}:\n"
            yield from _emit(ordered, depth + 1)
        elif isinstance(item, list) and item:
            yield f"{pad}{_scalar(key)}:\n"
            yield from _emit_list(item, depth + 1)
        else:
            yield f"{pad}{_scalar(key)}: {_leaf(item, 4 * depth + 4)}\n"


def _natural(entry: tuple[str, Any]) -> list[tuple[str, int]]:
    return [(letters, int(digits or 0)) for letters, digits in re.findall(r"(\D*)(\d*)", entry[0])]


def _emit_list(items: Sequence[Any], depth: int) -> Iterable[str]:
    pad = "    " * depth
    for item in items:
        if isinstance(item, Mapping) and item:
            # The first key shares the line with the dash, so the others line up two columns in.
            for index, (key, inner) in enumerate(item.items()):
                yield f"{pad}{'  ' if index else '- '}{_scalar(key)}: {_leaf(inner, 4 * depth + 4)}\n"
        else:
            yield f"{pad}- {_leaf(item, 4 * depth + 2)}\n"


def _leaf(value: Any, column: int) -> str:
    """A value that has no line of its own; ``column`` is where a block of text would begin."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, list):
        return "[]"
    if not isinstance(value, str):
        return str(value)
    return _block(value, column) if "\n" in value else _scalar(value)


def _block(text: str, column: int) -> str:
    """A literal block: how Go's emitter writes text of several lines."""
    hint = "4" if text.startswith(" ") else ""
    ending = "-" if not text.endswith("\n") else "+" if text.endswith("\n\n") or text == "\n" else ""
    lines = [" " * column + line if line else "" for line in text.removesuffix("\n").split("\n")]
    return f"|{hint}{ending}\n" + "\n".join(lines)


def _scalar(text: str) -> str:
    """One line of text, quoted as go-yaml v4.0.0-rc.6 does.

    Double quotes where the text would be read as another type, single quotes where an older YAML would, or where
    special characters ask for quotes. Releases before rc.6 took double quotes for the second kind too.
    """
    if text in _OLD_BOOLEANS or _BASE_60.match(text) or text == "<<":
        return f"'{text}'"
    if _reads_as_another_type(text):
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    analysis = Emitter(io.StringIO(), allow_unicode=True).analyze_scalar(text)
    if analysis.allow_block_plain:
        return text
    if not analysis.allow_single_quoted:
        return yaml.dump(text, default_style='"', width=2**20, allow_unicode=True).rstrip("\n")
    return "'" + text.replace("'", "''") + "'"


def _reads_as_another_type(text: str) -> bool:
    tag: str = Resolver().resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call] # PyYAML's stubs
    if tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:value", "tag:yaml.org,2002:yaml"):
        return True
    return bool(_FLOAT.match(text) or re.match(r"[-+]?0[bo][0-9_]+\Z", text))
