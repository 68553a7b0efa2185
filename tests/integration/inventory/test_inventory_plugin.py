# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory of a simulated fleet, as ansible-inventory lists it."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from integration import playbook
from simulator import Simulator

_NODES: dict[str, Any] = {
    "cp-1": {"role": "controlplane", "zone": "a"},
    "worker-1": {"zone": "b"},
    "worker-2": {"kernel_args": ["enforcing=1"]},
    "worker-3": {},
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with Simulator({"name": "inventory", "nodes": _NODES}, tmp_path_factory.mktemp("fleet")) as sim:
        sim.set_fault("worker-3", "unreachable")
        yield sim


def listed(
    directory: Path, *sources: dict[str, Any], code: int = 0, cache: bool = False, vault: Path | None = None
) -> tuple[dict[str, Any], str]:
    """``ansible-inventory --list`` over the sources, and what it printed beside."""
    arguments = ["--vault-password-file", str(vault)] if vault else []
    for number, source in enumerate(sources):
        path = directory / f"{number}.talos.yml"
        kept = {"cache_plugin": "ansible.builtin.jsonfile", "cache_connection": str(directory / "cache")}
        path.write_text(yaml.safe_dump({"plugin": "talosops.selinux.talos", "cache": cache, **kept, **source}))
        arguments += ["-i", str(path)]
    ended, found, said = playbook.command(directory, ["ansible-inventory", *arguments, "--list"])
    assert (ended == 0) == (code == 0), said
    return (json.loads(found, object_hook=_untagged) if code == 0 else {}), said


def _untagged(item: dict[str, Any]) -> Any:
    """Ansible lists a text that it must not take for a template in a mapping of its own."""
    return item.get("__ansible_unsafe", item)


def source(sim: Simulator, **more: Any) -> dict[str, Any]:
    files = {name: str(sim.directory / name) for name in ("talosconfig", "kubeconfig")}
    return {**files, "context": "reader", **more}


def members(found: dict[str, Any], group: str) -> list[str]:
    return sorted(found.get(group, {}).get("hosts", []))


def test_every_node_is_a_host_in_the_groups_of_what_it_answered(fleet: Simulator, tmp_path: Path) -> None:
    found, _said = listed(tmp_path, source(fleet))
    variables = found["_meta"]["hostvars"]
    assert sorted(variables) == sorted(_NODES)
    assert members(found, "talos") == sorted(_NODES)
    assert members(found, "talos_type_controlplane") == ["cp-1"]
    assert members(found, "talos_selinux_enforcing") == ["worker-2"]
    assert members(found, "talos_selinux_permissive") == ["cp-1", "worker-1"]
    assert members(found, "talos_unreachable") == members(found, "talos_selinux_unknown") == ["worker-3"]
    assert variables["worker-1"]["talos_seen_in"] == ["discovery", "kubernetes", "talosconfig"]
    assert variables["worker-1"]["talos_identity"] == fleet.nodes["worker-1"].node_id
    assert variables["worker-3"]["talos_unread"]["kind"] == "unreachable"
    assert members(found, "talos_inconsistent") == []


def test_a_machine_that_only_a_file_knows_is_listed_and_a_wrong_role_is_named(fleet: Simulator, tmp_path: Path) -> None:
    nodes = [
        {"hostname": "planned", "ipAddress": "127.99.0.1", "controlPlane": False},
        {"hostname": "worker-1", "ipAddress": fleet.nodes["worker-1"].address, "controlPlane": True},
    ]
    (tmp_path / "talconfig.yaml").write_text(yaml.safe_dump({"nodes": nodes}))
    found, _said = listed(tmp_path, source(fleet, talhelper="talconfig.yaml"))
    assert found["_meta"]["hostvars"]["planned"]["talos_seen_in"] == ["talhelper"]
    assert members(found, "talos_inconsistent") == ["worker-1"]
    (reason,) = found["_meta"]["hostvars"]["worker-1"]["talos_inconsistent"]
    assert "talhelper says controlplane" in reason


def test_the_list_is_the_same_from_a_cold_and_a_warm_cache_with_two_sources(fleet: Simulator, tmp_path: Path) -> None:
    (tmp_path / "topf.yaml").write_text(
        yaml.safe_dump({"nodes": [{"host": "spare", "ip": "127.99.0.2", "role": "worker"}]})
    )
    sources = (
        source(fleet, keyed_groups=[{"key": "talos_zone", "prefix": "rack"}]),
        source(fleet, topf="topf.yaml", discovery=False),
    )
    cold, _said = listed(tmp_path, *sources, cache=True)
    asked = len(fleet.calls)
    warm, _said = listed(tmp_path, *sources, cache=True)
    assert warm == cold
    assert len(fleet.calls) == asked
    assert members(warm, "rack_b") == ["worker-1"]
    cached = b"".join(path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert b"worker-1" in cached
    assert not [secret for secret in playbook.secrets(fleet.directory) if secret in cached]


def test_no_source_that_names_a_node_fails_the_inventory(fleet: Simulator, tmp_path: Path) -> None:
    config = yaml.safe_load((fleet.directory / "talosconfig").read_text())
    for context in config["contexts"].values():
        context["nodes"], context["endpoints"] = [], []
    (tmp_path / "talosconfig").write_text(yaml.safe_dump(config))
    _found, said = listed(tmp_path, {"talosconfig": "talosconfig"}, code=1)
    assert "no source names a single node" in said


def test_a_lookup_hidden_in_what_a_source_says_never_runs(fleet: Simulator, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    hidden = "{{ lookup('ansible.builtin.pipe', 'touch " + str(touched) + "') }}"
    (tmp_path / "topf.yaml").write_text(
        yaml.safe_dump({"nodes": [{"host": hidden, "ip": "127.99.0.3", "role": "worker"}]})
    )
    composed = {"composed": "talos_inconsistent | join", "address": "ansible_host"}
    groups = [{"key": "talos_inconsistent | join", "prefix": "said"}]
    found, _said = listed(
        tmp_path, source(fleet, topf="topf.yaml", compose=composed, keyed_groups=groups, groups={"x": "talos_seen_in"})
    )
    assert "lookup" in found["_meta"]["hostvars"]["127.99.0.3"]["composed"]
    assert found["_meta"]["hostvars"]["127.99.0.3"]["address"] == "127.99.0.3"
    assert not touched.exists()


def test_a_keyed_group_that_no_host_defines_is_warned_of_once(fleet: Simulator, tmp_path: Path) -> None:
    _found, said = listed(
        tmp_path,
        source(fleet, keyed_groups=[{"key": "talos_rack", "prefix": "a"}, {"key": "talos_version", "prefix": "b"}]),
    )
    assert said.replace("\n", " ").count("keyed group talos_rack is undefined for all 4 hosts") == 1
    assert "talos_version is undefined" not in said


def test_a_discovery_that_nobody_answers_for_is_not_an_empty_one(fleet: Simulator, tmp_path: Path) -> None:
    assert "no endpoint answered" not in listed(tmp_path, source(fleet))[1]
    fleet.set_fault("cp-1", "unreachable")
    try:
        found, said = listed(tmp_path, source(fleet))
    finally:
        fleet.clear_fault("cp-1", "unreachable")
    assert "no endpoint answered for the discovery members" in said.replace("\n", " ")
    assert sorted(found["_meta"]["hostvars"]) == sorted(_NODES)


def test_a_lookup_hidden_in_what_a_node_or_its_cluster_says_never_runs(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    hidden = "{{ lookup('ansible.builtin.pipe', 'touch " + str(touched) + "') }}"
    nodes: dict[str, Any] = {"cp-1": {"role": "controlplane"}, "worker-1": {"zone": hidden}}
    with Simulator({"name": "hostile", "nodes": nodes}, tmp_path / "fleet") as sim:
        more = {
            "compose": {"again": "talos_zone", "joined": "talos_zone ~ '!'"},
            "keyed_groups": [{"key": "talos_zone", "prefix": "rack"}],
            "groups": {"zoned": "talos_zone is not none"},
        }
        cold, _said = listed(tmp_path, source(sim, **more), cache=True)
        warm, _said = listed(tmp_path, source(sim, **more), cache=True)
    assert warm == cold
    variables = cold["_meta"]["hostvars"]["worker-1"]
    assert variables["talos_zone"] == variables["again"] == hidden
    assert variables["joined"] == f"{hidden}!"
    assert "worker-1" in members(cold, "zoned")
    assert not touched.exists()


def test_a_keyed_group_is_warned_of_once_also_from_a_warm_cache_and_for_two_sources(
    fleet: Simulator, tmp_path: Path
) -> None:
    groups = [{"key": "talos_rack", "prefix": "a"}, {"key": "talos_zone | upper", "prefix": "b"}]
    sources = (source(fleet, keyed_groups=groups), source(fleet, keyed_groups=groups, discovery=False))
    for _run in ("cold", "warm"):
        found, said = listed(tmp_path, *sources, cache=True)
        assert said.replace("\n", " ").count("keyed group talos_rack is undefined") == 1
        assert "upper is undefined" not in said
        assert members(found, "b_A") == ["cp-1"]


def test_a_keyed_group_that_is_undefined_is_an_error_where_it_is_strict(fleet: Simulator, tmp_path: Path) -> None:
    groups = [{"key": "talos_rack", "prefix": "a"}]
    _found, said = listed(tmp_path, source(fleet, keyed_groups=groups, strict=True), code=1)
    assert "talos_rack" in said


FORMS: dict[str, Any] = {
    "vault": lambda data: VaultLib([("default", VaultSecret(b"correct-horse"))]).encrypt(data),
    "byte-order-mark": lambda data: codecs.BOM_UTF8 + data,
    "utf-16": lambda data: codecs.BOM_UTF16_LE + data.decode().encode("utf-16-le"),
}


@pytest.mark.parametrize("form", FORMS)
def test_files_are_read_vaulted_and_with_a_byte_order_mark(fleet: Simulator, tmp_path: Path, form: str) -> None:
    contents = {
        "talosconfig": (fleet.directory / "talosconfig").read_bytes(),
        "kubeconfig": (fleet.directory / "kubeconfig").read_bytes(),
        "talconfig.yaml": b"nodes:\n- {hostname: planned, ipAddress: 127.99.0.1, controlPlane: false}\n",
        "topf.yaml": b"nodes:\n- {host: spare, ip: 127.99.0.2, role: worker}\n",
        "nodes/third.yaml": b'# talm: nodes=["127.99.0.3"]\nmachine: {}\n',
    }
    (tmp_path / "nodes").mkdir()
    for name, data in contents.items():
        (tmp_path / name).write_bytes(FORMS[form](data))
    (tmp_path / "password").write_text("correct-horse")
    files = {
        "talosconfig": "talosconfig",
        "kubeconfig": "kubeconfig",
        "talhelper": "talconfig.yaml",
        "topf": "topf.yaml",
        "talm": "nodes",
    }
    found, _said = listed(tmp_path, files, vault=tmp_path / "password")
    seen = {name: variables["talos_seen_in"] for name, variables in found["_meta"]["hostvars"].items()}
    assert seen["worker-1"] == ["discovery", "kubernetes", "talosconfig"]
    assert [seen[name] for name in ("planned", "spare", "third")] == [["talhelper"], ["topf"], ["talm"]]
    if form == "vault":
        _found, said = listed(tmp_path, files, code=1)
        assert "encrypted by Ansible Vault and was not decrypted" in " ".join(said.split())
