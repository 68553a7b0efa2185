# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machine configurations: check them, point them to the enforcing installer, and show them without their secrets.

Two generations are known: ``machine.install`` in the v1alpha1 document, and the document ``UnattendedInstallConfig``
(Talos 1.14+). A rewrite touches only the bytes of the values it changes; comments, order and quotes stay, and reading
the result again proves that nothing else differs. Whatever is shown is masked by a list of what may be seen, since a
machine configuration holds the secrets of the whole cluster.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from ..problem import Problem
from . import kernel_args, references

Boot = Literal["uki", "grub"]

MASK = kernel_args.MASK
UNATTENDED = "UnattendedInstallConfig"

# The C loader is many times faster, and its marks count characters as well.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_Path = tuple[Any, ...]


class ConfigError(Problem):
    """A machine configuration that cannot be read or rewritten."""

    kind = "bad_machine_config"


@dataclass(frozen=True)
class Rewrite:
    """The outcome of a rewrite.

    Attributes:
        text: the new configuration, full of secrets; the old one when there are problems.
        diff: unified diff with every value masked that is not known to be harmless.
        changed: whether ``text`` differs from the old one.
        problems: why this configuration must not be applied as it is; one sentence each.
    """

    text: str
    diff: tuple[str, ...]
    changed: bool
    problems: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Rewrite(changed={self.changed}, problems={self.problems})"


@dataclass(frozen=True)
class _Edit:
    start: int
    end: int
    text: str


class _Config:
    """A parsed configuration: nodes with their places in the text, and plain data."""

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self.nodes = [node for node in yaml.compose_all(text, Loader=_LOADER) if node is not None]
            self.data = [_plain(node) for node in self.nodes]
        except yaml.MarkedYAMLError as error:
            # The mark's own text would quote the line, secrets included.
            line = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
            raise _bad(f"the machine configuration is not readable YAML{line}") from None
        except (yaml.YAMLError, RecursionError, ValueError):
            raise _bad("the machine configuration is not readable YAML") from None
        self.nodes = [node for node, data in zip(self.nodes, self.data, strict=True) if data is not None]
        self.data = [data for data in self.data if data is not None]
        if not self.data or not all(isinstance(data, dict) for data in self.data):
            raise _bad("the machine configuration is not made of YAML mappings")
        main = [i for i, data in enumerate(self.data) if "kind" not in data]
        if len(main) > 1:
            raise _bad("the machine configuration has more than one v1alpha1 document")
        self.main: int | None = main[0] if main else None
        found = [i for i, data in enumerate(self.data) if data.get("kind") == UNATTENDED]
        if len(found) > 1:
            raise _bad(f"the machine configuration has more than one {UNATTENDED}")
        self.unattended: int | None = found[0] if found else None

    def get(self, document: int | None, *path: str) -> Any:
        """The value at a path of a document; None when any part of it is absent."""
        if document is None:
            return None
        value: Any = self.data[document]
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def node(self, document: int, *path: str) -> yaml.Node | None:
        node: yaml.Node | None = self.nodes[document]
        for key in path:
            entry = _entry(node, key)
            node = entry[1] if entry else None
        return node


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

    Where kernel arguments come from (Talos ``cmd/installer``, PR 14106): with systemd-boot from the UKI, and
    ``machine.install.extraKernelArgs`` is ignored; with GRUB from ``extraKernelArgs``, unless
    ``grubUseUKICmdline`` is true (1.12+), which excludes ``extraKernelArgs``. So for GRUB the key is set to true and
    the list goes; the arguments then have to be in the schematic.

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
        raise _bad(f"the installer's tag is {target.tag}, not the target version {version}")
    config = _Config(text)
    problems = _argument_problems(config, boot, version, goal, schematic_args)
    if problems:
        return Rewrite(text, (), False, tuple(problems))
    edits: list[_Edit] = []
    wanted: dict[_Path, Any] = {}
    install = config.get(config.main, "machine", "install")
    if config.main is not None and isinstance(install, dict) and install:
        node = config.node(config.main, "machine", "install")
        place = (config.main, "machine", "install")
        edits += _set(text, node, "image", installer)
        wanted[(*place, "image")] = installer
        if boot == "grub" and config.unattended is None:
            edits += _set(text, node, "grubUseUKICmdline", "true")
            edits += _drop(text, node, "extraKernelArgs")
            wanted[(*place, "grubUseUKICmdline")] = True
            wanted[(*place, "extraKernelArgs")] = None
    if config.unattended is not None:
        part = config.node(config.unattended, "installer")
        if isinstance(part, yaml.MappingNode) and part.value:
            edits += _set(text, part, "image", installer)
            wanted[(config.unattended, "installer", "image")] = installer
        else:
            edits += _set(text, config.nodes[config.unattended], "installer", f"{{image: {installer!r}}}")
            wanted[(config.unattended, "installer")] = {"image": installer}
    if not wanted:
        raise ConfigError(
            f"the machine configuration has neither machine.install nor {UNATTENDED}",
            "Talos would keep running from the boot medium and install nothing",
            "add the install section of this node",
        )
    new = _apply(text, edits)
    _prove(config, new, wanted)
    return Rewrite(new, tuple(masked_diff(text, new)), new != text, ())


