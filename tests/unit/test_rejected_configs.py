# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recorded judgements can be made anew from the generated configurations, and hold what tests look for in them."""

from __future__ import annotations

from rejected_configs import FILE, judged_configs

CASES = judged_configs()


def test_there_are_many_of_each_outcome() -> None:
    rejected = [case for case in CASES if case.dry_run]
    late = [case for case in CASES if case.after_wipe and not case.dry_run]
    accepted = [case for case in CASES if not case.after_wipe and not case.dry_run]
    assert len(rejected) >= 100
    assert len(late) >= 3, "what an installed node accepts and the same node rejects after its wipe"
    assert len(accepted) >= 30


def test_every_change_changes_something_and_has_a_name_of_its_own() -> None:
    assert all(case.sent != case.running for case in CASES)
    assert len({(str(case), case.sent) for case in CASES}) == len(CASES)


def test_secrets_are_filled_in_and_none_is_stored() -> None:
    assert "LS0t" not in FILE.read_text(encoding="utf-8")
    for case in CASES:
        assert "@" not in case.sent + (case.dry_run or "") + (case.after_wipe or "")
