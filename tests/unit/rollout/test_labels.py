# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The labels of a new system: those of real nodes pass, a volume of another life does not."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.labels import (
    EXPECTED,
    ON_CONTROL_PLANES,
    PARENTS,
    judge_labels,
    labels_of,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.answers import FileInfo
from simulator.proto import make

REAL = Path(__file__).resolve().parents[2] / "data" / "real-talos" / "v1.14.0-rc.1"


def label(kind: str) -> str:
    return f"system_u:object_r:{kind}:s0"


ALL = {path: label(kind) for path, kind in {**EXPECTED, **ON_CONTROL_PLANES}.items()}


def file(name: str, **xattrs: bytes) -> FileInfo:
    named = {key.replace("_", "."): value for key, value in xattrs.items()}
    return FileInfo(name, name, 0, 0, 0, True, "", 0, 0, named, "")


def recorded(state: str) -> dict[str, str | None]:
    """The labels that a real node told, of all directories that were listed."""
    found: dict[str, str | None] = {}
    with gzip.open(REAL / f"{state}.jsonl.gz", "rt") as lines:
        for answer in map(json.loads, lines):
            if answer.get("method") != "/machine.MachineService/List" or answer.get("error"):
                continue
            for message in answer["messages_b64"]:
                info = make("machine.FileInfo")
                info.ParseFromString(base64.b64decode(message))
                found |= labels_of([file(info.name, **{x.name.replace(".", "_"): x.data for x in info.xattrs})])
    return found


@pytest.mark.parametrize("control_plane", [True, False])
def test_a_new_system_passes(control_plane: bool) -> None:
    ok, found = judge_labels(ALL, control_plane=control_plane)
    assert ok is True and found.startswith("the labels of")


@pytest.mark.parametrize("path", [*EXPECTED, *ON_CONTROL_PLANES])
@pytest.mark.parametrize(
    "wrong", [label("unlabeled_t"), label("file_t"), None, "", "unlabeled_t", "a:b", "system_u:object_r::s0"]
)
def test_any_directory_with_another_label_or_none_fails(path: str, wrong: str | None) -> None:
    ok, found = judge_labels({**ALL, path: wrong}, control_plane=True)
    assert ok is False and path in found


@pytest.mark.parametrize("path", [*EXPECTED, *ON_CONTROL_PLANES])
def test_a_directory_that_was_not_listed_is_not_known(path: str) -> None:
    labels = {name: value for name, value in ALL.items() if name != path}
    ok, found = judge_labels(labels, control_plane=True)
    assert ok is None and path in found


def test_a_wrong_one_beside_an_unknown_one_fails() -> None:
    assert judge_labels({"/var": label("unlabeled_t")}, control_plane=False)[0] is False


def test_a_worker_needs_no_etcd() -> None:
    labels = {path: label(kind) for path, kind in EXPECTED.items()}
    assert judge_labels(labels, control_plane=False)[0] is True
    assert judge_labels(labels, control_plane=True)[0] is None


def test_a_label_is_text_without_its_end() -> None:
    files = [
        file("/var", security_selinux=b"system_u:object_r:ephemeral_t:s0\0"),
        file("/etc"),
        file("/odd", security_selinux=b"\xff\x1b[31m\0"),
    ]
    found = labels_of(files)
    assert found["/var"] == label("ephemeral_t") and found["/etc"] is None
    assert "\x1b" not in judge_labels({**ALL, "/var": found["/odd"]}, control_plane=False)[1]


def test_every_directory_is_in_one_that_is_listed() -> None:
    for path in (*EXPECTED, *ON_CONTROL_PLANES):
        assert path in PARENTS or path.rpartition("/")[0] in PARENTS, path


@pytest.mark.parametrize("state", ["permissive", "enforcing"])
def test_what_real_nodes_told_agrees(state: str) -> None:
    told = recorded(state)
    shared = set(told) & set(ALL)
    # A kubelet that only answers its health check makes no directories.
    assert {"/var", "/var/lib", "/var/log", "/system", "/system/run", "/system/state", "/etc/cni"} <= shared
    assert {path: told[path] for path in shared} == {path: ALL[path] for path in shared}
