# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Kubernetes API whose answers a test writes down, for code whose simulated cluster would have to misbehave."""

from __future__ import annotations

import datetime as dt
import json
import time
from dataclasses import dataclass, field
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils import kube
from ansible_collections.talosops.selinux.plugins.plugin_utils.kube import HTTPError

HOST = "https://kube"
LOST = HTTPError("the connection broke")


@dataclass(frozen=True)
class Refusal:
    """An answer of the API that is none: its status and its words, or a page of some proxy."""

    status: int
    message: str | None = "no"
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return "<html>" if self.message is None else json.dumps({"message": self.message, **self.more})


def refusal(status: int, message: str | None = "no", **more: Any) -> Refusal:
    """A refusal with whatever else the API says of it."""
    return Refusal(status, message, more)


class Request(NamedTuple):
    """What was asked: the path with its query, and the body."""

    method: str
    path: str
    body: Any


class ScriptedKube:
    """As much of a client of the ``kubernetes`` library as the collection uses; its clock only moves in its sleep.

    Args:
        answers: one after another, the last for ever: an object, a :class:`Refusal`, or an exception to be raised.
        seconds: which timeout each request must have.
        read: what every GET gets instead.
        date: the time of the API server; None for one that does not say.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        *answers: Any,
        seconds: float,
        read: Any = None,
        date: dt.datetime | None = None,
    ) -> None:
        self.requests: list[Request] = []
        self.slept: list[float] = []
        self._left, self._seconds, self._read = list(answers), seconds, read
        self._headers = {} if date is None else {"Date": format_datetime(date, usegmt=True)}
        self._now = 1000.0
        self.configuration = SimpleNamespace(host=HOST, auth_settings=dict)
        self.default_headers: dict[str, str] = {}
        self.rest_client = self
        monkeypatch.setattr(kube, "kube_client", lambda *_where: self)
        monkeypatch.setattr(time, "sleep", self._sleep)
        monkeypatch.setattr(time, "monotonic", lambda: self._now)

    def __enter__(self) -> ScriptedKube:
        return self

    def __exit__(self, *_how: object) -> None:
        return None

    def request(self, method: str, url: str, *, headers: Any, body: Any, _request_timeout: float) -> Any:
        """The next answer, in the form of the library's REST client."""
        assert (_request_timeout, url.startswith(f"{HOST}/")) == (self._seconds, True)
        self.requests.append(Request(method, url.removeprefix(f"{HOST}/"), body))
        answer = self._read if method == "GET" and self._read is not None else self._next()
        if isinstance(answer, Exception):
            raise answer
        bad = isinstance(answer, Refusal)
        return SimpleNamespace(
            status=answer.status if bad else 200,
            reason="Because" if bad else "OK",
            data=answer.text if bad else json.dumps(answer),
            getheaders=lambda: self._headers,
        )

    @property
    def asked(self) -> list[tuple[str, str]]:
        """Method and path of each request."""
        return [(one.method, one.path) for one in self.requests]

    @property
    def methods(self) -> list[str]:
        """The method of each request."""
        return [one.method for one in self.requests]

    @property
    def writes(self) -> list[Request]:
        """The requests that were to change something."""
        return [one for one in self.requests if one.method != "GET"]

    def _next(self) -> Any:
        return self._left.pop(0) if len(self._left) > 1 else self._left[0]

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._now += seconds


def listed(*items: Any) -> dict[str, Any]:
    """A list of the API."""
    return {"items": list(items), "metadata": {}}
