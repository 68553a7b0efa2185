# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys that cannot be used are refused, and said to be."""

from __future__ import annotations

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import (
    signing,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.errors import (
    SignatureProblem,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.policy import Policy
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.verdict import judge

from .samples import NOW, evidence


@pytest.mark.parametrize("kind", ["private", "public"])
def test_what_is_said_of_a_key_that_cannot_be_used(strict: Policy, kind: str) -> None:
    with pytest.raises(SignatureProblem) as caught:
        (signing.sign if kind == "private" else signing.verify)(judge(evidence(), strict, now=NOW), b"no key")
    assert caught.value.as_dict() == {
        "kind": "signature",
        "found": f"the {kind} key for verdicts is not an Ed25519 key in PEM, or its password is wrong",
        "why": "verdicts are signed and verified with Ed25519 only",
        "do": "give a key made with `openssl genpkey -algorithm ed25519`",
    }
