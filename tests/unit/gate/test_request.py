# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Upgrades in disguise, each refused by its own id, and what the past of a node tells."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import sealed
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import (
    functions,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import request as requests
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.errors import (
    EvidenceRefused,
    RequestRefused,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.policy import load_policy
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.request import (
    judge_history,
    judge_past,
    judge_request,
    request_checks,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.verdict import judge

from .samples import DELETED, NOW, changed, evidence, healthy_evidence

ALL = ["META", "STATE", "EPHEMERAL"]
IN_PLACE = {"api": "Reset", "path": "in_place", "mode": "SYSTEM_DISK", "labels": ALL}
FULL = {"api": "Reset", "path": "hook", "mode": "SYSTEM_DISK", "labels": []}


@pytest.mark.parametrize(
    "request_",
    [
        IN_PLACE,
        FULL,
        {**IN_PLACE, "labels": [*reversed(ALL)], "mode": "system_disk", "then": "install"},
        {**FULL, "path": "pxe", "mode": "all"},
        {**FULL, "path": "redfish", "mode": "ALL"},
        {"api": "ApplyConfiguration", "path": "in_place"},
        {"api": "Reboot", "path": "hook"},
        {"api": "Shutdown", "path": "hook"},
    ],
)
def test_a_reinstall_goes_through(request_: dict[str, Any]) -> None:
    assert all(check["result"] in ("pass", "skipped") for check in judge_request(request_, evidence(), NOW))
    assert judge_request(request_, evidence())


@pytest.mark.parametrize(
    ("request_", "changes", "identifier"),
    [
        ({"api": "Upgrade", "path": "in_place"}, {}, "upgrade-api"),
        ({"api": "machine.MachineService/Upgrade", "path": "in_place"}, {}, "upgrade-api"),
        ({"api": "MetaWrite", "path": "in_place"}, {}, "upgrade-api"),
        ({"api": "", "path": "in_place"}, {}, "upgrade-api"),
        ({"api": "machine.LifecycleService/Upgrade", "path": "in_place"}, {}, "lifecycle-service"),
        ({"api": "machine.LifecycleService/Install", "path": "in_place"}, {}, "lifecycle-service"),
        ({**IN_PLACE, "then": "upgrade"}, {}, "wipe-and-upgrade"),
        ({**IN_PLACE, "then": ""}, {}, "wipe-and-upgrade"),
        ({"api": "Reboot", "path": "maintenance_upgrade"}, {}, "wipe-and-upgrade"),
        ({"api": "Reboot", "path": "Maintenance-UpGrade"}, {}, "wipe-and-upgrade"),
        ({"api": "machine.lifecycleservice/Upgrade", "path": "hook"}, {}, "lifecycle-service"),
        ({"api": "reset", "path": "hook"}, {}, "upgrade-api"),
        ({**FULL, "mode": "xALL"}, {}, "wipe-mode"),
        ({**IN_PLACE, "labels": ["STATE", "EPHEMERAL"]}, {}, "label-wipe-without-installer"),
        ({**IN_PLACE, "labels": ["META"]}, {}, "label-wipe-without-installer"),
        ({**IN_PLACE, "labels": ["META", "STATE"]}, {}, "label-wipe-without-installer"),
        ({**IN_PLACE, "labels": ["META", "EPHEMERAL"]}, {}, "label-wipe-without-installer"),
        ({**FULL, "mode": "USER_DISKS"}, {}, "wipe-mode"),
        ({**FULL, "mode": "SYSTEM_DISKS"}, {}, "wipe-mode"),
        ({**FULL, "path": "in_place"}, {}, "wipe-fits-boot-path"),
        ({**IN_PLACE, "path": "hook"}, {}, "wipe-fits-boot-path"),
        (IN_PLACE, {"talos__version": "v1.11.6"}, "in-place-too-old"),
        (IN_PLACE, {"talos__staged_upgrade": True}, "staged-upgrade-pending"),
        (FULL, {"talos__stage": "upgrading"}, "staged-upgrade-pending"),
    ],
)
def test_each_disguise_is_refused_by_its_own_id(
    request_: dict[str, Any], changes: dict[str, Any], identifier: str
) -> None:
    with pytest.raises(RequestRefused) as caught:
        judge_request(request_, evidence(**changes), NOW)
    assert caught.value.context["checks"] == [identifier]
    assert identifier in caught.value.found
    assert caught.value.why and caught.value.do
    assert caught.value.kind == "request_refused"


@pytest.mark.parametrize("key", ["api", "path", "mode", "labels"])
@pytest.mark.parametrize("value", [None, DELETED, 3])
def test_a_request_that_does_not_say_all_is_refused(key: str, value: Any) -> None:
    with pytest.raises(RequestRefused, match=f"request.{key} is not"):
        judge_request(changed(FULL, key, value), evidence(), NOW)


def test_without_evidence_a_request_is_refused() -> None:
    with pytest.raises(RequestRefused) as caught:
        judge_request(IN_PLACE, None, NOW)
    assert caught.value.context["checks"] == ["in-place-too-old", "staged-upgrade-pending"]
    results = {check["id"]: check["result"] for check in request_checks(FULL, None, NOW)}
    assert results["staged-upgrade-pending"] == "unknown"
    for path in ("talos.staged_upgrade", "talos.stage", "talos"):
        with pytest.raises(RequestRefused, match="staged-upgrade-pending: "):
            judge_request(FULL, sealed(changed(healthy_evidence(), path, None)), NOW)


def test_the_oldest_version_for_in_place() -> None:
    judge_request(IN_PLACE, evidence(talos__version="v1.12.0"), NOW)
    judge_request(FULL, evidence(talos__version="v1.10.0"), NOW)
    with pytest.raises(RequestRefused) as caught:
        judge_request(IN_PLACE, evidence(talos__version="v1.11.9"), NOW)
    assert caught.value.context["checks"] == ["in-place-too-old"]


def after(**changes: Any) -> dict[str, Any]:
    renewed = {
        "selinux__state": "enforcing",
        "node__identity": "another",
        **{f"volumes__{label}__partition_uuid": f"new-{label}" for label in ALL},
        **changes,
    }
    return evidence(**renewed)


def history(before: dict[str, Any], later: dict[str, Any]) -> dict[str, str]:
    return {check["id"]: check["result"] for check in judge_history(before, later, NOW)}


def test_a_reinstalled_node_is_told_from_an_upgraded_one() -> None:
    fine = {"upgraded-not-reinstalled": "pass", "enforcing-node-upgraded": "skipped"}
    assert history(evidence(), after()) == fine
    assert judge_history(evidence(), after())
    for label in ALL:
        same = after(**{f"volumes__{label}__partition_uuid": f"p-{label}"})
        assert history(evidence(), same)["upgraded-not-reinstalled"] == "fail"
        unknown = after(**{f"volumes__{label}__partition_uuid": None})
        assert history(evidence(), unknown)["upgraded-not-reinstalled"] == "unknown"
    other = {"upgraded-not-reinstalled": "unknown", "enforcing-node-upgraded": "skipped"}
    assert history(evidence(), after(node__uuid="6f1d0a9e-0000-4000-8000-000000000012")) == other
    for state in ("disabled", "unsupported", "unknown"):
        assert history(evidence(selinux__state=state), after()) == fine
        assert set(history(evidence(), after(selinux__state=state)).values()) == {"skipped"}
    identity = evidence()["node"]["identity"]
    assert history(evidence(), after(node__identity=identity))["upgraded-not-reinstalled"] == "fail"
    assert history(evidence(node__identity=None), after())["upgraded-not-reinstalled"] == "unknown"


def test_an_enforcing_node_may_be_upgraded_and_is_reported() -> None:
    before = evidence(selinux__state="enforcing")
    upgraded = evidence(selinux__state="enforcing", talos__version="v1.14.2")
    assert history(before, upgraded) == {"upgraded-not-reinstalled": "skipped", "enforcing-node-upgraded": "fail"}
    assert history(before, before) == {"upgraded-not-reinstalled": "skipped", "enforcing-node-upgraded": "pass"}
    elsewhere = evidence(selinux__state="enforcing", node__uuid="6f1d0a9e-0000-4000-8000-000000000012")
    assert history(before, elsewhere)["enforcing-node-upgraded"] == "unknown"
    severities = {check["id"]: check["severity"] for check in judge_history(before, upgraded, NOW)}
    assert severities["enforcing-node-upgraded"] == "warn"


def test_history_from_altered_evidence_is_refused() -> None:
    for pair in ((evidence(), {**after(), "errors": [1]}), ({**evidence(), "errors": [1]}, after())):
        with pytest.raises(EvidenceRefused, match="does not match its own hash"):
            judge_history(*pair, NOW)


def past(now: dict[str, Any], *earlier: dict[str, Any]) -> dict[str, str]:
    return {check["id"]: check["result"] for check in judge_past(now, earlier, NOW)}


def test_the_past_of_a_node_is_seen_however_often_it_enforced_since() -> None:
    permissive, reinstalled = evidence(), after()
    upgraded = evidence(selinux__state="enforcing")
    newer = evidence(selinux__state="enforcing", talos__version="v1.14.2")
    for state in ("permissive", "disabled", "unknown", None):
        assert past(evidence(selinux__state=state), evidence(selinux__state=None), permissive, upgraded) == {}
    assert past(upgraded) == {}
    assert past(upgraded, permissive) == {"upgraded-not-reinstalled": "fail"}
    both = {"enforcing-node-upgraded": "pass", "upgraded-not-reinstalled": "fail"}
    assert past(upgraded, upgraded, upgraded, permissive) == both
    # Only the newest permissive life counts, and only the newest version.
    assert past(reinstalled, permissive, upgraded) == {"upgraded-not-reinstalled": "pass"}
    assert past(upgraded, reinstalled, permissive, after(selinux__state="permissive")) == both
    assert past(newer, upgraded, newer, permissive) == {**both, "enforcing-node-upgraded": "fail"}
    assert past(newer, newer, upgraded) == {"enforcing-node-upgraded": "pass"}
    assert judge_past(upgraded, [permissive])


def test_the_past_stands_in_the_verdict_and_counts() -> None:
    policy = load_policy("strict")
    passed = judge_history(evidence(), after(), NOW)
    failed = judge_history(evidence(), evidence(selinux__state="enforcing"), NOW)
    assert judge(evidence(), policy, now=NOW, history=passed)["checks"][-len(passed) :] == passed
    assert judge(evidence(), policy, now=NOW, history=passed)["decision"] == "eligible"
    assert judge(evidence(), policy, now=NOW, history=failed)["decision"] == "refused"


@pytest.fixture
def timed_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks of requests and of the past that ask how long ago the evidence was collected."""
    texts = {"found": "collected some time ago", "reason": "Time passes.", "remedy": "Collect it again."}
    own = {"id": "fresh", "title": "The evidence is fresh", "severity": "block", **texts}
    for name, part in (("request", ""), ("history", "after.")):
        checks = [{**own, "assert": f"seconds_since({part}collected_at) < `600`"}]
        (tmp_path / f"{name}.yml").write_text(yaml.safe_dump({"checks": checks}), encoding="utf-8")
    monkeypatch.setattr(requests, "_DATA", tmp_path)


@pytest.mark.usefixtures("timed_checks")
def test_requests_and_the_past_are_judged_at_the_given_time() -> None:
    now, later = evidence(selinux__state="enforcing"), NOW + dt.timedelta(hours=1)
    for when, result in ((NOW, "pass"), (later, "fail")):
        assert [check["result"] for check in requests.request_checks({}, now, when)] == [result]
        assert [check["result"] for check in requests.judge_history(now, now, when)] == [result]
        assert [check["result"] for check in requests.judge_past(now, [now], when)] == [result]
    assert requests.judge_request({}, now, NOW)
    with pytest.raises(RequestRefused, match="fresh: collected some time ago"):
        requests.judge_request({}, now, later)


@pytest.mark.usefixtures("timed_checks")
def test_requests_and_the_past_are_judged_now_when_no_time_is_given() -> None:
    fresh = evidence(selinux__state="enforcing", collected_at=functions.iso(dt.datetime.now(dt.UTC)))
    assert [check["result"] for check in requests.request_checks({}, fresh)] == ["pass"]
    assert [check["result"] for check in requests.judge_history(fresh, fresh)] == ["pass"]
    assert [check["result"] for check in requests.judge_past(fresh, [fresh])] == ["pass"]
    with pytest.raises(RequestRefused, match="fresh: collected some time ago"):
        requests.judge_request({}, evidence())


def test_all_that_stops_a_request_is_told() -> None:
    node = evidence(talos__staged_upgrade=True)
    request = {"api": "Reset", "path": "in_place", "mode": "SYSTEM_DISK", "labels": []}
    with pytest.raises(RequestRefused) as caught:
        requests.judge_request(request, node, NOW)
    results = {check["id"]: check for check in requests.request_checks(request, node, NOW)}
    stops = [results["wipe-fits-boot-path"], results["staged-upgrade-pending"]]
    assert caught.value.context == {"checks": [check["id"] for check in stops]}
    one, other = stops
    assert caught.value.found == f"{one['id']}: {one['found']}; {other['id']}: {other['found']}"
    assert caught.value.why == f"{one['reason']} {other['reason']}"
    assert caught.value.do == f"{one['remedy']} {other['remedy']}"
