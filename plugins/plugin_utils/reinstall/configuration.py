# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The machine configuration of a node, pointed at its image. It leaves this process only to its node."""

from __future__ import annotations

from typing import Any

from ..image.machine_config.document import ConfigError
from ..image.machine_config.dry_run import APPROVED, Judgement, judge
from ..image.machine_config.prepare import Prepared, prepare
from ..image.machine_config.repair import acceptable_repair
from ..talos.client import NodeClient
from .work import Work


def prepared(work: Work, target: dict[str, Any]) -> Prepared:
    """The operator's configuration with the image of ``target``, if it can bring this node back.

    Raises:
        InventoryProblem: the inventory names none, or it cannot be read.
        ConfigError: something is wrong with it.
    """
    return prepare(
        work.action.required_machine_config_text(work.host),
        installer=target["installer"],
        version=target["version"],
        boot=work.params["boot"],
        kernel_args=target["kernel_args"],
        machine_type=work.facts.get("machine_type"),
        hostname=work.facts.get("hostname"),
    ).require_usable(work.host)


async def judged_by_node(client: NodeClient, work: Work, config: Prepared, target: dict[str, Any]) -> Judgement:
    """What the node that still runs says about the configuration that it would get, by a dry run.

    Raises:
        ConfigError: it rejects it, or it would become something else by it and nobody approved exactly that.
        TalosError: the node could not be asked.
    """
    judgement = await judge(client, config.rewritten, target=target["version"], node=work.host)
    judgement.require(work.action.variable(work.host, APPROVED), node=work.host)
    return judgement


def require_repair(work: Work, judged: dict[str, Any], fixed: Prepared) -> dict[str, Any]:
    """What to record of a configuration that is not the one that was judged, for a node that waits for one.

    Args:
        judged: the facts of the configuration in the saved evidence.
        fixed: the configuration as it is now.

    Raises:
        ConfigError: it would make something else of the node.
    """
    problems = acceptable_repair(judged, fixed.facts)
    if problems:
        raise ConfigError(
            f"the machine configuration of {work.host} is not the one that was judged: {'; '.join(problems)}",
            "a node that was wiped may only become what it was",
            "bring the judged configuration back, or fix it without changing these; the node waits for it",
            node=work.host,
        )
    failure = work.failure or {}
    return {
        "from": judged["sha256"],
        "to": fixed.facts["sha256"],
        "because": failure.get("found") or "the file was changed while the node waited for it",
    }
