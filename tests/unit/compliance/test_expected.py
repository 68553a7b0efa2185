# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One small report of everything that a report can say, whole, and as each writer writes it, to the letter."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import compliance_fleets as fleets
import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.formats import (
    junit,
    openreports,
    oscal,
    page,
    prometheus,
    sarif,
    table,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.formats.summary import summary_lines
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.model import build_report
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.profile import load_profile
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.results import Ground, Subject
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.waivers import Waivers
from expected import require_expected, require_expected_json

PROFILE = Path(__file__).resolve().parents[2] / "data" / "expected" / "compliance" / "profile.yml"
EARLIER = fleets.NOW - dt.timedelta(hours=1)
HOLES = [
    {"stream": "service", "after_serial": 7, "after": "T1", "before_serial": 9, "before": "T2"},
    {"stream": "kernel", "after_serial": None, "after": None, "before_serial": 1, "before": "T3"},
]
CHECK = {"id": "soak-reached", "severity": "block", "result": "fail", "found": "1 h", "remedy": "Wait.", "doc": "d"}
VERDICT = {
    "decision": "refused",
    "issued_at": "2026-11-22T11:00:00Z",
    "expires_at": "2026-11-22T13:00:00Z",
    "sha256": "a" * 64,
    "path": "/srv/verdict.json",
    "checks": [CHECK, {**CHECK, "id": "passed", "result": "pass"}, {**CHECK, "id": "warned", "severity": "warn"}],
}
PROBE = {
    "id": "b" * 16,
    "outcome": "allowed",
    "finished_at": "2026-11-22T11:59:00Z",
    "path": "/srv/probe.json",
    "sha256": "c" * 64,
    "attempts": [{"id": "pid1", "outcome": "allowed", "observed": "attached"}],
}


def subjects() -> list[Subject]:
    """A node in each state, the worst as it shows most."""
    bad = fleets.subject(
        "bad",
        1,
        selinux__state="permissive",
        selinux__kernel_args=["selinux=1", "enforcing=0"],
        selinux__disagreements=["one says this", "the other that"],
        audit__coverage__verdict="partial",
        audit__coverage__holes=HOLES,
        audit__coverage__since="2026-11-20T00:00:00Z",
        audit__coverage__reasons=[{"id": "hole", "text": "two records are missing", "severity": "partial"}],
        audit__denials=[
            fleets.samples.denial("a_t:b_t:file:read+open", 4, permissive=False),
            fleets.samples.denial("a_t:b_t:file:read+open", 2),
            fleets.samples.denial("pod_t:run_t:dir:write", 5),
            fleets.samples.denial("c_t:d_t:file:read", 1, known_benign=True),
        ],
    )
    bad.verdict, bad.probe, bad.probe_asked = VERDICT, PROBE, True
    bad.proof = {**fleets.PROOF, "proven": False, "reinstalled": None}
    bad.timeline = [
        {"at": "2026-11-21T10:00:01Z", "what": "verify done"},
        {"at": "2026-11-21T10:00:00Z", "what": "verify begin"},
        {"at": "2026-11-21T10:01:00Z", "what": "reset begin"},
        {"at": "2026-11-22T10:02:00Z", "what": "reset done"},
        {"at": "once", "what": "something"},
    ]
    good, waived = fleets.subject("good", 2), fleets.subject("waived", 3)
    waived.evidence = fleets.evidence(
        "waived", 3, audit__denials=[fleets.samples.denial("pod_t:run_t:dir:write", 7)], audit__coverage__seconds=None
    )
    waived.config = "/elsewhere/waived.yaml"
    unread = Subject("unread", {"inventory", "previous report"}, unread="node 192.0.2.4 refused the connection")
    old = fleets.subject("old", 5, collected_at="2026-11-22T09:00:00Z")
    old.config = old.zone = old.proof = None
    one, other = fleets.subject("one", 6), fleets.subject("other", 7)
    other.evidence = fleets.evidence("other", 7, node__identity="identity-6", node__uuid=None)
    return [bad, good, waived, unread, old, one, other]


def ground(now: dt.datetime, expires: dt.datetime) -> Ground:
    """Four rules, and two waivers of which one may have expired."""
    policy = dataclasses.replace(fleets.POLICY, name="strict", sha256="f" * 64)
    waiver = dataclasses.replace(fleets.WAIVER, labels={"system": "of-the-waiver"})
    short = dataclasses.replace(fleets.WAIVER, id="w-0", signature="x_t:y_t:file:read", expires=expires)
    waivers = Waivers((waiver, short), policy, now)
    return Ground(dataclasses.replace(load_profile(str(PROFILE)), sha256="9" * 64), policy, waivers, now)


@cache
def report() -> dict[str, Any]:
    """The second of two reports, an hour after the first."""
    before = [
        fleets.subject("bad", 1, collected_at="2026-11-22T10:30:00Z"),
        fleets.subject("good", 2, collected_at="2026-11-22T10:30:00Z", talos__version="v1.14.0"),
        fleets.subject("unread", 4, collected_at="2026-11-22T10:30:00Z"),
        fleets.subject("waived", 3, collected_at="2026-11-22T10:30:00Z", selinux__kernel_args=["enforcing=1", "quiet"]),
    ]
    expires = fleets.NOW - dt.timedelta(minutes=1)
    run: dict[str, Any] = {"run": fleets.RUN, "versions": fleets.VERSIONS}
    previous = build_report(before, ground(EARLIER, expires), previous=None, **run)
    return build_report(
        subjects(),
        ground(fleets.NOW, expires),
        previous=previous,
        history=[{"generated_at": previous["generated_at"], "counts": previous["counts"]["results"]}],
        waves=[
            {"number": 1, "kind": "canary", "nodes": ["good"], "moved": ["good"]},
            {"number": 2, "kind": "workers", "nodes": ["bad", "waived"], "moved": ["waived"]},
        ],
        labels={"ticket": "OPS-7", "9 of them": "=1+1"},
        **run,
    )


def test_the_report() -> None:
    require_expected_json("compliance/report.json", report())


WRITERS: dict[str, Callable[[Mapping[str, Any]], bytes]] = {
    "junit.xml": junit.render,
    "metrics.prom": prometheus.render,
    "oscal.json": oscal.render,
    "report.csv": table.render,
    "report.sarif": lambda given: sarif.render(given, root=".", fallback="inventory/hosts 1.yml"),
    "summary.txt": lambda given: "\n".join([*summary_lines(given), ""]).encode(),
}


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_it_is_written_as(name: str) -> None:
    require_expected(f"compliance/{name}", WRITERS[name](report()).decode())


def test_the_objects_of_openreports() -> None:
    files = openreports.render(report(), namespace="audit")
    require_expected_json("compliance/openreports.json", {name: json.loads(data) for name, data in files.items()})


def test_the_page_without_its_style_and_script() -> None:
    html = page.render(report()).decode()
    html = re.sub(r"(<style>|<script>).*?(</)", r"\1\2", html, flags=re.DOTALL)
    require_expected("compliance/page.html", re.sub(r"'sha256-[^']*'", "'sha256'", html))
