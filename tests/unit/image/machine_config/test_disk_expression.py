# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disk selectors of Talos: what is understood is judged as CEL does, and nothing else is judged at all."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.disks import FIELDS
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.disk_expression import (
    NotUnderstood,
    glob,
    matches,
)

DISK: dict[str, Any] = {
    **FIELDS,
    "name": "sda",
    "dev_path": "/dev/sda",
    "size": 120 * 10**9,
    "serial": "S\"1'2",
    "model": "WDC WD10",
    "transport": "sata",
    "rotational": True,
    "symlinks": ["/dev/disk/by-id/ata-WDC", "/dev/disk/by-path/pci-0"],
}


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ('disk.dev_path == "/dev/sda"', True),
        ("disk.dev_path != '/dev/sda'", False),
        ("disk.size > 100u * GB && disk.size < 1u * TB", True),
        ("disk.size >= 112u * GiB", False),
        ("disk.size == 100u * GB + 20u * GB", True),
        ("disk.size <= 121u * GB - 1u * GB", True),
        ('disk.transport == "nvme" || disk.rotational', True),
        ('disk.transport == "nvme" || disk.rotational && !disk.rotational', False),
        ("!disk.readonly && !disk.cdrom && !system_disk", True),
        ("!(disk.rotational || disk.cdrom)", False),
        ("system_disk", False),
        ("!!disk.rotational && !!!disk.cdrom", True),
        ("!" * 5001 + "disk.cdrom", True),
        ("true", True),
        (r"disk.serial == 'S\"1\'2'", True),
        (r'disk.serial == "S\"1\'2"', True),
        ("glob('WDC*10', disk.model)", True),
        ('glob("WDC", disk.model)', False),
        ("'/dev/disk/by-id/ata-WDC' in disk.symlinks", True),
        ("disk.transport in ['nvme', \"sata\"]", True),
        ("disk.transport in []", False),
        ('disk.model.startsWith("WDC ") && disk.model.endsWith("10") && disk.model.contains("WD1")', True),
        ('disk.symlinks.exists(s, s.endsWith("-0"))', True),
        ('disk.symlinks.exists(s, s == "/dev/sda") || disk.cdrom', False),
        ('disk.uuid == ""', True),
    ],
)
def test_what_is_understood(expression: str, answer: bool) -> None:
    assert matches(expression, DISK) is answer
    assert matches(f"  ( {expression} )\n", DISK) is answer


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "disk",
        "disk.size",
        "disk.size > 10",
        "disk.size > 10 * GB",
        "disk.size == '120'",
        "disk.size > 0u - 1u",
        "disk.size < 18446744073709551615u * 2u",
        "disk.rotational > 1u",
        "disk.firmware_version == ''",
        "disk.model.matches('WDC')",
        "disk.model.startsWith(disk.size)",
        "disk.model.startsWith('a', 'b')",
        "disk.symlinks == ['a']",
        "'a' in disk.model",
        "disk.size in ['a']",
        "true && 'a'",
        "'a' || true",
        "true || unknown",
        "true || disk.unknown == ''",
        "!disk.model",
        "disk.cdrom ? true : false",
        "glob('a')",
        "has(disk.model)",
        "disk.symlinks.exists(disk, true)",
        "disk.symlinks.exists(s, unknown)",
        "disk.symlinks.exists(s, true) && s == ''",
        "disk.symlinks.all(s, true)",
        "(true",
        "true)",
        "true true",
        "true &&",
        "[true",
        "'open",
        "disk.size > 1u ** 2u",
        "true # comment",
        "(" * 60 + "true" + ")" * 60,
        "!" * 5000,
        "!disk.size",
        f"disk.size == {'9' * 5000}u",
        "disk.size < 99999999999999999999u",
        # CEL has signed numbers of 64 bits, and no other blanks than these of ASCII.
        "1 < 9223372036854775808",
        "9223372036854775807 + 1 > 0",
        "disk.size\u00a0> 1u",
        "disk.size > 1u\u2003",
        "disk.size > 1u &&\v true",
        "disk.symlinks.exists(s\u00e9, true)",
        "['a'].exists(s, [s].exists(t, " * 12 + "true" + "))" * 12,
    ],
)
def test_what_is_not_is_neither_true_nor_false(expression: str) -> None:
    with pytest.raises(NotUnderstood):
        matches(expression, DISK)


def test_what_is_asked_of_elements_is_understood_also_where_there_are_none() -> None:
    assert matches("disk.symlinks.exists(s, s == '')", {**DISK, "symlinks": []}) is False
    with pytest.raises(NotUnderstood, match="unknown is not understood"):
        matches("disk.symlinks.exists(s, unknown)", {**DISK, "symlinks": []})


def nested(depth: int) -> str:
    asked = "true"
    for number in range(depth):
        asked = f"['a', 'b', 'c'].exists(v{number}, {asked})"
    return asked


def test_what_multiplies_is_bounded() -> None:
    assert matches(nested(5), DISK) is True
    with pytest.raises(NotUnderstood, match="it asks too much"):
        matches(nested(20), DISK)
    with pytest.raises(NotUnderstood, match="it asks too much"):
        matches("true && " * 10_000 + "true", DISK)


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("", "", True),
        ("", "a", False),
        ("*", "", True),
        ("a*c", "a\nb.c", True),
        ("a.c", "abc", False),
        ("*b*", "abc", True),
        ("a*b", "ba", False),
        ("a?c", "abc", False),
        ("*aa", "a", False),
        ("ab*ba", "aba", False),
        ("a**b*", "acbc", True),
        ("*b*b", "ab", False),
        ("*a" * 300, "a" * 3000 + "b", False),
    ],
)
def test_a_pattern_knows_one_sign(pattern: str, text: str, fits: bool) -> None:
    assert glob(pattern, text) is fits
