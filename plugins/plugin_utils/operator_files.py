# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that an operator names: found, decrypted, decoded, or called by what they are.

Configurations, credentials, keys, policies and waivers come from people's machines: with a ``~``, a byte order mark, in
UTF-16, or encrypted by Ansible Vault. All of them are read here.
"""

from __future__ import annotations

import codecs
import contextlib
import contextvars
from collections.abc import Callable, Iterator
from pathlib import Path

from .problem import Problem

Decrypt = Callable[[str], bytes]
"""Gives the plain content of a vaulted file, by its absolute path; raises whatever tells why it cannot."""

VAULT = b"$ANSIBLE_VAULT;"
GZIP = b"\x1f\x8b"
# UTF-32 before UTF-16, of which its little-endian mark is a longer form.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_KNOWN = (
    (VAULT, "encrypted by Ansible Vault"),
    (b"age-encryption.org/", "encrypted by age"),
    (b"-----BEGIN AGE ENCRYPTED FILE", "encrypted by age"),
    (b"-----BEGIN PGP MESSAGE", "encrypted by PGP"),
    (b"Salted__", "encrypted by OpenSSL"),
    (b"\x00GITCRYPT", "encrypted by git-crypt"),
    (GZIP, "compressed by gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd"),
    (b"\xfd7zXZ", "compressed by xz"),
    (b"PK\x03\x04", "a zip archive"),
    (b"SQLite format 3", "a database"),
    (b"\x7fELF", "a program"),
)

_decrypt: contextvars.ContextVar[Decrypt | None] = contextvars.ContextVar("decrypt", default=None)


class FileProblem(Problem):
    """A file that the operator named cannot be read."""

    kind = "file"


@contextlib.contextmanager
def decrypting(decrypt: Decrypt) -> Iterator[None]:
    """Let files that are read inside be decrypted by ``decrypt``, such as Ansible's loader with its vault secrets."""
    token = _decrypt.set(decrypt)
    try:
        yield
    finally:
        _decrypt.reset(token)


def read_text(path: str | Path, what: str, *, why: str = "the task names it") -> str:
    """The text of a file, without its byte order mark.

    Args:
        path: may begin with ``~``; a relative one is relative to the working directory.
        what: what it should be, for messages: "talosconfig", "policy".
        why: why it matters that it cannot be read, for messages.

    Raises:
        FileProblem: it is not there, may not be read, cannot be decrypted, or is no text; the message says which,
            and quotes nothing of it.
    """
    data = read_bytes(path, what, why=why)
    if (form := form_of(data)) is not None:
        raise _problem(path, what, f"it is {form}", why, "decrypt or unpack it first")
    mark, encoding = next((item for item in _MARKS if data.startswith(item[0])), (b"", "utf-8"))
    try:
        text = data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise _problem(path, what, _no_text(data, encoding, error.start), why, "save it as UTF-8") from None
    # A text of ASCII letters in UTF-16 is UTF-8 too, with a NUL beside each.
    if "\0" in text:
        raise _problem(path, what, _no_text(data, encoding, text.index("\0")), why, "save it as UTF-8")
    return text


def form_of(data: bytes) -> str | None:
    """What a file is instead of a text, by how it begins: ``encrypted by age``; None for what may be a text."""
    return next((name for known, name in _KNOWN if data.startswith((known, codecs.BOM_UTF8 + known))), None)


def read_bytes(path: str | Path, what: str, *, why: str = "the task names it") -> bytes:
    """The content of a file, decrypted if Ansible Vault encrypted it; otherwise as :func:`read_text`."""
    try:
        file = Path(path).expanduser().absolute()
        data = file.read_bytes()
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "that is not a path"
        raise _problem(path, what, reason, why, f"correct the path of the {what}, or its permissions") from None
    decrypt = _decrypt.get()
    if data.startswith(VAULT) and decrypt is not None:
        try:
            return decrypt(str(file))
        except Exception as error:
            # Ansible's errors quote no content; their kinds are not ours to know here.
            found = f"it is encrypted by Ansible Vault and was not decrypted ({type(error).__name__}: {error})"
            do = "give the vault's password (--vault-password-file, --ask-vault-pass or --vault-id)"
            raise _problem(path, what, found, why, do) from None
    return data


def _no_text(data: bytes, encoding: str, offset: int) -> str:
    head = data[:1000]
    if head.count(0) * 3 > len(head):
        return "it looks like UTF-16 or UTF-32 without a byte order mark"
    if 0 in head:
        return "it is binary"
    return f"it is no {encoding.upper()} from byte {offset} on"


def _problem(path: str | Path, what: str, found: str, why: str, do: str) -> FileProblem:
    return FileProblem(f"the {what} {path} cannot be read: {found}", why, do, file=str(path))
