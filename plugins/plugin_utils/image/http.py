# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP with a factory or a registry: bounded in time and size, redirects without credentials, retries that end."""

from __future__ import annotations

import base64
import http.client
import json
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn
from urllib.parse import urljoin, urlsplit

from ..operator_files import read_text
from ..texts import printable
from . import kernel_args
from .errors import BadAnswer, NotFound, RateLimited, Rejected, Unauthorized, Unavailable, UnsafeUrl
from .pacing import HttpHandler, HttpsHandler, Request, left

_PEM = re.compile(r"-----BEGIN (?:X509 )?CERTIFICATE-----[!-~\s]*?-----END (?:X509 )?CERTIFICATE-----")
_LIMIT = 8 * 1024 * 1024
_LONGEST_WAIT = 60.0
_REDIRECTS = 5
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECTING = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True)
class Access:
    """How to reach one host: the factory, or a registry that mirrors it.

    Attributes:
        url: ``https://host[:port][/prefix]``. Plain ``http`` is for loopback, or where ``allow_plain_http`` says so.
        username, password: HTTP Basic credentials.
        token: a bearer token; to a registry that asks for Basic it is sent as the password.
        ca_file: PEM file of the certificate authorities to trust instead of the system's.
        allow_plain_http: allow an address without TLS on another machine than this one.
    """

    url: str
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    allow_plain_http: bool = False

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if "@" in parts.netloc:
            raise UnsafeUrl(
                "a factory or registry address holds credentials",
                "addresses are shown in messages and reports",
                "give the user name and the password as separate options",
            )
        check_url(self.url, self.allow_plain_http)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        return tuple(value for value in (self.password, self.token) if value)

    def authorization(self, *, basic: bool = False) -> str | None:
        """The value of the Authorization header, or None without credentials."""
        if self.token and not basic:
            return f"Bearer {self.token}"
        secret = self.password if self.password is not None else self.token
        if secret is None:
            return None
        pair = f"{self.username or 'token'}:{secret}"
        return "Basic " + base64.b64encode(pair.encode()).decode("ascii")


@dataclass(frozen=True)
class Answer:
    """One HTTP answer: ``status``, ``headers`` and the whole ``body``."""

    status: int
    headers: Message
    body: bytes
    url: str


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
        wait = self._backoff
        for attempt in range(1, self._attempts + 1):
            answer: Answer | None = None
            asked = 0.0
            try:
                answer = self._follow(access, method, url, body, dict(headers or {}), end)
            except (OSError, http.client.HTTPException, _Broken) as error:
                reason = getattr(error, "reason", error)
                if isinstance(reason, ssl.SSLCertVerificationError):
                    raise UnsafeUrl(
                        f"the certificate of {_origin(url)} cannot be verified ({reason.verify_message})",
                        "an image from an unproven factory could be anything",
                        "give the CA file of the factory or mirror",
                        url=_shown(url),
                    ) from None
                failure = clean(access, f"{type(reason).__name__}: {reason}")
            else:
                if answer.status not in _RETRIED:
                    if answer.status in (401, 403) and not denied_is_answer:
                        deny(answer)
                    return answer
                failure = f"HTTP {answer.status}"
                asked = _retry_after(answer.headers)
            pause = min(max(wait, asked), _LONGEST_WAIT)
            if attempt == self._attempts or asked > _LONGEST_WAIT or time.monotonic() + pause > end:
                break
            self._sleep(pause)
            wait *= 2
        limited = answer is not None and answer.status == 429
        problem = RateLimited if limited else Unavailable
        raise problem(
            f"{_origin(url)} does not answer {method} {urlsplit(url).path} ({failure}, {attempt} attempts)",
            "an image that cannot be checked must not be installed",
            "wait until the rate limit is over"
            if limited
            else "check the address, the network and the factory's health",
            url=_shown(url),
            attempts=attempt,
            retry_after=asked or None,
        )

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
            if authorization and _origin(url) == _origin(first):
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
        opener = self._opener(access.ca_file)
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
            return Answer(response.status or 0, response.headers, b"".join(chunks), _shown(url))

    def _opener(self, ca_file: str | None) -> urllib.request.OpenerDirector:
        if ca_file not in self._openers:
            context = _tls(ca_file)
            self._openers[ca_file] = urllib.request.build_opener(HttpHandler(), HttpsHandler(context), _NoRedirect())
        return self._openers[ca_file]


def _tls(ca_file: str | None) -> ssl.SSLContext:
    if ca_file is None:
        return ssl.create_default_context()
    why = "the factory cannot be proven to be the right one"
    # What stands between the certificates is for people, in any script; OpenSSL takes ASCII only.
    certificates = "\n".join(_PEM.findall(read_text(ca_file, "CA file", why=why)))
    try:
        if not certificates:
            raise ValueError("it holds no certificate")
        return ssl.create_default_context(cadata=certificates)
    except (ValueError, ssl.SSLError) as error:
        raise UnsafeUrl(
            f"the CA file {ca_file} cannot be used ({error})",
            why,
            "give a PEM file with the factory's certificate authority",
        ) from None


class _Broken(Exception):
    """An answer that was not transferred as a whole."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    # Redirects are followed by hand, so that credentials and TLS are not lost on the way.
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def clean(access: Access, text: str) -> str:
    for secret in access.secrets:
        text = text.replace(secret, kernel_args.MASK)
    return printable(text.strip(), 200)


def expect(access: Access, answer: Answer, status: int, otherwise: str) -> None:
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
    said = clean(access, answer.body.decode("utf-8", "replace"))
    raise Rejected(
        f"{otherwise}: {said or 'no reason given'}",
        "an older factory does not know every field, and the open-source one knows no owner",
        "remove the field, or use a factory that knows it",
        url=answer.url,
    )


def deny(answer: Answer) -> NoReturn:
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
    return NotFound(
        found,
        "what cannot be pulled cannot be installed, and the node would stay empty",
        "check version, platform, architecture and the factory's address",
        url=answer.url,
    )


def check_url(url: str, allow_plain_http: bool) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname and (allow_plain_http or is_loopback(parts.hostname)):
        return
    raise UnsafeUrl(
        f"the address {_shown(url)} is not https",
        "without TLS anyone on the way can hand out another image",
        "use https, or allow plain http by name (allow_plain_http) on a network you trust",
    )


def is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or re.fullmatch(r"127(?:\.[0-9]{1,3}){3}", host) is not None


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _shown(url: str) -> str:
    """An address for messages: no user information and no query, which may hold a token."""
    return f"{_origin(url)}{urlsplit(url).path}"


def _retry_after(headers: Message) -> float:
    """Seconds the server asks to wait; 0 when it does not say, or says it in a way that makes no sense."""
    value = (headers.get("Retry-After") or "").strip()
    if value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0


def bad_answer(answer: Answer, what: str) -> BadAnswer:
    return BadAnswer(
        f"{answer.url} {what}",
        "an answer that is not understood is not a yes",
        "check whether this is an Image Factory, and whether a proxy is in between",
        url=answer.url,
        status=answer.status,
    )


def text_of(answer: Answer) -> str:
    try:
        return answer.body.decode("utf-8")
    except UnicodeDecodeError:
        raise bad_answer(answer, "gave bytes that are no text") from None


def json_of(answer: Answer, kind: type) -> Any:
    try:
        data = json.loads(answer.body)
    except (ValueError, RecursionError):
        raise bad_answer(answer, "gave no JSON") from None
    if not isinstance(data, kind):
        raise bad_answer(answer, f"gave JSON that is no {kind.__name__}")
    return data
