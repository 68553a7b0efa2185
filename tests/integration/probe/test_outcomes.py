# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the container's script reports of every way in which an attempt can end, and what is made of it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.probe import attempts, pod
from ansible_collections.talosops.selinux.plugins.plugin_utils.probe.attempts import Report
from simulator import Simulator
from simulator.containers import TOOLS, Behaviour, run

ID = "0123456789abcdef"
PLAN = pod.Plan(
    id=ID,
    machine="aabb7c92b104cedc578189d1c0ffee00",
    node="worker-1",
    image="r.example/p@sha256:" + "a" * 64,
    device="/dev/sda3",
    owner="bastion:1:::",
    seconds=60,
    expires=dt.datetime.now(dt.UTC),
)


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    nodes = {"worker-1": {"kernel_args": ["enforcing=1"]}, "worker-2": {}}
    with Simulator({"name": "outcomes", "uptime": "96h", "nodes": nodes}, tmp_path_factory.mktemp("sim")) as it:
        yield it


def report(sim: Simulator, node: str = "worker-1", *, plan: pod.Plan = PLAN, **behaviour: object) -> Report:
    container = pod.job(plan)["spec"]["template"]["spec"]["containers"][0]
    done = run(sim.nodes[node], container, Behaviour(**behaviour))
    assert done.exit_code == 0
    assert len(done.message) < 2500
    return attempts.read_report(done.message.decode(), ID)


def outcome(found: Report, attempt: str) -> str:
    (one,) = [one for one in found.outcomes if one.id == attempt]
    return one.outcome


ENDINGS = {
    "EACCES": "refused",
    "success": "allowed",
    "EPERM": "inconclusive",
    "ENOENT": "inconclusive",
    "EBUSY": "inconclusive",
    "EINVAL": "inconclusive",
    "hangs": "inconclusive",
    "missing": "inconclusive",
    "elsewhere": "inconclusive",
    "killed": "inconclusive",
}


@pytest.mark.parametrize("attempt", TOOLS)
@pytest.mark.parametrize("ending", ENDINGS)
def test_only_permission_denied_counts_as_refused(sim: Simulator, attempt: str, ending: str) -> None:
    found = report(sim, answers={TOOLS[attempt]: ending})
    assert outcome(found, attempt) == ENDINGS[ending], found
    # What another attempt comes to does not depend on it.
    assert {outcome(found, other) for other in TOOLS if other != attempt} == {"refused"}
    assert attempts.overall(found.outcomes) == ENDINGS[ending]
    assert found.boot_id == sim.nodes["worker-1"].boot_id


@pytest.mark.parametrize("attempt", TOOLS)
@pytest.mark.parametrize(
    "status",
    [
        {"uid": "1000"},
        {"caps": "00000000a80425fb"},
        {"caps": "000001fffff7ffff"},
        {"users": "0 100000 65536"},
        {"users": ""},
        {"caps": "none"},
    ],
    ids=["user", "default-capabilities", "no-ptrace", "user-namespace", "no-map", "no-number"],
)
def test_permission_denied_to_who_is_not_all_powerful_is_no_word_of_selinux(
    sim: Simulator, attempt: str, status: dict[str, str]
) -> None:
    found = report(sim, status=status)
    assert outcome(found, attempt) == "inconclusive"
    # What got through got through, whoever it was.
    through = report(sim, status=status, answers={TOOLS[attempt]: "success"})
    assert outcome(through, attempt) == ("inconclusive" if status == {"caps": "none"} else "allowed")


def test_a_node_that_lets_everything_through_is_seen(sim: Simulator) -> None:
    found = report(sim, "worker-2")
    assert [one.outcome for one in found.outcomes] == ["allowed"] * 3


def test_state_is_read_where_it_is_mounted_and_else_mounted_first(sim: Simulator) -> None:
    mounted = report(sim, mounted=True, answers={"mount": "missing"})
    assert outcome(mounted, "state") == "refused"
    unknown = report(sim, plan=dataclasses.replace(PLAN, device=None))
    assert outcome(unknown, "state") == "inconclusive"
    assert "is not known" in unknown.outcomes[2].observed


@pytest.mark.parametrize("answer", ["EACCES", "EBUSY"])
def test_a_mount_that_is_refused_says_nothing_of_the_file(sim: Simulator, answer: str) -> None:
    found = report(sim, answers={"mount": answer})
    assert outcome(found, "state") == "inconclusive"
    assert "did not come to the step open" in found.outcomes[2].observed


def test_the_script_is_plain_posix() -> None:
    # Some builds of busybox have a tr that knows no classes of characters.
    assert "[:" not in attempts.script()
    for shell in ("dash", "bash", "busybox"):
        path = shutil.which(shell)
        if path is not None:
            command = [path, "sh", "-n"] if shell == "busybox" else [path, "-n"]
            done = subprocess.run(command, input=attempts.script(), text=True, capture_output=True, check=False)
            assert (done.returncode, done.stderr) == (0, ""), shell