def validate(
    text: str,
    *,
    version: str | None = None,
    machine_type: str | None = None,
    hostname: str | None = None,
) -> list[str]:
    """What is wrong with a configuration for a reinstall; empty when nothing was found. No secret is ever quoted.

    Args:
        version: the Talos version to install; the image's tag must be it.
        machine_type: ``controlplane`` or ``worker``, what the node is now.
        hostname: the node's present host name. Control planes are replaced in etcd by name, so it has to stay.
    """
    try:
        config = _Config(text)
    except ConfigError as error:
        return [error.found]
    problems = list(_secret_problems(config))
    problems += _install_problems(config, version)
    problems += mismatches(text, machine_type=machine_type, hostname=hostname)
    return problems


def mismatches(text: str, *, machine_type: str | None = None, hostname: str | None = None) -> list[str]:
    """In which ways a configuration is for another machine than the one described; None is not compared."""
    config = _Config(text)
    problems: list[str] = []
    own_type, own_name = _machine_type(config), _hostname(config)
    if machine_type is not None and own_type is not None and own_type != machine_type:
        problems.append(f"the configuration is for a {own_type}, the node is a {machine_type}")
    # Talos takes what follows the first dot as the domain name, not as part of the host name.
    if hostname is not None and own_name is not None and own_name.partition(".")[0] != hostname.partition(".")[0]:
        problems.append(f"the configuration's host name is {own_name!r}, the node's is {hostname!r}")
    return problems


def machine_type(text: str) -> str | None:
    """``controlplane`` or ``worker`` (``init`` counts as the first), or None when the text does not say."""
    return _machine_type(_Config(text))


def hostname(text: str) -> str | None:
    """The host name the configuration sets, or None when it leaves it to the platform."""
    return _hostname(_Config(text))


def facts(text: str, *, version: str | None = None) -> dict[str, Any]:
    """The ``config`` part of an evidence document: no secrets, plain data.

    Returns:
        ``{sha256, install, valid, problems}``. ``install`` is None without any; else ``{kind, disk, disk_selector,
        image, wipe, extra_kernel_args, grub_use_uki_cmdline}``, where None means that the key is absent.
    """
    problems = validate(text, version=version)
    result: dict[str, Any] = {
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "install": None,
        "valid": not problems,
        "problems": problems,
    }
    try:
        config = _Config(text)
    except ConfigError:
        return result
    install = config.get(config.main, "machine", "install")
    args = install.get("extraKernelArgs") if isinstance(install, dict) else None
    common = {
        "extra_kernel_args": [kernel_args.masked(str(arg)) for arg in args] if isinstance(args, list) else None,
        "grub_use_uki_cmdline": _bool(config.get(config.main, "machine", "install", "grubUseUKICmdline")),
    }
    if config.unattended is not None:
        result["install"] = {
            "kind": "unattended",
            "disk": None,
            "disk_selector": _word(config.get(config.unattended, "provisioning", "diskSelector", "match")),
            "image": _word(config.get(config.unattended, "installer", "image")),
            "wipe": _bool(config.get(config.unattended, "provisioning", "wipe")),
            **common,
        }
    elif isinstance(install, dict):
        selector = install.get("diskSelector")
        result["install"] = {
            "kind": "v1alpha1",
            "disk": _word(install.get("disk")),
            "disk_selector": {str(k): _word(v) for k, v in selector.items()} if isinstance(selector, dict) else None,
            "image": _word(install.get("image")),
            "wipe": _bool(install.get("wipe")),
            **common,
        }
    return result


