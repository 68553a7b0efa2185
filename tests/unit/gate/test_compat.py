# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The compatibility table, and what it says about what a node runs."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import (
    compat,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.errors import PolicyProblem
from ansible_collections.talosops.selinux.plugins.plugin_utils.operator_files import FileProblem

TABLE = compat.load()
# (kind, name, Talos version) -> verdict, as the sources in the table have it.
ROWS = [
    ("cni", "flannel", "v1.10.0", "works"),
    ("cni", "flannel", "v1.14.1", "works"),
    ("cni", "flannel", "v1.9.6", "unknown"),
    ("cni", "cilium", "v1.14.0", "works"),
    ("cni", "cilium", "v1.14.0-rc.1", "breaks"),
    ("cni", "cilium", "v1.13.9", "breaks"),
    ("cni", "calico", "v1.14.1", "unknown"),
    ("cni", "kube-router", "v1.14.1", "unknown"),
    ("cni", "multus", "v1.14.1", "unknown"),
    ("cni", "kube-ovn", "v1.14.1", "unknown"),
    ("cni", "antrea", "v1.14.1", "unknown"),
    ("cni", "brand-new", "v1.14.1", "unknown"),
    ("csi", "csi.proxmox.sinextra.dev", "v1.14.0", "unknown"),
    ("csi", "csi.proxmox.sinextra.dev", "v1.13.9", "breaks"),
    ("csi", "driver.longhorn.io", "v1.14.0", "unknown"),
    ("csi", "driver.longhorn.io", "v1.13.9", "breaks"),
    ("csi", "topolvm.io", "v1.14.1", "breaks"),
    ("csi", "nfs.csi.k8s.io", "v1.14.1", "unknown"),
    ("csi", "tns.csi.io", "v1.14.1", "unknown"),
    ("addons", "node-exporter", "v1.14.1", "breaks"),
    ("addons", "opentelemetry-collector", "v1.14.1", "breaks"),
    ("addons", "longhorn", "v1.13.0", "breaks"),
    ("addons", "longhorn", "v1.14.1", "unknown"),
    ("addons", "topolvm", "v1.14.1", "breaks"),
    ("addons", "kubevirt", "v1.14.1", "breaks"),
    ("addons", "auditd", "v1.14.1", "breaks"),
    ("addons", "falco", "v1.14.1", "unknown"),
    ("extensions", "iscsi-tools", "v1.13.9", "breaks"),
    ("extensions", "iscsi-tools", "v1.14.1", "unknown"),
    ("extensions", "some-new-extension", "v1.14.1", "unknown"),
]


@pytest.mark.parametrize(("kind", "name", "talos", "verdict"), ROWS)
def test_the_rows_of_the_table(kind: str, name: str, talos: str, verdict: str) -> None:
    answer = TABLE.look_up(kind, name, "1.0.0", talos)
    assert answer["verdict"] == verdict
    assert (answer["name"], answer["version"]) == (name, "1.0.0")
    if verdict == "breaks":
        assert answer["workaround"]
    if verdict == "unknown":
        assert answer["find_out"]


def test_a_known_row_carries_its_source_and_date() -> None:
    answer = TABLE.look_up("cni", "cilium", None, "v1.14.1")
    assert "siderolabs/talos#14046" in answer["source"]
    assert answer["date"] == "2026-09-06"
    assert "sysctlfix.enabled=false" in answer["workaround"]
    nothing = TABLE.look_up("cni", "brand-new", None, "v1.14.1")
    assert nothing["source"] is nothing["date"] is nothing["workaround"] is None


@pytest.mark.parametrize("talos", [None, "", "latest"])
def test_an_unknown_talos_version_is_unknown(talos: str | None) -> None:
    assert TABLE.look_up("cni", "flannel", None, talos)["verdict"] == "unknown"
    assert TABLE.look_up("csi", "topolvm.io", None, talos)["verdict"] == "breaks"


def write(directory: Path, **row: Any) -> Path:
    path = directory / "table.yml"
    entry = {"kind": "cni", "name": "x", "title": "X", "rows": [row]}
    path.write_text(yaml.safe_dump({"schema": 1, "find_out": "Try it.", "entries": [entry]}), encoding="utf-8")
    return path


def test_versions_of_the_component(tmp_path: Path) -> None:
    row = {"verdict": "works", "source": "s", "date": dt.date(2026, 1, 1)}
    table = compat.load(write(tmp_path, **row, versions_since="2.0.0", versions_until="3.0.0"))
    expected = {None: "unknown", "one": "unknown", "1.9.9": "unknown", "2.0.0": "works", "2.9.0": "works"}
    for version, verdict in {**expected, "3.0.0": "unknown"}.items():
        assert table.look_up("cni", "x", version, "v1.14.1")["verdict"] == verdict


