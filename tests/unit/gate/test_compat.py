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
OPEN = ("siderolabs/talos#13625 (open: not every CNI is covered)", "2026-06-20")
NETWORK = ("siderolabs/talos#13987 (network_fs_t rules differ by version)", "2026-08-21")
UNSUPPORTED = ("Talos documentation, SELinux page (extensions are not supported)", "2026-09-02")
NSENTER = ("siderolabs/talos#14266", "2026-09-06")
CONTAINERS = ("siderolabs/talos#14055", "2026-08-26")
NOTHING = (None, None)
# (kind, name, first and last version of Talos, verdict, (source, date)), as the sources have it; ``""`` is no version.
ROWS: list[tuple[str, str, str, str, tuple[str | None, str | None]]] = [
    ("cni", "flannel", "v0.0.0 v1.9.99 v1.10.0-rc.9", "unknown", NOTHING),
    (
        "cni",
        "flannel",
        "v1.10.0 v1.14.1 v9.9.9",
        "works",
        ("Talos documentation, SELinux page (the only tested CNI)", "2026-09-02"),
    ),
    ("cni", "cilium", "v0.0.0 v1.13.99 v1.14.0-rc.9", "breaks", ("siderolabs/talos#13807", "2026-08-21")),
    (
        "cni",
        "cilium",
        "v1.14.0 v9.9.9",
        "works",
        ("siderolabs/talos#14046, siderolabs/talos#14254, siderolabs/talos#14266", "2026-09-06"),
    ),
    *(
        ("cni", name, "v0.0.0 v9.9.9 ", "unknown", OPEN)
        for name in ("calico", "kube-router", "multus", "kube-ovn", "antrea")
    ),
    (
        "csi",
        "csi.proxmox.sinextra.dev",
        "v0.0.0 v1.13.99 v1.14.0-rc.9",
        "breaks",
        ("siderolabs/talos#14182", "2026-09-02"),
    ),
    (
        "csi",
        "csi.proxmox.sinextra.dev",
        "v1.14.0 v9.9.9",
        "unknown",
        ("siderolabs/talos#14207, sergelogvinov/proxmox-csi-plugin#624", "2026-09-02"),
    ),
    (
        "csi",
        "driver.longhorn.io",
        "v0.0.0 v1.13.99 v1.14.0-rc.9",
        "breaks",
        ("siderolabs/talos#13744, siderolabs/talos#14182", "2026-09-02"),
    ),
    (
        "csi",
        "driver.longhorn.io",
        "v1.14.0 v9.9.9",
        "unknown",
        ("siderolabs/talos#13744, longhorn/longhorn#12318", "2026-09-02"),
    ),
    ("csi", "topolvm.io", "v0.0.0 v9.9.9 ", "breaks", NSENTER),
    *(("csi", name, "v0.0.0 v9.9.9 ", "unknown", NETWORK) for name in ("nfs.csi.k8s.io", "smb.csi.k8s.io")),
    ("csi", "tns.csi.io", "v0.0.0 v9.9.9 ", "unknown", ("fenio/tns-csi#235", "2026-09-02")),
    *(
        ("addons", name, "v0.0.0 v9.9.9 ", "breaks", NSENTER)
        for name in ("node-exporter", "opentelemetry-collector", "topolvm")
    ),
    ("addons", "longhorn", "v0.0.0 v1.13.99 v1.14.0-rc.9", "breaks", ("siderolabs/talos#13744", "2026-08-21")),
    ("addons", "longhorn", "v1.14.0 v9.9.9", "unknown", ("longhorn/longhorn#12318", "2026-09-02")),
    ("addons", "kubevirt", "v0.0.0 v9.9.9 ", "breaks", ("siderolabs/talos#10881", "2025-08-01")),
    ("addons", "auditd", "v0.0.0 v9.9.9 ", "breaks", ("siderolabs/talos#9907", "2026-08-21")),
    ("addons", "falco", "v0.0.0 v9.9.9 ", "unknown", ("siderolabs/talos#13625 (open: BPF rules)", "2026-06-20")),
    *(
        ("extensions", name, versions, verdict, source)
        for name in ("iscsi-tools", "util-linux-tools", "qemu-guest-agent")
        for versions, verdict, source in (
            ("v0.0.0 v1.13.99 v1.14.0-rc.9", "breaks", CONTAINERS),
            ("v1.14.0 v9.9.9", "unknown", UNSUPPORTED),
        )
    ),
    *((kind, "brand-new", "v1.14.1 ", "unknown", NOTHING) for kind in ("cni", "csi", "addons", "extensions", "pet")),
]


@pytest.mark.parametrize(("kind", "name", "versions", "verdict", "source"), ROWS)
def test_the_rows_of_the_table(
    kind: str, name: str, versions: str, verdict: str, source: tuple[str | None, str | None]
) -> None:
    for talos in versions.split(" "):
        answer = TABLE.look_up(kind, name, "1.0.0", talos or None)
        assert (answer["name"], answer["version"]) == (name, "1.0.0")
        assert (answer["verdict"], (answer["source"], answer["date"])) == (verdict, source), talos
        if verdict == "breaks":
            assert answer["workaround"]
        if verdict == "unknown":
            assert answer["find_out"]


def test_no_row_of_the_table_is_left_out() -> None:
    assert {(kind, name) for kind, name, *_rest in ROWS if name != "brand-new"} == set(TABLE.rows)


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
    two = [{"name": "flannel"}, {"name": "cilium"}]
    rated = TABLE.rate({"kubernetes": {"cni": two, "csi": [two[0], "text"]}}, {"version": "v1.13.0"})
    assert [(row["name"], row["version"], row["verdict"]) for row in rated["cni"]] == [
        ("flannel", None, "works"),
        ("cilium", None, "breaks"),
    ]
    assert rated["csi"] is None
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
    with pytest.raises(PolicyProblem) as caught:
        compat.load(path)
    assert caught.value.found.startswith(f"the compatibility table {path} cannot be used: ")
    assert caught.value.context == {"table": str(path)}
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
    assert caught.value.as_dict() == {
        "kind": "policy",
        "table": str(path),
        "found": f"the compatibility table {path} cannot be used: {words}",
        "why": "a row that is misread could call a workload safe that breaks",
        "do": "correct the table; docs/policies.md describes its fields",
    }


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
