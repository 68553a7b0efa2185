# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Generated fleets in every state that a compliance report knows."""

from __future__ import annotations

import datetime as dt
import importlib.util
import random
import sys
from pathlib import Path
from typing import Any

from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import sealed
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.model import build_report
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.profile import load_profile
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.results import Ground, Subject
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.policy import load_policy
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.waiver import Waiver
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.waivers import Waivers
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.steps import STEP_NAMES


def _samples() -> Any:
    """The gate tests' healthy evidence: one description of a healthy node is enough."""
    name = "gate_samples"
    if name not in sys.modules:
        path = Path(__file__).parent / "unit" / "gate" / "samples.py"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


samples = _samples()
NOW: dt.datetime = samples.NOW
RUN = {"by": "auditor@example", "controller": "bastion", "clock_offset_seconds": 0.4}
VERSIONS = {
    "tool": {"name": "talosops.selinux", "version": "0.1.0", "sha256": "d" * 64},
    "catalogue": {"sha256": "e" * 64},
}
POLICY = load_policy("strict")
#: What a hostile node or log could put into any text.
PAYLOADS = (
    "<script>alert(1)</script>",
    "</script><script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    '"><svg onload=window.pwned=1>',
    "' onmouseover='window.pwned=1",
    "javascript:window.pwned=1",
    "{{ 7 * 7 }}",
    "{% raw %}{{ lookup('pipe', 'id') }}",
    "]]><x>",
    "<!-- --><!ENTITY x SYSTEM 'file:///etc/passwd'>",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\x1b[31mred\x07",
    "\u202egnp.exe",
    "\u2028line\u2029paragraph",
    "\x00nul\x08back",
    "\ud800lone",
    "a" * 4000,
)
WAIVER = Waiver(
    id="w-1",
    signature="pod_t:run_t:dir:write",
    match={},
    scope={"nodes": ("*",)},
    reason="an agent that is replaced next month",
    owner="team-a",
    ticket="OPS-1",
    granted=NOW - dt.timedelta(days=10),
    expires=NOW + dt.timedelta(days=20),
)
PROOF = {
    "proven": True,
    "enforcing": True,
    "reinstalled": True,
    "witnesses": [{"id": "selinux_state", "ok": True, "found": "SecurityState says enforcing"}],
    "reinstall": [{"id": "identity", "ok": True, "found": "changed"}, {"id": "meta", "ok": True, "found": "changed"}],
}


def evidence(name: str, number: int, **changes: Any) -> dict[str, Any]:
    """Sealed evidence of an enforcing worker; changes are named as in ``samples.evidence``."""
    document = samples.healthy_evidence("worker")
    document["node"] |= {"name": name, "hostname": name, "uuid": f"6f1d0a9e-0000-4000-8000-{number:012d}"}
    document["node"] |= {"identity": f"identity-{number}", "address": f"192.0.2.{number % 250}"}
    document["selinux"] |= {
        "state": "enforcing",
        "kernel_args": ["talos.platform=metal", "selinux=1", "enforcing=1"],
    }
    for path, value in changes.items():
        document = samples.changed(document, path.replace("__", "."), value)
    return sealed(document)


def subject(name: str, number: int, **changes: Any) -> Subject:
    """A node that passes every rule of the enforcing profile, changed."""
    return Subject(
        name,
        {"inventory", "evidence"},
        evidence(name, number, **changes),
        f"evidence/{name}/evidence.json",
        zone="abc"[number % 3],
        proof=PROOF,
        timeline=[{"at": "2026-11-21T10:00:00Z", "what": "reset done"}],
        config=f"configs/{name}.yaml",
    )


def ground(profile: str = "talos-selinux-enforcing", *waivers: Waiver, now: dt.datetime = NOW) -> Ground:
    """What the nodes are judged by."""
    return Ground(load_profile(profile), POLICY, Waivers(waivers, POLICY, now), now)


def every_state(count: int, seed: int = 1) -> list[Subject]:
    """A fleet in which every status occurs when it has ten nodes or more."""
    chance = random.Random(seed)
    kinds = (
        {},
        {"selinux__state": "permissive", "selinux__kernel_args": ["selinux=1"]},
        {"audit__coverage__verdict": "partial"},
        {"selinux__policy_loaded": None},
        {"audit__denials": [samples.denial("pod_t:run_t:dir:write", 3)]},
        {"audit__denials": [samples.denial("unconfined_t:proc_t:file:read+open", 9, permissive=False)]},
        {"collected_at": "2026-11-01T00:00:00Z"},
    )
    fleet = []
    for number in range(1, count + 1):
        name = f"node-{number:04d}"
        kind = kinds[number % len(kinds)] if number <= 2 * len(kinds) else chance.choice((*kinds, {}, {}, {}))
        fleet.append(subject(name, number, **kind))
        if number % 11 == 5:
            fleet[-1].evidence, fleet[-1].evidence_path = None, None
            fleet[-1].unread = "node 192.0.2.1 cannot be connected: refused"
        if number % 5 == 3:
            fleet[-1].proof = None
    return fleet


def rolled_out(fleet: list[Subject]) -> list[Subject]:
    """The same nodes, each with what ledger and gate say after a rollout: the most that a page has to show."""
    checks = [
        {
            "id": f"check-{number}",
            "severity": "block",
            "result": "fail",
            "found": "a thing",
            "remedy": "mend it",
            "doc": None,
        }
        for number in range(3)
    ]
    at = {"issued_at": "2026-11-21T09:00:00Z", "expires_at": "2026-11-21T12:00:00Z"}
    verdict = {"decision": "not_eligible", "sha256": "a" * 64, "path": "/srv/verdict.json", "checks": checks, **at}
    for one in fleet:
        one.verdict = verdict
        one.timeline = [
            {"at": f"2026-11-21T10:{number:02d}:{second:02d}Z", "what": f"{step} {how}"}
            for number, step in enumerate(STEP_NAMES)
            for second, how in enumerate(("begin", "intent", "sent", "done"))
        ]
    return fleet


def report(fleet: list[Subject], *waivers: Waiver, **more: Any) -> dict[str, Any]:
    """The report of a fleet."""
    profile = more.pop("profile", "talos-selinux-enforcing")
    now = more.pop("now", NOW)
    more.setdefault("previous", None)
    return build_report(fleet, ground(profile, *waivers, now=now), run=RUN, versions=VERSIONS, **more)
