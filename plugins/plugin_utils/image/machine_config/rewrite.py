# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Point a machine configuration to another installer, and change nothing else.

Only the bytes of the values that change are touched: comments, order and quotes stay, and reading the result again
proves that nothing else differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from .. import kernel_args, references
from . import arguments
from .arguments import Boot
from .document import ConfigError, Configuration, Path, bad
from .masking import masked_diff
from .places import UNATTENDED

_INSTALL = ("machine", "install")


@dataclass(frozen=True)
class Rewrite:
    """The outcome of a rewrite.

    Attributes:
        text: the new configuration, full of secrets; the old one when there are problems.
        changed: whether ``text`` differs from the old one.
        problems: why this configuration must not be applied as it is; one sentence each.
        before: the configuration as the operator wrote it, full of secrets.
    """

    text: str
    changed: bool
    problems: tuple[str, ...]
    before: str

    @property
    def diff(self) -> tuple[str, ...]:
        """Unified diff with every value masked that is not known to be harmless."""
        return tuple(masked_diff(self.before, self.text)) if self.changed else ()

    def __repr__(self) -> str:
        return f"Rewrite(changed={self.changed}, problems={self.problems})"


@dataclass(frozen=True)
class _Edit:
    start: int
    end: int
    text: str


def rewrite(
    text: str,
    installer: str,
    *,
    boot: Boot,
    version: str | None = None,
    goal: kernel_args.Goal = "enforcing",
    schematic_args: Sequence[str] = (),
) -> Rewrite:
    """Point a machine configuration to another installer, and make sure that its kernel arguments count.

    For GRUB ``grubUseUKICmdline`` is set to true and ``extraKernelArgs`` goes; the arguments then have to be in the
    schematic (see `arguments`).

    Args:
        text: the complete configuration of one node, one or several YAML documents.
        installer: exact installer reference; its tag must be ``version``.
        boot: ``uki`` (UEFI, systemd-boot) or ``grub`` (BIOS), what the new installation will boot with.
        version: the Talos version to install; the tag of ``installer`` when not given.
        goal: ``enforcing`` or, for the way back, ``permissive``.
        schematic_args: the ``extraKernelArgs`` of the installer's schematic.

    Raises:
        ConfigError: the text is no configuration, or says nothing about an installation.
        references.BadReference: the installer reference is not exact.
    """
    target = references.parse(installer)
    version = version or target.tag or ""
    references.parse_version(version)
    if target.tag != version:
        raise bad(f"the installer's tag is {target.tag}, not the target version {version}")
    config = Configuration(text)
    install = config.get(None, *_INSTALL)
    problems = arguments.problems(config, boot, version, goal, schematic_args)
    if install is not None and config.document(UNATTENDED) is not None:
        problems.append(f"machine.install stands beside {UNATTENDED}: Talos refuses the same in both places")
    if problems:
        return Rewrite(text, False, tuple(problems), text)
    edits, wanted = _edits(config, installer, boot)
    if not wanted:
        raise ConfigError(
            f"the machine configuration has neither machine.install nor {UNATTENDED}",
            "Talos would keep running from the boot medium and install nothing",
            "add the install section of this node",
        )
    new = config.bom + _apply(config.text, edits)
    _prove(config, new, wanted)
    return Rewrite(new, new != text, (), text)


def _edits(config: Configuration, installer: str, boot: Boot) -> tuple[list[_Edit], dict[Path, Any]]:
    """What to change in the text, and by kind and path what the result must say there."""
    text = config.text
    unattended = config.document(UNATTENDED)
    if unattended is not None:
        entry = _entry(unattended.node, "installer")
        if entry is not None and isinstance(entry[1], yaml.MappingNode) and entry[1].value:
            edits = _set(text, entry[1], "image", installer)
            return edits, {(UNATTENDED, "installer", "image"): installer}
        edits = _set(text, unattended.node, "installer", f"{{image: {installer!r}}}")
        return edits, {(UNATTENDED, "installer"): {"image": installer}, (UNATTENDED, "installer", "image"): installer}
    install = config.get(None, *_INSTALL)
    if config.main is None or not isinstance(install, dict) or not install:
        return [], {}
    node: yaml.Node | None = config.main.node
    for key in _INSTALL:
        entry = _entry(node, key)
        node = entry[1] if entry else None
    if not isinstance(node, yaml.MappingNode):
        raise _elsewhere("machine.install")
    edits = _set(text, node, "image", installer)
    wanted: dict[Path, Any] = {(None, *_INSTALL, "image"): installer}
    if boot == "grub":
        edits += _set(text, node, "grubUseUKICmdline", "true")
        edits += _drop(text, node, "extraKernelArgs")
        wanted[(None, *_INSTALL, "grubUseUKICmdline")] = True
        wanted[(None, *_INSTALL, "extraKernelArgs")] = None
    return edits, wanted


