# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Node object is joined to a machine by what identifies it, never by its name alone."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.joined import (
    Machine,
    NotThisNode,
    join,
    require_joined,
)

UUID = "6f1d0a9e-33aa-4c71-8899-aabbccddeeff"
MACHINE_ID = "be871ac0d0dd31fa4caca753b0f3f1b2"
BOOT = "0b5e7c1a-0000-4000-8000-000000000001"
MACHINE = Machine("worker-1", UUID, MACHINE_ID, BOOT)


def node(name: str = "worker-1", **changes: Any) -> dict[str, Any]:
    """A Node object; by default that of the machine."""
    reported = {"systemUUID": UUID, "machineID": MACHINE_ID, "bootID": BOOT, **changes}
    info = {key: value for key, value in reported.items() if value is not None}
    return {"metadata": {"name": name}, "status": {"nodeInfo": info}}


def other(name: str) -> dict[str, Any]:
    """A Node object of another machine."""
    return node(name, systemUUID="6f1d0a9e-0000-4000-8000-000000000011", machineID="0" * 32, bootID="other")


def test_the_machine_is_found_by_all_three_ids() -> None:
    assert join([other("worker-2"), node(), other("worker-3")], MACHINE).joined is True
    require_joined([node()], MACHINE)


def test_the_other_byte_order_of_the_uuid_is_the_same_machine() -> None:
    assert join([node(systemUUID="9E0A1D6F-AA33-714C-8899-AABBCCDDEEFF")], MACHINE).joined is True


@pytest.mark.parametrize(
    ("nodes", "word"),
    [
        # A kubeconfig of another cluster whose node has the same name.
        ([other("worker-1")], "systemUUID is"),
        ([node(systemUUID="6f1d0a9e-0000-4000-8000-000000000011")], "systemUUID is"),
        # Reinstalled since: another identity, so another machine id.
        ([node(machineID="f" * 32)], "machineID is"),
        # Left over from an earlier boot.
        ([node(bootID="0b5e7c1a-0000-4000-8000-000000000002")], "bootID is"),
        ([], "no node of the name"),
        ([other("worker-2")], "no node of the name"),
        ([node(), node()], "2 nodes of the name"),
    ],
)
def test_another_machine_or_boot_is_not_this_node(nodes: list[dict[str, Any]], word: str) -> None:
    found = join(nodes, MACHINE)
    assert found.joined is False and word in found.doubts[0]
    with pytest.raises(NotThisNode) as refused:
        require_joined(nodes, MACHINE)
    assert word in refused.value.found


@pytest.mark.parametrize(
    ("nodes", "machine"),
    [
        ([node(systemUUID=None)], MACHINE),
        ([node(machineID="")], MACHINE),
        ([node(bootID=None)], MACHINE),
        ([{"metadata": {"name": "worker-1"}}], MACHINE),
        ([node()], Machine("worker-1", None, MACHINE_ID, BOOT)),
        ([node()], Machine("worker-1", UUID, None, BOOT)),
        ([node()], Machine("worker-1", UUID, MACHINE_ID, None)),
        # Two Node objects for one machine: which of them is drained would be chance.
        ([node(), node("worker-1-old", machineID="f" * 32, bootID="old")], MACHINE),
        ([node(), node("copy", systemUUID="6f1d0a9e-0000-4000-8000-000000000011", bootID="old")], MACHINE),
    ],
)
def test_what_is_missing_or_claimed_twice_is_not_known(nodes: list[dict[str, Any]], machine: Machine) -> None:
    assert join(nodes, machine).joined is None
    with pytest.raises(NotThisNode, match="is not known to be the machine that was judged"):
        require_joined(nodes, machine)


def test_a_uuid_that_every_board_has_makes_no_second_claim() -> None:
    placeholder = "03000200-0400-0500-0006-000700080009"
    boards = [node(systemUUID=placeholder), node("b", systemUUID=placeholder, machineID="0" * 32, bootID="x")]
    assert join(boards, Machine("worker-1", placeholder, MACHINE_ID, BOOT)).joined is True


def test_the_machine_of_a_document() -> None:
    identity = "sou7yy34ykX3n373Zw1DXKb8zD7UnyKT6HT3QDsGH6L"
    document = {"node": {"hostname": "worker-1", "uuid": UUID, "identity": identity}, "kubernetes": {"boot_id": BOOT}}
    assert Machine.of(document) == MACHINE
