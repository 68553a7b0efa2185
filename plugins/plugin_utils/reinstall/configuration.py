# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The machine configuration of a node, pointed at its image. It leaves this process only to its node."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..actions import InventoryProblem
from ..image import machine_config
from .work import Work


@dataclasses.dataclass(frozen=True)
class Rendered:
    """The text, full of secrets, and its hash."""

    text: str = dataclasses.field(repr=False)
    sha256: str


def rendered(work: Work, target: dict[str, Any]) -> Rendered:
    """The operator's configuration with the image of ``target``, if the node can use it.

    Raises:
        InventoryProblem: the inventory names none, or it cannot be read.
        ConfigError: it would not bring this node back, or not enforcing.
    """
    text = work.action.machine_config_text(work.host)
    if text is None:
        raise InventoryProblem(
            f"the inventory names no machine configuration for {work.host}",
            "a wiped node can only be installed with its configuration, and the node does not give it back",
            "set talos_machine_config for the host to the file's path",
            node=work.host,
        )
    rewritten = machine_config.rewrite(
        text,
        target["installer"],
        boot=work.params["boot"],
        version=target["version"],
        schematic_args=target["kernel_args"],
    )
    facts = machine_config.facts(rewritten.text, version=target["version"])
    wrong = machine_config.mismatches(
        rewritten.text, machine_type=work.facts.get("machine_type"), hostname=work.facts.get("hostname")
    )
    problems = [*rewritten.problems, *facts["problems"], *wrong]
    if problems:
        raise machine_config.ConfigError(
            f"the machine configuration of {work.host} cannot be used: {'; '.join(problems)}",
            "the node would not come back, or not enforcing",
            "correct the configuration, and run the rollout again",
            node=work.host,
        )
    return Rendered(rewritten.text, facts["sha256"])


def require_repair(work: Work, judged: dict[str, Any], config: Rendered) -> dict[str, Any]:
    """What to record of a configuration that is not the one that was judged, for a node that waits for one.

    Args:
        judged: the facts of the configuration in the saved evidence.

    Raises:
        ConfigError: it would make something else of the node.
    """
    reason = (work.ledger.node(work.host).failure or {}).get("found") or "it was changed while the node waited for it"
    return {"from": judged["sha256"], "to": config.sha256, "because": reason}