def _entry(node: yaml.Node | None, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if isinstance(name, yaml.ScalarNode) and name.value == key:
                return name, value
    return None


def _span(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.index, node.end_mark.index


def _end(node: yaml.Node) -> int:
    """Where the last value of a node ends; a block collection's own end is only at the next token."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _line_start(text: str, index: int) -> int:
    return max(text.rfind("\n", 0, index), text.rfind("\r", 0, index)) + 1


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _set(text: str, node: yaml.Node | None, key: str, value: str) -> list[_Edit]:
    """Set one key of a mapping that is not empty, touching nothing but its value."""
    if not isinstance(node, yaml.MappingNode) or not node.value:
        raise AssertionError("only a mapping with content can be edited")
    entry = _entry(node, key)
    if entry is not None:
        old = entry[1]
        start, end = _span(old)
        if isinstance(old, yaml.ScalarNode) and old.value == value and (value != "true" or not old.style):
            return []
        if isinstance(old, yaml.ScalarNode) and old.style in ("|", ">"):
            raise bad(f"the value of {key} is written over several lines")
        if isinstance(old, yaml.ScalarNode) and old.style in ("'", '"') and value != "true":
            return [_Edit(start, end, f"{old.style}{value}{old.style}")]
        if start == end:
            # An empty value stands right behind the colon.
            colon = text.index(":", _span(entry[0])[1]) + 1
            return [_Edit(colon, colon, f" {value}")]
        return [_Edit(start, _end(old), value)]
    # Not in front of a key that the same rewrite may take out.
    first = next((name for name, _unused in node.value if name.value != "extraKernelArgs"), None)
    if first is None:
        raise bad("machine.install holds nothing but extraKernelArgs")
    at = _span(first)[0]
    if node.flow_style:
        return [_Edit(at, at, f"{key}: {value}, ")]
    indent = text[_line_start(text, at) : at]
    if indent.strip(" "):
        # A mapping that starts behind a dash or a document marker: its column is all that counts.
        indent = " " * first.start_mark.column
    return [_Edit(at, at, f"{key}: {value}{_newline(text)}{indent}")]


def _drop(text: str, node: yaml.Node | None, key: str) -> list[_Edit]:
    """Take one key with its value out of a mapping."""
    entry = _entry(node, key)
    if entry is None or not isinstance(node, yaml.MappingNode):
        return []
    start, end = _span(entry[0])[0], _end(entry[1])
    position = next(i for i, (name, _unused) in enumerate(node.value) if name is entry[0])
    if node.flow_style:
        if position + 1 < len(node.value):
            return [_Edit(start, _span(node.value[position + 1][0])[0], "")]
        previous = _end(node.value[position - 1][1]) if position else start
        return [_Edit(previous, end, "")]
    line_end = text.find("\n", max(end - 1, start))
    line_end = len(text) if line_end < 0 else line_end + 1
    return [_Edit(_line_start(text, start), line_end, "")]


def _apply(text: str, edits: Iterable[_Edit]) -> str:
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def _prove(config: Configuration, new: str, wanted: Mapping[Path, Any]) -> None:
    """Read the new text and compare: only the wanted paths may differ, and they must have the wanted values.

    Raises:
        ConfigError: the edit had another effect, for example through a YAML alias or a merge key.
    """
    after = Configuration(new)
    wrong: list[Path] = []
    if [document.label for document in config.documents] != [document.label for document in after.documents]:
        raise _elsewhere("")
    for old, now in zip(config.documents, after.documents, strict=True):
        wrong += [path for path in _compare(old.data, now.data, (old.kind,)) if path not in wanted]
    wrong += [path for path, value in wanted.items() if after.get(path[0], *path[1:]) != value]
    if wrong:
        raise _elsewhere(".".join(str(part) for part in wrong[0] if part is not None))


def _elsewhere(where: str) -> ConfigError:
    return ConfigError(
        f"rewriting the machine configuration would not leave {where or 'its documents'} as it must be",
        "nothing but the installer and its kernel arguments may change",
        "write the install section out in block style, without YAML aliases and merge keys",
    )


def _compare(before: Any, after: Any, path: Path = ()) -> Iterator[Path]:
    """The paths of all differences, the order of keys included."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before.keys() | after.keys():
            if key not in before or key not in after:
                yield (*path, key)
            else:
                yield from _compare(before[key], after[key], (*path, key))
        if [key for key in before if key in after] != [key for key in after if key in before]:
            yield path
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _compare(old, new, (*path, index))
    elif type(before) is not type(after) or before != after:
        yield path
