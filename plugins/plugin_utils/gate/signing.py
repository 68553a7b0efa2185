# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ed25519 signatures of the operator under verdicts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from ..canonical import canonical_json
from ..problem import missing_library
from .errors import SignatureProblem, VerdictRefused

_IMPORT_ERROR: ImportError | None = None

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
except ImportError as error:
    serialization = None  # type: ignore[assignment]  # whoever needs it is told that it is missing
    _IMPORT_ERROR = error

ALGORITHM = "ed25519"
#: Keys of a verdict that its hash does not cover.
OUTSIDE = ("sha256", "signature")


def sign(verdict: Mapping[str, Any], private_key: bytes | str, password: bytes | None = None) -> dict[str, Any]:
    """A copy of a sealed verdict with ``signature: {algorithm, key, value}``.

    ``value`` is the Base64 of the Ed25519 signature over the canonical JSON without ``signature``; ``key`` is the hex
    SHA-256 of the public key (DER, SubjectPublicKeyInfo).

    Raises:
        SignatureProblem: the key is not a readable Ed25519 private key in PEM.
    """
    if serialization is None:
        raise missing_library("cryptography", _IMPORT_ERROR)
    try:
        key = serialization.load_pem_private_key(_bytes(private_key), password)
    except (ValueError, TypeError):
        raise _unusable("private") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _unusable("private")
    value = base64.b64encode(key.sign(_signed_bytes(verdict))).decode("ascii")
    return {
        **verdict,
        "signature": {"algorithm": ALGORITHM, "key": _fingerprint(key.public_key()), "value": value},
    }


def verify(verdict: Mapping[str, Any], public_key: bytes | str) -> None:
    """Refuse a verdict that this key did not sign.

    Raises:
        VerdictRefused: no signature, one by another key, or one that does not fit the content.
        SignatureProblem: the key is not a readable Ed25519 public key in PEM.
    """
    if serialization is None:
        raise missing_library("cryptography", _IMPORT_ERROR)
    try:
        key = serialization.load_pem_public_key(_bytes(public_key))
    except (ValueError, TypeError):
        raise _unusable("public") from None
    if not isinstance(key, Ed25519PublicKey):
        raise _unusable("public")
    signature = verdict.get("signature")
    if not isinstance(signature, Mapping):
        raise _refused("the verdict is not signed")
    if signature.get("algorithm") != ALGORITHM or signature.get("key") != _fingerprint(key):
        raise _refused(f"the verdict is signed with another key ({signature.get('key')})")
    try:
        value = base64.b64decode(str(signature.get("value")))
        if base64.b64encode(value).decode("ascii") != signature.get("value"):
            # Base64 has spare bits at its end and passes over what is none of it: several texts give the same bytes,
            # and only one of them was written.
            raise ValueError
        key.verify(value, _signed_bytes(verdict))
    except (InvalidSignature, ValueError):
        raise _refused("the signature does not fit the verdict") from None


def _signed_bytes(verdict: Mapping[str, Any]) -> bytes:
    return canonical_json({key: value for key, value in verdict.items() if key != "signature"})


def _fingerprint(key: Ed25519PublicKey) -> str:
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def _bytes(pem: bytes | str) -> bytes:
    return pem.encode("utf-8") if isinstance(pem, str) else pem


def _unusable(kind: str) -> SignatureProblem:
    return SignatureProblem(
        f"the {kind} key for verdicts is not an Ed25519 key in PEM, or its password is wrong",
        "verdicts are signed and verified with Ed25519 only",
        "give a key made with `openssl genpkey -algorithm ed25519`",
    )


def _refused(found: str) -> VerdictRefused:
    return VerdictRefused(
        found,
        "a key is required here, so only what its owner signed may wipe a node",
        "have the verdict signed with the required key",
        bound="signature",
    )
