# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS with a Talos node: certificates of this side, checks of the other, and the times allowed.

grpcio is not used: its wheels cannot complete a TLS handshake with the Ed25519 certificates that Talos makes.
"""

from __future__ import annotations

import base64
import hashlib
import ssl
from dataclasses import dataclass

from ..private_files import short_lived_file
from ..problem import missing_library
from .config import Context
from .errors import ConfigError

try:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
except ImportError as error:
    _X509_ERROR: ImportError | None = error
else:
    _X509_ERROR = None


@dataclass(frozen=True)
class Deadlines:
    """How long to wait, in seconds.

    Attributes:
        connect: TCP, TLS and the server's first HTTP/2 frame together.
        call: one question, with its retries.
        log: a whole log, list or file, with its retries.
        node: everything that is asked of one node in a fleet read.
        snapshot: a whole etcd snapshot.
    """

    connect: float = 5.0
    call: float = 10.0
    log: float = 30.0
    node: float = 45.0
    snapshot: float = 300.0


def spki_fingerprint(certificate: bytes) -> str:
    """Base64 of the SHA-256 of a DER certificate's SubjectPublicKeyInfo, as talosctl prints it.

    The source of the form is x509/fingerprint.go of siderolabs/crypto.

    Raises:
        MissingLibrary: cryptography is not installed.
    """
    if _X509_ERROR is not None:
        raise missing_library("cryptography", _X509_ERROR)
    key = x509.load_der_x509_certificate(certificate).public_key()
    return base64.b64encode(
        hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    ).decode("ascii")


def _base_context() -> ssl.SSLContext:
    if ssl.OPENSSL_VERSION.startswith("LibreSSL") or ssl.OPENSSL_VERSION_INFO < (1, 1, 1):
        raise ConfigError(
            f"this Python's TLS library is {ssl.OPENSSL_VERSION}, which has no Ed25519",
            "Talos nodes present Ed25519 certificates",
            "run Ansible with a Python that is built with OpenSSL 1.1.1 or later",
        )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    tls.set_alpn_protocols(["h2"])
    return tls


def mutual_tls(context: Context) -> ssl.SSLContext:
    """A TLS context that proves the client with ``context``'s certificate and trusts only its authority.

    Raises:
        Unauthenticated: the client certificate is outside its dates.
        ConfigError: the certificate, key or authority cannot be loaded.
    """
    context.check_dates()
    tls = _base_context()
    try:
        if context.ca is None:
            tls.load_default_certs(ssl.Purpose.SERVER_AUTH)
        else:
            tls.load_verify_locations(cadata=context.ca.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError, ValueError):
        raise _unloadable(context, "the ca is not a usable certificate") from None
    with short_lived_file(context.crt + b"\n" + context.key) as name:
        try:
            tls.load_cert_chain(name, password=_no_password)
        except (ssl.SSLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", None)
            what = (
                "the key does not belong to the crt"
                if reason == "KEY_VALUES_MISMATCH"
                else f"the crt and key cannot be loaded by {ssl.OPENSSL_VERSION} ({reason or 'unusable key'})"
            )
            raise _unloadable(context, what) from None
    return tls


def _no_password() -> str:
    # Without this OpenSSL would ask on the terminal for an encrypted key's pass phrase and hang the task.
    raise ValueError("the key is encrypted")


def _unloadable(context: Context, what: str) -> ConfigError:
    return ConfigError(
        f"the talosconfig {context.source}: in context {context.name!r} {what}",
        "no node can be asked with it",
        "make the talosconfig again",
        file=context.source,
        context=context.name,
    )


def unverified_tls() -> ssl.SSLContext:
    """A TLS context that accepts any certificate: only for maintenance mode, where the caller checks the pin."""
    tls = _base_context()
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    return tls
