# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a bundle is sound, and by whose key it is signed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.action import compliance_bundle_info
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.bundle import BundleUnsound

from .made import made


@pytest.mark.parametrize(
    ("defects", "key", "sound", "signed"),
    [
        ([], False, True, False),
        ([], True, True, True),
        (["a file more"], True, False, False),
        (["a file more"], False, False, False),
    ],
)
def test_a_bundle(
    defects: list[str], key: bool, sound: bool, signed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(compliance_bundle_info.bundle, "defects", lambda *of: asked.append(of) or defects)
    (tmp_path / "key").write_text("a key")
    given = {"path": "b", "public_key": str(tmp_path / "key") if key else None}
    found = made(compliance_bundle_info, require_sound=False, **given).act()
    assert found == {"sound": sound, "defects": defects, "signed": signed, "changed": False}
    assert asked == [(Path("b"), b"a key" if key else None)]


def test_an_unsound_one_fails_where_a_sound_one_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    defects = [f"defect {number}" for number in range(22)]
    monkeypatch.setattr(compliance_bundle_info.bundle, "defects", lambda *_of: defects)
    with pytest.raises(BundleUnsound) as raised:
        made(compliance_bundle_info, path="b").act()
    assert raised.value.found == f"the bundle b is not as it was written: {'; '.join(defects[:20])}"
    assert raised.value.context == {"defects": defects}
    monkeypatch.setattr(compliance_bundle_info.bundle, "defects", lambda *_of: [])
    assert made(compliance_bundle_info, path="b").act()["sound"] is True
