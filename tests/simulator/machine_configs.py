# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The operator's side of a simulated fleet: a machine configuration for every node, with secrets made on the spot."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from . import pki

#: What `inventory.yml` leaves to the operator.
GROUP_VARS = {
    "talos_machine_config": "{{ inventory_dir }}/configs/{{ inventory_hostname }}.yaml",
    "talos_boot_path": "in_place",
    "talos_approved_local_data": True,
}


def write(directory: Path, nodes: Mapping[str, Mapping[str, Any]]) -> None:
    """Write ``configs/NODE.yaml`` and ``group_vars/talos.yml`` below ``directory``.

    Args:
        nodes: by name ``{role: controlplane|worker, address, talos}``.
    """
    shared = _cluster_secrets()
    configs = directory / "configs"
    configs.mkdir(parents=True, exist_ok=True, mode=0o700)
    endpoint = next(node["address"] for node in nodes.values() if node["role"] == "controlplane")
    for name, node in nodes.items():
        path = configs / f"{name}.yaml"
        path.touch(mode=0o600)
        path.write_text(machine_config(name, node, endpoint, shared), encoding="utf-8")
    variables = directory / "group_vars"
    variables.mkdir(exist_ok=True)
    (variables / "talos.yml").write_text(yaml.safe_dump(GROUP_VARS), encoding="utf-8")


def machine_config(name: str, node: Mapping[str, Any], endpoint: str, shared: Mapping[str, Any]) -> str:
    """One node's configuration as `talosctl gen config` of Talos 1.12 and later lays it out."""
    control_plane = node["role"] == "controlplane"
    authority = {"crt": shared["crt"], "key": shared["key"] if control_plane else ""}
    cluster: dict[str, Any] = {
        "id": shared["id"],
        "secret": shared["secret"],
        "controlPlane": {"endpoint": f"https://{endpoint}:6443"},
        "clusterName": "demo",
        "network": {"dnsDomain": "cluster.local", "podSubnets": ["10.244.0.0/16"], "serviceSubnets": ["10.96.0.0/12"]},
        "token": shared["bootstrap"],
        "ca": authority,
    }
    if control_plane:
        cluster["secretboxEncryptionSecret"] = shared["secretbox"]
        cluster["aggregatorCA"] = {"crt": shared["crt"], "key": shared["key"]}
        cluster["serviceAccount"] = {"key": shared["key"]}
        cluster["etcd"] = {"ca": {"crt": shared["crt"], "key": shared["key"]}}
    document = {
        "version": "v1alpha1",
        "debug": False,
        "persist": True,
        "machine": {
            "type": node["role"],
            "token": shared["token"],
            "ca": authority,
            "certSANs": [],
            "network": {"hostname": name},
            "install": {
                "disk": "/dev/sda",
                "image": f"factory.talos.dev/metal-installer/{'0' * 64}:{node['talos']}",
                "wipe": False,
                "grubUseUKICmdline": True,
            },
        },
        "cluster": cluster,
    }
    return yaml.safe_dump(document, sort_keys=False)


def _cluster_secrets() -> dict[str, str]:
    authority = pki.make_authority("demo")
    return {
        "id": base64.b64encode(secrets.token_bytes(32)).decode(),
        "secret": base64.b64encode(secrets.token_bytes(32)).decode(),
        "secretbox": base64.b64encode(secrets.token_bytes(32)).decode(),
        "token": f"{secrets.token_hex(3)}.{secrets.token_hex(8)}",
        "bootstrap": f"{secrets.token_hex(3)}.{secrets.token_hex(8)}",
        "key": base64.b64encode(authority.pem_key).decode(),
        "crt": base64.b64encode(authority.crt).decode(),
    }
