# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The questions to a node: by which calls they are asked, and what is made of its clock and of the kernel's boot id."""

from __future__ import annotations

import asyncio
import datetime as dt
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence import questions
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.visit import Visit
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import NotFound, Unreachable, Unsupported

NOON = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)


class Client:
    """Answers every call by its name and arguments, or with what it was told to answer it with."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __getattr__(self, method: str) -> Any:
        async def call(*args: Any, **how: Any) -> Any:
            shown = [*map(repr, args), *(f"{key}={value!r}" for key, value in how.items())]
            self.asked.append(f"{method}({', '.join(shown)})")
            answer = self.answers.get("_".join([method, *(str(arg) for arg in args[:1])]), SimpleNamespace(spec={}))
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def asked(**answers: Any) -> tuple[dict[str, Any], Client, Visit]:
    """The answers of a node, which was asked everything."""
    client: Any = Client(**answers)
    visit = Visit(client)
    return asyncio.run(questions.ask_all(visit)), client, visit


NODENAME = SimpleNamespace(spec={"nodename": "n-1"})
CONTROL_PLANE, WORKER = SimpleNamespace(spec="controlplane"), SimpleNamespace(spec="worker")


#: Name, call, name under errors, and whether it may rightly be absent.
ASKED = [
    ("security_state", "security_state()", "SecurityState", False),
    ("kernel_cmdline", "get('kernel_cmdline')", "KernelCmdline", False),
    ("machine_status", "get('machine_status')", "MachineStatus", False),
    ("machine_type", "get('machine_type')", "MachineType", False),
    ("extension_statuses", "list('extension_statuses')", "ExtensionStatuses", False),
    ("image_factory_schematic", "get('image_factory_schematic')", "ImageFactorySchematic", True),
    ("booted_entry", "get('booted_entry')", "BootedEntry", True),
    ("identity", "get('identity')", "Identity", False),
    ("cluster_info", "get('cluster_info')", "ClusterInfo", True),
    ("nodename", "get('nodename')", "Nodename", False),
    ("system_information", "get('system_information')", "SystemInformation", False),
    ("time_status", "get('time_status')", "TimeStatus", False),
    ("volume_statuses", "list('volume_statuses')", "VolumeStatuses", False),
    ("disks", "list('disks')", "Disks", False),
    ("system_disk", "get('system_disk')", "SystemDisk", True),
    ("meta_keys", "list('meta_keys')", "MetaKeys", False),
    ("services", "services()", "ServiceList", False),
    ("processes", "processes()", "Processes", False),
    ("kernel_records", "dmesg()", "Dmesg", False),
    ("service_log", "logs('auditd')", "Logs of auditd", False),
]
CALLS = [call for _name, call, _source, _optional in ASKED]
LATER = [("get('node_status', 'n-1')", "NodeStatus", False), ("get('manifest_status')", "ManifestStatus", True)]


def test_each_answer_has_its_question_and_the_logs_are_read_last() -> None:
    answers, client, visit = asked(get_nodename=NODENAME, get_machine_type=CONTROL_PLANE)
    assert list(answers) == [*(name for name, *_more in ASKED), "node_status", "manifest_status"]
    assert client.asked == [*CALLS, *(call for call, *_more in LATER)]
    assert visit.errors == []
    assert None not in answers.values()


def test_a_worker_has_no_manifests_and_one_without_a_name_no_status() -> None:
    answers, client, _visit = asked(get_nodename=NODENAME, get_machine_type=WORKER)
    assert client.asked == [*CALLS, LATER[0][0]]
    assert answers["manifest_status"] is None
    answers, client, _visit = asked(get_machine_type=WORKER)
    assert client.asked == CALLS
    assert answers["node_status"] is None


def sources(error: Exception) -> list[str]:
    """The names under which a node has errors that answers everything with this one, name and type excepted."""
    kept = {"get_nodename": NODENAME, "get_machine_type": CONTROL_PLANE}
    failing = {call.replace("()", "").replace("('", "_").split("'")[0]: error for call in CALLS}
    failing |= {"get_node_status": error, "get_manifest_status": error}
    return [one["source"] for one in asked(**{**failing, **kept})[2].errors]


def test_what_gave_no_answer_is_named_and_what_may_be_absent_is_no_error() -> None:
    every = [
        (source, optional) for _name, _call, source, optional in ASKED if source not in ("Nodename", "MachineType")
    ]
    every += [(source, optional) for _call, source, optional in LATER]
    assert sources(Unreachable("f", "w", "d")) == [source for source, _optional in every]
    needed = [source for source, optional in every if not optional]
    assert sources(NotFound("f", "w", "d")) == sources(Unsupported("f", "w", "d")) == needed


@pytest.mark.parametrize(
    ("local", "took", "offset"),
    [
        # The node told its time somewhere between the two looks at this machine's.
        (0.0, 0.0, 0.0),
        (1.0, 2.0, 0.0),
        (2.0, 2.0, 0.0),
        (3.06, 2.0, 1.1),
        (-1.04, 2.0, -1.0),
        (-90.0, 1.0, -90.0),
    ],
)
def test_by_how_much_a_clock_is_ahead(local: float, took: float, offset: float) -> None:
    times = iter([NOON, NOON + dt.timedelta(seconds=took)])
    client: Any = Client(local_time=NOON + dt.timedelta(seconds=local))
    assert asyncio.run(questions.clock_offset(Visit(client), lambda: next(times))) == offset


def test_a_clock_that_is_not_told() -> None:
    client: Any = Client(local_time=Unreachable("it is away", "w", "d"))
    visit = Visit(client)
    assert asyncio.run(questions.clock_offset(visit, lambda: NOON)) is None
    assert [one["source"] for one in visit.errors] == ["Time"]


@pytest.mark.parametrize(
    ("read", "found"),
    [(b"ab-cd\n", "ab-cd"), (b"\n", None), (b"", None), (b"\xff", None), (Unreachable("f", "w", "d"), None)],
)
def test_the_kernels_own_id_of_the_boot(read: Any, found: str | None) -> None:
    client: Any = Client(**{"read_/proc/sys/kernel/random/boot_id": read})
    assert asyncio.run(questions.kernel_boot_id(client)) == found
    assert client.asked == ["read('/proc/sys/kernel/random/boot_id', max_bytes=128)"]
