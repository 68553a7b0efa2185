# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""For every fault of a node: the right kind of error, and never a clean state for a node that could not be read.

"Clean" is what a careless caller would take for it: a permissive mode, a running auditd started once, the same boot and
the same machine throughout, and a log that is there and says nothing is wrong. Each fault must take away at least one
of these or raise.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.client import Deadlines, NodeClient
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import TalosError

from .conftest import Lab

NODE = "worker-1"

# fault -> {question: kind of error}; questions that are not named must be answered.
EVERYTHING = ("state", "cmdline", "log", "dmesg", "services", "stat", "processes", "list")
RESOURCES = ("state", "cmdline", "list")
FAULTS: dict[str, dict[str, str]] = {
    "unreachable": dict.fromkeys(EVERYTHING, "unreachable"),
    "slow": dict.fromkeys(EVERYTHING, "deadline"),
    "hanging_stream": {"log": "deadline", "dmesg": "deadline"},
    "reset_mid_stream": {"log": "torn_stream"},
    "torn_log": {"log": "torn_stream"},
    "wrong_certificate": dict.fromkeys(EVERYTHING, "unknown_authority"),
    "expired_certificate": dict.fromkeys(EVERYTHING, "tls"),
    "not_tls": dict.fromkeys(EVERYTHING, "tls"),
    "permission_denied": dict.fromkeys(EVERYTHING, "permission"),
    "garbage_yaml": dict.fromkeys(RESOURCES, "invalid_answer"),
    "auditd_disabled": {"log": "not_found"},
}

QUESTIONS: dict[str, Callable[[NodeClient], Awaitable[Any]]] = {
    "state": lambda client: client.security_state(),
    "cmdline": lambda client: client.spec("kernel_cmdline"),
    "log": lambda client: client.logs("auditd"),
    "dmesg": lambda client: client.dmesg(),
    "services": lambda client: client.services(),
    "stat": lambda client: client.system_stat(),
    "processes": lambda client: client.processes(),
    "list": lambda client: client.list("extension_statuses"),
}

WHOLE = ("unreachable", "slow", "hanging_stream", "wrong_certificate", "expired_certificate", "not_tls")
CASES = [
    (fault, question, route)
    for fault in FAULTS
    # What fails at the connection fails for every question alike; three of them show it.
    for question in (("log", "state", "services") if fault in WHOLE else QUESTIONS)
    for route in ("direct", "endpoint")
    # Deadlines cost real time, so the slow faults are asked only what tells them apart.
    if not (fault in ("slow", "hanging_stream") and route == "endpoint" and question != "log")
]


@pytest.fixture
def faulty(lab: Lab) -> Any:
    """Switch faults of the node on, and all of them off again at the end."""
    on: list[str] = []

    def switch(fault: str) -> None:
        lab.sim.set_fault(NODE, fault)
        on.append(fault)

    yield switch
    for fault in on:
        lab.sim.clear_fault(NODE, fault)


@pytest.mark.parametrize(("fault", "question", "route"), CASES)
def test_each_fault_has_its_kind(
    lab: Lab, faulty: Callable[[str], None], short: Deadlines, fault: str, question: str, route: str
) -> None:
    faulty(fault)
    expected = FAULTS[fault].get(question)
    deadlines = short if expected == "deadline" else Deadlines()
    if expected is None:
        assert lab.ask(NODE, QUESTIONS[question], route=route, deadlines=deadlines) is not None
        return
    with pytest.raises(TalosError) as caught:
        lab.ask(NODE, QUESTIONS[question], route=route, deadlines=deadlines)
    error = caught.value
    assert error.kind == expected, error
    assert error.node == lab.address(NODE) and error.method
    assert error.found and error.why and error.do


async def careless(client: NodeClient) -> list[str]:
    """What a node says about itself that is not clean; raises when it cannot be read."""
    doubts = []
    boot = (await client.spec("boot_id"))["bootID"]
    identity = (await client.spec("identity"))["nodeId"]
    if (await client.security_state()).selinux != "permissive":
        doubts.append("mode")
    cmdline = (await client.spec("kernel_cmdline"))["cmdline"].split()
    if {"audit=0", "talos.auditd.disabled=1"} & set(cmdline):
        doubts.append("cmdline")
    auditd = [service for service in await client.services() if service.id == "auditd"]
    if len(auditd) != 1 or auditd[0].state != "Running":
        doubts.append("auditd")
    elif sum(str(event["msg"]).startswith("Service started") for event in auditd[0].events) != 1:
        doubts.append("auditd restarted")
    log = await client.logs("auditd")
    if not log.startswith(b"type=") or len(log) >= 983040:
        doubts.append("log")
    serials = sorted({int(match) for match in re.findall(rb"audit\(\d+\.\d+:(\d+)\)", log)})
    dmesg = b"".join(await client.dmesg())
    if re.search(rb"audit_lost=|rate limit exceeded|callbacks suppressed|backlog limit exceeded", dmesg):
        doubts.append("lost")
    if not serials or len(serials) != serials[-1] - serials[0] + 1:
        doubts.append("holes")
    if len(await client.list("extension_statuses")) != 1:
        doubts.append("extensions")
    status = await client.spec("machine_status")
    if status["stage"] != "running" or not status["status"]["ready"]:
        doubts.append("stage")
    if not (await client.spec("time_status"))["synced"]:
        doubts.append("time")
    if (await client.spec("boot_id"))["bootID"] != boot:
        doubts.append("rebooted")
    if client.notes:
        doubts.append("notes")
    return [*doubts, f"identity {identity}"]


@pytest.mark.parametrize(
    "fault",
    [
        *FAULTS,
        "auditd_dead",
        "audit_disabled",
        "wrapped_ring",
        "lost_records",
        "extension",
        "wrong_machine",
        "boot_during_read",
        "clock_skew",
    ],
)
def test_no_faulty_node_looks_clean(lab: Lab, faulty: Callable[[str], None], short: Deadlines, fault: str) -> None:
    clean = lab.ask(NODE, careless)
    assert len(clean) == 1, clean
    faulty(fault)
    deadlines = short if "deadline" in FAULTS.get(fault, {}).values() else Deadlines()
    try:
        answer = lab.ask(NODE, careless, deadlines=deadlines)
    except TalosError as error:
        assert error.kind in FAULTS[fault].values()
    else:
        assert answer != clean, f"{fault} passed for clean"


def test_an_overtaken_log_leaves_notes(lab: Lab, faulty: Callable[[str], None]) -> None:
    faulty("torn_log")

    async def question(client: NodeClient) -> list[str]:
        with pytest.raises(TalosError, match=r"broke off \(buffer overrun"):
            await client.logs("auditd")
        return client.notes

    notes = lab.ask(NODE, question)
    assert len(notes) == 3 and all("flood" in note for note in notes)


def test_the_node_is_clean_again_without_faults(lab: Lab) -> None:
    assert len(lab.ask(NODE, careless)) == 1
    assert lab.sim.upgrades() == [] and lab.sim.writes() == []
