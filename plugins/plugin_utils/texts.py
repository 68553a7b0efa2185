# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text that came from elsewhere, made safe to show: in a terminal, a log or a report.

Nodes, logs, factories and clusters name things and say things; whoever controls one of them must control neither the
operator's terminal nor the order in which the letters of a line are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from .quoted import MASK

_PEM_BEGINS = "-----BEGIN "
#: How the base64 of PEM begins, which is the form that Talos and Kubernetes keep keys in.
_BASE64_OF_PEM = "LS0tLS1CRUdJTi"
_KEY = re.compile(
    rf"{_PEM_BEGINS}.*?(?:-----END [A-Z0-9 ]{{1,40}}-----|\Z)|{_BASE64_OF_PEM}[A-Za-z0-9+/=_-]*", re.DOTALL
)


def printable(text: object, limit: int = 300) -> str:
    r"""One line of text: what cannot be printed is shown as ``\xNN``, and keys in PEM form are masked.

    Control characters, line breaks, escape sequences, bidirectional overrides, zero-width and private characters all
    are; ordinary letters of any script stay. Done twice, it changes nothing more.

    Args:
        limit: characters after which the text is cut, with its full length named.
    """
    whole = str(text)
    shown = _escaped(_without_keys(whole[:limit]), "")
    return shown if len(whole) <= limit else f"{shown} [cut, {len(whole)} characters]"


def printable_lines(text: str) -> str:
    r"""Text of any length whose line breaks and tabs stay, and of which nothing else is left that cannot be printed."""
    return _escaped(text, "\n\t")


def printable_all(value: Any, limit: int = 2000) -> Any:
    """:func:`printable` for every text in plain data, keys included; each cut after ``limit`` characters."""
    return _all(value, lambda text: printable(text, limit))


def inert_all(value: Any, limit: int = 2000) -> Any:
    r""":func:`printable_all`, with every opening brace shown as ``\x7b``: nothing is left that begins a template.

    For data that leaves this collection, and that others may take for Jinja, such as the variables of a playbook.
    """
    return _all(value, lambda text: printable(text, limit).replace("{", "\\x7b"))


def _all(value: Any, shown: Callable[[Any], str]) -> Any:
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, Mapping):
        return {shown(key): _all(item, shown) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_all(item, shown) for item in value]
    return value


def _without_keys(text: str) -> str:
    # Nobody has to read a key or a certificate, and what is shown ends up in logs, reports and ledgers.
    if _PEM_BEGINS not in text and _BASE64_OF_PEM not in text:
        return text
    return _KEY.sub(MASK, text)


def _escaped(text: str, allowed: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable() or character in allowed
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
