# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The records of one event belong together, in whatever form and order they come."""

from __future__ import annotations

import json
from typing import Any

import audit_streams as streams
import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.denials import MOST_NAMES, socket_address
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.record_types import NUMBERS
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.scanner import Scanner, summarize


def in_ring(line: bytes) -> bytes:
    type_, _equals, rest = line[5:].partition(b" msg=")
    return b"audit: type=%d " % NUMBERS[type_] + rest


FORMS: dict[str, Any] = {
    "raw": lambda line: line,
    "node": lambda line: b"10.5.0.3: " + line,
    "grep": lambda line: b"17:" + line,
    "JSON": lambda line: json.dumps({"msg": line.decode(), "talos-service": "auditd"}).encode(),
    "kernel ring": lambda line: b"kern:  notice: [2026-11-22T12:00:00.1Z]: " + in_ring(line),
    "blanks": lambda line: b"  " + line,
}


def samples_of(lines: list[bytes], form: str = "raw") -> list[dict[str, Any]]:
    text = b"".join(FORMS[form](line.rstrip(b"\n")) + b"\n" for line in lines)
    return [sample for denial in summarize(text, max_samples=0).denials for sample in denial["samples"]]


@pytest.mark.parametrize("order", ["one after the other", "interleaved", "denial last"])
@pytest.mark.parametrize("form", FORMS)
def test_other_records_of_the_event_are_joined_in_every_form(form: str, order: str) -> None:
    first, second = streams.event(5), streams.event(6)
    if order == "interleaved":
        lines = [first[0], second[0], second[1], first[1], *second[2:], *first[2:]]
    elif order == "denial last":
        lines = [*first[1:-1], first[0], first[-1], *second[1:-1], second[0], second[-1]]
    else:
        lines = [*first, *second]
    samples = samples_of(lines, form)
    assert len(samples) == 2
    for sample in samples:
        told = {name: sample.get(name) for name in ("exe", "proctitle", "syscall", "uid")}
        assert told == {"exe": "/bin/sh", "proctitle": "/bin/sh\\x00-c", "syscall": "257", "uid": "0"}


def with_more(*more: bytes) -> list[bytes]:
    event = streams.event(5)
    return [
        event[0],
        *[b"type=" + one.replace(b"@", b"msg=audit" + streams.key(5), 1) + b"\n" for one in more],
        event[-1],
    ]


@pytest.mark.parametrize("form", FORMS)
def test_arguments_paths_and_addresses_of_the_event_are_told(form: str) -> None:
    (sample,) = samples_of(
        with_more(
            b'SYSCALL @: arch=c000003e syscall=59 success=no exit=-13 ppid=1 pid=7 uid=5 comm="sh" exe="/bin/sh"',
            b'EXECVE @: argc=3 a0="sh" a1="-c" a2=6C73202D6C',
            b"SOCKADDR @: saddr=020001BB0A000001",
            b'CWD @: cwd="/srv"',
            b'PATH @: item=0 name="/bin/ls" inode=1',
            b"PATH @: item=1 name=2F6120 inode=2",
        ),
        form,
    )
    assert sample["argv"] == ["sh", "-c", "ls -l"]
    assert sample["saddr"] == "10.0.0.1:443"
    assert sample["cwd"] == "/srv"
    assert sample["names"] == ["/bin/ls", "/a "]
    assert (sample["success"], sample["exit"], sample["uid"]) == ("no", "-13", "5")


def test_a_plain_record_is_joined_though_its_name_is_not_plain() -> None:
    event = streams.event(5)
    event[0] = streams.avc(5, name="scontext=a:b:kernel_t:s0")
    (sample,) = samples_of(event)
    assert (sample["name"], sample["exe"]) == ("scontext=a:b:kernel_t:s0", "/bin/sh")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"01002F72756E2F612E736F636B00", "/run/a.sock"),
        (b"010000616263", "@abc"),
        (b"0A001F90000000000000000000000000000000000000000100000000", "[::1]:8080"),
        (b"020000357F000001", "127.0.0.1:53"),
        (b"10000000FFFF", "10000000FFFF"),
        (b"0200", "0200"),
        (b"01", "01"),
        (b"zz\x1b", "zz\\x1b"),
    ],
)
def test_addresses_are_decoded_or_left_as_they_are(value: bytes, text: str) -> None:
    assert socket_address(value) == text


@pytest.mark.parametrize("careful", [False, True])
@pytest.mark.parametrize("type_", [b"BPF", b"SECCOMP", b"MAC_STATUS", b"SELINUX_ERR", b"CONFIG_CHANGE"])
def test_a_primary_record_behind_its_syscall_is_no_loss(type_: bytes, careful: bool) -> None:
    head = b" msg=audit" + streams.key(35) + b": "
    log = streams.service_log(5, 30) + b"type=SYSCALL" + head + b'arch=c000003e syscall=321 comm="x" key=(null)\n'
    log += b"type=" + type_ + head + b"prog-id=1 op=LOAD\ntype=EOE" + head + b"\n"
    log += b"".join(line for serial in range(36, 60) for line in streams.event(serial))
    scanner = Scanner(careful=careful)
    scanner.feed(log)
    assert scanner.close().orphans == 0


@pytest.mark.parametrize(
    ("tclass", "constraint"),
    [("file", "mcs"), ("process", "mcs"), ("shm", "mcs"), ("key", "mcs"), ("unix_stream_socket", None), ("fd", None)],
)
def test_categories_matter_for_the_classes_the_policy_constrains(tclass: str, constraint: str | None) -> None:
    line = streams.avc(5, tclass=tclass).replace(b"run_t:s0 ", b"run_t:s0:c1,c2 ")
    assert summarize(line).denials[0]["constraint"] == constraint


def test_names_are_kept_up_to_a_bound() -> None:
    lines = [streams.avc(serial, comm=f"c{serial}", name=f"n{serial}") for serial in range(5, 5 + MOST_NAMES)]
    (whole,) = summarize(b"".join(lines)).denials
    assert len(whole["comms"]) == len(whole["paths"]) == MOST_NAMES
    assert "(more)" not in whole["comms"] + whole["paths"]
