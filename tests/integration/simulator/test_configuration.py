# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a simulated node says to a configuration, against what real Talos said to the same one."""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import dry_runs
import generated_configs
import pytest
import rejected_configs
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from simulator import Simulator, configuration, rawclient
from simulator.configuration.difference import encode

# The simulator knows keys, types and places; it does not read what only a part of Talos understands.
_VALUES_NOT_READ = (
    "FilesystemTrimConfig interval",
    "DiscoveryServiceConfig endpoint",
    "HostnameConfig auto",
    "KubeClusterConfig endpoint: no URL",
    "KubeNetworkConfig ",
    "KubeNodeConfig labels",
    "KubeletConfig image",
    "ResolverConfig nameservers",
    "UnattendedInstallConfig provisioning.diskSelector.match: an unknown field",
    "VolumeConfig ",
    "v1alpha1 machine.install.diskSelector.size",
    "v1alpha1 machine.network.interfaces",
    "v1alpha1 machine.nodeLabels: an unlawful label",
    "v1alpha1 machine.nodeTaints",
)
# The same answer in other words: texts of Go's YAML and CEL parsers, and the second of two reasons.
_OTHER_WORDS = (
    "v1alpha1 : ",
    " : a NUL byte",
    "machine.type: an undefined alias",
    "x: an anchor at the top",
    "machine.type: controlplane, on a worker",
    "provisioning.diskSelector.match",
    "cluster.network: beside KubeNetworkConfig",
    "KubeFlannelCNIConfig backendPort",
)


def _said(text: str, release: str, *, installs: bool) -> str | None:
    version = f"{release.removeprefix('v')}.1"
    try:
        configuration.judge(configuration.decode(text.encode(), version), version, installs=installs)
    except configuration.Rejected as rejected:
        return str(rejected).strip()
    return None


@pytest.mark.parametrize("installs", [False, True], ids=["running", "wiped"])
def test_the_judgement_is_that_of_talos(installs: bool) -> None:
    cases = rejected_configs.judged_configs()
    assert len(cases) > 150
    wrong = []
    for case in cases:
        recorded = case.after_wipe if installs else case.dry_run
        said, name = _said(case.sent, case.judge, installs=installs), str(case)
        if any(part in name for part in _VALUES_NOT_READ):
            # When the simulator learns one of these, its line above has to go.
            assert said is None, name
            continue
        same = (said is None) == (recorded is None)
        if not same or (said != (recorded and recorded.strip()) and not any(part in name for part in _OTHER_WORDS)):
            wrong.append((name, recorded, said))
    assert wrong == []


@pytest.mark.parametrize("role", generated_configs.ROLES)
@pytest.mark.parametrize("release", generated_configs.VERSIONS)
def test_what_talosctl_generates_is_accepted_and_encoded_unchanged(release: str, role: generated_configs.Role) -> None:
    text = generated_configs.load(release, role)
    assert _said(text, release, installs=True) is None and encode(text) == text


def test_the_difference_is_that_of_talos() -> None:
    runs = dry_runs.dry_runs()
    assert len(runs) > 40
    for run in runs:
        head, _blank, recorded = run.answer.partition("Config diff:\n\n")
        assert head.startswith("Dry run summary:\n")
        said = configuration.difference(run.running, run.sent.decode("utf-8-sig"))
        # Lines that were changed may stand in another order, and the hunks may be cut otherwise.
        assert _changed(said) == _changed(recorded), run


def _changed(diff: str) -> tuple[list[str], list[str]]:
    """Lines gone and lines new. A line that is both is neither: made-up certificates share lines."""
    lines = [line for line in diff.splitlines() if line not in ("--- a", "+++ b")]
    old, new = (Counter(line[1:] for line in lines if line.startswith(sign)) for sign in "-+")
    return sorted((old - new).elements()), sorted((new - old).elements())


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    nodes = {"cp-1": {"role": "controlplane"}, "worker-1": {}, "worker-2": {"talos": "v1.13.9"}}
    with Simulator({"name": "configs", "nodes": nodes}, tmp_path_factory.mktemp("configs")) as running:
        yield running


@pytest.fixture(scope="module")
def admin(sim: Simulator) -> ssl.SSLContext:
    return rawclient.client_context(sim.directory)


def _dry_run(sim: Simulator, admin: ssl.SSLContext, name: str, text: str) -> str:
    address = sim.nodes[name].address
    answer = rawclient.machine(address, admin, "ApplyConfiguration", data=text.encode(), mode=1, dry_run=True)
    return str(answer.messages[0].mode_details)


def _file(sim: Simulator, name: str) -> str:
    return (Path(sim.directory) / "configs" / f"{name}.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["cp-1", "worker-1", "worker-2"])
def test_the_operators_file_is_what_the_node_runs(sim: Simulator, admin: ssl.SSLContext, name: str) -> None:
    assert _dry_run(sim, admin, name, _file(sim, name)).endswith("Config diff:\n\nNo changes.")
    kind = "MachineConfigs.config.talos.dev"
    ids = {"v1alpha1"} | ({"persistent"} if name != "worker-2" else set())
    found = rawclient.call(sim.nodes[name].address, admin, "/cosi.resource.State/List", namespace="config", type=kind)
    assert {one.resource.metadata.id for one in found} == ids
    assert {one.resource.spec.yaml_spec for one in found} == {_file(sim, name)}


def test_a_dry_run_shows_the_whole_neighbourhood_of_a_change_in_plain_text(
    sim: Simulator, admin: ssl.SSLContext
) -> None:
    text = _file(sim, "cp-1")
    token = text.partition("token: ")[2].partition("\n")[0]
    answer = _dry_run(sim, admin, "cp-1", text.replace(f"token: {token}", "token: op://vault/item/token", 1))
    assert f"-    token: {token}" in answer and "+    token: op://vault/item/token" in answer
    assert text.partition("crt: ")[2].partition("\n")[0] in answer
    assert sim.nodes["cp-1"].config == text and sim.writes() == []


def test_a_workers_file_is_accepted_by_a_control_plane(sim: Simulator, admin: ssl.SSLContext) -> None:
    answer = _dry_run(sim, admin, "cp-1", _file(sim, "worker-1"))
    assert "-    type: controlplane" in answer and "+    type: worker" in answer


def test_a_part_of_a_configuration_is_no_configuration(sim: Simulator, admin: ssl.SSLContext) -> None:
    with pytest.raises(GRPCError, match="did you mean to patch") as refused:
        _dry_run(sim, admin, "cp-1", "apiVersion: v1alpha1\nkind: HostnameConfig\nhostname: x\n")
    assert refused.value.status is Status.INVALID_ARGUMENT
