# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A message of a process brings nothing into doubt that came long after it: not by a clock step, not by a new boot."""

from __future__ import annotations

import re

import audit_streams as streams
import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.scanner import Scanner, summarize
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.summary import Summary


def log_with_message(at: int) -> list[bytes]:
    events = streams.service_events(5, 400)
    events[at - 5] = [streams.user(at, b"hello", b"pod_t")]
    return [line for event in events for line in event]


def moved(line: bytes, first: int, seconds: int) -> bytes:
    def shift(match: re.Match[bytes]) -> bytes:
        late = int(match[3]) >= first
        return b"audit(%d.%s:%s)" % (int(match[1]) + (seconds if late else 0), match[2], match[3])

    return re.sub(rb"audit\((\d+)\.(\d+):(\d+)\)", shift, line, count=1)


def read(log: bytes, careful: bool) -> Summary:
    scanner = Scanner(careful=careful)
    scanner.feed(log)
    return scanner.close()


@pytest.mark.parametrize("careful", [False, True])
@pytest.mark.parametrize("seconds", [-7200, -2])
@pytest.mark.parametrize("first", [130, 200, 390])
def test_a_clock_set_back_long_after_a_message_is_no_forgery(first: int, seconds: int, careful: bool) -> None:
    summary = read(b"".join(moved(line, first, seconds) for line in log_with_message(20)), careful)
    assert summary.counts["doubtful"] == 0
    assert summary.missing == 0
    assert (summary.first_serial, summary.last_serial) == (5, 404)


@pytest.mark.parametrize("careful", [False, True])
@pytest.mark.parametrize("at", [10, 20, 30])
@pytest.mark.parametrize("first", [1, 5])
def test_the_next_boot_brings_no_old_message_into_doubt(first: int, at: int, careful: bool) -> None:
    next_boot = b"".join(line for event in streams.service_events(first, 100, seed=9) for line in event)
    summary = read(b"".join(log_with_message(at)) + next_boot.replace(b"audit(1795", b"audit(1796"), careful)
    assert (summary.counts["doubtful"], summary.boots, summary.missing) == (0, 2, 0)


def test_a_time_from_the_future_inside_the_message_stays_doubtful() -> None:
    events = streams.service_events(5, 400)
    forged = streams.avc(21, when=b"(1895000000.000:21)", target="etcd_pki_t")[:-1]
    events[15] = [streams.user(20, b"x'\n" + forged, b"pod_t")]
    events[16] = []
    assert summarize(b"".join(line for event in events for line in event)).counts["doubtful"] == 1
