# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.image import errors, schematic

EMPTY = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"

# The ids the vendor publishes for its own factory, and those known from its documentation.
PUBLISHED = [
    ("{}", EMPTY),
    ("customization: {}", EMPTY),
    ('customization: {"extraKernelArgs": []}', EMPTY),
    (
        '{"customization": {"extraKernelArgs": ["noapic", "nolapic"]}}',
        "9cba8e32753f91a16c1837ab8abf356af021706ef284aef07380780177d9a06c",
    ),
    (
        '{"customization": {"extraKernelArgs": ["noapic", "nolapic"], "systemExtensions": {}}}',
        "9cba8e32753f91a16c1837ab8abf356af021706ef284aef07380780177d9a06c",
    ),
    (
        '{"customization": {"meta": [{"key": 10, "value": "foo"}], "extraKernelArgs": []}}',
        "d308a2a5ee2277bed5fbaa104fcbc8d59122abfa737df987a95b4ca763459a7f",
    ),
    (
        '{"overlay": {"name": "rpi_generic", "image": "siderolabs/sbc-raspberrypi"}}',
        "ee21ef4a5ef808a9b7484cc0dda0f25075021691c8c09a276591eedb638ea1f9",
    ),
    (
        '{"customization":{"secureboot": {"includeWellKnownCertificates": true}}}',
        "fa8e05f142a851d3ee568eb0a8e5841eaf6b0ebc8df9a63df16ac5ed2c04f3e6",
    ),
    (
        '{"customization": {"diskImage": {"sectorSize": 4096}}}',
        "92833e9ddd9bb9e11b2464fa5525429f01866306d52ebd882ee08d7918f6d1ea",
    ),
    (
        "customization: {extraKernelArgs: [enforcing=1]}",
        "224daeedea2a793a0cd003ab8b8cadb4c8a16645d7b485fcfa965c5948be2e18",
    ),
    (
        "customization: {extraKernelArgs: [enforcing=0]}",
        "f3e64045833485f033d32e781e5e58d8785ba80cbb41c7657b6b6448401ef208",
    ),
    (
        "customization: {extraKernelArgs: [-selinux, selinux=0]}",
        "8d8ed424906943cec3f8fafce57fef8c394a74292d8f516c56e9f2d155a9b9a0",
    ),
    (
        "customization:\n    systemExtensions:\n        officialExtensions:\n"
        "            - siderolabs/iscsi-tools\n            - siderolabs/util-linux-tools\n",
        "613e1592b2da41ae5e265e8789429f22e121aab91cb4deb6bc3c0b6262961245",
    ),
    (
        "customization: {extraKernelArgs: [enforcing=1],"
        " systemExtensions: {officialExtensions: [siderolabs/iscsi-tools, siderolabs/util-linux-tools]}}",
        "c45795b63408acb18197cc7d19663cdb91b31f36743273f398d1c185de70251b",
    ),
]

