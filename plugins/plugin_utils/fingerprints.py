# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""By what a cluster's id, its certificates and its keys are known where they themselves must not stand."""

from __future__ import annotations

import base64
import binascii
import hashlib


def fingerprint(secret: str) -> str:
    """The SHA-256 of a value, in hexadecimal; of the PEM itself where the value is that or the base64 of it."""
    return hashlib.sha256(_content(secret)).hexdigest()


def _content(secret: str) -> bytes:
    try:
        decoded = base64.b64decode("".join(secret.split()), validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    return (decoded if decoded.startswith(b"-----BEGIN ") else secret.encode()).strip()
