# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the compatibility table does not know is inconclusive, and the operator reads how to find out."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import compat
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.policy import Policy
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.verdict import judge

from .samples import NOW, TARGET, evidence

TABLE = compat.load()


def found(policy: Policy, check: str, kind: str, *names: str) -> str:
    """What the check says about components of those names; the verdict is inconclusive for its sake alone."""
    items = [{"name": name, "version": None, "source": "DaemonSet kube-system/x"} for name in names]
    given: dict[str, Any] = judge(evidence(**{f"kubernetes__{kind}": items}), policy, now=NOW)
    assert given["decision"] == "inconclusive"
    (stop,) = [item for item in given["checks"] if item["result"] not in ("pass", "skipped")]
    assert (stop["id"], stop["result"]) == (check, "unknown")
    return str(stop["found"])


@pytest.mark.parametrize("kind", ["cni", "csi", "addons"])
def test_it_says_how_to_find_out(strict: Policy, kind: str) -> None:
    text = found(strict, f"{kind}-compatible", kind, "brand-new", "brand-newer")
    assert text == f"breaks: none; unknown: brand-new, brand-newer; how to find out: {TABLE.find_out}"


def test_a_row_may_know_better(strict: Policy) -> None:
    name = "driver.longhorn.io"
    own = TABLE.look_up("csi", name, None, TARGET["version"])["find_out"]
    assert own != TABLE.find_out
    text = found(strict, "csi-compatible", "csi", name, "brand.new")
    assert text == f"breaks: none; unknown: {name}, brand.new; how to find out: {own}, {TABLE.find_out}"
