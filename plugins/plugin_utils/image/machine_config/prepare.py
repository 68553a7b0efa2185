# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The operator's file as it would be sent: rewritten and checked, refused when anything is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .arguments import Boot
from .document import ConfigError
from .facts import facts
from .rewrite import Rewrite, rewrite


@dataclass(frozen=True)
class Prepared:
    """A configuration without problems: the rewrite with its text, full of secrets, and its facts without any."""

    rewritten: Rewrite
    facts: dict[str, Any]


def prepare(
    text: str,
    *,
    node: str,
    installer: str,
    version: str,
    boot: Boot,
    kernel_args: Sequence[str] = (),
    machine_type: str | None = None,
    hostname: str | None = None,
) -> Prepared:
    """Rewrite and check the configuration of one node.

    Args:
        text: the operator's file.
        node: the node's name, for messages.
        installer, version, boot, kernel_args: as for `rewrite.rewrite`.
        machine_type, hostname: what the node is, from evidence; None is not compared.

    Raises:
        ConfigError: anything is wrong with it; the text quotes no secret.
    """
    rewritten = rewrite(text, installer, boot=boot, version=version, schematic_args=kernel_args)
    found = facts(rewritten.text, version=version, machine_type=machine_type, hostname=hostname)
    problems = [*rewritten.problems, *found["problems"]]
    if problems:
        raise ConfigError(
            f"the machine configuration of {node} cannot be used: {'; '.join(problems)}",
            "the node would not come back, or not enforcing",
            "correct the configuration, and let the gate judge the node again",
            node=node,
        )
    return Prepared(rewritten, found)
