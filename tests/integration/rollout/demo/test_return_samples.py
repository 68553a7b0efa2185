# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each module documents under RETURN is what it really returned in a rollout: keys, types and nested samples."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration import playbook
from simulator import Simulator

MODULES = sorted(path.stem for path in (playbook.ROOT / "plugins" / "modules").glob("*.py") if path.stem != "__init__")
_DATA = playbook.ROOT / "tests" / "data" / "real-kernel" / "permissive.dmesg.log.gz"
#: What Ansible adds to every result.
_OWN = {
    "changed",
    "diff",
    "failed",
    "exception",
    "attempts",
    "invocation",
    "warnings",
    "deprecations",
    "retries",
    "failed_when_result",
}
_TYPES: dict[str, tuple[type, ...]] = {
    "dict": (dict,),
    "list": (list,),
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
}


@pytest.fixture(scope="module")
def results(finished: playbook.Finished, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Every successful result of every module, from the rollout and from a play of what a rollout does not ask."""
    directory = tmp_path_factory.mktemp("samples")
    more = playbook.play(
        finished.sim,
        directory,
        [
            {"talosops.selinux.security_state_info": {}, "run_once": True},
            {"talosops.selinux.audit_log": {"directory": str(directory / "kept")}, "run_once": True},
            {"talosops.selinux.denials_info": {}, "run_once": True},
            {"talosops.selinux.denials_info": {"files": [str(_DATA)], "max_samples": 1}, "run_once": True},
            {
                "talosops.selinux.evidence": {"directory": str(directory / "evidence")},
                "run_once": True,
                "register": "read",
            },
            {
                "talosops.selinux.compliance_report": {
                    "evidence": "{{ read }}",
                    "directory": str(directory / "evidence"),
                    "output": str(directory / "compliance"),
                    "fail_on": "never",
                },
                "run_once": True,
                "register": "reported",
            },
            {"talosops.selinux.compliance_bundle_info": {"path": "{{ reported.bundle }}"}, "run_once": True},
            {
                "talosops.selinux.rollout_halt": {
                    "directory": str(finished.directory / "evidence"),
                    "reason": "a sample",
                    "who": "the tests",
                },
                "run_once": True,
                "check_mode": True,
            },
            {
                "talosops.selinux.enforcement_probe": {
                    "image": f"registry.example.org/probe@sha256:{'0' * 64}",
                    "kubeconfig": str(finished.sim.directory / "kubeconfig"),
                    "store": str(directory / "kept"),
                },
                "run_once": True,
            },
        ],
    )
    assert more.code == 0, more.output
    found: dict[str, list[dict[str, Any]]] = {}
    for record in [*finished.run.records, *more.records, *_single(directory / "single")]:
        if record["status"] == "ok":
            found.setdefault(record["action"].rpartition(".")[2], []).append(record["result"])
    return found


def _single(directory: Path) -> list[dict[str, Any]]:
    """Results of the modules that an operator uses beside the playbooks, on a fleet of which nothing was moved."""
    nodes = {**{f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)}, "worker-1": {}}
    with Simulator({"name": "samples", "uptime": "96h", "nodes": nodes}, directory / "fleet") as sim:
        settings = playbook.settings(sim, directory / "evidence")
        judged = playbook.run(sim, directory / "gate", "talosops.selinux.gate", variables=settings)
        verdict = Path(judged.of("Judge the evidence")["nodes"]["worker-1"]["path"])
        evidence = verdict.parent / "evidence.json"
        binds = json.loads(verdict.read_bytes())["binds"]
        cluster = {"kubeconfig": settings["rollout_kubeconfig"]}
        on_worker = [
            {"talosops.selinux.machine_status_info": {}},
            {"talosops.selinux.schematic": {"factory_url": sim.factory_url, "allow_plain_http": True}},
            {
                "talosops.selinux.machine_config_info": {
                    "installer": binds["target"]["installer"],
                    "version": binds["target"]["version"],
                    "kernel_args": ["enforcing=1"],
                }
            },
            {
                "talosops.selinux.enforcement_info": {
                    "before": str(evidence),
                    "after": str(evidence),
                    "target": binds["target"],
                }
            },
            {"talosops.selinux.node_drain": {"name": "worker-1", "state": "uncordoned", **cluster}},
            {
                "talosops.selinux.machine_reset": {
                    "evidence": str(evidence),
                    "verdict": str(verdict),
                    "boot_path": "in_place",
                    "config_sha256": binds["config_sha256"],
                    "installer_digest": binds["target"]["installer_digest"],
                },
                "check_mode": True,
            },
            {"talosops.selinux.rollout_ledger": {"directory": str(directory / "evidence")}},
        ]
        on_control_plane = [
            {"talosops.selinux.etcd_info": {}},
            {"talosops.selinux.etcd_snapshot": {"path": str(directory / "etcd.snapshot")}},
        ]
        runs = [
            playbook.play(sim, directory / "worker", on_worker, hosts="worker-1"),
            playbook.play(sim, directory / "cp", on_control_plane, hosts="cp-1"),
        ]
    for run in runs:
        assert run.code == 0, run.output
    return [record for run in runs for record in run.records]


@pytest.mark.parametrize("module", MODULES)
def test_returns_what_it_documents(results: dict[str, list[dict[str, Any]]], module: str) -> None:
    documented = _documentation(module)
    assert results.get(module), f"{module} did not run"
    for result in results[module]:
        real = {key: value for key, value in result.items() if key not in _OWN and not key.startswith("_")}
        assert list(_differences(module, documented, real)) == []


def _documentation(module: str) -> dict[str, Any]:
    name = f"ansible_collections.talosops.selinux.plugins.modules.{module}"
    return yaml.safe_load(importlib.import_module(name).RETURN)


def _differences(where: str, documented: Mapping[str, Any], real: Mapping[str, Any]) -> Iterator[str]:
    for key in real.keys() - documented.keys():
        yield f"{where}.{key} is returned and not documented"
    for key, entry in documented.items():
        if key in real:
            yield from _compare(f"{where}.{key}", entry, real[key])
        elif entry.get("returned", "always") == "always":
            yield f"{where}.{key} is documented and not returned"


def _compare(where: str, entry: Mapping[str, Any], value: Any) -> Iterator[str]:
    text = str(entry["description"])
    if value is None:
        # A nullable value says so in words, or by a sample that is null.
        if "ull" not in text and "sample" in entry and entry["sample"] is not None:
            yield f"{where} is null, and its documentation does not say that it can be"
        return
    if not isinstance(value, _TYPES[entry["type"]]) or (isinstance(value, bool) and entry["type"] != "bool"):
        yield f"{where} is documented as {entry['type']} and is a {type(value).__name__}"
        return
    by_name = entry["type"] == "dict" and "by inventory name" in text.lower()
    parts = list(value.values()) if by_name else value if isinstance(value, list) else [value]
    if "contains" in entry:
        for part in parts:
            yield from _differences(where, entry["contains"], part)
    elif not by_name and "by node" not in text.lower():
        yield from _like(where, entry.get("sample"), value)


def _like(where: str, sample: Any, real: Any, *, whole: bool = True) -> Iterator[str]:
    """The differences in shape between a sample and a real value; what is empty or null in either says nothing.

    ``whole``: the keys are all the same. Elements of lists differ among themselves, so of theirs the sample may leave
    some out; but what it shows must be there.
    """
    if isinstance(sample, dict) and isinstance(real, dict):
        if sample and real and not (sample.keys() == real.keys() if whole else sample.keys() <= real.keys()):
            yield f"{where}: the sample has the keys {sorted(sample)}, the result {sorted(real)}"
        for key in sample.keys() & real.keys():
            yield from _like(f"{where}.{key}", sample[key], real[key], whole=whole)
    elif isinstance(sample, list) and isinstance(real, list):
        if sample and real:
            yield from _like(f"{where}[]", sample[0], real[0], whole=False)
    elif sample is not None and real is not None and not isinstance(real, type(sample)):
        numbers = (int, float)
        if not (isinstance(sample, numbers) and isinstance(real, numbers)):
            yield f"{where}: the sample is a {type(sample).__name__}, the result a {type(real).__name__}"
