# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The form that each secret of a machine configuration has, as ``talosctl gen config`` writes it and Talos reads it.

Talos itself decodes less than it will use: a token or a cluster id of any form is accepted, and the node is a stranger
to its cluster. Source: ``pkg/machinery/config/generate/secrets`` of the release branches 1.10 to 1.14.
"""

from __future__ import annotations

import base64
import binascii
import re

from .places import Form

_PEM = re.compile(
    r"-----BEGIN (?P<label>[A-Z0-9 ]+)-----\s*(?:[A-Za-z-]+:[^\n]*\n)*\s*(?P<body>[^-]+?)\s*-----END (?P=label)-----"
)
_TOKEN = re.compile(r"[a-z0-9]{6}\.[a-z0-9]{16}")


def wrong_form(value: object, form: Form) -> str | None:
    """What is wrong with the form of a secret, to be put behind its place; None when the form is right.

    The value is never quoted.
    """
    if not isinstance(value, str):
        return "is not a string"
    if form == "token":
        return None if _TOKEN.fullmatch(value) else "is not a token of the form abcdef.0123456789abcdef"
    if form == "bytes32":
        return None if _size(value) == 32 else "is not the base64 of 32 bytes"
    if form == "encryption_key":
        return None if _size(value) in (16, 24, 32) else "is not the base64 of a key of 16, 24 or 32 bytes"
    wanted, what = ("PRIVATE KEY", "private key") if form.endswith("key") else ("CERTIFICATE", "certificate")
    encoded = _decoded(value)
    if form.startswith("base64_"):
        labels = _labels(encoded.decode("ascii", "replace")) if encoded is not None else []
        return None if _all(labels, wanted) else f"is not the base64 of a {what} in PEM form"
    # Which of the two spellings a document takes is for the node to judge, which is asked before anything is wiped.
    labels = _labels(value) or (_labels(encoded.decode("ascii", "replace")) if encoded is not None else [])
    return None if _all(labels, wanted) else f"is not a {what} in PEM form"


def _all(labels: list[str], wanted: str) -> bool:
    return bool(labels) and all(label.endswith(wanted) for label in labels)


def _labels(text: str) -> list[str]:
    return [match["label"] for match in _PEM.finditer(text)]


def _decoded(value: str) -> bytes | None:
    compact = "".join(value.split())
    try:
        return base64.b64decode(compact, altchars=b"-_" if set("-_") & set(compact) else None, validate=True)
    except (binascii.Error, ValueError):
        return None


def _size(value: str) -> int | None:
    decoded = _decoded(value)
    return None if decoded is None else len(decoded)
