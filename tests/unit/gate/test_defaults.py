# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the policies that ship decide by when nobody says otherwise, and why each value is the right one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import quick_yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import policy
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.policy import Policy, load_policy

DATA = Path(policy.__file__).parent / "data"

#: What strict asks for.
STRICT: dict[str, Any] = {
    "report_only": False,
    # A verdict and its evidence hold for half a working day: a rollout of some hours, no night between.
    "verdict_ttl": "4h",
    "max_evidence_age": "4h",
    # Three days: what runs once a day has run, and a weekend job may be waited for by whoever has one.
    "soak": "72h",
    # The first release that loads its SELinux policy by default.
    "talos_floor": "v1.10.0",
    # The first release on which an overlay, so every image of the factory, can run enforcing.
    "target_floor": "v1.14.0",
    "boot_paths": ["in_place", "hook"],
    # The vendor supports no extension under enforcing.
    "reviewed_extensions": [],
    # The kernel's audit=1 and audit=on are one; lsm= replaces the kernel's whole list, so that none is fine.
    "allowed_kernel_args": {
        "audit": ["1", "on"],
        "talos.auditd.disabled": ["0"],
        "selinux": ["1"],
        "security": ["selinux"],
        "lsm": [],
        "apparmor": ["0"],
    },
    # A quarter of a year; a month without the denial; a handful of signatures.
    "waiver_max_days": 90,
    "waiver_unused_days": 30,
    "waiver_max_matches": 5,
}
#: What the others change of it, and the checks that they change or add.
OTHERS: dict[str, tuple[dict[str, Any], dict[str, set[str]]]] = {
    "canary": (
        {"soak": "24h"},
        {
            "canary-is-worker": {"check"},
            "cni-compatible": {"assert", "unknown_when"},
            "csi-compatible": {"assert", "unknown_when"},
            "addons-compatible": {"assert", "unknown_when"},
        },
    ),
    # Ten years is any age.
    "observe": ({"report_only": True, "max_evidence_age": "3650d"}, {}),
}
#: The checks that only warn: what they find stops a node by the check that needs it, or is no reason not to wipe.
WARNINGS = {"strict": {"no-read-errors", "not-cordoned"}, "history": {"enforcing-node-upgraded"}}


def test_what_strict_asks_for(strict: Policy) -> None:
    assert dict(strict.settings) == STRICT
    assert strict.changes == ()


@pytest.mark.parametrize("name", OTHERS)
def test_what_another_asks_for(name: str) -> None:
    settings, checks = OTHERS[name]
    other = load_policy(name)
    assert dict(other.settings) == {**STRICT, **settings}
    changed: dict[str, set[str]] = {}
    for change in other.changes:
        if change["id"] is None:
            assert (change["from"], change["to"]) == (STRICT[change["field"]], settings[change["field"]])
        else:
            changed.setdefault(change["id"], set()).add(change["field"])
        assert change["in"] == name
        weaker = (change["id"], change["field"]) not in {("canary-is-worker", "check"), (None, "report_only")}
        assert change["weaker"] is weaker
        assert (change["by"] or {}).get("who") == ("the talosops.selinux authors" if weaker else None)
    assert changed == checks
    assert len([change for change in other.changes if change["id"] is None]) == len(settings)


@pytest.mark.parametrize("name", ["strict", "canary", "request", "fleet", "again", "history", "cohort"])
def test_what_blocks_and_what_only_warns(name: str) -> None:
    checks = quick_yaml.load((DATA / f"{name}.yml").read_text(encoding="utf-8"))["checks"]
    warn = {check["id"] for check in checks if check.get("severity") == "warn"}
    assert warn == WARNINGS.get(name, set())
    assert {check["id"] for check in checks if check.get("severity") != "block"} - warn <= set(OTHERS["canary"][1])
    if name == "strict":
        assert {check.id for check in load_policy("canary").checks if check.severity != "block"} == warn


def test_no_check_is_off_or_bound_to_versions_or_waived_but_denials(strict: Policy) -> None:
    for check in strict.checks:
        assert not {"enabled", "since", "until", "needs"} & set(check.raw), check.id
    assert [check.id for check in strict.checks if check.waived_when is not None] == ["no-denials"]
    assert {check.id: sorted(check.raw["nullable"]) for check in strict.checks if check.nullable} == {
        "not-under-operation": ["operation.locked_by"]
    }
