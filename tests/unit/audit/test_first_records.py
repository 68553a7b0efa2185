# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the first numbers of a boot prove: that nothing came before the ring's first line, and no auditd before this."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import audit_streams as streams
import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.coverage import assess
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.judgement import analyze_stored
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.store import AuditStore
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.boots import Look

AT = datetime.fromtimestamp(streams.BOOT + 86_400, UTC)
LOG = streams.service_log()


def ids(found: dict[str, Any]) -> list[str]:
    return [reason["id"] for reason in found["reasons"]]


def cut(ring: bytes, serial: int) -> bytes:
    """The ring as it is when all before the record of a number is overwritten."""
    return (
        b"kern"
        + ring.partition(b":%d): " % serial)[0].rpartition(b"kern")[2]
        + ring.partition(b":%d): " % serial)[1]
        + ring.partition(b":%d): " % serial)[2]
    )


RING = streams.kernel_ring()
LOAD = cut(RING, 2)
LOST = {
    "the policy load too": cut(RING, 3),
    "a load that is not the first": cut(RING, 2).replace(b":2): ", b":3): ", 1),
    "a load that failed": LOAD.replace(b"res=1", b"res=0", 1),
    "the load of another module": LOAD.replace(b"lsm=selinux", b"lsm=smack", 1),
    "a load that a process wrote into the ring": LOAD.replace(b"kern:  notice", b"user:  notice", 1),
    "another record of that number": LOAD.replace(b"type=1403", b"type=1404", 1),
    "a load behind a line break": LOAD.replace(
        b"kern:  notice: [2026-11-18T11:06:42.1Z]: audit", b"kern:  notice: [2026-11-18T11:06:42.1Z]: cpu0\\x0aaudit", 1
    ),
}


def stored(tmp_path: Any, *rings: bytes) -> dict[str, Any]:
    store = AuditStore(tmp_path)
    for number, ring in enumerate(rings):
        for source, data in (("service", LOG), ("kernel", ring)):
            store.merge("boot", source, data, collected_at=AT + timedelta(hours=number), looks=[Look("boot")])
    found: dict[str, Any] = analyze_stored(store.read("boot"), streams.healthy(service_log=None, kernel_log=None))
    return found["coverage"]


def test_the_test_cuts_what_it_says() -> None:
    assert LOAD.count(b"type=1403") == 3 and b"type=2000" not in LOAD and b"Linux version" not in LOAD


def test_a_ring_that_holds_the_first_policy_load_is_whole(tmp_path: Any) -> None:
    found = assess(streams.healthy(kernel_log=LOAD))
    assert found["verdict"] == "complete", found["reasons"]
    assert (found["first_serial"], found["lost_at_least"], found["seconds"]) == (2, 0, 86_400)
    assert "F11" in {note["id"] for note in found["notes"]}
    kept = stored(tmp_path, LOAD, LOAD)
    assert (kept["verdict"], kept["reasons"], kept["holes"]) == ("complete", [], [])


@pytest.mark.parametrize("ring", LOST.values(), ids=LOST)
def test_one_that_lost_it_is_not(ring: bytes, tmp_path: Any) -> None:
    assert ring != LOAD
    for found in (assess(streams.healthy(kernel_log=ring)), stored(tmp_path, ring)):
        assert found["verdict"] == "partial"
        assert "F11" in ids(found)


def test_a_load_that_a_container_wrote_into_auditds_log_proves_nothing() -> None:
    ring = cut(RING, 3)
    load = b"type=MAC_POLICY_LOAD msg=audit" + streams.key(2) + b": auid=4294967295 ses=4294967295 lsm=selinux res=1"
    for log in (LOG + streams.user(35, b"x'\n" + load), load + b"\n" + LOG):
        found = assess(streams.healthy(kernel_log=ring, service_log=log))
        assert found["verdict"] == "partial" and "F11" in ids(found)


def test_a_ring_that_lost_the_load_after_it_was_stored_is_whole_in_the_store(tmp_path: Any) -> None:
    later = LOAD[LOAD.index(b":4): ") - 110 :].partition(b"\n")[2] + b"".join(
        b"kern:    info: [2026-11-18T12:00:%02d.0Z]: line %d\n" % (number, number) for number in range(40)
    )
    assert b":2): " not in later and later
    first = LOAD + later.partition(b"\n")[2]
    assert stored(tmp_path, first, later)["verdict"] == "complete"


# --- auditd's start ---------------------------------------------------------------------------------------------------


def history(after: float) -> list[dict[str, Any]]:
    moment = streams.BOOT + after
    return [{"id": "auditd", "state": "Running", "events": [{"state": "Running", "msg": "started", "ts": moment}]}]


SECOND = streams.config_change(35, b"audit_pid=141 old=0")
STEPS = {"forward": 4319, "back": -4319, "none": 0}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("late", [5, 142, 3600])
def test_numbers_that_join_prove_one_start_whatever_the_clocks_say(step: int, late: int) -> None:
    """The boot's time moves with the clock, the time of the service's start does not."""
    looks = (Look("b", streams.BOOT + step), Look("b", streams.BOOT + step))
    found = assess(streams.healthy(services=history(late), looks=looks))
    assert found["verdict"] == "complete", found["reasons"]


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_a_second_start_is_found_whatever_the_clocks_say(step: int) -> None:
    """auditd is a part of machined, so its process is the same as before."""
    looks = (Look("b", streams.BOOT + step), Look("b", streams.BOOT + step))
    found = assess(streams.healthy(services=history(5), looks=looks, service_log=LOG + SECOND))
    assert (found["verdict"], ids(found)) == ("partial", ["F5"])


def test_a_second_start_whose_record_was_printed_is_found_too() -> None:
    printed = SECOND.replace(
        b"type=CONFIG_CHANGE msg=audit", b"kern:  notice: [2026-11-18T12:00:00.0Z]: audit: type=1305 audit"
    )
    found = assess(streams.healthy(kernel_log=RING + printed))
    assert {"F4", "F5"} <= set(ids(found))


def test_a_receiver_that_went_is_no_start() -> None:
    gone = streams.config_change(35, b"audit_pid=0 old=141")
    assert assess(streams.healthy(service_log=LOG + gone))["reasons"] == []


UNPROVEN = {
    "numbers do not join": {"service_log": streams.service_log(9)},
    "the ring lost its beginning": {"kernel_log": cut(RING, 3)},
    "the ring was not read": {"kernel_log": None},
    "no record of the start": {"service_log": LOG.replace(b"audit_pid=141 old=0", b"audit_failure=1 old=1")},
}


@pytest.mark.parametrize("changes", UNPROVEN.values(), ids=UNPROVEN)
def test_where_they_do_not_join_the_clocks_are_asked(changes: dict[str, Any]) -> None:
    assert "F5" in ids(assess(streams.healthy(services=history(3600), **changes)))
    assert "F5" not in ids(assess(streams.healthy(services=history(5), **changes)))
