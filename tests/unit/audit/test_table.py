# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of denials_info says what kind of knowledge each line is, and nothing of a log reaches the terminal raw."""

from __future__ import annotations

import audit_streams as streams
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.analysis import analyze
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.knowledge.advice import advise
from ansible_collections.talosops.selinux.plugins.plugin_utils.report.denials import knowledge, render

CLAIM = (
    b"avc:  denied  { send_msg } for msgtype=method_call scontext=system_u:system_r:pod_t:s0"
    b" tcontext=system_u:system_r:init_t:s0 tclass=dbus permissive=0"
)


def table(log: bytes, version: str = "v1.14.1") -> list[str]:
    found = analyze(log, streams.kernel_ring(), streams.healthy(talos_version=version))
    advise(found["denials"], talos_version=version)
    return [*knowledge(found["coverage"]), *render(found["denials"]).split("\n")]


def row(lines: list[str], *words: str) -> str:
    (found,) = [line for line in lines if all(word in line for word in words)]
    return found


def test_each_row_says_how_it_is_known() -> None:
    forged = streams.avc(3, target="etcd_pki_t", when=b"(1700000000.000:3)")[:-1]
    log = (
        streams.service_log()
        + streams.user(35, CLAIM, type_=b"USER_AVC")
        + streams.user(36, b"x'\n" + forged)
        + b"".join(streams.avc(number, target="opt_t", permissive="0") for number in range(37, 90))
        + streams.avc(90, target="var_t", tclass="file").replace(b"var_t:s0 ", b"var_t:s0:c1 ")
    )
    lines = table(log)
    assert lines[0] == "coverage: partial, lost at least 0"
    assert row(lines, "  forged: ")
    assert "said by a program, not the kernel" in row(lines, "send_msg")
    assert "1 doubtful" in row(lines, "etcd_pki_t")
    assert row(lines, "opt_t").startswith("53 ") and " enforced " in row(lines, "opt_t")
    assert "no rule can allow it (mcs)" in row(lines, "var_t")


def test_nothing_of_the_log_reaches_the_terminal_raw() -> None:
    hostile = streams.avc(35).replace(b'comm="sh"', b"comm=1B5B33316D0D0AE280AE").replace(b"run_t", b"run\x1b[2Jt")
    lines = table(streams.service_log() + hostile + b"\x1b]0;title\x07\n")
    assert all(line.isprintable() for line in lines)
    assert any("\\x1b[31m" in line for line in lines)


def test_no_denials_is_said_beside_what_is_known() -> None:
    quiet = b"".join(streams.service_events()[n][0] for n in range(3))
    assert table(quiet) == ["coverage: complete, lost at least 0", "no denials"]


def test_the_spread_over_nodes_is_shown_where_there_are_several() -> None:
    found = analyze(streams.service_log(), None)["denials"]
    assert render(found).split()[:2] == ["count", "mode"]
    for number, denial in enumerate(found):
        denial["nodes"] = [f"worker-{n}" for n in range(number + 1)]
    first = min(found, key=lambda denial: (-denial["count"], denial["signature"]))
    lines = render(found).split("\n")
    assert lines[0].split()[:3] == ["count", "nodes", "mode"]
    assert lines[1].split()[:2] == [str(first["count"]), str(len(first["nodes"]))]
