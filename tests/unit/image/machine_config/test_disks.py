# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which disk an install section selects: by Talos' rules, or not known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import real_talos
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.disks import FIELDS, disks_of
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.disk_expression import NotUnderstood
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.disks import same_disk, selected
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.facts import facts
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.repair import acceptable_repair
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.resources import Resource


def disk(name: str, **fields: Any) -> dict[str, Any]:
    return {**FIELDS, "name": name, "dev_path": f"/dev/{name}", "size": 10**11, "transport": "sata", **fields}


DISKS = [
    disk("loop0", transport="", readonly=True, size=4096),
    disk("nvme0n1", transport="nvme", serial="N1", wwid="eui.1", symlinks=["/dev/disk/by-id/nvme-N1"]),
    disk("sda", serial="S1", model="WDC WD10", wwid="naa.1", rotational=True, bus_path="/pci0/ata1"),
    disk("sdb", serial="S2", model="WDC WD20", wwid="naa.2", rotational=True, size=2 * 10**12, bus_path="/pci0/ata2"),
    disk("sr0", cdrom=True, model="WDC", serial="S1", size=0),
]


def install(path: str | None = None, selector: Any = None) -> dict[str, Any]:
    return {"kind": "v1alpha1", "disk": path, "disk_selector": selector, "image": "i", "wipe": False}


@pytest.mark.parametrize(
    ("path", "selector", "names"),
    [
        ("/dev/sda", None, ["sda"]),
        ("/dev/disk/by-id/nvme-N1", None, ["nvme0n1"]),
        ("/dev/sdz", None, []),
        # A selector wins over a path.
        ("/dev/sdb", {"serial": "S1"}, ["sda"]),
        ("/dev/sda", {"serial": "S9"}, []),
        (None, {"serial": "S*"}, ["sda", "sdb"]),
        (None, {"model": "WDC*", "size": ">= 1TB"}, ["sdb"]),
        (None, {"size": "100 GB"}, ["nvme0n1", "sda"]),
        (None, {"size": "<= 93.2GiB"}, ["nvme0n1", "sda"]),
        (None, {"size": "> 100000000000"}, ["sdb"]),
        (None, {"size": "== 2tb"}, ["sdb"]),
        (None, {"type": "nvme"}, ["nvme0n1"]),
        (None, {"type": "ssd"}, ["nvme0n1"]),
        (None, {"type": "hdd", "busPath": "/pci0/ata1*"}, ["sda"]),
        (None, {"type": "sd"}, []),
        (None, {"wwid": "naa.2", "uuid": ""}, ["sdb"]),
        # A selector wins over a path also when it is empty.
        ("/dev/sda", {}, ["nvme0n1", "sda", "sdb"]),
        ("/dev/sda", {"model": ""}, ["nvme0n1", "sda", "sdb"]),
        (None, {"size": "< 18446744073709549568"}, ["nvme0n1", "sda", "sdb"]),
        # What is empty is not there.
        (None, {"serial": None, "type": "", "size": None, "wwid": "naa.1"}, ["sda"]),
        ("/dev/sda", {"model": None}, ["nvme0n1", "sda", "sdb"]),
        (None, "disk.serial == 'S2'", ["sdb"]),
        (None, "disk.rotational", ["sda", "sdb"]),
    ],
)
def test_as_talos_selects(path: str | None, selector: Any, names: list[str]) -> None:
    assert selected(install(path, selector), DISKS) == names


@pytest.mark.parametrize(
    ("path", "selector"),
    [
        (None, None),
        ("", None),
        ("/dev/sda", {"name": "sda"}),
        ("/dev/sda", {"vendor": ""}),
        ("/dev/sda", {"size": ""}),
        (None, {"size": "big"}),
        (None, {"size": "~ 1TB"}),
        (None, {"size": "1 iB"}),
        (None, {"size": "1" + "0" * 400}),
        (None, {"size": "< 18446744073709551616"}),
        (None, {"size": "<= 16EiB"}),
        (None, {"type": "floppy"}),
        (None, "disk.firmware_version == '1'"),
    ],
)
def test_what_cannot_be_told(path: str | None, selector: Any) -> None:
    with pytest.raises(NotUnderstood):
        selected(install(path, selector), DISKS)


