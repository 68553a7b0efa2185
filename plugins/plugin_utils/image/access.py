# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which address is asked, with what credentials and whose certificates; an address without TLS is none."""

from __future__ import annotations

import base64
import functools
import re
import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ..operator_files import read_text
from ..quoted import Quoted
from ..texts import printable
from .errors import UnsafeUrl

_PEM = re.compile(r"-----BEGIN (?:X509 )?CERTIFICATE-----[!-~\s]*?-----END (?:X509 )?CERTIFICATE-----")


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

    def tls(self) -> ssl.SSLContext:
        """The context that verifies the host.

        Raises:
            UnsafeUrl: the CA file holds no certificate that can be used.
            FileProblem: it cannot be read.
        """
        if self.ca_file is None:
            return system_tls()
        why = "the factory cannot be proven to be the right one"
        # What stands between the certificates is for people, in any script; OpenSSL takes ASCII only.
        certificates = "\n".join(_PEM.findall(read_text(self.ca_file, "CA file", why=why)))
        try:
            if not certificates:
                raise ValueError("it holds no certificate")
            return ssl.create_default_context(cadata=certificates)
        except (ValueError, ssl.SSLError) as error:
            raise UnsafeUrl(
                f"the CA file {self.ca_file} cannot be used ({error})",
                why,
                "give a PEM file with the factory's certificate authority",
            ) from None

    def without_secrets(self, text: str) -> str:
        """A text of somebody else for a message: printable, short, its secrets masked."""
        quoted = Quoted()
        for secret in self.secrets:
            quoted.learn(secret)
        return printable(quoted.masked(text, 1000), 200)


@functools.cache
def system_tls() -> ssl.SSLContext:
    """The context that verifies a host by the system's authorities, of which there are so many that it is kept."""
    return ssl.create_default_context()


def check_url(url: str, allow_plain_http: bool) -> None:
    """Refuse an address without TLS, unless it is of this machine or plain HTTP is allowed.

    Raises:
        UnsafeUrl: it is such an address, or none.
    """
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname and (allow_plain_http or is_loopback(parts.hostname)):
        return
    raise UnsafeUrl(
        f"the address {shown(url)} is not https",
        "without TLS anyone on the way can hand out another image",
        "use https, or allow plain http by name (allow_plain_http) on a network you trust",
    )


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    return host in ("localhost", "::1") or re.fullmatch(r"127(?:\.[0-9]{1,3}){3}", host) is not None


def origin(url: str) -> str:
    """Scheme, host and port of an address, without user information."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def shown(url: str) -> str:
    """An address for messages: no user information and no query, which may hold a token."""
    return f"{origin(url)}{urlsplit(url).path}"
