# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which machine a node is: placeholders of vendors, both byte orders, and what two hosts of a run share."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence import identity


@pytest.mark.parametrize(
    "machine_uuid",
    [
        "00000000-0000-0000-0000-000000000000",
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
        "03000200-0400-0500-0006-000700080009",
        # The same bytes in the other order of SMBIOS.
        "00020003-0004-0005-0006-000700080009",
        "11111111-1111-1111-1111-111111111111",
        "12345678-1234-5678-90ab-cddeefaabbcc",
        "03020100-0504-0706-0809-0a0b0c0d0e0f",
        "00112233-4455-6677-8899-AABBCCDDEEFF",
        "ffeeddcc-bbaa-9988-7766-554433221100",
        "00000000-1111-2222-3333-444444444444",
        "a5a5a5a5-a5a5-a5a5-a5a5-a5a5a5a5a5a5",
        "ff00ff00-ff00-ff00-ff00-ff00ff00ff00",
        "00000000-0000-4000-8000-000000000000",
        "00000000-0000-0000-0000-0cc47a000000",
        "123e4567-e89b-12d3-a456-426614174000",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "Not Settable",
        "To be filled by O.E.M.",
        "",
        None,
    ],
)
@pytest.mark.parametrize("serial", [None, "", "Default string", "SN-77"])
def test_a_vendors_placeholder_identifies_no_machine(machine_uuid: str | None, serial: str | None) -> None:
    assert identity.doubts_of(machine_uuid, serial) != []


@pytest.mark.parametrize(
    "serial",
    [
        "To Be Filled By O.E.M.",
        "To be filled by O.E.M.",
        "Default string",
        "Not Specified",
        "Not Settable",
        "System Serial Number",
        "0123456789",
        "123456789",
        "00000000",
        "XXXXXXXX",
        "None",
        "N/A",
        "....................",
    ],
)
def test_a_serial_number_that_was_left_unset_is_not_compared(serial: str) -> None:
    assert identity.is_placeholder_serial(serial)
    # It costs a machine nothing whose UUID is its own.
    assert identity.doubts_of("6f1d0a9e-0000-4000-8000-000000000011", serial) == []
    documents = {"a": document(serial=serial), "b": document(serial=serial)}
    assert identity.twins(documents) == {}


@pytest.mark.parametrize(
    "machine_uuid",
    [
        "6f1d0a9e-0000-4000-8000-000000000011",
        "00000000-0000-0000-0000-0cc47a112233",
        "032e02b4-0499-05c3-0806-080700080009",
        "a5a5a5a5-a5a5-a5a5-a5a5-a5a5a5a5a5a6",
    ],
)
def test_a_uuid_of_its_own_is_no_placeholder(machine_uuid: str) -> None:
    assert identity.doubts_of(machine_uuid, None) == []


def test_one_uuid_in_both_byte_orders_is_one() -> None:
    one, other = "6f1d0a9e-33aa-4c71-8899-aabbccddeeff", "9E0A1D6F-AA33-714C-8899-AABBCCDDEEFF"
    for pair in ((one, other), (other, one), (one, one.upper())):
        assert identity.same_uuid(*pair)
    assert not identity.same_uuid(one, "6f1d0a9e-33aa-4c71-8899-aabbccddeefe")
    assert not identity.same_uuid(one, None) and not identity.same_uuid(None, None) and not identity.same_uuid("x", "x")


def test_the_machine_id_is_that_of_talos() -> None:
    # The pair that Talos tests its own conversion with.
    told = identity.machine_id_of("sou7yy34ykX3n373Zw1DXKb8zD7UnyKT6HT3QDsGH6L")
    assert told == "be871ac0d0dd31fa4caca753b0f3f1b2"
    assert [identity.machine_id_of(text) for text in (None, "", "abc", "no/letter", "a b")] == [None] * 5


NUMBERS = itertools.count(1)


def document(**changes: Any) -> dict[str, Any]:
    """Evidence of a machine of its own, with some values changed."""
    count = next(NUMBERS)
    node = {
        "address": f"192.0.2.{count}",
        "identity": f"identity-{count}",
        "uuid": f"6f1d0a9e-0000-4000-8000-{count:012}",
        "serial_number": changes.pop("serial", f"SN-{count}"),
        "hostname": f"node-{count}",
    }
    boot = {"id": changes.pop("boot_id", f"boot-{count}")}
    return {"node": {**node, **changes}, "boot": boot}


@pytest.mark.parametrize(
    ("one", "other", "name"),
    [
        ({"address": "192.0.2.200"}, {"address": "192.0.2.200"}, "address"),
        ({"identity": "x"}, {"identity": "x"}, "node identity"),
        (
            {"uuid": "6f1d0a9e-33aa-4c71-8899-aabbccddeeff"},
            {"uuid": "6f1d0a9e-33aa-4c71-8899-AABBCCDDEEFF"},
            "machine UUID",
        ),
        (
            {"uuid": "6f1d0a9e-33aa-4c71-8899-aabbccddeeff"},
            {"uuid": "9e0a1d6f-aa33-714c-8899-aabbccddeeff"},
            "machine UUID",
        ),
        ({"serial": "SN-X"}, {"serial": "sn-x "}, "serial number"),
        ({"boot_id": "b"}, {"boot_id": "B"}, "boot id"),
        ({"hostname": "worker"}, {"hostname": "worker"}, "Kubernetes node name"),
    ],
)
def test_what_two_hosts_share_is_said_of_both(one: dict[str, Any], other: dict[str, Any], name: str) -> None:
    found = identity.twins({"a": document(**one), "b": document(**other), "c": document()})
    assert set(found) == {"a", "b"}
    assert found["a"][0].startswith(f"b has the same {name}") and found["b"][0].startswith(f"a has the same {name}")


def test_what_is_not_known_is_shared_with_nobody() -> None:
    unknown = {
        "node": dict.fromkeys(("address", "identity", "uuid", "serial_number", "hostname")),
        "boot": {"id": None},
    }
    assert identity.twins({"a": unknown, "b": unknown, "c": {"node": None}}) == {}


ZEROS = "00000000-0000-0000-0000-000000000000"
FIRST = f"the UUID {ZEROS} identifies no machine: "


@pytest.mark.parametrize(
    ("machine_uuid", "serial", "doubts"),
    [
        (None, "SN-77", ["the machine has no UUID"]),
        ("", "SN-77", ["the machine has no UUID"]),
        (ZEROS, "SN-77", [FIRST]),
        (ZEROS, None, [FIRST, "nor does the serial number : there is none"]),
        (ZEROS, "", [FIRST, "nor does the serial number : there is none"]),
        (ZEROS, "Default string", [FIRST, "nor does the serial number Default string: "]),
    ],
)
def test_why_a_machine_is_not_told_from_others(machine_uuid: str | None, serial: str | None, doubts: list[str]) -> None:
    found = identity.doubts_of(machine_uuid, serial)
    assert len(found) == len(doubts)
    assert [one.startswith(two) for one, two in zip(found, doubts, strict=True)] == [True] * len(doubts)
