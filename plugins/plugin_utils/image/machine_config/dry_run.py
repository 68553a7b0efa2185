# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The judge that decides is asked before the wipe: the node that still runs, by a dry run of ApplyConfiguration.

It decodes and validates the whole file, and answers with a diff against what it runs. For a reinstall that diff may
hold the installer image alone; whatever else differs is listed, and refused until the operator approves exactly that
list.

The answer holds both configurations in plain text. It stays in this module: what leaves it is masked.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ...problem import Problem
from ...talos.answers import ApplyResult, Version
from ...talos.errors import Refused
from .difference import Difference, NotUnderstood, differences
from .document import ConfigError, Configuration, label
from .places import PLACES, values
from .quotes import Quotes
from .rewrite import Rewrite

_DIFF = "Config diff:\n\n"
_SAME = "No changes."
_SUMMARY = re.compile(r"Dry run summary:\n[^\n]{0,200} \(skipped in dry-run\)\.\n")
_MOST_SHOWN = 40

#: The host variable by which an operator approves differences: the hash that a refusal names.
APPROVED = "talos_approved_config_differences"

#: Every place of the installer image.
_IMAGES = frozenset(
    (label(place.kind, None), ".".join(place.path)) for place in PLACES if place.fact == "install_image"
)
_KEPT_BY_REWRITE = ("machine.install.grubUseUKICmdline", "machine.install.extraKernelArgs")


class Judge(Protocol):
    """What is asked of a client: an open connection to the running node, with an administrator's certificate."""

    async def version(self) -> Version:
        """The version the node runs."""

    async def apply_configuration(self, data: bytes, *, dry_run: bool = False) -> ApplyResult:
        """ApplyConfiguration."""


class RejectedByNode(ConfigError):
    """The running node says that it would not take the configuration."""

    kind = "config_rejected"


class DifferenceNotApproved(ConfigError):
    """The configuration differs from what the node runs by more than the installer image, and nobody approved that."""

    kind = "config_differs"


class DifferenceNotUnderstood(ConfigError):
    """The node accepts the configuration, and what it says about the differences cannot be understood in full."""

    kind = "config_difference_unknown"


