# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The machine configuration of a node, pointed at its image. It leaves this process only to its node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..evidence.disks import disks_of
from ..image.machine_config.disks import Disk, same_disk, selection
from ..image.machine_config.document import ConfigError
from ..image.machine_config.dry_run import APPROVED, Judgement, judge
from ..image.machine_config.prepare import Prepared, prepare
from ..image.machine_config.repair import acceptable_repair
from ..talos.client import NodeClient
from ..texts import printable
from .work import StepProblem, Work


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


def require_repair(work: Work, evidence: dict[str, Any], fixed: Prepared) -> dict[str, Any]:
    """What to record of a configuration that is not the one that was judged, for a node that waits for one.

    Args:
        evidence: what was judged.
        fixed: the configuration as it is now.

    Raises:
        ConfigError: it would make something else of the node.
    """
    judged = evidence["config"]
    problems = acceptable_repair(
        judged, fixed.facts, disks=evidence.get("disks"), system_disk=evidence.get("system_disk")
    )
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


async def require_judged_disk(client: NodeClient, work: Work, config: Prepared) -> None:
    """Return unless the waiting machine would install to another disk than when it was judged.

    A disk may have another name now, such as behind the medium that the machine was booted from. Which disk is right
    was the policy's to judge: a waiver may have let another one pass than that of the system before.

    Raises:
        StepProblem: it would, or to none, or to whichever of several comes first.
        TalosError: the machine did not tell its disks.
    """
    before = work.judged().get("disks")
    if before is None:
        # The policy let it pass without.
        return
    disks = disks_of(await client.list("disks"))
    judged = _chosen(config.facts["install"], before)
    if judged is None:
        # Nor was it known by the judged evidence, and the policy let it pass.
        return
    found = _chosen(config.facts["install"], disks)
    if found and len(found) == len(judged) and all(map(same_disk, found, judged)):
        return
    raise StepProblem(
        f"the machine configuration would install {work.host} to "
        + ("a disk that is not known" if found is None else f"the disks {_shown(found)}")
        + f", and was judged for {_shown(judged)}",
        "what is on another disk was not judged, and with none the machine stays down",
        "name that disk in the install section, such as by its serial number in diskSelector, and run the rollout"
        " again; the node waits for it",
        node=work.host,
    )


def _chosen(install: Mapping[str, Any] | None, disks: Sequence[Disk] | None) -> list[Disk] | None:
    names = selection(install, disks)
    return None if names is None else [disk for disk in disks or () if disk["name"] in names]


def _shown(disks: Sequence[Disk]) -> str:
    told = (f"{disk['dev_path']} (serial number {printable(disk['serial']) or 'unknown'})" for disk in disks)
    return ", ".join(told) or "none"
