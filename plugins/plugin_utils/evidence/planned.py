# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the operator's machine configuration will say once it points at the target image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from ..image import machine_config
from ..problem import Problem


def planned_config(
    text: str | None, image: Mapping[str, Any] | None, boot: Literal["uki", "grub"]
) -> dict[str, Any] | None:
    """The facts for ``config`` of the evidence document; null without image or configuration.

    Args:
        text: the operator's machine configuration, full of secrets.
        image: ``{version, installer, kernel_args}`` of the target.
        boot: ``uki`` or ``grub``: how the installed system boots.
    """
    if text is None or image is None:
        return None
    try:
        rewritten = machine_config.rewrite(
            text,
            image["installer"],
            boot=boot,
            version=image["version"],
            schematic_args=image.get("kernel_args") or (),
        )
    except Problem as problem:
        return {"sha256": None, "install": None, "valid": False, "problems": [problem.found]}
    facts = machine_config.facts(rewritten.text, version=image["version"])
    problems = [*rewritten.problems, *facts["problems"]]
    return {**facts, "valid": facts["valid"] and not problems, "problems": problems}
