# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What decides about nodes is made for its owner alone whatever the umask, and not believed where others write."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils import private_files
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.store import AuditStore
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import sealed
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence import files
from ansible_collections.talosops.selinux.plugins.plugin_utils.private_files import (
    NotPrivate,
    check_private,
    private_directory,
    write_private,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger import Ledger

DOCUMENT = sealed({"collected_at": "2026-01-02T03:04:05Z", "node": {"name": "node-1"}, "audit": {"sources": []}})
LATER = datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(top: Path) -> dict[str, int]:
    return {str(path.relative_to(top)): stat.S_IMODE(path.lstat().st_mode) for path in top.rglob("*")}


WRITERS: dict[str, Callable[[Path], object]] = {
    "a directory": lambda top: private_directory(top / "a" / "b" / "c"),
    "a file": lambda top: write_private(top / "a" / "b" / "file", [b"x", b"y"]),
    "evidence": lambda top: files.save(str(top / "a" / "evidence"), DOCUMENT, {"auditd.log": lambda: [b"x"]}),
    "a store": lambda top: AuditStore(top / "a" / "audit" / "node").merge("boot", "service", b"type=BPF a\n"),
    "a ledger": lambda top: Ledger(top / "a" / "b" / "ledger.jsonl").acquire("run", "node-1", "me", LATER),
}


@pytest.mark.parametrize("name", WRITERS)
def test_everything_made_is_for_its_owner_alone(tmp_path: Path, umask: int, name: str) -> None:
    WRITERS[name](tmp_path)
    found = modes(tmp_path)
    assert "a" in found and len(found) > 1
    for path, mode in found.items():
        assert mode == (0o700 if (tmp_path / path).is_dir() else 0o600), (path, oct(mode))


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o702, 0o1777])
@pytest.mark.parametrize("name", WRITERS)
def test_nothing_is_put_where_others_write(tmp_path: Path, name: str, mode: int) -> None:
    WRITERS[name](tmp_path)
    target = {"a directory": "a/b/c", "a file": "a/b", "evidence": "a/evidence/node-1", "a store": "a/audit/node/boot"}
    shared = tmp_path / target.get(name, "a/b")
    shared.chmod(mode)
    with pytest.raises(NotPrivate, match="can be written by others") as caught:
        WRITERS[name](tmp_path)
    assert str(shared) in caught.value.found and "chmod go-w" in caught.value.do


def test_nothing_is_believed_that_others_could_write(tmp_path: Path) -> None:
    path = files.save(str(tmp_path / "evidence"), DOCUMENT, {"auditd.log": lambda: [b"x"]})
    for shared in (path, path.parent):
        before = stat.S_IMODE(shared.stat().st_mode)
        shared.chmod(before | 0o020)
        with pytest.raises(NotPrivate, match="can be written by others"):
            files.load(path)
        shared.chmod(before)
    ledger = Ledger(tmp_path / "b" / "ledger.jsonl")
    ledger.acquire("run", "node-1", "me", LATER)
    (tmp_path / "b" / "ledger.jsonl").chmod(0o622)
    with pytest.raises(NotPrivate, match="can be written by others"):
        Ledger(tmp_path / "b" / "ledger.jsonl").read()


def test_a_directory_that_anyone_can_replace_is_refused(tmp_path: Path) -> None:
    place = private_directory(tmp_path / "open" / "mine")
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(NotPrivate, match="in which anyone can replace it"):
        check_private(place)
    # As in /tmp, where others may add but not replace.
    (tmp_path / "open").chmod(0o1777)
    check_private(place)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another user or group")