def test_rating_what_was_found() -> None:
    evidence = {
        "kubernetes": {"cni": [{"name": "flannel", "version": None}], "csi": None, "addons": []},
        "talos": {"extensions": [{"name": "new", "version": "v1"}]},
    }
    rated = TABLE.rate(evidence, {"version": "v1.14.1"})
    assert rated["cni"][0]["verdict"] == "works"
    assert rated["csi"] is None
    assert rated["addons"] == []
    assert rated["extensions"][0] == {
        "name": "new",
        "version": "v1",
        "verdict": "unknown",
        "source": None,
        "date": None,
        "workaround": None,
        "find_out": TABLE.find_out,
    }
    for broken in ({}, {"kubernetes": None}, {"kubernetes": {"cni": ["flannel"]}}, {"kubernetes": {"cni": "flannel"}}):
        assert TABLE.rate(broken, {"version": "v1.14.1"})["cni"] is None
    for target in (None, {}, {"version": 3}):
        assert TABLE.rate(evidence, target)["cni"][0]["verdict"] == "unknown"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"verdict": "fine"}, "no verdict"),
        ({"colour": 1}, "no verdict"),
        ({"source": None}, "no source or no date"),
        ({"date": "2026-01-01"}, "no source or no date"),
        ({"date": dt.datetime(2026, 1, 1, 12)}, "no source or no date"),
        ({"since": "1.14"}, "since of a row of cni x is not a version"),
        ({"versions_until": 3}, "versions_until of a row"),
    ],
)
def test_a_wrong_row_is_refused(tmp_path: Path, row: dict[str, Any], words: str) -> None:
    whole = {"verdict": "works", "source": "s", "date": dt.date(2026, 1, 1), **row}
    with pytest.raises(PolicyProblem, match=words):
        compat.load(write(tmp_path, **whole))


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "[]",
        "schema: 2\nfind_out: x\nentries: []",
        "schema: 1\nentries: []",
        "schema: 1\nfind_out: x\nentries: [3]",
        "schema: 1\nfind_out: x\nentries: [{kind: pet, name: x, rows: [{}]}]",
        "schema: 1\nfind_out: x\nentries: [{kind: cni, name: x, rows: []}]",
        "schema: 1\nfind_out: x\nentries: [{kind: cni, name: x, rows: [3]}]",
        "schema: 1\nfind_out: x\nentries: [{kind: cni, name: x, rows: [{}], more: 1}]",
        "schema: 1\nfind_out: x\nentries:\n"
        + "- {kind: cni, name: x, rows: [{verdict: works, source: s, date: 2026-01-01}]}\n" * 2,
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "wrong.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PolicyProblem, match="compatibility table"):
        compat.load(path)
    with pytest.raises(FileProblem, match="cannot be read"):
        compat.load(tmp_path / "none.yml")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"verdict": "fine"}, "a row of cni x has no verdict of works, breaks, unknown, or keys that are not known"),
        ({"source": None}, "a row of cni x has no source or no date"),
        ({"since": "1.14"}, "since of a row of cni x is not a version"),
    ],
)
def test_a_wrong_row_is_told_with_its_file(tmp_path: Path, row: dict[str, Any], words: str) -> None:
    path = tmp_path / "table.yml"
    whole = {"verdict": "works", "source": "s", "date": dt.date(2026, 1, 1), **row}
    entry = {"kind": "cni", "name": "x", "title": "X", "rows": [whole]}
    path.write_text(yaml.safe_dump({"schema": 1, "find_out": "Try it.", "entries": [entry]}), encoding="utf-8")
    with pytest.raises(PolicyProblem) as caught:
        compat.load(path)
    assert caught.value.found == f"the compatibility table {path} cannot be used: {words}"
    assert caught.value.context == {"table": str(path)}


@pytest.mark.parametrize("field", ["since", "until", "versions_since", "versions_until"])
def test_each_version_of_a_row_is_read(tmp_path: Path, field: str) -> None:
    row = {"verdict": "works", "source": "s", "date": dt.date(2026, 1, 1), field: "new"}
    entry = {"kind": "cni", "name": "x", "title": "X", "rows": [row]}
    path = tmp_path / "table.yml"
    path.write_text(yaml.safe_dump({"schema": 1, "find_out": "Try it.", "entries": [entry]}), encoding="utf-8")
    with pytest.raises(PolicyProblem) as caught:
        compat.load(path)
    assert f"cannot be used: {field} of a row of cni x is not a version" in caught.value.found


@pytest.mark.parametrize("change", [{"kind": "pet"}, {"more": 1}], ids=str)
def test_an_entry_that_is_not_known_is_told(tmp_path: Path, change: dict[str, Any]) -> None:
    row = {"verdict": "works", "source": "s", "date": dt.date(2026, 1, 1)}
    entry = {"kind": "cni", "name": "x", "title": "X", "rows": [row], **change}
    path = tmp_path / "table.yml"
    path.write_text(yaml.safe_dump({"schema": 1, "find_out": "Try it.", "entries": [entry]}), encoding="utf-8")
    with pytest.raises(PolicyProblem) as caught:
        compat.load(path)
    assert caught.value.found == (
        f"the compatibility table {path} cannot be used: an entry has no kind of cni, csi, addons, extensions, no rows,"
        " or keys that are not known"
    )
