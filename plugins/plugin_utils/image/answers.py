# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a factory or a registry answered: the bytes, what they may hold, and the errors where they do not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from email.message import Message
from typing import Any, NoReturn

from .access import Access
from .errors import BadAnswer, NotFound, Rejected, Unauthorized


@dataclass(frozen=True)
class Answer:
    """One HTTP answer: ``status``, ``headers`` and the whole ``body``."""

    status: int
    headers: Message
    body: bytes
    url: str


def expect(access: Access, answer: Answer, status: int, otherwise: str) -> None:
    """Take an answer of one status only; ``otherwise`` says in messages what was not done.

    Raises:
        Rejected: the status is 400.
        BadAnswer: it is any other.
    """
    if answer.status == 400:
        reject(access, answer, otherwise)
    if answer.status != status:
        raise BadAnswer(
            f"{otherwise} (HTTP {answer.status} from {answer.url})",
            "an image that cannot be checked must not be installed",
            "check the factory's address and its log",
            status=answer.status,
            url=answer.url,
        )


def reject(access: Access, answer: Answer, otherwise: str) -> NoReturn:
    """Fail as the factory refuses a request, in its words.

    Raises:
        Rejected: always.
    """
    said = access.without_secrets(answer.body.decode("utf-8", "replace"))
    raise Rejected(
        f"{otherwise}: {said or 'no reason given'}",
        "an older factory does not know every field, and the open-source one knows no owner",
        "remove the field, or use a factory that knows it",
        url=answer.url,
    )


def deny(answer: Answer) -> NoReturn:
    """Fail as credentials are missing or not enough.

    Raises:
        Unauthorized: always.
    """
    raise Unauthorized(
        f"access is denied (HTTP {answer.status} from {answer.url})",
        "the image cannot be checked",
        "give credentials of the owner of the schematic"
        if answer.status == 403
        else "give the factory's or registry's user name and password, or a token",
        status=answer.status,
        url=answer.url,
    )


def not_found(answer: Answer, found: str) -> NotFound:
    """The error where something does not exist; ``found`` says what."""
    return NotFound(
        found,
        "what cannot be pulled cannot be installed, and the node would stay empty",
        "check version, platform, architecture and the factory's address",
        url=answer.url,
    )


def bad_answer(answer: Answer, what: str) -> BadAnswer:
    """The error for an answer that cannot be understood; ``what`` is a clause about it, such as ``gave no JSON``."""
    return BadAnswer(
        f"{answer.url} {what}",
        "an answer that is not understood is not a yes",
        "check whether this is an Image Factory, and whether a proxy is in between",
        url=answer.url,
        status=answer.status,
    )


def text_of(answer: Answer) -> str:
    """The body as text.

    Raises:
        BadAnswer: it is not UTF-8.
    """
    try:
        return answer.body.decode("utf-8")
    except UnicodeDecodeError:
        raise bad_answer(answer, "gave bytes that are no text") from None


def json_of(answer: Answer, kind: type) -> Any:
    """The body as JSON of one kind (dict or list).

    Raises:
        BadAnswer: it is no JSON, or of another kind.
    """
    try:
        data = json.loads(answer.body)
    except (ValueError, RecursionError):
        raise bad_answer(answer, "gave no JSON") from None
    if not isinstance(data, kind):
        raise bad_answer(answer, f"gave JSON that is no {kind.__name__}")
    return data
