# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP with a factory or a registry: bounded in time and size, redirects without credentials, retries that end."""

from __future__ import annotations

import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from .access import Access, check_url, origin, shown
from .answers import Answer, bad_answer, deny
from .errors import RateLimited, Unavailable, UnsafeUrl
from .pacing import HttpHandler, HttpsHandler, Request, left

_LIMIT = 8 * 1024 * 1024
_LONGEST_WAIT = 60.0
_REDIRECTS = 5
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECTING = frozenset({301, 302, 303, 307, 308})


class Http:
    """Requests that end.

    Args:
        timeout: seconds without a byte after which one request has failed. The first pull builds an image, so this
            is generous.
        deadline: seconds for one whole request with all its retries and redirects.
        attempts: how often a request is tried on 429, 5xx, or a dead connection.
        backoff: seconds before the second attempt; doubled each time, unless ``Retry-After`` says more.
    """

    def __init__(
        self,
        *,
        timeout: float = 120.0,
        deadline: float = 600.0,
        attempts: int = 5,
        backoff: float = 1.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._timeout = timeout
        self._deadline = deadline
        self._attempts = attempts
        self._backoff = backoff
        self._sleep = sleep
        self._openers: dict[str | None, urllib.request.OpenerDirector] = {}

    def request(
        self,
        access: Access,
        method: str,
        url: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        denied_is_answer: bool = False,
    ) -> Answer:
        """One request with redirects and bounded retries.

        Raises:
            RateLimited, Unavailable: after the last attempt, or at the deadline.
            Unauthorized: on 401 and 403, unless ``denied_is_answer``.
        """
        end = time.monotonic() + self._deadline
        wait, attempt, failed = self._backoff, 0, _Failed("not asked")
        for attempt in range(1, self._attempts + 1):
            found = self._ask(access, method, url, body, dict(headers or {}), end)
            if isinstance(found, Answer):
                if found.status in (401, 403) and not denied_is_answer:
                    deny(found)
                return found
            failed = found
            pause = min(max(wait, failed.asked), _LONGEST_WAIT)
            if attempt == self._attempts or failed.asked > _LONGEST_WAIT or time.monotonic() + pause > end:
                break
            self._sleep(pause)
            wait *= 2
        raise (RateLimited if failed.limited else Unavailable)(
            f"{origin(url)} does not answer {method} {urlsplit(url).path} ({failed.reason}, {attempt} attempts)",
            "an image that cannot be checked must not be installed",
            "wait until the rate limit is over"
            if failed.limited
            else "check the address, the network and the factory's health",
            url=shown(url),
            attempts=attempt,
            retry_after=failed.asked or None,
        )

    def _ask(
        self, access: Access, method: str, url: str, body: bytes | None, headers: dict[str, str], end: float
    ) -> Answer | _Failed:
        """The answer to one attempt, or why there was none that another attempt could not better."""
        try:
            answer = self._follow(access, method, url, body, headers, end)
        except (OSError, http.client.HTTPException, _Broken) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise UnsafeUrl(
                    f"the certificate of {origin(url)} cannot be verified ({reason.verify_message})",
                    "an image from an unproven factory could be anything",
                    "give the CA file of the factory or mirror",
                    url=shown(url),
                ) from None
            return _Failed(access.without_secrets(f"{type(reason).__name__}: {reason}"))
        if answer.status in _RETRIED:
            return _Failed(f"HTTP {answer.status}", answer.status == 429, _retry_after(answer.headers))
        return answer

    def _follow(
        self, access: Access, method: str, url: str, body: bytes | None, headers: dict[str, str], end: float
    ) -> Answer:
        authorization = headers.pop("Authorization", None)
        if authorization is None:
            authorization = access.authorization()
        first = url
        for _hop in range(_REDIRECTS + 1):
            sent = dict(headers)
            # A redirect leads to storage of someone else: credentials stay at home.
            if authorization and origin(url) == origin(first):
                sent["Authorization"] = authorization
            answer = self._once(access, method, url, body, sent, end)
            if answer.status not in _REDIRECTING:
                return answer
            location = answer.headers.get("Location")
            if not location or method == "POST":
                raise bad_answer(answer, "redirects to nowhere")
            url = urljoin(url, location)
            check_url(url, access.allow_plain_http)
        raise bad_answer(answer, f"redirects more than {_REDIRECTS} times")

    def _once(
        self, access: Access, method: str, url: str, body: bytes | None, headers: Mapping[str, str], end: float
    ) -> Answer:
        request = Request(url, body, dict(headers), method=method)
        request.end = end
        opener = self._opener(access)
        try:
            response = opener.open(request, timeout=min(self._timeout, left(end)))
        except urllib.error.HTTPError as error:
            response = error
        with response:
            chunks: list[bytes] = []
            size = 0
            while chunk := response.read1(65536):
                size += len(chunk)
                chunks.append(chunk)
                if size > _LIMIT:
                    raise _Broken(f"an answer of more than {_LIMIT} bytes")
            stated = response.headers.get("Content-Length")
            if method != "HEAD" and stated is not None and stated.isdigit() and int(stated) != size:
                raise _Broken("an answer that ends early")
            return Answer(response.status or 0, response.headers, b"".join(chunks), shown(url))

    def _opener(self, access: Access) -> urllib.request.OpenerDirector:
        known = self._openers.get(access.ca_file)
        if known is None:
            known = urllib.request.build_opener(HttpHandler(), HttpsHandler(access.tls()), _NoRedirect())
            self._openers[access.ca_file] = known
        return known


class _Failed(NamedTuple):
    """Why an attempt failed, and for how many seconds the server asks not to be asked again."""

    reason: str
    limited: bool = False
    asked: float = 0.0


class _Broken(Exception):
    """An answer that was not transferred as a whole."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    # Redirects are followed by hand, so that credentials and TLS are not lost on the way.
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _retry_after(headers: Message) -> float:
    """Seconds the server asks to wait; 0 when it does not say, or says it in a way that makes no sense."""
    value = (headers.get("Retry-After") or "").strip()
    if value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0
