# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One probe: what is looked at before and after it, and what is said of what it left."""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.kube import ClusterProblem
from ansible_collections.talosops.selinux.plugins.plugin_utils.probe import run
from ansible_collections.talosops.selinux.plugins.plugin_utils.probe.cluster import ProbeRemains
from ansible_collections.talosops.selinux.plugins.plugin_utils.probe.run import Seen
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.boots import Look
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import (
    NotFound,
    TalosError,
    Unreachable,
    Unsupported,
)

BOOT = "a7c41c64-af67-47ab-a48e-8622fd99960c"
SEEN = Seen("enforcing", "n", "uuid", "identity", Look(BOOT), BOOT, None)


class Client:
    """A node that says the same as ``SEEN``; ``volume`` is what it says of STATE."""

    def __init__(self, volume: dict[str, Any] | TalosError) -> None:
        self.volume = volume

    async def spec(self, kind: str, name: str | None = None) -> dict[str, Any]:
        if kind == "volume_statuses":
            assert name == "STATE"
            if isinstance(self.volume, TalosError):
                raise self.volume
            return self.volume
        found = {"system_information": "uuid", "identity": "nodeId", "nodename": "nodename"}
        return {found[kind]: {"uuid": "uuid", "nodeId": "identity", "nodename": "n"}[found[kind]]}

    async def get(self, kind: str) -> Any:
        assert kind == "boot_id"
        return SimpleNamespace(spec={"bootID": BOOT})

    async def system_stat(self) -> None:
        return None

    async def security_state(self) -> Any:
        return SimpleNamespace(selinux="enforcing")


def looked(volume: dict[str, Any] | TalosError) -> Seen:
    client: Any = Client(volume)
    return asyncio.run(run.look(client))


@pytest.mark.parametrize(
    ("volume", "device"),
    [
        ({"mountLocation": "/dev/sda5"}, "/dev/sda5"),
        ({"mountLocation": "$(id)"}, None),
        ({}, None),
        (NotFound("no STATE", "why", "do"), None),
        (Unsupported("no volumes", "why", "do"), None),
    ],
)
def test_a_node_without_the_volume_is_looked_at_all_the_same(volume: Any, device: str | None) -> None:
    seen = looked(volume)
    assert (seen.uuid, seen.identity, seen.nodename, seen.boot_id) == ("uuid", "identity", "n", BOOT)
    assert seen.device == device


def test_a_node_that_does_not_answer_is_no_node_without_the_volume() -> None:
    with pytest.raises(Unreachable):
        looked(Unreachable("refused", "why", "do"))


@pytest.mark.parametrize(
    ("change", "reported", "doubt"),
    [
        ({}, BOOT, None),
        ({}, None, "the container did not run in the boot of this machine"),
        ({"uuid": "other"}, BOOT, "another machine answers for the node now"),
        ({"identity": None}, BOOT, "another machine answers for the node now"),
        ({"look": Look(BOOT[:-1] + "d")}, BOOT, "the node is not known to be in the boot in which it was probed"),
        ({"look": Look()}, BOOT, "the node is not known to be in the boot in which it was probed"),
        ({"selinux": "permissive"}, BOOT, "SELinux is permissive after the attempts"),
        ({"selinux": "unknown"}, BOOT, "SELinux is unknown after the attempts"),
    ],
)
def test_a_report_counts_for_the_machine_boot_and_mode_that_were_seen_before_it(
    change: dict[str, Any], reported: str | None, doubt: str | None
) -> None:
    assert run._doubt(SEEN, replace(SEEN, **change), reported) == doubt


class Api:
    """A cluster in which the pod does not begin, and in which ``remains`` cannot be removed."""

    def __init__(self, error: BaseException, remains: ProbeRemains | None) -> None:
        self.error, self.remains, self.cleared = error, remains, 0

    def make(self, _plan: Any, *, timeout: float) -> None:
        assert timeout > 0

    def begin(self, _plan: Any) -> None:
        raise self.error

    def clear(self, _plan: Any, *, timeout: float) -> None:
        self.cleared += 1
        if self.remains is not None:
            raise self.remains


@pytest.mark.parametrize("error", [ClusterProblem("no pod", "why", "do"), KeyboardInterrupt()])
@pytest.mark.parametrize("remains", [None, ProbeRemains("still there", "why", "do", namespace="probe-0")])
def test_a_probe_that_fails_is_cleared_and_its_error_names_what_remains(
    error: BaseException, remains: ProbeRemains | None
) -> None:
    api: Any = Api(error, remains)
    plan: Any = None
    with pytest.raises(type(error)) as caught:
        run._run(api, plan)
    assert caught.value is error and api.cleared == 1
    if isinstance(error, ClusterProblem):
        assert error.context == ({"remains": "probe-0"} if remains is not None else {})
        error.context.clear()


def test_what_is_kept_of_a_probe_before_it_begins() -> None:
    now = dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC)
    plan: Any = SimpleNamespace(id="p", image="i@sha256:0", expires=now + dt.timedelta(minutes=2))
    found = run._document(plan, SEEN, "worker-1", now)
    attempts = found.pop("attempts")
    assert found == {
        "schema": 1,
        "kind": "enforcement-probe",
        "id": "p",
        "node": "worker-1",
        "machine": {"uuid": "uuid", "identity": "identity"},
        "boot_id": BOOT,
        "image": "i@sha256:0",
        "selinux": "enforcing",
        "started_at": "2026-11-30T12:00:00Z",
        "expires_at": "2026-11-30T12:02:00Z",
        "finished_at": None,
        "outcome": "inconclusive",
        "why": "it was stopped before it ended",
        "records": [],
    }
    assert [one["id"] for one in attempts] == [one.id for one in run.ATTEMPTS]
    for one in attempts:
        assert {key: one[key] for key in ("outcome", "observed", "expected", "records")} == {
            "outcome": "inconclusive",
            "observed": "it was stopped before it ended",
            "expected": "permission denied",
            "records": 0,
        }
