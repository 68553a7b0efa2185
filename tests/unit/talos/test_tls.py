# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client's identity is loaded without a trace and without a question; what cannot be loaded is named."""

from __future__ import annotations

import dataclasses
import os
import ssl
import tempfile
from pathlib import Path

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.private_files import short_lived_file
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import MissingLibrary
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import specs, tls
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.config import Context
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import ConfigError
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.tls import mutual_tls, unverified_tls
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from .peers import Authority


@pytest.fixture(scope="module")
def context() -> Context:
    return Authority().context()


@pytest.mark.parametrize(
    ("version", "numbers"), [("LibreSSL 3.8.2", (3, 0, 0, 0, 0)), ("OpenSSL 1.1.0l", (1, 1, 0, 12, 15))]
)
def test_a_library_without_ed25519_is_named(
    context: Context, monkeypatch: pytest.MonkeyPatch, version: str, numbers: tuple[int, ...]
) -> None:
    monkeypatch.setattr(ssl, "OPENSSL_VERSION", version)
    monkeypatch.setattr(ssl, "OPENSSL_VERSION_INFO", numbers)
    for make in (lambda: mutual_tls(context), unverified_tls):
        with pytest.raises(ConfigError, match=f"{version}, which has no Ed25519"):
            make()


@pytest.mark.parametrize(
    "ca", [b"-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n", b"hunter2", b"", b"\xff"]
)
def test_an_authority_that_is_none_is_named(context: Context, ca: bytes) -> None:
    with pytest.raises(ConfigError, match="in context 'test' the ca is not a usable certificate") as caught:
        mutual_tls(dataclasses.replace(context, ca=ca))
    assert "hunter2" not in str(caught.value)


def test_nobody_is_asked_for_the_pass_phrase_of_a_key(context: Context) -> None:
    key = load_pem_private_key(context.key, None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass phrase"))
    with pytest.raises(ConfigError, match=r"the crt and key cannot be loaded by .* \(unusable key\)"):
        mutual_tls(dataclasses.replace(context, key=locked))


def test_where_no_file_lives_in_memory_none_is_left(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with short_lived_file(b"secret") as name:
        assert Path(name).parent == tmp_path and Path(name).read_bytes() == b"secret"
        assert Path(name).stat().st_mode & 0o077 == 0
    mutual_tls(context)
    assert list(tmp_path.iterdir()) == []


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "_X509_ERROR", ImportError("absent"))
    with pytest.raises(MissingLibrary, match="cryptography"):
        tls.spki_fingerprint(b"")
    monkeypatch.setattr(specs, "_IMPORT_ERROR", ImportError("absent"))
    with pytest.raises(MissingLibrary, match="PyYAML"):
        specs.parse_spec("{}")
