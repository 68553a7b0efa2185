# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Schematics and kernel command lines as the simulated Image Factory sees them.

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
_TOP = ("owner", "overlay", "customization")
_OVERLAY = ("image", "name", "options")
_CUSTOMIZATION = (
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
    top = _fields(documents[0], _TOP, "Schematic")
    overlay = _fields(top.get("overlay"), _OVERLAY, "Overlay")
    given = _fields(top.get("customization"), _CUSTOMIZATION, "Customization")

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


# --- kernel command line -------------------------------------------------------------------------

# (platform, architecture) -> arguments; an architecture of None stands for every one.
_PLATFORMS: dict[tuple[str, str | None], tuple[str, ...]] = {
    ("metal", "amd64"): ("console=tty0",),
    ("metal", "arm64"): ("console=ttyAMA0", "console=tty0"),
    ("aws", None): ("console=tty1", "console=ttyS0", "net.ifnames=0"),
    ("nocloud", None): ("console=tty1", "console=ttyS0", "net.ifnames=0"),
    ("openstack", None): ("console=tty1", "console=ttyS0", "net.ifnames=0"),
    ("hcloud", None): ("console=tty1", "console=ttyS0", "net.ifnames=0"),
    ("digital-ocean", None): ("console=ttyS0", "console=tty0", "console=tty1", "net.ifnames=0"),
    ("vmware", "amd64"): (
        "talos.config=guestinfo",
        "console=tty0",
        "console=ttyS0",
        "earlyprintk=ttyS0,115200",
        "net.ifnames=0",
    ),
    ("vmware", "arm64"): ("talos.config=guestinfo", "console=tty0", "console=ttyAMA0", "net.ifnames=0"),
    ("azure", None): (
        "console=ttyS0,115200n8",
        "earlyprintk=ttyS0,115200",
        "rootdelay=300",
        "net.ifnames=0",
        "talos.dashboard.disabled=1",
        "sysctl.kernel.kexec_load_disabled=1",
    ),
    ("gcp", None): (
        "console=ttyS0",
        "net.ifnames=0",
        "talos.dashboard.disabled=1",
        "sysctl.kernel.kexec_load_disabled=1",
    ),
}

PLATFORMS = tuple(dict.fromkeys(name for name, _unused in _PLATFORMS))
ARCHITECTURES = ("amd64", "arm64")
_OVERWRITTEN = frozenset({"console", "talos.platform"})
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:-((?:alpha|beta|rc)\.(\d+)))?\Z")


def release(version: str) -> tuple[int, int, int]:
    """``(major, minor, patch)`` of a Talos version; pre-releases count as their release, as in Talos' quirks.

    Raises:
        ValueError: not a Talos version.
    """
    match = _VERSION.match(version)
    if match is None:
        raise ValueError(f"no Talos version: {version!r}")
    return int(match[1]), int(match[2]), int(match[3])


def version_key(version: str) -> tuple[int, int, int, int, str, int]:
    """A key that sorts versions, pre-releases before their release."""
    match = _VERSION.match(version)
    if match is None:
        raise ValueError(f"no Talos version: {version!r}")
    kind, _unused, number = (match[4] or "").partition(".")
    return int(match[1]), int(match[2]), int(match[3]), int(not kind), kind, int(number or 0)


class CommandLine:
    """A kernel command line that groups values by key, as Talos' own builder does.

    A second ``selinux=0`` therefore lands right behind the first ``selinux=1`` and never replaces it.
    """

    def __init__(self, text: str = "") -> None:
        self._values: dict[str, list[str]] = {}
        self.append(text.split())

    def append(self, arguments: Iterable[str]) -> None:
        """Add arguments behind those already there."""
        for argument in arguments:
            key, _unused, value = argument.partition("=")
            self._values.setdefault(key, []).append(value)

    def customize(self, arguments: Iterable[str]) -> None:
        """Add a schematic's ``extraKernelArgs``: ``-name`` and ``-name=value`` remove, consoles are replaced."""
        for key, values in CommandLine(" ".join(arguments))._values.items():
            if key.startswith("-") and len(key) > 1:
                self._remove(key[1:], values)
            elif key in _OVERWRITTEN:
                self._values[key] = values
            else:
                self._values.setdefault(key, []).extend(values)

    def _remove(self, key: str, values: Sequence[str]) -> None:
        if key not in self._values:
            return
        kept = [] if values[0] == "" else [value for value in self._values[key] if value not in values]
        if values[0] == "":
            del self._values[key]
        else:
            self._values[key] = kept

    def arguments(self) -> list[str]:
        """The arguments in order."""
        return [f"{key}={value}" if value else key for key, values in self._values.items() for value in values]

    def __str__(self) -> str:
        return " ".join(self.arguments())


def kernel_command_line(
    schematic: Mapping[str, Any] | None,
    version: str,
    *,
    platform: str = "metal",
    arch: str = "amd64",
    secureboot: bool = False,
    iso: bool = False,
) -> list[str]:
    """The kernel arguments an image of this schematic boots with (``pkg/imager/imager.go``, ``pkg/machinery/kernel``).

    META values, which Talos passes in ``talos.environment``, and overlay arguments are left out.
    """
    at = release(version)
    line = CommandLine(f"talos.platform={platform}")
    base = _PLATFORMS.get((platform, arch), _PLATFORMS.get((platform, None), ()))
    line.append(base)
    if platform == "aws" and at >= (1, 14, 0):
        line.append(["nvme_core.io_timeout=4294967295"])
    if iso and at >= (1, 8, 0):
        line.append(["talos.halt_if_installed=1"])
    defaults: list[tuple[bool, list[str]]] = [
        (at < (1, 14, 0), ["init_on_alloc=1"]),
        (True, ["slab_nomerge", "pti=on", "consoleblank=0"]),
        (at < (1, 14, 0), ["nvme_core.io_timeout=4294967295"]),
        (True, ["printk.devkmsg=on"]),
        (at < (1, 11, 0), ["ima_template=ima-ng", "ima_appraise=fix", "ima_hash=sha512"]),
        (at >= (1, 10, 0), ["selinux=1"]),
        (at >= (1, 12, 0), ["module.sig_enforce=1"]),
        (at >= (1, 13, 0), ["proc_mem.force_override=never"]),
        (secureboot and at < (1, 14, 0), ["lockdown=confidentiality"]),
    ]
    for wanted, arguments in defaults:
        if wanted:
            line.append(arguments)
    if schematic is not None:
        line.customize(schematic["customization"].get("extraKernelArgs", []))
    return line.arguments()
