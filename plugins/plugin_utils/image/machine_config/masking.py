# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of a machine configuration may be shown.

A list of what may be seen is used, not one of what may not: a secret in a place nobody thought of stays hidden.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence

import yaml

from ...quoted import MASK
from .. import kernel_args
from .document import Configuration, Path
from .places import HOSTNAME, PLACES, UNATTENDED

_VISIBLE_FACTS = (
    "machine_type",
    "hostname",
    "cluster_name",
    "dns_domain",
    "kubelet_image",
    "install_image",
    "install_disk",
    "install_wipe",
)

# Beside the facts of the table; "*" is any one key or list index.
_VISIBLE_ANYWHERE = ("apiVersion", "kind", "name")
_VISIBLE: dict[str | None, tuple[str, ...]] = {
    None: (
        "version",
        "debug",
        "persist",
        "machine.install.diskSelector.*",
        "machine.install.bootloader",
        "machine.install.legacyBIOSSupport",
        "machine.install.grubUseUKICmdline",
        "machine.install.extraKernelArgs.*",
        "machine.install.extensions.*.image",
        "cluster.network.podSubnets.*",
        "cluster.network.serviceSubnets.*",
        "cluster.network.cni.name",
        "cluster.allowSchedulingOnControlPlanes",
    ),
    "KubeNetworkConfig": ("podSubnets.*", "serviceSubnets.*"),
    UNATTENDED: ("provisioning.diskSelector.match", "reboot"),
    HOSTNAME: ("auto",),
    "SecurityProfileConfig": ("workloadIsolation",),
}
_COMMENT = re.compile(r"(^|[ \t])#[^\r\n]*", re.MULTILINE)
_STRUCTURE = re.compile(r"[ -~]{1,80}")


def visible(kind: str | None, path: Path) -> bool:
    """Whether the value at a path may be shown. List items are numbers or ``*`` in the path."""
    generic = tuple("*" if isinstance(part, int) else part for part in path)
    return any(_matches(generic, pattern) for pattern in _patterns(kind))


def mask(text: str) -> str:
    """The configuration with every value masked that is not known to be harmless, and without its comments.

    Raises:
        ConfigError: the text cannot be read; nothing of it is shown then.
    """
    config = Configuration(text)
    spans: dict[tuple[int, int], str] = {}
    for document in config.documents:
        for start, end, shown in _spans(config.text, document.node, (), _patterns(document.kind)):
            # An anchored value may be seen in one place and not in another: hidden wins.
            if not spans.get((start, end), "").startswith(MASK):
                spans[start, end] = shown
    out: list[str] = []
    at = 0
    for (start, end), shown in sorted(spans.items()):
        out.append(_COMMENT.sub(r"\1#", config.text[at:start]))
        out.append(shown)
        at = end
    out.append(_COMMENT.sub(r"\1#", config.text[at:]))
    return "".join(out)


def masked_diff(before: str, after: str) -> list[str]:
    """Unified diff of two configurations, both masked by `mask`."""
    old, new = mask(before).splitlines(), mask(after).splitlines()
    return list(difflib.unified_diff(old, new, "present", "target", lineterm=""))


def _patterns(kind: str | None) -> list[tuple[str, ...]]:
    facts = [place.path for place in PLACES if place.kind == kind and place.fact in _VISIBLE_FACTS]
    others = (*(() if kind is None else _VISIBLE_ANYWHERE), *_VISIBLE.get(kind, ()))
    return [*facts, *(tuple(path.split(".")) for path in others)]


def _spans(
    text: str, node: yaml.Node, path: Path, patterns: Sequence[tuple[str, ...]]
) -> Iterator[tuple[int, int, str]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            # Keys are structure, and shown; one that is not a plain short word is not structure.
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            start, end = key.start_mark.index, key.end_mark.index
            yield start, end, text[start:end] if _STRUCTURE.fullmatch(name) else MASK
            yield from _spans(text, value, (*path, name), patterns)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _spans(text, item, (*path, "*"), patterns)
    else:
        start, end = node.start_mark.index, node.end_mark.index
        if start == end:
            return
        if any(_matches(path, pattern) for pattern in patterns):
            yield start, end, kernel_args.masked(text[start:end])
        else:
            # A block scalar swallows the line end behind it.
            tail = "\n" if text[start:end].endswith("\n") else ""
            yield start, end, f"{MASK}{tail}"


def _matches(path: Path, pattern: tuple[str, ...]) -> bool:
    return len(path) == len(pattern) and all(b in ("*", a) for a, b in zip(path, pattern, strict=True))
