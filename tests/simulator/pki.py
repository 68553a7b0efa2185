# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The certificates of a simulated fleet: Ed25519 only, made at start, never stored outside the fleet's directory."""

from __future__ import annotations

import base64
import datetime
import hashlib
import ipaddress
import os
import secrets
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import quick_yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


@dataclass(frozen=True)
class Pair:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: Ed25519PrivateKey

    @property
    def crt(self) -> bytes:
        """PEM of the certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def pem_key(self) -> bytes:
        """PKCS#8 PEM of the key, as OpenSSL reads it."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def talos_key(self) -> bytes:
        """The same PKCS#8 content under the header that talosctl writes into a talosconfig."""
        return self.pem_key.replace(b" PRIVATE KEY", b" ED25519 PRIVATE KEY")

    @property
    def fingerprint(self) -> str:
        """base64(SHA-256(SubjectPublicKeyInfo)), the form of ``--cert-fingerprint``."""
        spki = self.certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return base64.b64encode(hashlib.sha256(spki).digest()).decode()


def _name(organization: str | None, common_name: str | None) -> x509.Name:
    attributes = []
    if organization:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    if common_name:
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    return x509.Name(attributes)


def _sign(builder: x509.CertificateBuilder, key: Ed25519PrivateKey, *, days: float, start: float) -> x509.Certificate:
    begin = _now() + start * DAY
    return (
        builder.serial_number(secrets.randbits(120) | 1)
        .not_valid_before(begin)
        .not_valid_after(begin + days * DAY)
        .sign(key, None)
    )


def make_authority(organization: str, common_name: str | None = None) -> Pair:
    """Make a self-signed certificate authority valid for ten years."""
    key = Ed25519PrivateKey.generate()
    name = _name(organization, common_name)
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Pair(_sign(builder, key, days=3650, start=-1 / 24), key)


def _leaf(
    authority: Pair | None,
    subject: x509.Name,
    usages: list[x509.ObjectIdentifier],
    names: list[x509.GeneralName],
    *,
    days: float,
    start: float,
) -> Pair:
    key = Ed25519PrivateKey.generate()
    issuer = authority.certificate.subject if authority else subject
    signer = authority.key if authority else key
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Pair(_sign(builder, signer, days=days, start=start), key)


def make_server(authority: Pair | None, address: str, name: str, *, days: float = 1, start: float = -1 / 24) -> Pair:
    """Make a server leaf; without an authority it is self-signed, as in maintenance mode."""
    names: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(address)), x509.DNSName(name)]
    usages = [ExtendedKeyUsageOID.SERVER_AUTH]
    return _leaf(authority, _name(None, name), usages, names, days=days, start=start)


def make_client(
    authority: Pair, organization: str, common_name: str | None = None, *, days: float = 365, start: float = -1 / 24
) -> Pair:
    """Make a client leaf whose Organization is the Talos role (or the Kubernetes group)."""
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    return _leaf(authority, _name(organization, common_name), usages, [], days=days, start=start)


def server_context(
    pair: Pair, client_ca: bytes | None, *, protocol: str = "h2", required: bool = True
) -> ssl.SSLContext:
    """Make a server context; with ``client_ca`` (PEM) a client certificate is asked for, and required or not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([protocol])
    # ssl can load a chain from files only; the file is gone before anybody else can see it.
    handle, path = tempfile.mkstemp()
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(pair.crt + pair.pem_key)
        context.load_cert_chain(path)
    finally:
        Path(path).unlink()
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=client_ca.decode())
    return context


def talosconfig(pairs: Mapping[str, Pair], authority: bytes, endpoints: list[str], nodes: list[str]) -> str:
    """A talosconfig with one context per client certificate; the first is current."""
    contexts = {
        name: {
            "endpoints": endpoints,
            "nodes": nodes,
            "ca": base64.b64encode(authority).decode(),
            "crt": base64.b64encode(pair.crt).decode(),
            "key": base64.b64encode(pair.talos_key).decode(),
        }
        for name, pair in pairs.items()
    }
    return quick_yaml.dump({"context": next(iter(pairs)), "contexts": contexts})


class Pki:
    """Both authorities of a cluster: Talos (machine API) and Kubernetes, and a foreign one for the fault."""

    def __init__(self) -> None:
        self.talos = make_authority("talos")
        self.kubernetes = make_authority("kubernetes", "kubernetes")
        self._foreign: Pair | None = None

    @property
    def foreign(self) -> Pair:
        """An authority that nobody in the fleet trusts."""
        if self._foreign is None:
            self._foreign = make_authority("talos")
        return self._foreign

    def client(self, role: str, *, days: float = 365, start: float = -1 / 24) -> Pair:
        """Make a Talos API client certificate with the given role."""
        return make_client(self.talos, role, days=days, start=start)


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, from the first byte on."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
