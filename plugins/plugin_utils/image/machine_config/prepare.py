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
    """A configuration as it would be sent: the rewrite with its text, full of secrets, and its facts without any."""

    rewritten: Rewrite
    facts: dict[str, Any]

    def require_usable(self, node: str) -> Prepared:
        """The same, if nothing is wrong with it.

        Args:
            node: the node's name, for the message.

        Raises:
            ConfigError: something is; the text quotes no secret.
        """
        if self.facts["problems"]:
            raise ConfigError(
                f"the machine configuration of {node} cannot be used: {'; '.join(self.facts['problems'])}",
                "the node would not come back, or not enforcing",
                "correct the configuration, and let the gate judge the node again",
                node=node,
            )
        return self


def prepare(
    text: str,
    *,
    installer: str,
    version: str,
    boot: Boot,
    kernel_args: Sequence[str] = (),
    machine_type: str | None = None,
    hostname: str | None = None,
) -> Prepared:
    """Rewrite the configuration of one node and say what is wrong with it: the ``problems`` of its facts, each once.

    Args:
        text: the operator's file.
        installer, version, boot, kernel_args: as for `rewrite.rewrite`.
        machine_type, hostname: what the node is, from evidence; None is not compared.

    Raises:
        ConfigError: the file cannot be read or rewritten at all; the text quotes no secret.
        references.BadReference: the installer reference is not exact.
    """
    rewritten = rewrite(text, installer, boot=boot, version=version, schematic_args=kernel_args)
    found = facts(rewritten.text, version=version, machine_type=machine_type, hostname=hostname)
    problems = list(dict.fromkeys([*rewritten.problems, *found["problems"]]))
    return Prepared(rewritten, {**found, "valid": not problems, "problems": problems})
