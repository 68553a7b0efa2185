# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No machine is ever wiped or configured that was not the one judged: a model, and rollouts held against it.

Fleets of 1 to 6 machines; two of them share a UUID, in either byte order, or carry placeholders; two machines change
their addresses before any step or right before a write; kubeconfig or talosconfig become those of another cluster whose
nodes have the same names; etcd lists its members at each other's addresses. The model is a table of which machine each
host was judged to be. ``make nightly`` runs every combination, every other run a sample by the seed that it prints.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import random
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.steps import STEP_NAMES
from integration import playbook
from simulator import Simulator

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
# The processes of one run have to agree on it.
SEED = os.environ.get("TEST_SEED") or os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(random.SystemRandom().random())
SHARED = "7d444840-9dc0-11d1-b245-5ffdce74fad2"
PLACEHOLDERS = ("03000200-0400-0500-0006-000700080009", "ffffffff-ffff-ffff-ffff-ffffffffffff")
#: The UUIDs of a pair of machines; None leaves a machine its own.
UUIDS: dict[str, tuple[str | None, str | None]] = {
    "own": (None, None),
    "shared": (SHARED, SHARED),
    "byte-orders": (SHARED, str(uuid.UUID(bytes_le=uuid.UUID(SHARED).bytes))),
    "placeholder": (PLACEHOLDERS[0], None),
    "placeholders": (PLACEHOLDERS[0], PLACEHOLDERS[1]),
    "same-placeholder": (PLACEHOLDERS[0], PLACEHOLDERS[0]),
}
MOMENTS = [("begin", step) for step in STEP_NAMES] + [("intent", "reset"), ("intent", "apply")]
FILES = ("kubeconfig", "talosconfig")


@dataclasses.dataclass(frozen=True)
class Case:
    """One fleet, and what happens to it.

    ``pair``: the two machines that it is about, the first of which is rolled out. ``moment``: the ledger's entry before
    which ``trouble`` happens; None for before the rollout. ``named``: whether configurations carry host names.
    ``forwarded``: whether nodes are reached through the control planes, which forward by address.
    """

    size: int
    pair: tuple[str, str]
    uuids: str = "own"
    trouble: str = "nothing"
    moment: tuple[str, str] | None = None
    named: bool = True
    forwarded: bool = False

    def __str__(self) -> str:
        moment = "-".join(self.moment or ("at", "first"))
        rest = f"{'' if self.named else '-unnamed'}{'-forwarded' if self.forwarded else ''}"
        return f"{self.size}-{'-'.join(self.pair)}-{self.uuids}-{self.trouble}-{moment}{rest}"


def fleet(size: int) -> dict[str, dict[str, Any]]:
    """As many machines: three control planes where there is room for a worker beside them, else one."""
    planes = 3 if size > 3 else 1
    roles = [(f"cp-{number}", {"role": "controlplane"}) for number in range(1, planes + 1)]
    return dict(roles + [(f"worker-{number}", {}) for number in range(1, size - planes + 1)])


def cases() -> Iterator[Case]:
    """Every combination."""
    for size in range(1, 7):
        names = list(fleet(size))
        pairs = list(itertools.permutations(names, 2))
        for pair in pairs or [(names[0], names[0])]:
            alone = pair[0] == pair[1]
            for uuids in UUIDS if not alone else ("own", "placeholder"):
                yield Case(size, pair, uuids)
            for moment in MOMENTS:
                for named in (True, False) if not alone else ():
                    yield Case(size, pair, trouble="swap", moment=moment, named=named)
            if size > 3:
                yield from (Case(size, pair, trouble="swap", moment=when, forwarded=True) for when in MOMENTS)
            if pair[1] == names[-1]:
                for trouble, when in itertools.product(FILES, [None, *MOMENTS]):
                    yield Case(size, pair, trouble=trouble, moment=when)
        if size > 3:
            yield from (Case(size, ("cp-1", other), trouble="peers") for other in names[1:])


def chosen() -> list[Case]:
    """The cases of this run: all, or of each kind of trouble a few."""
    every = list(cases())
    if NIGHTLY:
        return every
    dice = random.Random(SEED)
    kinds: list[list[Case]] = [
        [case for case in every if case.trouble == "nothing" and case.uuids not in ("own", "placeholder")],
        [case for case in every if case.trouble == "swap" and case.size > 3 and case.named and not case.forwarded],
        [case for case in every if case.forwarded],
        [case for case in every if case.trouble == "swap" and case.size > 3 and not case.named],
        [case for case in every if case.trouble in FILES and case.size in (2, 3, 4)],
        [case for case in every if case.trouble == "peers"],
    ]
    # Without any trouble the rollout has to wipe, or the model would say nothing.
    # The swap that only the identity shows: both machines pass the gate under either host.
    unnamed = Case(5, ("worker-1", "worker-2"), trouble="swap", moment=("begin", "gate"), named=False)
    # The swap between the ledger's record and a write that is forwarded by address.
    late = Case(6, ("cp-3", "worker-3"), trouble="swap", moment=("intent", "reset"))
    some = [Case(2, ("worker-1", "cp-1")), unnamed, late, *(dice.choice(kind) for kind in kinds)]
    return list(dict.fromkeys(some))


