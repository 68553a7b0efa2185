# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever an operator names is read as people write it, or called by what it is; nothing of it is quoted."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.policy import load_policy
from ansible_collections.talosops.selinux.plugins.plugin_utils.operator_files import (
    FileProblem,
    decrypting,
    read_bytes,
    read_text,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.config import Talosconfig

TEXT = "schlüssel: geheim\nliste: [東京]\n"


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"),
        codecs.BOM_UTF32_BE + TEXT.encode("utf-32-be"),
    ],
    ids=["plain", "utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"],
)
def test_every_mark_is_understood(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    assert read_text(path, "policy") == TEXT
    assert read_bytes(str(path), "policy") == data


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"$ANSIBLE_VAULT;1.1;AES256\n6162\n", "encrypted by Ansible Vault"),
        (codecs.BOM_UTF8 + b"$ANSIBLE_VAULT;1.1;AES256\n6162\n", "encrypted by Ansible Vault"),
        (b"age-encryption.org/v1\n-> X25519", "encrypted by age"),
        (b"\x00GITCRYPT\x00", "git-crypt"),
        (b"\x1f\x8b\x08" + b"s3cr3t", "compressed by gzip"),
        (b"PK\x03\x04", "zip"),
        ("s3cr3t: x\n".encode("utf-16-le"), "UTF-16 or UTF-32 without a byte order mark"),
        ("s3cr3t: x\n".encode("utf-32-be"), "UTF-16 or UTF-32 without a byte order mark"),
        (b"s3cr3t: \x00\xff", "binary"),
        (b"s3cr3t: \xff", "no UTF-8 from byte 8 on"),
        ("s3cr3t: é".encode("latin-1"), "no UTF-8 from byte 8 on"),
        (codecs.BOM_UTF16_LE + b"s3c", "no UTF-16-LE"),
    ],
)
def test_what_is_no_text_is_named(tmp_path: Path, data: bytes, found: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(FileProblem, match=found) as caught:
        read_text(path, "waivers")
    assert "s3cr3t" not in str(caught.value) and f"the waivers {path} cannot be read" in caught.value.found


def test_what_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, found in (
        (tmp_path / "no", "No such file"),
        (tmp_path, "Is a directory"),
        ("a\0b", "no path|not a path"),
        ("~nobody-has-this-name/x", "not a path|No such file"),
    ):
        with pytest.raises(FileProblem, match=found):
            read_text(path, "policy")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("a")
    assert read_text("~/file", "policy") == read_text("file", "policy") == "a"


def test_a_vaulted_file_is_decrypted_by_whoever_can(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"$ANSIBLE_VAULT;1.1;AES256\n6162\n")
    asked: list[str] = []

    def decrypt(name: str) -> bytes:
        asked.append(name)
        return codecs.BOM_UTF8 + b"plain"

    with decrypting(decrypt):
        assert read_text(path, "policy") == "plain"
        (tmp_path / "other").write_text("open")
        assert read_text(tmp_path / "other", "policy") == "open"
    assert asked == [str(path)]

    def refuse(name: str) -> bytes:
        raise ValueError("Attempting to decrypt but no vault secrets found.")

    with decrypting(refuse), pytest.raises(FileProblem, match="no vault secrets found") as caught:
        read_text(path, "policy")
    assert "--vault-password-file" in caught.value.do
    with pytest.raises(FileProblem, match="encrypted by Ansible Vault"):
        read_text(path, "policy")


def test_readers_of_named_files_all_go_this_way(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yml"
    policy.write_bytes(codecs.BOM_UTF16_LE + "schema: 1\nname: mine\nextends: strict\n".encode("utf-16-le"))
    assert load_policy(policy).name == "mine"
    talosconfig = tmp_path / "talosconfig"
    talosconfig.write_bytes(codecs.BOM_UTF8 + b"context: one\ncontexts: {one: {}}\n")
    assert Talosconfig.load(str(talosconfig)).names == ["one"]