# Hashes of what Go's encoder (go.yaml.in/yaml/v4, releases 4.0.0-rc.2, 4.0.0-rc.6 and 4.0.0) writes for these.
MEASURED = [
    ("empty", {}, "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"),
    (
        "one argument",
        {"customization": {"extraKernelArgs": ["enforcing=1"]}},
        "224daeedea2a793a0cd003ab8b8cadb4c8a16645d7b485fcfa965c5948be2e18",
    ),
    (
        "arguments with commas and colons",
        {
            "customization": {
                "extraKernelArgs": [
                    "console=ttyS0,115200n8",
                    "ip=10.0.0.1::10.0.0.254:255.255.255.0::eth0:off",
                    "-console",
                    "net.ifnames=0",
                ]
            }
        },
        "12d32b0f753fbf3667318de49e064479e488b83ccc3c2e4970c3b592549926ab",
    ),
    (
        "arguments to quote",
        {
            "customization": {
                "extraKernelArgs": ["-", "a: b", "x #y", "'q'", "it's", "{}", "*", "true", "1", "0x1f", "1.5"]
            }
        },
        "ee11307d776bdb8e72e64da48136a4e513620264ed4492cc74b60bf04c8882e6",
    ),
    (
        "url argument",
        {"customization": {"extraKernelArgs": ["talos.config=https://c.example.org/${uuid}?a=1&b=2"]}},
        "eaa8b4a1632610c0648f0d64d597f942f2ff7f8613d1e2e25574fd46b7665ab1",
    ),
    (
        "duplicated argument",
        {"customization": {"extraKernelArgs": ["enforcing=1", "enforcing=1"]}},
        "2ac292e67fda0c4d02163161d1213e783385941cea9d2fd2effa11079e076dd4",
    ),
    (
        "extensions in odd order",
        {
            "customization": {
                "systemExtensions": {"officialExtensions": ["siderolabs/util-linux-tools", "siderolabs/iscsi-tools"]}
            }
        },
        "ffdc59f4fd5b62784876a03c3e31a81fbfecc871eaa7f27aca33b9f5ff1ec96e",
    ),
    (
        "everything",
        {
            "overlay": {
                "image": "siderolabs/sbc-raspberrypi",
                "name": "rpi_generic",
                "options": {"configTxt": "a=1\nb=2\n", "data": "x"},
            },
            "customization": {
                "extraKernelArgs": ["enforcing=1"],
                "meta": [{"key": 10, "value": "{}"}],
                "systemExtensions": {"officialExtensions": ["siderolabs/amd-ucode"]},
                "bootloader": "sd-boot",
                "secureboot": {"enrollKeys": "force", "includeWellKnownCertificates": True},
                "diskImage": {"sectorSize": 4096},
            },
        },
        "1cf6d219e0140d1f9f9e3ab0b2626b74af58c9129b8b1524617fa69e4a7e39f9",
    ),
    (
        "overlay with list",
        {
            "overlay": {
                "image": "siderolabs/sbc-rockchip",
                "name": "rock4cplus",
                "options": {"list": ["a", "b: c"], "map": {"b": 1, "a": True}},
            }
        },
        "e9e5efcc230b9191f6159de7ed72662ed606af586860073adc479c7af9aba88d",
    ),
    (
        "overlay without image",
        {"overlay": {"name": "x"}},
        "afe15d0282d0d6dacb68871067b3b1e740def750a32068a6f7fe3943cfea4cfc",
    ),
    (
        "owner",
        {"owner": "alice", "customization": {"extraKernelArgs": ["enforcing=1"]}},
        "b9986d58eb506ad5277a841b00993439b1ee482de4e4dab4bd4aca898cb80347",
    ),
    (
        "embedded configuration",
        {
            "customization": {
                "embeddedMachineConfiguration": (
                    "apiVersion: v1alpha1\nkind: HostnameConfig\nhostname: a\n"
                    "---\napiVersion: v1alpha1\nkind: KmsgLogConfig\nname: b\n"
                )
            }
        },
        "d5d9bea480c788a31f4e0edf88c916e084c8d0546cb4cb065c70a3c1f325d11c",
    ),
    (
        "embedded configuration without end of line",
        {"customization": {"embeddedMachineConfiguration": "a: b\n\nc: d"}},
        "fe8fe96a6d56faa9b13f36f2d5f445a401a12b6a653642f57ec9f335cfce6af4",
    ),
    (
        "meta of several lines",
        {"customization": {"meta": [{"key": 10, "value": "addresses:\n  - a\n"}]}},
        "79cd2da592aea8f3da805d68c2d5609e60a0019bc30b28e83036c41f18df3996",
    ),
    (
        "grub",
        {"customization": {"bootloader": "grub", "extraKernelArgs": ["quiet"]}},
        "b8b2b47970b5d8020d17e524c787774865b57e06d8ae7c47d3a0079bfcffb48f",
    ),
    (
        "dual boot",
        {"customization": {"bootloader": "dual-boot"}},
        "43a1a6104d8dcd6547983f4ed13abb6f5e8a1b2fdad796c69e7db6e95d122884",
    ),
    (
        "sector size",
        {"customization": {"diskImage": {"sectorSize": 512}}},
        "07d84585ec0d61f09477ee8cee2984d3b303114a7ade963bc8208c257d4dd98d",
    ),
    (
        "all empty fields",
        {
            "customization": {
                "extraKernelArgs": [],
                "meta": [],
                "systemExtensions": {"officialExtensions": []},
                "secureboot": {"includeWellKnownCertificates": False},
                "diskImage": {"sectorSize": 0},
            }
        },
        "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba",
    ),
    (
        "enroll keys",
        {"customization": {"secureboot": {"enrollKeys": "if-safe"}}},
        "8bbda22c237bab0fd95b91d4b9022e62e0f1b9f75f8f1e62f6eaa4eecc337ff6",
    ),
    (
        "quoted blanks",
        {"customization": {"extraKernelArgs": ['dyndbg="file x +p"', "a b"]}},
        "e9c3f5d3897d8fd6c4a1e25238af1453954f1d7aa565af2f1ec4ad283e43fb71",
    ),
    (
        "address",
        {"customization": {"extraKernelArgs": ["10.0.0.1"]}},
        "ef2116f07b689c8eead0c091c16a2e2e81a782864c0145cd134a726e8088f9db",
    ),
]


