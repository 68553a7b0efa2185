# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys that cannot be used are refused, and said to be."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import expression, signing
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.errors import SignatureProblem, VerdictRefused
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.policy import Policy
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.verdict import judge
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import MissingLibrary
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

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


def test_what_is_said_of_a_verdict_that_the_required_key_did_not_sign(strict: Policy) -> None:
    key = Ed25519PrivateKey.generate().public_key()
    public = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    verdict = judge(evidence(), strict, now=NOW)
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    own = {"algorithm": "ed25519", "key": hashlib.sha256(der).hexdigest(), "value": "AAAA"}
    for signature, found in (
        (None, "the verdict is not signed"),
        ("AAAA", "the verdict is not signed"),
        ({**own, "key": "f00d"}, "the verdict is signed with another key (f00d)"),
        (own, "the signature does not fit the verdict"),
    ):
        with pytest.raises(VerdictRefused) as caught:
            signing.verify({**verdict, "signature": signature}, public)
        assert caught.value.as_dict() == {
            "kind": "verdict_refused",
            "bound": "signature",
            "found": found,
            "why": "a key is required here, so only what its owner signed may wipe a node",
            "do": "have the verdict signed with the required key",
        }


@pytest.mark.parametrize(
    ("module", "library", "act"),
    [
        (signing, "cryptography.hazmat.primitives", lambda fresh: fresh.sign({}, b"")),
        (signing, "cryptography.exceptions", lambda fresh: fresh.verify({}, b"")),
        (expression, "jmespath", lambda fresh: fresh.Expression("a", {"a": "string"})),
    ],
    ids=["sign", "verify", "expression"],
)
def test_without_its_library_a_module_can_be_imported_and_says_what_is_missing(
    module: ModuleType, library: str, act: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name == library or name.startswith(f"{library}.")]:
        monkeypatch.setitem(sys.modules, name, None)
    spec = importlib.util.find_spec(module.__name__)
    assert spec is not None and spec.loader is not None
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    with pytest.raises(MissingLibrary) as caught:
        act(fresh)
    assert caught.value.context == {"library": library.split(".")[0]}
    assert f"import of {library}" in caught.value.found
