# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which machine a node is: what identifies one, what only looks like it, and what two machines of a fleet share."""

from __future__ import annotations

import functools
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..yaml_loader import load_yaml

_DATA = Path(__file__).parent / "data" / "placeholders.yml"
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
#: What no two machines of one run may have in common, by path in the evidence document, with its name for people.
_DISTINCT = (
    (("node", "address"), "address"),
    (("node", "identity"), "node identity"),
    (("node", "uuid"), "machine UUID"),
    (("node", "serial_number"), "serial number"),
    (("boot", "id"), "boot id"),
    (("node", "hostname"), "Kubernetes node name"),
)


def doubts_of(machine_uuid: str | None, serial_number: str | None) -> list[str]:
    """Why a machine's UUID and serial number do not tell it from another machine; nothing when the UUID does.

    Args:
        machine_uuid: SMBIOS UUID as Talos gives it (SystemInformation); None when it is not known.
        serial_number: SMBIOS serial number; None when there is none. Many honest machines have none, so that only a
            UUID that is no UUID counts.
    """
    if not machine_uuid:
        return ["the machine has no UUID"]
    reason = _placeholder("uuid", machine_uuid)
    if reason is None:
        return []
    doubts = [f"the UUID {machine_uuid} identifies no machine: {reason}"]
    serial = _placeholder("serial_number", serial_number) if serial_number else "there is none"
    return [*doubts, f"nor does the serial number {serial_number or ''}: {serial}"] if serial else doubts


def is_placeholder_serial(serial_number: str) -> bool:
    """Whether a serial number is one that a vendor left unset."""
    return _placeholder("serial_number", serial_number) is not None


def same_uuid(one: str | None, other: str | None) -> bool:
    """Whether two texts name one SMBIOS UUID.

    SMBIOS before 2.6 did not fix the byte order of the first three fields, so that two readers of one table may differ
    in it (DMTF DSP0134, 7.2.1); such a pair counts as one UUID.
    """
    first, second = _uuid(one), _uuid(other)
    return first is not None and second is not None and first in (second, uuid.UUID(bytes_le=second.bytes))


def one_machine(one: tuple[str | None, str | None], other: tuple[str | None, str | None]) -> bool | None:
    """Whether two readings of UUID and serial number are of one machine; None when that is not known.

    A serial number that one side does not tell decides nothing, unless the UUID is one that many boards share.
    """
    (uuid_of_one, serial_of_one), (uuid_of_other, serial_of_other) = one, other
    if not (uuid_of_one and uuid_of_other):
        return None
    serials_differ = serial_of_one and serial_of_other and serial_of_one != serial_of_other
    if serials_differ or not same_uuid(uuid_of_one, uuid_of_other):
        return False
    lacks_serial = bool(serial_of_one) and not serial_of_other
    return None if lacks_serial and doubts_of(uuid_of_one, None) else True


def machine_id_of(node_identity: str | None) -> str | None:
    """The ``/etc/machine-id`` that Talos derives from a node identity; None when that is no identity.

    Talos ``internal/app/machined/pkg/adapters/cluster/identity.go``: the first 16 bytes of the decoded identity, in
    hexadecimal. The encoding takes six bits a letter from the end, or five where six have no letter (jxskiss/base62).
    """
    if not node_identity or any(letter not in _ALPHABET for letter in node_identity):
        return None
    number = bits = 0
    for place, letter in enumerate(node_identity):
        value = _ALPHABET.index(letter)
        number |= value << bits
        if place == len(node_identity) - 1:
            bits += value.bit_length()
        else:
            bits += 5 if value & 0x1E == 0x1E else 6
    raw = number.to_bytes((bits + 7) // 8, "big")
    return raw[:16].hex() if len(raw) >= 16 else None


def twins(documents: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """What hosts of one run share though no two machines can: reasons by host, for those hosts only.

    Args:
        documents: evidence documents by inventory name. A serial number that vendors leave unset is not compared.
    """
    found: dict[str, list[str]] = {}
    for (section, key), name in _DISTINCT:
        hosts: dict[str, list[str]] = {}
        for host, document in documents.items():
            value = (document.get(section) or {}).get(key)
            if isinstance(value, str) and value and not (key == "serial_number" and is_placeholder_serial(value)):
                hosts.setdefault(spelled(key, value), []).append(host)
        for value, sharing in hosts.items():
            for host in sharing if len(sharing) > 1 else ():
                others = ", ".join(sorted(other for other in sharing if other != host))
                found.setdefault(host, []).append(f"{others} has the same {name} {value}")
    return found


def spelled(key: str, value: str) -> str:
    """The one spelling of an id, by which two of them are compared: either byte order and case of a ``uuid`` is one."""
    parsed = _uuid(value) if key == "uuid" else None
    return str(min(parsed, uuid.UUID(bytes_le=parsed.bytes))) if parsed else value.strip().lower()


def _uuid(text: str | None) -> uuid.UUID | None:
    try:
        return uuid.UUID(text) if text else None
    except ValueError:
        return None


def _placeholder(kind: str, value: str) -> str | None:
    """Why the value is one that vendors leave unset; None when it is not."""
    parsed = _uuid(value) if kind == "uuid" else None
    if kind == "uuid" and parsed is None:
        return "it is no UUID"
    spellings = [str(parsed), str(uuid.UUID(bytes_le=parsed.bytes))] if parsed else [value.strip().lower()]
    return next(
        (
            reason
            for pattern, reason in placeholders()[kind]
            if any(pattern.fullmatch(spelling) for spelling in spellings)
        ),
        None,
    )


@functools.cache
def placeholders() -> dict[str, tuple[tuple[re.Pattern[str], str], ...]]:
    """What identifies no machine: of each kind of id (``uuid``, ``serial_number``) patterns, and why it does not."""
    known: dict[str, list[dict[str, str]]] = load_yaml(_DATA.read_bytes())
    return {
        kind: tuple((re.compile(entry["pattern"]), entry["reason"]) for entry in entries)
        for kind, entries in known.items()
    }
