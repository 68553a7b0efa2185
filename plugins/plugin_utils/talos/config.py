# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read a talosconfig file: who we are, whom we trust, and where the cluster can be asked.

The format and the lookup order are those of pkg/machinery/client/config in siderolabs/talos.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ..operator_files import read_text
from ..problem import missing_library
from ..yaml_loader import LOADER
from .errors import ConfigError, Unauthenticated

try:
    import yaml
except ImportError as error:
    _YAML_ERROR: ImportError | None = error
else:
    _YAML_ERROR = None

try:
    from cryptography import x509
except ImportError as error:
    _X509_ERROR: ImportError | None = error
else:
    _X509_ERROR = None

T = TypeVar("T")

API_PORT = 50000
_SERVICE_ACCOUNT = Path("/var/run/secrets/talos.dev/config")
_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s.*?-----END \1-----", re.DOTALL)
_HOST_AND_PORT = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\[\]]+))(?::(?P<port>\d{1,5}))?")
_HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\.?")


@dataclass(frozen=True)
class Address:
    """Where a Talos API listens: a host name or an IP literal without brackets, and a TCP port."""

    host: str
    port: int = API_PORT

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == API_PORT else f"{host}:{self.port}"


def parse_address(text: str) -> Address:
    """The address meant by ``host``, ``host:port``, an IPv6 literal with or without brackets, or an https URL.

    An https URL without a port means 443, as for talosctl; everything else means 50000.

    Raises:
        ConfigError: the text is none of these.
    """
    original, text = text, text.strip()
    default = API_PORT
    if "://" in text:
        try:
            parts = urlsplit(text)
        except ValueError:
            raise _bad_address(original) from None
        if parts.scheme != "https" or parts.username or parts.path.strip("/") or parts.query or parts.fragment:
            raise _bad_address(original)
        text, default = parts.netloc, 443
    try:
        # A bare IPv6 literal has colons that are no port separator.
        return Address(str(ipaddress.IPv6Address(text)), default)
    except ValueError:
        pass
    match = _HOST_AND_PORT.fullmatch(text)
    if match is None:
        raise _bad_address(original)
    port = int(match["port"]) if match["port"] else default
    if not 0 < port < 65536:
        raise _bad_address(original)
    if match["v6"]:
        try:
            return Address(str(ipaddress.IPv6Address(match["v6"])), port)
        except ValueError:
            raise _bad_address(original) from None
    if not _HOST_NAME.fullmatch(match["host"]):
        raise _bad_address(original)
    return Address(match["host"], port)


