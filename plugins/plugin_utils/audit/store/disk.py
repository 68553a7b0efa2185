# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stream on the disk: the bytes, the list of those that are committed, and one writer at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...canonical import parse_json
from ...private_files import sync_directory
from ...talos.boots import Look
from .stream import Mark, Segment, Stream, damaged


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file's lock; others wait."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of ``data`` at ``offset``."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view = view[written:]
        offset += written


def write_states(streams: Sequence[Stream]) -> None:
    """Replace the lists of what is committed, each in one step; all of one directory.

    They are on the disk once the directory is, which waits for the disk once.
    """
    for stream in streams:
        _replace(stream.path.with_suffix(".json"), _state(stream), sync=True)
    if streams:
        sync_directory(streams[0].path.parent)


def _state(stream: Stream) -> dict[str, Any]:
    return {
        "schema": 1,
        "committed": stream.committed,
        "reads": stream.reads,
        "history": stream.history,
        "segments": [
            {
                "pieces": segment.pieces,
                "begins": segment.begins,
                "first": segment.first,
                "last": segment.last,
                "collected": segment.collected,
                "frames": segment.frames,
            }
            for segment in stream.segments
        ],
    }


def save_look(directory: Path, look: Look) -> None:
    """Remember the last look at a boot, and the kernel's stamps that earlier ones saw.

    The disk is not waited for: a look that a power failure took is one that nothing is known of.
    """
    known = load_look(directory)
    marks = {**known.marks, **look.marks}
    _replace(directory / "boot.json", dataclasses.replace(look, marks=marks).as_dict(), sync=False)


def load_look(directory: Path) -> Look:
    """The last look at a boot; nothing is known of it where that was not saved or cannot be read."""
    try:
        return Look.of(parse_json((directory / "boot.json").read_bytes()))
    except (OSError, ValueError):
        return Look()


def _replace(path: Path, document: dict[str, Any], *, sync: bool) -> None:
    temporary = path.with_suffix(".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        write(descriptor, json.dumps(document).encode(), 0)
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)


def load(directory: Path, name: str) -> Stream:
    """Read a stream's list; raises StoreError when it is damaged."""
    stream = Stream(name, directory / f"{name}.log")
    path = directory / f"{name}.json"
    try:
        state = parse_json(path.read_bytes())
        if state["schema"] != 1:
            raise ValueError(f"schema {state['schema']}")
        stream.committed = int(state["committed"])
        stream.reads = int(state["reads"])
        stream.history = [(str(at), int(new)) for at, new in state["history"]]
        stream.segments = [
            Segment(
                [[int(number) for number in piece] for piece in data["pieces"]],
                bool(data["begins"]),
                Mark(*data["first"]) if data["first"] else None,
                Mark(*data["last"]) if data["last"] else None,
                [str(moment) for moment in data["collected"]],
                [int(frame) for frame in data["frames"]],
            )
            for data in state["segments"]
        ]
    except FileNotFoundError:
        if stream.path.exists() and stream.path.stat().st_size:
            raise damaged(path) from None
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(path) from error
    return stream
