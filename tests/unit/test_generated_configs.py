# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The generated configurations that other tests stand on: well-formed, complete, and with no secret of anybody's."""

from __future__ import annotations

import base64
import re

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key
from generated_configs import DIRECTORY, ROLES, VERSIONS, Role, fill, load, made_up_secrets

EVERY = [(version, role) for version in VERSIONS for role in ROLES]
PEM = re.compile(r"-----BEGIN (?P<label>[A-Z0-9 ]+)-----\n(?P<body>[^-]+)-----END (?P=label)-----")


def documents(text: str) -> list[dict[str, object]]:
    return list(yaml.safe_load_all(text))


def pems(value: object) -> list[str]:
    """Every PEM text in a document, whether as it is or in base64."""
    if isinstance(value, dict):
        return [pem for item in value.values() for pem in pems(item)]
    if isinstance(value, list):
        return [pem for item in value for pem in pems(item)]
    if not isinstance(value, str):
        return []
    if value.startswith("LS0t"):
        value = base64.b64decode(value, validate=True).decode("ascii")
    return [value] if value.startswith("-----") else []


@pytest.mark.parametrize(("version", "role"), EVERY)
def test_a_file_is_complete_and_of_its_role(version: str, role: Role) -> None:
    text = load(version, role)
    first = documents(text)[0]
    assert "@" not in text
    assert isinstance(first["machine"], dict) and first["machine"]["type"] == role


@pytest.mark.parametrize(("version", "role"), EVERY)
def test_keys_and_certificates_can_be_read(version: str, role: Role) -> None:
    found = [PEM.fullmatch(pem.strip()) for document in documents(load(version, role)) for pem in pems(document)]
    labels = sorted(match["label"] for match in found if match)
    assert len(labels) == len(found) >= 2
    for match in found:
        assert match
        if match["label"] == "CERTIFICATE":
            x509.load_pem_x509_certificate(match[0].encode())
        elif match["label"].startswith("ED25519"):
            assert isinstance(load_der_private_key(base64.b64decode(match["body"]), None), Ed25519PrivateKey)
        else:
            load_pem_private_key(match[0].encode(), None)
    has_keys = any(label.endswith("PRIVATE KEY") for label in labels)
    assert has_keys == (role == "controlplane")


def test_files_of_one_cluster_share_its_secrets_and_another_cluster_has_its_own() -> None:
    def identity(text: str) -> object:
        return next(doc for doc in documents(text) if doc.get("kind") == "DiscoveryIdentityConfig")

    secrets = made_up_secrets()
    ours = [identity(load("v1.14", role, secrets)) for role in ROLES]
    assert ours[0] == ours[1] != identity(load("v1.14", "worker", made_up_secrets()))


def test_the_stored_files_hold_no_secret() -> None:
    paths = list(DIRECTORY.rglob("*.yaml.in"))
    assert len(paths) >= 4
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"BEGIN|LS0t", text), path
        assert not re.search(r"(?m)(token|secret|key|crt|clusterID|clusterSecret): [A-Za-z0-9]\S{15,}$", text), path


def test_a_name_alone_on_its_line_becomes_a_block_and_keeps_what_stands_before_it() -> None:
    secrets = {"X": base64.b64encode(b"first\nsecond\n").decode()}
    assert fill("cert: |\n    @X@\n", secrets) == "cert: |\n    first\n    second\n"
    assert fill("+    @X@\n", secrets) == "+    first\n+    second\n"
    assert fill("crt: @X@\n", secrets) == f"crt: {secrets['X']}\n"
    with pytest.raises(KeyError, match="UNKNOWN"):
        fill("key: @UNKNOWN@", secrets)
