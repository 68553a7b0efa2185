# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machine configurations as `talosctl gen config` of each release writes them, with secrets made at test time.

`tests/data/generated-configs` holds what talosctl wrote, without its comments and with `@NAME@` for each secret; the
same secret has the same name wherever it stands. Until Talos 1.13 keys and certificates stand as base64 of PEM; the
documents of 1.14 hold the PEM text itself, as a block of lines.
"""

from __future__ import annotations

import base64
import datetime
import functools
import re
import secrets as random
import string
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

DIRECTORY = Path(__file__).parent / "data" / "generated-configs"
VERSIONS = tuple(sorted((path.name for path in DIRECTORY.iterdir()), key=lambda name: int(name.split(".")[1])))

Role = Literal["controlplane", "worker"]
ROLES: tuple[Role, Role] = ("controlplane", "worker")

_AUTHORITIES = ("OS", "K8S", "AGGREGATOR", "ETCD")
#: Talos' recorded differences leave out what certificates of two clusters share, so that they have to share it: the
#: second in which they were made, and the length of a serial number.
_MADE = datetime.datetime.now(datetime.UTC)
_LONGEST_SERIAL = 1 << 158
_Key = Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def load(version: str, role: Role, secrets: Mapping[str, str] | None = None) -> str:
    """A complete configuration.

    Args:
        version: one of `VERSIONS`, such as ``v1.14``.
        secrets: what `made_up_secrets` returns, to share them between files; without, the same ones in a process.
    """
    return fill((DIRECTORY / version / f"{role}.yaml.in").read_text(encoding="utf-8"), secrets)


def fill(text: str, secrets: Mapping[str, str] | None = None) -> str:
    """Put values where ``text`` says ``@NAME@``: PEM lines where the name is all of a line, else one line.

    ``@NAME:2@`` is the line of that number, from 0, of the PEM alone.

    Raises:
        KeyError: ``text`` names a secret that ``secrets`` does not have.
    """
    values = _shared() if secrets is None else secrets

    def pem(name: str) -> list[str]:
        return base64.b64decode(values[name]).decode("ascii").splitlines()

    def block(match: re.Match[str]) -> str:
        return "\n".join(match["indent"] + line for line in pem(match["name"]))

    text = re.sub(r"(?m)^(?P<indent>[-+ ]? *)@(?P<name>[A-Z0-9_]+)@$", block, text)
    text = re.sub(r"@([A-Z0-9_]+):(\d+)@", lambda match: pem(match[1])[int(match[2])], text)
    return re.sub(r"@([A-Z0-9_]+)@", lambda match: values[match[1]], text)


def edited(text: str, edits: Iterable[Mapping[str, str]]) -> str:
    """``text`` after each edit has put its ``put`` where its ``find`` stands first.

    Raises:
        ValueError: a ``find`` does not stand in the text.
    """
    for edit in edits:
        before, found, after = text.partition(edit["find"])
        if not found:
            raise ValueError(f"not in the configuration: {edit['find']!r}")
        text = before + edit["put"] + after
    return text


def made_up_secrets(service_account_key: str | None = None) -> dict[str, str]:
    """Well-formed secrets of one cluster, by the names that stand in the files.

    Args:
        service_account_key: the key to take, since making one is slow; a new one when not given.
    """
    secrets = {
        "CLUSTER_ID": _thirty_two_bytes(),
        "CLUSTER_SECRET": _thirty_two_bytes(),
        "SECRETBOX_SECRET": _thirty_two_bytes(),
        "MACHINE_TOKEN": _token(),
        "BOOTSTRAP_TOKEN": _token(),
        "SERVICE_ACCOUNT_KEY": service_account_key or _base64(_private_pem(rsa.generate_private_key(65537, 2048))),
    }
    for name in _AUTHORITIES:
        key = Ed25519PrivateKey.generate() if name == "OS" else ec.generate_private_key(ec.SECP256R1())
        secrets[f"{name}_KEY"] = _base64(_private_pem(key))
        secrets[f"{name}_CRT"] = _base64(_authority(name, key))
    return secrets


@functools.cache
def _shared() -> Mapping[str, str]:
    return made_up_secrets()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _thirty_two_bytes() -> str:
    return _base64(random.token_bytes(32))


def _token() -> str:
    letters = string.ascii_lowercase + string.digits
    return ".".join("".join(random.choice(letters) for _unused in range(length)) for length in (6, 16))


def _private_pem(key: _Key) -> bytes:
    """A key as Talos writes it: PKCS #8 under a label of its own for Ed25519, else OpenSSL's traditional form."""
    if not isinstance(key, Ed25519PrivateKey):
        return key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    der = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    label = "ED25519 PRIVATE KEY"
    return f"-----BEGIN {label}-----\n{_base64(der)}\n-----END {label}-----\n".encode("ascii")


def _authority(name: str, key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    """A self-signed CA certificate, as PEM."""
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, name.lower())])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(_LONGEST_SERIAL + random.randbits(158))
        .not_valid_before(_MADE - datetime.timedelta(hours=1))
        .not_valid_after(_MADE + datetime.timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, None if isinstance(key, Ed25519PrivateKey) else hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)