def test_a_configuration_without_an_install_section_selects_what_nobody_knows() -> None:
    with pytest.raises(NotUnderstood, match="there is no install section"):
        selected(None, DISKS)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"name": "sdx", "dev_path": "/dev/sdx", "bus_path": "/pci9"}, True),
        ({"serial": "S9"}, False),
        ({"wwid": "naa.9"}, False),
        ({"size": 1}, False),
    ],
)
def test_a_disk_is_what_is_burnt_into_it(change: dict[str, Any], same: bool) -> None:
    assert same_disk(DISKS[2], {**DISKS[2], **change}) is same


@pytest.mark.parametrize(("change", "same"), [({"name": "vdb"}, True), ({"bus_path": "/pci9"}, False)])
def test_one_that_tells_nothing_is_where_it_is_plugged_in(change: dict[str, Any], same: bool) -> None:
    bare = disk("vda", transport="virtio", bus_path="/pci0/virtio0")
    assert same_disk(bare, {**bare, **change}) is same


FACTS: dict[str, Any] = {"problems": [], "machine_type": "worker", "hostname": "n", "cluster": {"cluster_id": "c"}}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"disk": None, "disk_selector": {"serial": "S1"}}, None),
        ({"disk": None, "disk_selector": "disk.serial == 'S1' && !disk.cdrom", "kind": "unattended"}, None),
        ({"disk_selector": "disk.serial == 'S1'"}, "selects sda, sr0 and not the disk"),
        ({"disk_selector": {"serial": "S2"}}, "selects sdb and not the disk"),
        ({"disk_selector": {"serial": "S9"}}, "selects no disk and not the disk"),
        ({"disk_selector": {"type": "hdd"}}, "selects sda, sdb and not the disk"),
        ({"disk_selector": {"name": "sda"}}, "is not known to select the disk"),
        ({"disk_selector": {"serial": "S1"}, "image": "j"}, "another install section"),
        ({"disk_selector": {"serial": "S1"}, "wipe": True}, "another install section"),
    ],
)
def test_a_fixed_install_section_has_to_lead_to_the_disk_that_was_judged(
    change: dict[str, Any], told: str | None
) -> None:
    judged = {**FACTS, "install": install("/dev/sdz")}
    fixed = {**FACTS, "install": {**install("/dev/sdz"), **change}}
    problems = acceptable_repair(judged, fixed, disks=DISKS, system_disk="sda")
    assert [told in problem for problem in problems if told] == ([True] if told else [])
    assert len(problems) == (told is not None)


@pytest.mark.parametrize(("disks", "system_disk"), [(None, "sda"), (DISKS, None)])
def test_where_no_disk_was_judged_only_the_same_install_section_is_taken(disks: Any, system_disk: Any) -> None:
    judged = {**FACTS, "install": install("/dev/sda")}
    fixed = {**FACTS, "install": install(None, {"serial": "S1"})}
    (problem,) = acceptable_repair(judged, fixed, disks=disks, system_disk=system_disk)
    assert "not known to select" in problem
    assert acceptable_repair(judged, judged, disks=disks, system_disk=system_disk) == []


JUDGED = json.loads((real_talos.DIRECTORY / real_talos.RELEASE / "disk-selectors.json").read_text(encoding="utf-8"))


def _section(case: Mapping[str, Any]) -> Any:
    """The install section of a configuration that says what the case says."""
    unattended = {"kind": "UnattendedInstallConfig", "provisioning": {"diskSelector": {"match": case.get("match")}}}
    main = {"machine": {"type": "worker", "install": case["install"]} if "install" in case else {"type": "worker"}}
    documents = [main] if "install" in case else [main, {"apiVersion": "v1alpha1", **unattended}]
    return facts("\n---\n".join(json.dumps(document) for document in documents))["install"]


@pytest.mark.parametrize("case", JUDGED["cases"], ids=lambda case: str(case.get("match", case.get("install"))))
def test_the_disks_that_real_talos_selected(case: Mapping[str, Any]) -> None:
    disks = disks_of(
        [Resource("Disks", "runtime", disk["id"], "1", "running", None, None, "", {}, disk) for disk in JUDGED["disks"]]
    )
    assert disks is not None and len(disks) == 8
    try:
        found = selected(_section(case), disks)
    except NotUnderstood:
        assert case["selects"] is None or case.get("understood") is False
    else:
        assert found == case["selects"] and "understood" not in case