def host_of(url: str) -> str | None:
    """The host of a URL that somebody else wrote; None where it names none."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _bad_address(text: str) -> ConfigError:
    return ConfigError(
        f"{text!r} is not an address of a Talos API",
        "a node or endpoint is named by a host name or an IP address, with an optional port, or by an https URL",
        "correct the address, for example 10.0.0.2, [fd00::2]:50000 or https://talos.example.com",
    )


@dataclass(eq=False)
class Context:
    """One context of a talosconfig: an identity, the authority it trusts, and where to ask.

    Attributes:
        name: the context's name; empty for one that was not read from a file.
        endpoints: control planes (or a proxy) as written in the file.
        nodes: default nodes as written in the file.
        ca: PEM of the authority that signs node certificates; None means the system's authorities.
        crt, key: PEM of the client certificate and its private key, with a header that OpenSSL reads.
        source: the file it came from, for messages.
    """

    name: str
    endpoints: list[str] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)
    ca: bytes | None = field(default=None, repr=False)
    crt: bytes = field(kw_only=True, repr=False)
    key: bytes = field(kw_only=True, repr=False)
    source: str = ""
    _tls: Any = field(default=None, repr=False)

    def tls(self, make: Callable[[Context], T]) -> T:
        """What ``make`` gives for this context, made once: loading keys for every node of a fleet is dear."""
        self.check_dates()
        if self._tls is None:
            self._tls = make(self)
        result: T = self._tls
        return result

    def validity(self) -> tuple[datetime, datetime]:
        """``(not before, not after)`` of the client certificate in UTC.

        Raises:
            ConfigError: the certificate cannot be parsed.
        """
        if _X509_ERROR is not None:
            raise missing_library("cryptography", _X509_ERROR)
        try:
            certificate = x509.load_pem_x509_certificate(self.crt)
        except ValueError:
            raise _unusable(self.source, self.name, "crt", "is not a PEM certificate") from None
        if hasattr(certificate, "not_valid_after_utc"):
            return certificate.not_valid_before_utc, certificate.not_valid_after_utc
        # cryptography before 42 has only the naive spelling, which is in UTC too.
        return (
            certificate.not_valid_before.replace(tzinfo=timezone.utc),  # noqa: UP017 (same spelling as below)
            certificate.not_valid_after.replace(tzinfo=timezone.utc),  # noqa: UP017 (as above)
        )

    def check_dates(self, now: datetime | None = None) -> None:
        """Refuse a client certificate outside its dates before any connection is tried.

        With TLS 1.3 a node's refusal of an expired certificate looks like a lost connection, so the reason has
        to be found on this side.

        Raises:
            Unauthenticated: expired or not yet valid; the message names the date.
        """
        now = now or datetime.now(timezone.utc)  # noqa: UP017 (datetime.UTC reads as a constant of this module)
        start, end = self.validity()
        if now > end:
            raise Unauthenticated(
                f"the client certificate of talosconfig context {self.name!r} expired on {_date(end)}",
                "no node accepts it any more",
                "make a new talosconfig (talosctl config new, or gen config with the cluster's secrets)",
                context=self.name,
                not_after=_date(end),
            )
        if now < start:
            raise Unauthenticated(
                f"the client certificate of talosconfig context {self.name!r} is not valid before {_date(start)}",
                "nodes refuse it until then; often this machine's clock is wrong",
                f"check this machine's clock, which says {_date(now)}",
                context=self.name,
                not_before=_date(start),
            )


def _date(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(eq=False)
class Talosconfig:
    """The contexts of one talosconfig file."""

    path: str
    current: str
    _contexts: dict[str, Any] = field(repr=False)

    @property
    def names(self) -> list[str]:
        """The names of all contexts, in the file's order."""
        return list(self._contexts)

    @classmethod
    def load(cls, path: str | None = None, environ: Mapping[str, str] | None = None) -> Talosconfig:
        """Read the talosconfig that talosctl would read; a missing file is never created.

        The first existing file of: ``path``, ``$TALOSCONFIG``, ``$TALOS_HOME/config`` or ``~/.talos/config``, and
        ``/var/run/secrets/talos.dev/config``. Only the first YAML document counts.

        Raises:
            FileProblem: the file cannot be read, decrypted or decoded.
            ConfigError: no file was found, or it is no talosconfig.
        """
        if _YAML_ERROR is not None:
            raise missing_library("PyYAML", _YAML_ERROR)
        file = cls._find(path, os.environ if environ is None else environ)
        text = read_text(file, "talosconfig", why="it holds the identity that nodes accept")
        try:
            document = next(iter(yaml.load_all(text, Loader=LOADER)), None)
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            # The parser quotes the text around the error; that text may be a private key, so only the line is told.
            mark = getattr(error, "problem_mark", None)
            where = f" (line {mark.line + 1})" if mark is not None else ""
            raise ConfigError(
                f"the talosconfig {file} is not valid YAML{where}",
                "without it no node can be asked",
                "repair the file or name another one",
                file=str(file),
            ) from None
        if not isinstance(document, dict) or not isinstance(document.get("contexts") or {}, dict):
            raise ConfigError(
                f"{file} is not a talosconfig",
                "a talosconfig is a mapping with the keys context and contexts",
                "name the right file",
                file=str(file),
            )
        contexts = {str(name): value for name, value in (document.get("contexts") or {}).items()}
        current = document.get("context")
        return cls(str(file), current if isinstance(current, str) else "", contexts)

    @staticmethod
    def _find(path: str | None, environ: Mapping[str, str]) -> Path:
        if path:
            candidates = [Path(path).expanduser()]
        else:
            candidates = []
            if environ.get("TALOSCONFIG"):
                candidates.append(Path(environ["TALOSCONFIG"]).expanduser())
            if environ.get("TALOS_HOME"):
                candidates.append(Path(environ["TALOS_HOME"]).expanduser() / "config")
            elif environ.get("HOME"):
                candidates.append(Path(environ["HOME"]) / ".talos" / "config")
            candidates.append(_SERVICE_ACCOUNT)
        for candidate in candidates:
            if candidate.exists():
                return candidate
        raise ConfigError(
            f"no talosconfig at {', '.join(str(candidate) for candidate in candidates)}",
            "it holds the identity that nodes accept and the addresses to ask",
            "name the file, or set TALOSCONFIG",
        )

    def context(self, name: str | None = None) -> Context:
        """The context called ``name``, or the file's current one.

        Raises:
            ConfigError: there is no such context, or it needs something that this client does not do.
        """
        wanted = name or self.current
        if not wanted:
            raise self._problem(
                "no current context", "no context was named either", f"name one of: {self._listed()}", None
            )
        if wanted not in self._contexts:
            raise self._problem(
                f"no context {wanted!r}", "the identity to use is unknown", f"name one of: {self._listed()}", wanted
            )
        raw = self._contexts[wanted]
        if not isinstance(raw, dict):
            raise _unusable(self.path, wanted, "contexts", "does not hold a mapping for this context")
        self._refuse_foreign_authentication(raw, wanted)
        crt, key = (self._pem(raw, wanted, part) for part in ("crt", "key"))
        if crt is None or key is None:
            raise self._problem(
                f"context {wanted!r} has no {'crt' if crt is None else 'key'}",
                "Talos knows its clients by their certificate",
                "use a context with a client certificate and its key",
                wanted,
            )
        endpoints = self._strings(raw, wanted, "endpoints") or self._strings(raw, wanted, "target")
        context = Context(
            name=wanted,
            endpoints=endpoints,
            nodes=self._strings(raw, wanted, "nodes"),
            ca=self._pem(raw, wanted, "ca"),
            crt=crt,
            key=_with_readable_header(key),
            source=self.path,
        )
        context.validity()
        return context

    def _refuse_foreign_authentication(self, raw: dict[str, Any], name: str) -> None:
        auth = raw.get("auth")
        methods = auth if isinstance(auth, dict) else {}
        if "siderov1" in methods:
            raise self._problem(
                f"context {name!r} belongs to Omni (auth.siderov1)",
                "Omni signs each request with a key that this client does not have, and it drives resets and installs "
                "of its machines itself",
                "let Omni reinstall these machines, or use a talosconfig with a client certificate",
                name,
            )
        if methods:
            raise self._problem(
                f"context {name!r} uses auth.{next(iter(methods))}",
                "only client certificates are supported",
                "use a talosconfig with a client certificate",
                name,
            )
        if raw.get("proxy-url"):
            raise self._problem(
                f"context {name!r} has a proxy-url",
                "connections through a proxy are not supported, and going around it could reach the wrong machine",
                "remove proxy-url, or run where the nodes can be reached directly",
                name,
            )

    def _strings(self, raw: dict[str, Any], name: str, key: str) -> list[str]:
        value = raw.get(key)
        if value is None:
            return []
        if isinstance(value, str):
            return [value] if value else []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise _unusable(self.path, name, key, "is not a list of addresses")
        return [item for item in value if item]

    def _pem(self, raw: dict[str, Any], name: str, key: str) -> bytes | None:
        value = raw.get(key)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise _unusable(self.path, name, key, "is not a text")
        try:
            pem = base64.b64decode("".join(value.split()), validate=True)
        except (binascii.Error, ValueError):
            raise _unusable(self.path, name, key, "is not base64") from None
        if not _PEM.search(pem):
            raise _unusable(self.path, name, key, "is not PEM inside the base64")
        return pem

    def _listed(self) -> str:
        return ", ".join(self._contexts) or "(the file has none)"

    def _problem(self, found: str, why: str, do: str, context: str | None) -> ConfigError:
        problem = ConfigError(f"the talosconfig {self.path}: {found}", why, do, file=self.path)
        if context:
            problem.context["context"] = context
        return problem


def _unusable(path: str, context: str, key: str, what: str) -> ConfigError:
    # Never the value itself: it may be the private key.
    return ConfigError(
        f"the talosconfig {path}: in context {context!r} the value of {key} {what}",
        "without it the context cannot be used",
        "make the talosconfig again, or repair that value",
        file=path,
        context=context,
        key=key,
    )


def _with_readable_header(pem: bytes) -> bytes:
    # Talos writes PKCS#8 bytes under this label; OpenSSL reads them only under the standard one.
    return pem.replace(b"ED25519 PRIVATE KEY-----", b"PRIVATE KEY-----")