# --- masking ----------------------------------------------------------------------------------------------------

# What may be seen, as paths below a document; "*" is any one key or list index, a final "**" everything below.
_VISIBLE_MAIN = (
    "version",
    "debug",
    "persist",
    "machine/type",
    "machine/install/disk",
    "machine/install/diskSelector/*",
    "machine/install/image",
    "machine/install/wipe",
    "machine/install/bootloader",
    "machine/install/legacyBIOSSupport",
    "machine/install/grubUseUKICmdline",
    "machine/install/extraKernelArgs/*",
    "machine/install/extensions/*/image",
    "machine/network/hostname",
    "machine/kubelet/image",
    "cluster/clusterName",
    "cluster/network/dnsDomain",
    "cluster/network/podSubnets/*",
    "cluster/network/serviceSubnets/*",
    "cluster/network/cni/name",
    "cluster/allowSchedulingOnControlPlanes",
)
_VISIBLE_ANYWHERE = ("apiVersion", "kind", "name")
_VISIBLE_BY_KIND = {
    UNATTENDED: ("installer/image", "provisioning/diskSelector/match", "provisioning/wipe", "reboot"),
    "HostnameConfig": ("hostname", "auto"),
    "SecurityProfileConfig": ("workloadIsolation",),
}
_COMMENT = re.compile(r"(^|[ \t])#[^\r\n]*", re.MULTILINE)


def mask(text: str) -> str:
    """The configuration with every value masked that is not known to be harmless, and without its comments.

    A list of what may be seen is used, not one of what may not: a secret in a place nobody thought of stays hidden.

    Raises:
        ConfigError: the text cannot be read; nothing of it is shown then.
    """
    config = _Config(text)
    spans: dict[tuple[int, int], str] = {}
    for node, data in zip(config.nodes, config.data, strict=True):
        kind = data.get("kind")
        visible = _VISIBLE_MAIN if kind is None else (*_VISIBLE_ANYWHERE, *_VISIBLE_BY_KIND.get(str(kind), ()))
        for start, end, shown in _spans(text, node, (), [tuple(path.split("/")) for path in visible]):
            # An anchored value may be seen in one place and not in another: hidden wins.
            if not spans.get((start, end), "").startswith(MASK):
                spans[start, end] = shown
    out: list[str] = []
    at = 0
    for (start, end), shown in sorted(spans.items()):
        out.append(_COMMENT.sub(r"\1#", text[at:start]))
        out.append(shown)
        at = end
    out.append(_COMMENT.sub(r"\1#", text[at:]))
    return "".join(out)


def masked_diff(before: str, after: str) -> list[str]:
    """Unified diff of two configurations, both masked by `mask`."""
    old, new = mask(before).splitlines(), mask(after).splitlines()
    return list(difflib.unified_diff(old, new, "present", "target", lineterm=""))


