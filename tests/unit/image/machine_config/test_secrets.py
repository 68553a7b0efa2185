# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import secrets

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.secrets import wrong_form
from generated_configs import made_up_secrets


def pem(label, body=None):
    lines = [f"-----BEGIN {label}-----", base64.b64encode(body or secrets.token_bytes(40)).decode()]
    return "\n".join([*lines, f"-----END {label}-----", ""])


def encoded(text):
    return base64.b64encode(text.encode()).decode()


KEY = "PRIVATE KEY"


@pytest.mark.parametrize("name", sorted(made_up_secrets()))
def test_what_talosctl_writes(name):
    form = {
        "TOKEN": "token",
        "CRT": "base64_certificate",
        "KEY": "base64_key",
        "ID": "bytes32",
        "SECRET": "encryption_key" if name == "SECRETBOX_SECRET" else "bytes32",
    }[name.rpartition("_")[2]]
    assert wrong_form(made_up_secrets()[name], form) is None


@pytest.mark.parametrize("label", [KEY, f"ED25519 {KEY}", f"EC {KEY}", f"RSA {KEY}"])
def test_every_label_of_a_key(label):
    assert wrong_form(encoded(pem(label)), "base64_key") is None
    assert wrong_form(pem(label), "key") is None
    # With the parameters of the curve or of an encryption in front, as OpenSSL writes them.
    assert wrong_form(encoded(pem("CERTIFICATE") + pem("CERTIFICATE")), "base64_certificate") is None


@pytest.mark.parametrize("form", ["base64_certificate", "base64_key", "certificate", "key"])
@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        "LS0tLS1CRUdJTg",
        encoded("hello"),
        encoded(pem("PUBLIC KEY")),
        pem("PUBLIC KEY"),
        7,
        None,
        ["x"],
        "=" * 40,
    ],
)
def test_what_is_no_certificate_and_no_key(form, value):
    assert wrong_form(value, form)


def test_certificate_and_key_are_not_the_same():
    assert wrong_form(encoded(pem("CERTIFICATE")), "base64_key") == "is not the base64 of a private key in PEM form"
    assert wrong_form(encoded(pem(KEY)), "base64_certificate") == "is not the base64 of a certificate in PEM form"
    assert wrong_form(pem("CERTIFICATE"), "key") == "is not a private key in PEM form"
    assert wrong_form(pem(KEY), "certificate") == "is not a certificate in PEM form"
    # The v1alpha1 document has no PEM as it is.
    assert wrong_form(pem("CERTIFICATE"), "base64_certificate") == "is not the base64 of a certificate in PEM form"
    # A certificate with its key behind it is no certificate for every node to hold.
    assert wrong_form(encoded(pem("CERTIFICATE") + pem(KEY)), "base64_certificate")


@pytest.mark.parametrize("size", [0, 1, 16, 31, 33, 64])
def test_lengths(size):
    value = base64.b64encode(b"x" * size).decode()
    assert wrong_form(value, "bytes32") == "is not the base64 of 32 bytes"
    assert (wrong_form(value, "encryption_key") is None) == (size == 16)


def test_ids_of_older_releases_are_in_the_other_alphabet():
    value = base64.urlsafe_b64encode(b"\xff\xfe" * 16).decode()
    assert "_" in value and wrong_form(value, "bytes32") is None
    assert wrong_form(value.replace("_", "*"), "bytes32") and wrong_form(value.rstrip("="), "bytes32")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "abcdef",
        "abcdef.0123456789abcde",
        "ABCDEF.0123456789abcdef",
        "abcdef:0123456789abcdef",
        "abcdef.0123456789abcdef\n",
    ],
)
def test_tokens(value):
    assert wrong_form("abcdef.0123456789abcdef", "token") is None
    assert wrong_form(value, "token") == "is not a token of the form abcdef.0123456789abcdef"