def test_a_directory_that_some_can_replace_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, parent = private_directory(tmp_path / "open" / "mine"), tmp_path / "open"
    os.chown(parent, 0, 65534)
    parent.chmod(0o770)
    groups = {65534: SimpleNamespace(gr_name="staff", gr_mem=[])}
    monkeypatch.setattr(grp, "getgrgid", groups.__getitem__)
    for name, members in (("staff", []), ("root", ["root", "eve"])):
        groups[65534] = SimpleNamespace(gr_name=name, gr_mem=members)
        with pytest.raises(NotPrivate, match="the group with the id 65534 can replace it"):
            check_private(place)
    # Whose first group it is, is listed with the user only.
    groups[65534] = SimpleNamespace(gr_name="root", gr_mem=[])
    users = [SimpleNamespace(pw_name="root", pw_gid=65534), SimpleNamespace(pw_name="bot", pw_gid=65534)]
    monkeypatch.setattr(pwd, "getpwall", lambda: users)
    private_files._first_members.cache_clear()
    with pytest.raises(NotPrivate, match="the group with the id 65534 can replace it"):
        check_private(place)
    users[1].pw_gid = 0
    private_files._first_members.cache_clear()
    # A group that is the user's alone, as useradd makes one; and as in a shared directory with the sticky bit.
    groups[65534] = SimpleNamespace(gr_name="root", gr_mem=["root"])
    check_private(place)
    del groups[65534]
    with pytest.raises(NotPrivate, match="the group with the id 65534 can replace it"):
        check_private(place)
    parent.chmod(0o1770)
    check_private(place)
    os.chown(parent, 65534, 0)
    with pytest.raises(NotPrivate, match="the user with the id 65534 can replace it"):
        check_private(place)


def test_a_link_hides_no_directory_that_anyone_can_replace(tmp_path: Path) -> None:
    shared, link = tmp_path / "shared", tmp_path / "rollout"
    (shared / "ours").mkdir(parents=True, mode=0o700)
    link.symlink_to(shared / "ours")
    check_private(link)
    shared.chmod(0o777)
    with pytest.raises(NotPrivate, match="in which anyone can replace it"):
        check_private(link)
    shared.chmod(0o1777)
    check_private(link)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a link to another user")
def test_a_link_of_another_user_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir(mode=0o700)
    link = tmp_path / "rollout"
    link.symlink_to(tmp_path / "ours")
    check_private(link)
    os.lchown(link, 65534, 65534)
    for path in (link, link / "evidence.json"):
        (tmp_path / "ours" / "evidence.json").touch(mode=0o600)
        with pytest.raises(NotPrivate, match="a link of the user with the id 65534"):
            check_private(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_what_another_user_owns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine" / "file"
    write_private(path, b"x")
    for other in (path, path.parent):
        os.chown(other, 65534, 65534)
        with pytest.raises(NotPrivate, match="belongs to the user with the id 65534"):
            check_private(other)
        os.chown(other, 0, 0)
    check_private(path)


def test_the_home_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert private_directory("~/x/y") == tmp_path / "x" / "y"
    write_private("~/x/z", b"1")
    assert (tmp_path / "x" / "z").read_bytes() == b"1"


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What was written to the disk, in order."""
    found: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: found.append(Path(f"/proc/self/fd/{descriptor}").readlink()))
    return found


@pytest.mark.parametrize("data", [b"new", [b"n", b"ew"]])
def test_a_file_is_written_beside_its_place(tmp_path: Path, synced: list[Path], data: Any) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    write_private(path, data)
    scratch, directory = synced
    assert (scratch.parent, scratch.name.startswith(".file."), directory) == (tmp_path, True, tmp_path)
    assert (list(tmp_path.iterdir()), path.read_text()) == ([path], "new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


#: The content before the name under which it is found, and both before anything is told of them.
ON_THE_DISK = {
    "a file": [".file.*", "b"],
    "evidence": ["auditd.log", "evidence.json", "node-1"],
    "a store": ["service.tmp", "boot", "service.log", "service.tmp", "boot"],
    "a ledger": ["b", "ledger.jsonl"],
}


@pytest.mark.parametrize("name", ON_THE_DISK)
def test_what_was_written_outlasts_a_power_cut(tmp_path: Path, synced: list[Path], name: str) -> None:
    WRITERS[name](tmp_path)
    expected = ON_THE_DISK[name]
    assert len(synced) == len(expected), [path.name for path in synced]
    assert [path.name for path, one in zip(synced, expected, strict=True) if not fnmatch(path.name, one)] == []


def test_a_torn_end_of_a_ledger_is_on_the_disk_before_it_is_cut_off(tmp_path: Path, synced: list[Path]) -> None:
    path = tmp_path / "ledger.jsonl"
    Ledger(path).acquire("run", "node-1", "me", LATER)
    with path.open("ab") as file:
        file.write(b"{torn")
    synced.clear()
    Ledger(path).release("run", "node-1", "me")
    aside, *rest = synced
    assert aside.name.startswith("ledger.jsonl.torn-1-") and aside.read_bytes() == b"{torn"
    assert rest == [tmp_path, path, path, path]


def test_what_fails_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def broken() -> Iterator[bytes]:
        yield b"new"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_private(path, broken())
    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])
