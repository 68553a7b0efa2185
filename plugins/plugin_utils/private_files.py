# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Directories and files that only their owner reads or writes: evidence, logs, ledgers, snapshots, reports.

What lies in them decides whether a node is wiped, so whoever could write there could decide that.
"""

from __future__ import annotations

import contextlib
import functools
import grp
import itertools
import os
import pwd
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from .problem import Problem

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class NotPrivate(Problem):
    """Another user owns, or can write, what decides about nodes."""

    kind = "not_private"


def private_directory(path: str | Path) -> Path:
    """Make a directory and every missing parent with mode 0700, whatever the umask, and check it.

    Raises:
        NotPrivate: it is there and another user owns it, or others can write it or replace it.
        OSError: it cannot be made.
    """
    path = Path(path).expanduser().absolute()
    missing = list(itertools.takewhile(lambda directory: not directory.exists(), (path, *path.parents)))
    for directory in reversed(missing):
        try:
            # The umask only takes away, and others never had anything.
            directory.mkdir(mode=0o700)
            directory.chmod(0o700)
        except FileExistsError:
            # Another process of this run was quicker; whether it is ours is checked below.
            continue
    check_private(path)
    return path


def check_private(path: str | Path) -> None:
    """Check that nobody but this user, or root, owns or can write a file or directory, or replace it by another.

    Raises:
        NotPrivate: somebody can.
        OSError: it is not there.
    """
    path = Path(path).expanduser().absolute()
    found = path.stat()
    if found.st_uid not in (os.geteuid(), 0):
        raise _shared(path, f"belongs to the user with the id {found.st_uid}", "let the user who runs this own it")
    if found.st_mode & _OTHERS_WRITE:
        raise _shared(path, f"can be written by others (mode {stat.S_IMODE(found.st_mode):04o})", f"chmod go-w {path}")
    for link in (one for one in (path, *path.parents) if one.is_symlink()):
        if (owner := link.lstat().st_uid) not in (os.geteuid(), 0):
            raise _shared(path, f"is led to by {link}, a link of the user with the id {owner}", f"remove {link}")
    # Where links lead through other directories, these count too.
    for parent in dict.fromkeys((*path.parents, *path.resolve().parents)):
        _require_not_replaceable(path, parent)


def _require_not_replaceable(path: Path, parent: Path) -> None:
    found = parent.stat()
    if found.st_uid not in (os.geteuid(), 0):
        raise _shared(
            path,
            f"lies below {parent}, in which the user with the id {found.st_uid} can replace it",
            f"run this as that user, give {parent} to the one who runs it",
        )
    # With the sticky bit others may add to a directory, but not replace what is ours.
    if found.st_mode & stat.S_ISVTX:
        return
    if found.st_mode & stat.S_IWOTH:
        raise _shared(path, f"lies below {parent}, in which anyone can replace it", f"chmod o-w {parent}")
    if found.st_mode & stat.S_IWGRP and not _is_own_group(found.st_gid):
        raise _shared(
            path,
            f"lies below {parent}, in which the members of the group with the id {found.st_gid} can replace it",
            f"chmod g-w {parent}",
        )


def _is_own_group(gid: int) -> bool:
    """Whether a group is root's, or this user's alone: many systems give each user a group of the same name."""
    if gid == 0:
        return True
    try:
        name, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(gid)
    except KeyError:
        return False
    return group.gr_name == name and {*group.gr_mem, *_first_members(gid)} <= {name}


@functools.cache
def _first_members(gid: int) -> frozenset[str]:
    """The users whose first group it is, whom the group itself does not list."""
    return frozenset(user.pw_name for user in pwd.getpwall() if user.pw_gid == gid)


def write_private(path: str | Path, data: bytes | Iterable[bytes]) -> None:
    """Replace a file at once, with mode 0600; a reader sees the old or the new content, never a part.

    Raises:
        NotPrivate: as :func:`private_directory` of its directory.
        OSError: it cannot be written.
    """
    path = Path(path).expanduser().absolute()
    private_directory(path.parent)
    descriptor, scratch = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.writelines([data] if isinstance(data, bytes) else data)
            file.flush()
            os.fsync(file.fileno())
        Path(scratch).replace(path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Let what was made or renamed in a directory outlast a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _shared(path: Path, what: str, do: str) -> NotPrivate:
    return NotPrivate(
        f"{path} {what}",
        "what lies there decides whether nodes are wiped, and somebody else could have written it",
        f"find out who could, then {do}, or use another directory",
        file=str(path),
    )


@contextlib.contextmanager
def short_lived_file(content: bytes) -> Iterator[str]:
    """A file name under which a secret ``content`` can be read, for ssl, which takes key material by name only."""
    if hasattr(os, "memfd_create"):
        # In memory only: the key never touches a disk.
        descriptor = os.memfd_create("secret", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        with tempfile.NamedTemporaryFile(prefix="secret") as file:
            file.write(content)
            file.flush()
            yield file.name
