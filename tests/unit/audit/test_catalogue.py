# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The catalogue ships whole: every entry is checked, matches its own records, and benign stays narrow."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.analysis import analyze
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.knowledge import catalogue, catalogue_file
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.knowledge.entries import (
    Entry,
    Example,
    has_raw_context,
)

CATALOGUE = catalogue.load()
EXAMPLES = [(entry, example) for entry in CATALOGUE.entries for example in entry.examples]
PAGE = Path(__file__).resolve().parents[3] / "docs" / "denials" / "README.md"


def denial_of(record: str, owner: str | None = None) -> dict[str, Any]:
    """A denial dict from one plain record, independent of the parser under test elsewhere."""

    def field(name: str) -> str:
        found = re.search(rf" {name}=(\S+)", record)
        assert found, (name, record)
        return found[1]

    def categories(context: str) -> set[str]:
        level = context.split(":", 3)[3]
        return set(level.split(":")[1].split(",")) if ":" in level else set()

    permissions = re.search(r"\{ (.*?) \}", record)
    assert permissions
    comm, path = re.search(r' comm="(.*?)"', record), re.search(r' path="(.*?)"', record)
    lacking = categories(field("tcontext")) - categories(field("scontext"))
    return {
        "source_type": field("scontext").split(":")[2],
        "target_type": field("tcontext").split(":")[2],
        "class": field("tclass"),
        "permissions": sorted(permissions[1].split()),
        "comms": [comm[1]] if comm else [],
        "paths": [path[1]] if path else [],
        "owners": [owner] if owner else [],
        "constraint": "mcs" if lacking else None,
        "doubtful": 0,
        "samples": [{"raw": base64.b64encode(record.encode()).decode()}],
    }


@pytest.mark.parametrize(("entry", "example"), EXAMPLES, ids=lambda value: getattr(value, "id", ""))
def test_entry_finds_its_own_record(entry: Entry, example: Example) -> None:
    found = CATALOGUE.match(denial_of(example.record, example.owner), None)
    assert found is entry


@pytest.mark.parametrize(
    ("entry", "example"), [pair for pair in EXAMPLES if not pair[1].owner], ids=lambda value: getattr(value, "id", "")
)
def test_the_parser_sees_the_same_entry(entry: Entry, example: Example) -> None:
    found = analyze(example.record.encode() + b"\n", None)
    assert [denial["catalogue_id"] for denial in found["denials"]] == [entry.id]


def test_every_family_of_the_field_reports_is_covered() -> None:
    families = {entry.family for entry in CATALOGUE.entries}
    assert families >= {
        *("csi-unlabeled", "csi-context-mount", "cilium", "nsenter", "host-monitor", "hostpath-run"),
        *("bpf-residual", "early-boot", "relabel", "network-fs", "virtiofs", "overlay", "extension"),
        *("module-load", "mcs", "unknown-permission", "selinuxfs-hidden"),
    }


def test_entries_are_documented() -> None:
    page = PAGE.read_text()
    assert not [entry.id for entry in CATALOGUE.entries if f"`{entry.id}`" not in page]
    fields = catalogue_file._Reader.REQUIRED | catalogue_file._Reader.OPTIONAL | catalogue_file._Reader.MATCH
    assert not [field for field in sorted(fields) if f"`{field}`" not in page]


def test_owner_and_command_pick_the_special_entry() -> None:
    record = next(e.examples[0].record for e in CATALOGUE.entries if e.id == "pod-nsenter-host")
    assert CATALOGUE.match(denial_of(record), None).id == "pod-nsenter-host"
    assert CATALOGUE.match(denial_of(record, "kube-system/cilium-1"), None).id == "cilium-sysctlfix"
    assert CATALOGUE.match(denial_of(record, "topolvm/topolvm-lvmd-0"), None).id == "topolvm-lvmd"


