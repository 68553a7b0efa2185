# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What to do about a list of denials: remedies, rules with their proof, and the target policy's word on each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .catalogue import Catalogue, load
from .cil import Prover
from .sepolicy import TargetPolicy
from .suggest import Rule, module, suggest


def advise(
    denials: Sequence[dict[str, Any]],
    *,
    talos_version: str | None = None,
    policy: str | Path | None = None,
    policy_sources: str | Path | None = None,
    catalogue: Catalogue | None = None,
) -> dict[str, Any]:
    """Add ``suggestion`` to each denial dict, and ``policy_verdict`` and ``policy_detail`` where a policy is given.

    Args:
        talos_version: the release the suggestions are for.
        policy: the target release's compiled policy (``policy.33``).
        policy_sources: a directory with its CIL sources, for proofs.

    Returns ``{cil, left_out, unproven, policy_unread}``: one CIL text of all rules, the denials that get none with
    the reason, why nothing was proven (None when it was), and why the policy was not read (None when it was, or when
    none was given).
    """
    book = catalogue or load()
    policy_unread = None
    if policy is not None:
        target = TargetPolicy(policy)
        target.mark(denials)
        policy_unread = target.unavailable
    for denial in denials:
        denial["suggestion"] = suggest(denial, talos_version=talos_version, catalogue=book)
    with_rule = [denial for denial in denials if denial["suggestion"]["cil"]]
    with Prover(policy_sources) as prover:
        proofs = prover.prove_each([Rule.of(denial) for denial in with_rule])
        unproven = prover.unavailable
    for denial, proof in zip(with_rule, proofs, strict=True):
        denial["suggestion"]["cil"]["proof"] = proof
    text, left_out = module(denials)
    return {"cil": text, "left_out": left_out, "unproven": unproven, "policy_unread": policy_unread}
