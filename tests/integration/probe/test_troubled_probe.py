# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes wrong while a probe is under way: nothing is claimed then, and nothing remains."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.kube import ApiException, ClusterProblem, HTTPError
from ansible_collections.talosops.selinux.plugins.plugin_utils.probe import pod, run
from ansible_collections.talosops.selinux.plugins.plugin_utils.probe.cluster import ProbeApi, ProbeRemains, ProbeRunning
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem
from integration.probe.world import World, expire, killed, outcomes
from kubernetes import client, config


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ({"waiting": {"worker-1": "ImagePullBackOff"}}, "ImagePullBackOff"),
        ({"waiting": {"worker-1": "CreateContainerConfigError"}}, "CreateContainerConfigError"),
        ({"waiting": {"worker-1": "ContainerCreating"}}, "did not end within 1 seconds: ContainerCreating"),
        ({"evicted": {"worker-1"}}, "Evicted"),
        ({"vanishes": {"worker-1"}}, "removed before its report was read, by somebody or by the cluster"),
        ({"hangs": {"worker-1"}}, "within 1 seconds"),
        ({"refused": True}, "admission webhook"),
    ],
)
def test_a_container_that_does_not_report_is_inconclusive_and_removed(
    world: World, trouble: dict[str, Any], said: str
) -> None:
    for name, value in trouble.items():
        setattr(world.cluster.jobs.trouble, name, value)
    result = world.probe(seconds=1 if "within" in said or "webhook" in said else 60)
    assert (result["outcome"], outcomes(result)) == ("inconclusive", ["inconclusive"] * 3)
    # Where time runs out, the cluster may notice before this process does.
    ends = {said, "failed: DeadlineExceeded", "by the cluster after 1 seconds"} if "within" in said else {said}
    assert any(end in result["why"] for end in ends), result["why"]
    assert world.remains() == []


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x1b]0;owned\x07\x1b[2J",
        b"\xff\xfe\x00",
        b"try pid1 attach 1 1 strace: attach: ptrace(PTRACE_SEIZE, 1): Permission denied\n" * 3,
        b"x" * 4096,
        b"probe 1 0123456789abcdef\nend 0123456789abcdef\n",
        b"{{ lookup('pipe', 'id') }}",
    ],
)
def test_a_hostile_termination_message_says_nothing(world: World, message: bytes) -> None:
    world.behave("worker-1", message=message)
    result = world.probe()
    assert outcomes(result) == ["inconclusive"] * 3
    assert all(row["observed"].isprintable() for row in result["attempts"])
    assert world.remains() == []


@pytest.mark.parametrize("part", ["namespaces", "networkpolicies", "jobs", "pods", "nodes"])
def test_a_role_that_lacks_something_is_named_and_nothing_remains(world: World, part: str) -> None:
    method = "GET" if part in ("pods", "nodes") else "POST"
    world.sim.fleet.kubernetes.refused.add((method, part))
    if part == "pods":
        # Its path has the namespace's, too.
        world.sim.fleet.kubernetes.refused.discard(("GET", "namespaces"))
    with pytest.raises(ClusterProblem) as caught:
        world.probe()
    assert part in caught.value.found
    assert world.remains() == []


def test_what_may_not_be_removed_is_said_and_goes_with_the_next_probe(world: World) -> None:
    world.sim.fleet.kubernetes.refused.add(("DELETE", "namespaces"))
    with pytest.raises(ProbeRemains) as caught:
        world.probe()
    assert caught.value.context["result"]["outcome"] == "refused"
    assert "kubectl delete namespace talos-selinux-probe-" in str(caught.value)
    world.sim.fleet.kubernetes.refused.clear()
    assert len(world.namespaces()) == 1
    # This process, its owner, is still there, so it is a leftover once its time is over.
    with pytest.raises(ProbeRunning, match="is there already"):
        world.probe()
    expire(world)
    assert world.probe()["outcome"] == "refused"
    assert world.remains() == []


def hold_at_wait(monkeypatch: pytest.MonkeyPatch, meanwhile: Any) -> None:
    """Let something happen once the container ended, before anything else is asked."""
    wait = ProbeApi.wait

    def waited(self: ProbeApi, plan: pod.Plan) -> Any:
        ended = wait(self, plan)
        meanwhile()
        return ended

    monkeypatch.setattr(ProbeApi, "wait", waited)