def _spans(text: str, node: yaml.Node, path: _Path, visible: Sequence[_Path]) -> Iterator[tuple[int, int, str]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            # Keys are structure, and shown; one that is not a plain short word is not structure.
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            start, end = _span(key)
            yield start, end, text[start:end] if re.fullmatch(r"[ -~]{1,80}", name) else MASK
            yield from _spans(text, value, (*path, name), visible)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _spans(text, item, (*path, "*"), visible)
    else:
        start, end = _span(node)
        if start == end:
            return
        seen = any(_matches(path, pattern) for pattern in visible)
        if not seen:
            # A block scalar swallows the line end behind it.
            tail = "\n" if text[start:end].endswith("\n") else ""
            yield start, end, f"{MASK}{tail}"
        else:
            yield start, end, kernel_args.masked(text[start:end])


def _matches(path: _Path, pattern: _Path) -> bool:
    return len(path) == len(pattern) and all(b in ("*", a) for a, b in zip(path, pattern, strict=True))


# --- checks -----------------------------------------------------------------------------------------------------


def _argument_problems(
    config: _Config, boot: Boot, version: str, goal: kernel_args.Goal, schematic_args: Sequence[str]
) -> list[str]:
    problems: list[str] = []
    args = config.get(config.main, "machine", "install", "extraKernelArgs")
    use_uki = config.get(config.main, "machine", "install", "grubUseUKICmdline")
    if args is not None and (not isinstance(args, list) or not all(isinstance(arg, str) for arg in args)):
        return ["machine.install.extraKernelArgs is not a list of strings"]
    args = args or []
    words = [word for arg in args for word in kernel_args.split(arg)]
    baked = [word for arg in schematic_args for word in kernel_args.split(arg)]
    in_schematic = kernel_args.ENFORCING in baked
    if goal == "enforcing" and not in_schematic:
        where = (
            " (it is in machine.install.extraKernelArgs, which a UKI ignores)" if kernel_args.ENFORCING in words else ""
        )
        problems.append(f"the installer's schematic has no enforcing=1{where}")
    if goal == "permissive" and in_schematic:
        problems.append("the installer's schematic has enforcing=1")
    if boot == "uki" or config.unattended is not None:
        if boot == "uki" and args and use_uki is True:
            problems.append("machine.install has both extraKernelArgs and grubUseUKICmdline: true, which Talos refuses")
        # The list counted while the node booted by GRUB, and a new installation may boot by a UKI for the first time.
        ignored = [word for word in words if word not in baked and word != kernel_args.ENFORCING]
        if ignored:
            problems.append(
                f"{'a UKI' if boot == 'uki' else UNATTENDED} ignores machine.install.extraKernelArgs; add these to the "
                f"schematic, or take them out: {', '.join(kernel_args.masked(word) for word in ignored)}"
            )
        return problems
    if references.parse_version(version) < (1, 12, 0):
        problems.append(f"GRUB takes the schematic's kernel arguments from Talos 1.12 on only, not {version}")
    lost = [
        word
        for word in words
        if word not in baked and not kernel_args.conflicts(word) and word != kernel_args.ENFORCING
    ]
    if lost:
        shown = ", ".join(kernel_args.masked(word) for word in lost)
        problems.append(f"kernel arguments would be lost, add them to the schematic: {shown}")
    return problems


_CONTROL_PLANE_SECRETS = (
    ("cluster", "ca", "crt"),
    ("cluster", "ca", "key"),
    ("cluster", "etcd", "ca", "crt"),
    ("cluster", "etcd", "ca", "key"),
    ("cluster", "aggregatorCA", "crt"),
    ("cluster", "aggregatorCA", "key"),
    ("cluster", "serviceAccount", "key"),
    ("machine", "ca", "key"),
)
_SECRETS = (("machine", "token"), ("cluster", "id"), ("cluster", "secret"), ("cluster", "token"))


def _secret_problems(config: _Config) -> Iterator[str]:
    if config.main is None:
        yield "there is no v1alpha1 document: the node would stay in maintenance mode"
        return
    kind = config.get(config.main, "machine", "type")
    if kind not in ("controlplane", "worker", "init"):
        yield "machine.type is neither controlplane nor worker"
    if kind == "init":
        yield "machine.type is init, which bootstraps a new cluster: it must be controlplane"
    if not config.get(config.main, "cluster", "controlPlane", "endpoint"):
        yield "cluster.controlPlane.endpoint is missing"
    needed = [*_SECRETS, *(_CONTROL_PLANE_SECRETS if kind in ("controlplane", "init") else ())]
    for path in needed:
        if not isinstance(config.get(config.main, *path), str) or not config.get(config.main, *path):
            yield f"{'.'.join(path)} is missing: the node could not rejoin its cluster"
    if not config.get(config.main, "machine", "ca", "crt") and not config.get(config.main, "machine", "acceptedCAs"):
        yield "machine.ca.crt is missing: the node could not rejoin its cluster"
    if kind == "worker":
        for path in (("machine", "ca", "key"), ("cluster", "ca", "key")):
            if config.get(config.main, *path):
                yield f"{'.'.join(path)} must not be in a worker's configuration"
    elif not any(
        config.get(config.main, "cluster", key) for key in ("secretboxEncryptionSecret", "aescbcEncryptionSecret")
    ):
        yield "cluster.secretboxEncryptionSecret and cluster.aescbcEncryptionSecret are both missing"
    for document, data in enumerate(config.data):
        for path, value in _leaves(data):
            if isinstance(value, str) and value.startswith("ENC[AES256_GCM,"):
                yield f"document {document + 1} is still encrypted by SOPS (at {'.'.join(map(str, path))})"
                break
        if "$patch" in data or "sops" in data:
            yield f"document {document + 1} is not a configuration, but a patch or an encrypted file"


def _install_problems(config: _Config, version: str | None) -> Iterator[str]:
    install = config.get(config.main, "machine", "install")
    images: list[tuple[str, Any]] = []
    if config.unattended is not None:
        if not config.get(config.unattended, "provisioning", "diskSelector", "match"):
            yield f"{UNATTENDED} has no provisioning.diskSelector.match: no disk would be found"
        if version is not None and references.parse_version(version) < (1, 14, 0):
            yield f"{UNATTENDED} is not known to Talos {version}"
        images.append((f"{UNATTENDED} installer.image", config.get(config.unattended, "installer", "image")))
    if isinstance(install, dict):
        if config.unattended is None and not install.get("disk") and not install.get("diskSelector"):
            yield "machine.install has neither disk nor diskSelector"
        if install.get("extraKernelArgs") and install.get("grubUseUKICmdline") is True:
            yield "machine.install has both extraKernelArgs and grubUseUKICmdline: true, which Talos refuses"
        if (
            install.get("grubUseUKICmdline") is not None
            and version is not None
            and references.parse_version(version) < (1, 12, 0)
        ):
            yield f"machine.install.grubUseUKICmdline is not known to Talos {version}"
        images.append(("machine.install.image", install.get("image")))
    if not images:
        yield f"there is neither machine.install nor {UNATTENDED}: nothing would be installed"
    for where, image in images:
        if not image:
            yield f"{where} is missing: the installer would be left to the boot medium"
            continue
        try:
            tag = references.parse(str(image)).tag
        except references.BadReference as error:
            yield f"{where}: {error.found}"
            continue
        if version is not None and tag != version:
            yield f"{where} is for {tag}, not for the target version {version}"


def _machine_type(config: _Config) -> str | None:
    kind = config.get(config.main, "machine", "type")
    return {"controlplane": "controlplane", "init": "controlplane", "worker": "worker"}.get(str(kind))


def _hostname(config: _Config) -> str | None:
    for document, data in enumerate(config.data):
        if data.get("kind") == "HostnameConfig" and (name := config.get(document, "hostname")):
            return str(name)
    name = config.get(config.main, "machine", "network", "hostname")
    return str(name) if name else None


def _word(value: Any) -> str | None:
    return None if value is None else str(value)


def _bool(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


# --- reading and editing ----------------------------------------------------------------------------------------


def _plain(node: yaml.Node) -> Any:
    """The node as plain data; scalars that are neither null, true, false nor a string keep their written form.

    Raises:
        yaml.MarkedYAMLError: for a key given twice, where Talos and this reader could choose differently.
    """
    if isinstance(node, yaml.MappingNode):
        result: dict[Any, Any] = {}
        for key, value in node.value:
            name = _plain(key)
            if not isinstance(name, str) or name in result:
                raise yaml.MarkedYAMLError(problem_mark=key.start_mark)
            result[name] = _plain(value)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    kind = node.tag.rpartition(":")[2]
    if kind == "null":
        return None
    # Go's YAML takes only these two words as truth values; "yes" and "on" are strings to it.
    if kind == "bool" and node.value.lower() in ("true", "false"):
        return bool(node.value.lower() == "true")
    return node.value


def _leaves(value: Any, path: _Path = ()) -> Iterator[tuple[_Path, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
    else:
        yield path, value


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
            raise _bad(f"the value of {key} is written over several lines")
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
        raise _bad("machine.install holds nothing but extraKernelArgs")
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


def _prove(config: _Config, new: str, wanted: Mapping[_Path, Any]) -> None:
    """Read the new text and compare: only the wanted paths may differ, and they must have the wanted values.

    Raises:
        ConfigError: the edit had another effect, for example through a YAML alias.
    """
    after = _Config(new)
    wrong = [path for path in _compare(config.data, after.data) if path not in wanted]
    wrong += [path for path, value in wanted.items() if after.get(path[0], *path[1:]) != value]
    if wrong:
        where = ".".join(str(part) for part in wrong[0][1:])
        raise ConfigError(
            f"rewriting the machine configuration would not leave {where or 'its documents'} as it must be",
            "nothing but the installer and its kernel arguments may change",
            "write the install section out in block style, without YAML aliases",
        )


def _compare(before: Any, after: Any, path: _Path = ()) -> Iterator[_Path]:
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


def _bad(found: str) -> ConfigError:
    return ConfigError(
        found,
        "a node that is wiped and then gets a broken configuration does not come back",
        "fix the node's machine configuration first",
    )