@pytest.mark.parametrize(("text", "schematic_id"), PUBLISHED)
def test_published_ids(text, schematic_id):
    assert schematic.parse(text).id() == schematic_id


@pytest.mark.parametrize(("name", "data", "schematic_id"), MEASURED, ids=[row[0] for row in MEASURED])
def test_measured_ids(name, data, schematic_id):
    read = schematic.parse(json.dumps(data))
    assert read.id() == schematic_id
    # The canonical text reads back to itself, and another reader agrees with it.
    assert schematic.parse(read.canonical()).canonical() == read.canonical()
    assert yaml.safe_load(read.canonical()) == read.data
    assert schematic.is_text_of(read.canonical(), schematic_id)


@pytest.mark.parametrize(("name", "data", "schematic_id"), MEASURED, ids=[row[0] for row in MEASURED])
def test_deriving_changes_only_the_arguments(name, data, schematic_id):
    text = json.dumps(data)
    there = schematic.derive(text)
    assert "enforcing=1" in there.target.kernel_args
    assert there.target.with_kernel_args([]).data == there.present.with_kernel_args([]).data
    assert there.present_id == schematic_id
    again = schematic.derive(there.target.body())
    assert not again.changed and again.diff == () and again.target_id == there.target_id
    back = schematic.derive(there.target.body(), "permissive")
    assert "enforcing=1" not in back.target.kernel_args
    changed = [line[1:] for line in there.diff if line[0] in "+-" and line[1:4] not in ("-- ", "++ ")]
    arguments = [*there.kernel.added, *there.kernel.removed]
    frame = ("customization: {}", "customization:", "extraKernelArgs:")
    assert all(line.strip() in frame or any(arg in line for arg in arguments) for line in changed)


def test_the_way_to_enforcing_and_back():
    text = "customization:\n    extraKernelArgs:\n        - quiet\n"
    there = schematic.derive(text)
    assert schematic.derive(there.target.canonical(), "permissive").target.canonical() == text


def test_the_diff_shows_the_argument():
    diff = schematic.derive("customization: {extraKernelArgs: [quiet, audit=0]}").diff
    assert next(line for line in diff if "audit=0" in line).startswith("-")
    assert next(line for line in diff if "enforcing=1" in line).startswith("+")


def test_secrets_do_not_reach_the_diff():
    data = {
        "customization": {
            "embeddedMachineConfiguration": "machine:\n  token: s3cr3tvalue\n",
            "extraKernelArgs": ["siderolink.api=grpc://omni.example.org?jointoken=s3cr3tvalue"],
            "meta": [{"key": 12, "value": "s3cr3tvalue"}],
        }
    }
    text = "\n".join(schematic.derive(json.dumps(data)).diff)
    assert "enforcing=1" in text and "s3cr3tvalue" not in text


def test_a_text_that_does_not_belong_to_the_nodes_id():
    with pytest.raises(errors.SchematicError, match="does not belong"):
        schematic.derive("customization: {}\n", present_id="0" * 64)
    assert schematic.derive("customization: {}\n", present_id=EMPTY).changed