def test_a_node_that_rebooted_meanwhile(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def reboot() -> None:
        world.sim.restart("worker-4")
        world.sim.wait_for("worker-4", "running", ready=True)

    hold_at_wait(monkeypatch, reboot)
    result = world.probe("worker-4")
    assert outcomes(result) == ["inconclusive"] * 3
    assert "boot in which it was probed" in result["attempts"][0]["observed"]
    assert world.remains() == []


def test_a_node_that_is_gone_meanwhile(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    hold_at_wait(monkeypatch, lambda: world.sim.set_fault("worker-1", "unreachable"))
    try:
        result = world.probe()
    finally:
        world.sim.clear_fault("worker-1", "unreachable")
    assert outcomes(result) == ["inconclusive"] * 3
    assert "could not be looked at again" in result["attempts"][0]["observed"]
    assert world.remains() == []


def test_another_machine_that_answers_meanwhile(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    hold_at_wait(monkeypatch, lambda: world.sim.set_fault("worker-1", "wrong_machine", "worker-4"))
    try:
        result = world.probe()
    finally:
        world.sim.clear_fault("worker-1", "wrong_machine")
    assert outcomes(result) == ["inconclusive"] * 3
    assert "another machine" in result["attempts"][0]["observed"]


def test_a_log_that_cannot_be_read_takes_nothing_from_a_refusal(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    hold_at_wait(monkeypatch, lambda: world.sim.set_fault("worker-1", "permission_denied", ["Logs"]))
    try:
        result = world.probe()
    finally:
        world.sim.clear_fault("worker-1", "permission_denied")
    assert (result["outcome"], [row["records"] for row in result["attempts"]]) == ("refused", [0, 0, 0])


def test_whoever_interrupts_it_finds_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    hold_at_wait(monkeypatch, interrupt)
    with pytest.raises(KeyboardInterrupt):
        world.probe()
    assert world.remains() == []
    (known,) = [known for key in world.store("worker-1").boots() for known in world.store("worker-1").probes(key)]
    assert known["finished_at"] is not None
    assert known["outcome"] == "inconclusive"


def test_a_namespace_that_does_not_go_is_named_and_keeps_no_other_machine_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_REMOVAL", 0.5)
    monkeypatch.setattr(run, "_LEFTOVER", 0.5)
    hold_at_wait(monkeypatch, lambda: world.cluster.held_namespaces.update(world.namespaces()))
    with pytest.raises(ProbeRemains) as caught:
        world.probe()
    (name,) = world.namespaces()
    assert name in caught.value.found
    monkeypatch.undo()
    monkeypatch.setattr(run, "_LEFTOVER", 0.5)
    expire(world)
    other = world.probe("worker-4")
    assert (other["outcome"], other["leftovers"]) == ("refused", [name])
    assert name in other["remains"][0]
    world.cluster.held_namespaces.clear()
    assert world.probe()["outcome"] == "refused"
    assert world.remains() == []


def test_a_namespace_of_its_own_that_is_going_is_waited_for(world: World) -> None:
    world.cluster.jobs.trouble.hangs.add("worker-1")
    killed(world, "begin", "after")
    world.cluster.jobs.trouble.hangs.clear()
    (name,) = world.namespaces()
    with config.new_client_from_config(world.kubeconfig) as api:
        notes = {pod.OWNER: "elsewhere:5:other-boot:1:1"}
        client.CoreV1Api(api).patch_namespace(name, {"metadata": {"annotations": notes}})
        world.cluster.held_namespaces.add(name)
        client.CoreV1Api(api).delete_namespace(name)
    with ThreadPoolExecutor() as pool:
        going = pool.submit(world.probe)
        while not any(call.status == 409 for call in world.sim.fleet.kubernetes.calls[-20:]):
            assert not going.done()
        world.cluster.held_namespaces.clear()
        assert going.result()["outcome"] == "refused"


def test_where_it_cannot_be_kept_nothing_is_made(world: World) -> None:
    (world.directory / "audit").write_text("a file")
    with pytest.raises(Problem, match="cannot be kept"):
        world.probe()
    assert world.writes() == []


class Flaky:
    """Loses requests, or only their answers, as often as it was told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, method: str, part: str, times: int, lost: str) -> None:
        real, self.left = ProbeApi._request, times

        def request(api: ProbeApi, sent: str, path: tuple[str, ...], *body: Any, **how: Any) -> Any:
            met = sent == method and path[-1].startswith(part) and self.left > 0
            if met:
                self.left -= 1
                if lost == "answer":
                    real(api, sent, path, *body, **how)
                if lost == "overloaded":
                    raise ApiException(status=503, reason="Service Unavailable")
                raise HTTPError("away")
            return real(api, sent, path, *body, **how)

        monkeypatch.setattr(ProbeApi, "_request", request)


@pytest.mark.parametrize("lost", ["request", "answer", "overloaded"])
@pytest.mark.parametrize("part", ["namespaces", "networkpolicies", "jobs"])
def test_a_write_whose_answer_is_lost_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, part: str, lost: str
) -> None:
    flaky = Flaky(monkeypatch, "POST", part, 1, lost)
    with pytest.raises(ClusterProblem, match=r"cannot be read: HTTPError|503 Service Unavailable"):
        world.probe()
    assert flaky.left == 0
    assert world.remains() == []


@pytest.mark.parametrize("lost", ["request", "answer", "overloaded"])
@pytest.mark.parametrize(
    ("method", "part"), [("GET", "pods"), ("GET", "talos-selinux-probe-"), ("DELETE", "talos-selinux-probe-")]
)
def test_looks_and_the_removal_are_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch, method: str, part: str, lost: str
) -> None:
    flaky = Flaky(monkeypatch, method, part, 3, lost)
    assert world.probe()["outcome"] == "refused"
    # A removal whose answer was lost once was done all the same.
    assert flaky.left == (2 if (method, lost) == ("DELETE", "answer") else 0)
    assert world.remains() == []