CASES = chosen()


def test_the_sample_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\nTEST_SEED={SEED}: {', '.join(map(str, CASES[:10]))}")
    assert len(set(CASES)) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_only_judged_machines_are_wiped_and_configured(case: Case, tmp_path: Path) -> None:
    nodes = fleet(case.size)
    for name, machine_uuid in zip(case.pair, UUIDS[case.uuids], strict=True):
        if machine_uuid:
            nodes[name] = {**nodes[name], "extra": {"uuid": machine_uuid}}
    strange = {name: {**node, "extra": {"uuid": str(uuid.uuid4())}} for name, node in fleet(case.size).items()}
    # Without the demo workloads no disruption budget keeps the only worker from being drained.
    base = {"name": "identities", "time_scale": 120, "uptime": "96h", "kubernetes": {"defaults": False}}
    with (
        Simulator({**base, "nodes": nodes}, tmp_path / "fleet") as sim,
        Simulator({**base, "nodes": strange}, tmp_path / "other") as other,
    ):
        machines = {node.node_id: name for name, node in sim.nodes.items()}
        run = _roll_out(case, sim, other, tmp_path)
        _hold(case, sim, machines, playbook.ledger(tmp_path / "evidence"), run)
        # A lease is all that a wrong kubeconfig may bring to another cluster.
        assert [call for call in other.writes() if "/leases" not in call.method] == [], run.output


def _roll_out(case: Case, sim: Simulator, other: Simulator, directory: Path) -> playbook.Run:
    if not case.named:
        # As where DHCP gives the names: neither the operator's file nor what the node runs has one.
        for name, node in sim.nodes.items():
            path = sim.directory / "configs" / f"{name}.yaml"
            path.write_text(path.read_text().replace(f"hostname: {name}", "auto: stable"))
            node.config = str(node.config).replace(f"hostname: {name}", "auto: stable")
    if case.trouble == "peers":
        members, (_first, second) = sim.fleet.etcd.members, case.pair
        for name in set(members) - {"cp-1"}:
            members[name].address = sim.nodes[second if name != second else "cp-1"].address
    happens: dict[str, Any] = {}
    if case.trouble in FILES:
        happens = {"copy": [[str(other.directory / case.trouble), str(sim.directory / case.trouble)]]}
    elif case.trouble == "swap":
        happens = {"swap": [sim.control_url, *case.pair]}
    environment = {}
    if case.moment is not None:
        environment = {"TEST_MEDDLE": json.dumps({**happens, "at": [*case.moment, case.pair[0]]})}
    elif "copy" in happens:
        for source, target in happens["copy"]:
            Path(target).write_bytes(Path(source).read_bytes())
    way: dict[str, Any] = {}
    if case.forwarded:
        planes = [node.address for name, node in sim.nodes.items() if name.startswith("cp")]
        way = {"talos_route": "endpoint", "talos_endpoints": planes}
    hasty = {f"rollout_{what}_timeout": 6 for what in ("drain", "wipe", "install", "rejoin")}
    variables = playbook.settings(
        sim, directory / "evidence", rollout_hosts=",".join(sorted(set(case.pair))), **way, **(hasty if happens else {})
    )
    run = playbook.run(sim, directory / "run", "talosops.selinux.rollout", variables=variables, environment=environment)
    assert "Traceback" not in run.output
    if case.moment is not None and case.pair[0].startswith("worker"):
        assert (directory / "run" / "meddled").exists(), f"{case}: the moment never came\n{run.output}"
    return run


def _hold(
    case: Case, sim: Simulator, machines: dict[str | None, str], entries: list[dict[str, Any]], run: playbook.Run
) -> None:
    """Compare every write with the model: by host the machine that its verdict is about, from the ledger's facts."""
    judged: dict[str, str] = {}
    for entry in entries:
        if (entry["kind"], entry.get("step")) == ("finish", "gate") and "identity" in entry["facts"]:
            judged[entry["node"]] = machines[entry["facts"]["identity"]]
    writes = playbook.talos_writes(sim)
    sent = Counter((call.method.rpartition("/")[2], call.node) for call in writes)
    told = f"{case}: judged {judged}, sent {dict(sent)}\n{run.output}"
    # A machine's name in the simulator is that of the host that the operator gave it.
    assert all(host == machine for host, machine in judged.items()), told
    for (method, machine), count in sent.items():
        if method in ("Reset", "ApplyConfiguration"):
            assert machine in judged.values() and count == 1, told
        if method == "ApplyConfiguration":
            assert sent["Reset", machine] == 1, told
    shares = UUIDS[case.uuids]
    forbidden = {name for name, machine_uuid in zip(case.pair, shares, strict=True) if machine_uuid}
    assert not forbidden & {machine for _host, machine in sent}, told
    for name, node in sim.nodes.items():
        if ("ApplyConfiguration", name) in sent and case.named:
            assert f"hostname: {name}\n" in str(node.config), told
    assert sim.upgrades() == []
    if case.trouble == "nothing" and case.uuids == "own" and case.pair[0].startswith("worker"):
        assert sent["ApplyConfiguration", case.pair[0]] == 1, told
