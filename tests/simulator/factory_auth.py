# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who asks the simulated Image Factory, and how it refuses."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field

from .httpd import Request

REALM = 'realm="Image Factory Enterprise", charset="UTF-8"'


class ImageError(Exception):
    """A container runtime could not pull or run this installer image; ``status`` is the registry's answer."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Refused(Exception):
    """An HTTP error answer, in the words of the real factory."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, dict(headers or {})


@dataclass(frozen=True)
class FactoryRequest:
    """One request the factory received, for tests to look at; status 0 is one it left hanging."""

    method: str
    path: str
    status: int
    identity: str | None
    body: str


@dataclass
class FactoryAuth:
    """Who may ask. ``users`` maps a user to a password, ``tokens`` a bearer token to the identity it stands for.

    ``machine_tokens`` reach only images and the registry (facts, section 6.4).
    """

    users: Mapping[str, str] = field(default_factory=dict)
    tokens: Mapping[str, str] = field(default_factory=dict)
    machine_tokens: Mapping[str, str] = field(default_factory=dict)

    def identify(self, request: Request) -> str | None:
        """The identity behind a request's credential, or None for no or a wrong one."""
        kind, _unused, credential = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self._of_token(credential, request.path)
        if kind.lower() != "basic":
            return None
        try:
            user, _unused, password = base64.b64decode(credential, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        if user in self.users and self.users[user] == password:
            return user
        return self._of_token(password, request.path)

    def _of_token(self, token: str, path: str) -> str | None:
        if token in self.machine_tokens:
            if not path.startswith(("/image/", "/v2")):
                raise Refused(403, "access denied")
            return self.machine_tokens[token]
        return self.tokens.get(token)
