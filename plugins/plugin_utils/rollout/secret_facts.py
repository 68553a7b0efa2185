# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No secret enters a ledger: facts are looked at by their keys and by the form of their values."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any

from .errors import LedgerProblem, SecretRefused

# A key is refused when one of its words names a secret, unless it ends by saying that it is only a name or a hash.
_SECRET_WORD = re.compile(
    "secrets?|tokens?|passwords?|passwd|passphrase|credentials?|bearer|authorization|cookie|keys?|privatekey|apikey"
    "|kubeconfig|talosconfig|machineconfig"
)
_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_HARMLESS_ENDS = ("sha256", "digest", "fingerprint", "fingerprints", "path", "file", "id", "name")


def refuse_secrets(facts: Any, where: str = "") -> None:
    """Refuse facts whose keys name a secret or whose values look like PEM or the base64 of it, at any depth.

    Raises:
        SecretRefused: naming the key, never the value.
        LedgerProblem: for a value that JSON cannot carry.
    """
    if isinstance(facts, Mapping):
        for key, value in facts.items():
            place = f"{where}.{key}" if where else str(key)
            words = [word.lower() for word in _WORD.findall(str(key))]
            # "machine_config" and "apiKey" are two words of one name.
            names = [*words, *(first + second for first, second in itertools.pairwise(words))]
            if any(_SECRET_WORD.fullmatch(name) for name in names) and words[-1] not in _HARMLESS_ENDS:
                raise _secret(place)
            refuse_secrets(value, place)
    elif isinstance(facts, (list, tuple)):
        for value in facts:
            refuse_secrets(value, where)
    elif isinstance(facts, str):
        if "-----BEGIN" in facts or "LS0tLS1CRUdJTi" in facts:
            raise _secret(where)
    elif not (facts is None or isinstance(facts, (bool, int, float))):
        raise LedgerProblem(
            f"the fact {where} is a {type(facts).__name__}",
            "the ledger holds plain JSON data only",
            "pass text, numbers, lists and mappings",
        )


def _secret(where: str) -> SecretRefused:
    return SecretRefused(
        f"the fact {where} looks like a secret",
        "ledgers and reports are read by many people",
        "record a hash or a file name instead",
        fact=where,
    )