def test_other_processes_neither_hide_an_outage_nor_vouch_for_one_another() -> None:
    denial = denial_of(CATALOGUE["cilium-run-state"].examples[0].record)
    denial["comms"].append("something-else")
    assert CATALOGUE.match(denial, "v1.13.9").id == "cilium-run-state"
    denial["comms"] = ["something-else"]
    assert CATALOGUE.match(denial, "v1.13.9").id == "hostpath-run"
    benign = denial_of(CATALOGUE["bpf-prog-run-residual"].examples[0].record)
    assert CATALOGUE.is_benign(benign, "v1.14.0")
    for comms in ([*benign["comms"], "something-else"], [*benign["comms"], "(more)"], []):
        assert not CATALOGUE.is_benign(benign | {"comms": comms}, "v1.14.0")
    monitor = denial_of(CATALOGUE["node-exporter-host-proc"].examples[0].record)
    assert not CATALOGUE.match(monitor, None).breaking
    assert CATALOGUE.match(monitor | {"comms": ["node_exporter", "nsenter"]}, None).breaking


def test_unknown_denial_has_no_entry() -> None:
    record = (
        "type=AVC msg=audit(1.000:9): avc:  denied  { name_bind } for  pid=1 comm=x "
        "scontext=system_u:system_r:apid_t:s0 tcontext=system_u:object_r:port_t:s0 tclass=tcp_socket permissive=1"
    )
    assert CATALOGUE.match(denial_of(record), "v1.14.1") is None
    assert not CATALOGUE.is_benign(denial_of(record), "v1.14.1")


def test_raw_context_is_read_behind_permissive_only() -> None:
    fake = (
        'type=AVC msg=audit(1.000:9): avc:  denied  { read } for  pid=1 comm="x" name=" trawcon=a" dev="sda" ino=1 '
        "scontext=system_u:system_r:pod_t:s0 tcontext=system_u:object_r:unlabeled_t:s0 tclass=file permissive=1"
    )
    assert CATALOGUE.match(denial_of(fake), None).id == "csi-unlabeled-volume"


@pytest.mark.parametrize("raw", ["A", "not base64 \u00e9", 7, None])
def test_a_sample_that_cannot_be_read_hides_no_raw_context_of_another(raw: Any) -> None:
    real = base64.b64encode(b"x permissive=0 trawcon=a:b:c").decode()
    assert has_raw_context({"samples": [{"raw": raw}]}) is False
    assert has_raw_context({"samples": [{"raw": raw}, {"raw": real}]}) is True


@pytest.mark.parametrize(
    ("version", "benign"),
    [
        ("v1.14.0", True),
        ("1.14.9", True),
        ("v1.13.9", False),
        ("v1.15.0", False),
        ("v1.15.0-alpha.0", False),
        ("v1.14.1-rc.0", False),
        (None, False),
        ("", False),
        ("main", False),
    ],
)
def test_benign_is_keyed_by_version(version: str | None, benign: bool) -> None:
    entry = CATALOGUE["bpf-prog-run-residual"]
    denial = denial_of(entry.examples[0].record)
    assert entry.benign_for(version) is benign
    assert CATALOGUE.is_benign(denial, version) is benign
    assert not CATALOGUE.is_benign(denial | {"doubtful": 1}, version)
    assert not CATALOGUE.is_benign(denial | {"userspace": True}, version)
    assert not CATALOGUE.is_benign(denial | {"permissions": ["map_write", "prog_run"]}, version)


def test_versions_bound_the_overlay_entry() -> None:
    denial = denial_of(CATALOGUE["overlay-root-filesystem"].examples[0].record)
    assert CATALOGUE.match(denial, "v1.13.9").id == "overlay-root-filesystem"
    assert CATALOGUE.match(denial, "v1.14.0-rc.1").id == "overlay-root-filesystem"
    assert CATALOGUE.match(denial, "v1.14.0") is None


def test_order_does_not_depend_on_the_file() -> None:
    turned = catalogue.Catalogue(reversed(CATALOGUE.entries))
    assert [entry.id for entry in turned.entries] == [entry.id for entry in CATALOGUE.entries]