@dataclass(frozen=True)
class Judgement:
    """What the running node said about a configuration that it accepts.

    Attributes:
        differences: everything but the installer image (and what the rewrite itself changed) by which the configuration
            differs from what the node runs, one masked line each, by document and path.
        approval: the hash that approves exactly these differences, values included; None when there are none.
        image_differs: whether the installer image differs from the one in the node's configuration.
        running: the version that judged.
        target: the version that will be installed.
    """

    differences: tuple[str, ...]
    approval: str | None
    image_differs: bool
    running: str
    target: str

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the operator should know although it refuses nothing."""
        if self.running == self.target:
            return ()
        return (f"the configuration was judged by Talos {self.running}, which the node runs, not by {self.target}",)

    def require(self, approve: Any, *, node: str | None = None) -> None:
        """Refuse every difference that was not approved.

        Args:
            approve: the approval the operator gave for this node, or None; anything but that hash approves nothing.
            node: the node's name, for the message.

        Raises:
            DifferenceNotApproved: there are differences, and ``approve`` is not their hash.
        """
        if self.approval is None or str(approve).strip() == self.approval:
            return
        shown = "; ".join(self.differences[:_MOST_SHOWN])
        more = len(self.differences) - _MOST_SHOWN
        stale = " (the approval that was given is for other differences)" if approve else ""
        raise DifferenceNotApproved(
            f"the machine configuration differs from what the node runs by more than the installer image{stale}: "
            f"{shown}{f'; and {more} more' if more > 0 else ''}",
            "after the wipe the node would come back as something else than it is now, or as no member of its cluster",
            "correct the file, or look at the values with talosctl apply-config --dry-run and approve exactly these "
            f"differences with {self.approval}",
            approval=self.approval,
            differences=list(self.differences),
            **({"node": node} if node else {}),
        )


async def judge(client: Judge, rewritten: Rewrite, *, target: str, node: str | None = None) -> Judgement:
    """Ask the running node what it says about the configuration that it would get after the wipe.

    Nothing changes on the node. Call `Judgement.require` with what the operator approved; accepted alone is not enough.

    Args:
        client: an open client of the running node, not of a machine in maintenance mode.
        rewritten: the configuration, without problems of its own.
        target: the Talos version to install.
        node: the node's name, for messages.

    Raises:
        RejectedByNode: the node does not take the configuration.
        DifferenceNotUnderstood: it does, and what it says about the differences cannot be understood in full.
        TalosError: the node could not be asked. Its texts are masked like all others.
    """
    context = {"node": node} if node else {}
    text, running = rewritten.text, (await client.version()).tag
    failed: Problem | None = None
    try:
        answer = await client.apply_configuration(text.encode(), dry_run=True)
    except Problem as problem:
        failed = Quotes(text).problem(problem)
    if isinstance(failed, Refused):
        raise RejectedByNode(
            f"Talos {running} on the node rejects the machine configuration: {failed.found}",
            "after the wipe it would reject it again, and the machine would stay in maintenance mode",
            "correct the machine configuration; the node was not touched",
            **context,
        )
    if failed is not None:
        raise failed
    try:
        found = differences(diff, text) if (diff := _diff_of(answer.details)) is not None else []
    except NotUnderstood as reason:
        raise DifferenceNotUnderstood(
            f"the node accepts the machine configuration, and its answer about the differences is unclear: {reason}",
            "what is not understood may be another node's role, name or cluster",
            "compare the file with what the node runs by talosctl apply-config --dry-run, and bring them together",
            **context,
        ) from None
    images = [difference for difference in found if (difference.document, difference.path) in _IMAGES]
    others = [one for one in found if one not in images and not _by_rewrite(one, rewritten)]
    return Judgement(
        differences=tuple(str(one) for one in others),
        approval=_approval(others, text) if others else None,
        image_differs=bool(images),
        running=running,
        target=target,
    )


def _diff_of(details: str) -> str | None:
    """The diff in a dry run's answer; None when the node says that nothing would change.

    Raises:
        NotUnderstood: the answer is none to a dry run.
    """
    summary = _SUMMARY.match(details)
    if summary is None or not details.startswith(_DIFF, summary.end()):
        raise NotUnderstood("it is no answer to a dry run")
    diff = details[summary.end() + len(_DIFF) :]
    return None if diff.strip() == _SAME else diff


def _by_rewrite(difference: Difference, rewritten: Rewrite) -> bool:
    """Whether a difference is what the rewrite itself did to the operator's file, and to the same values."""
    path = difference.path.removesuffix(".[]")
    if difference.document != "v1alpha1" or path not in _KEPT_BY_REWRITE or difference.moved:
        return False
    keys = path.split(".")
    before, after = Configuration(rewritten.before).get(None, *keys), Configuration(rewritten.text).get(None, *keys)
    if before == after:
        return False
    return _written(difference.removed) <= _values(before) and _written(difference.added) <= _values(after)


def _written(found: Sequence[str]) -> set[str]:
    return {"" if value in ("false", "null") else value for value in found}


def _values(found: object) -> set[str]:
    if isinstance(found, list):
        return {"", *(str(item) for item in found)}
    return {"", str(found).lower() if isinstance(found, bool) else "" if found is None else str(found)}


def _approval(others: Sequence[Difference], text: str) -> str:
    """The hash of a list of differences with their values. It is keyed by the cluster's own secrets, so that a short
    value cannot be guessed from it."""
    config = Configuration(text)
    secrets = [
        found.value for found in values(config, "cluster_secret", "machine_token", "bootstrap_token", "machine_ca")
    ]
    listed = [[one.document, one.path, list(one.removed), list(one.added), one.moved] for one in others]
    key = hashlib.sha256(json.dumps(secrets).encode()).digest()
    return hmac.new(key, json.dumps(sorted(listed)).encode(), hashlib.sha256).hexdigest()
