# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machine configurations of a simulated fleet: for every node what `talosctl gen config` of its release writes.

The node runs with it, and the operator holds the same text as a file; secrets are made when the fleet starts.
"""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import generated_configs
import yaml

from . import versions
from .pki import Pair, Pki

#: What `inventory.yml` leaves to the operator.
GROUP_VARS = {
    "talos_machine_config": "{{ inventory_dir }}/configs/{{ inventory_hostname }}.yaml",
    "talos_boot_path": "in_place",
}
_INSTALLER = re.compile(r"factory\.talos\.dev/metal-installer/\S+")
_ENDPOINT = re.compile(r"https://10\.5\.0\.10:6443")


@dataclass(frozen=True)
class Facts:
    """What is one node's own in its configuration; ``installer`` is a reference."""

    name: str
    role: str
    talos: str
    address: str
    installer: str


class MachineConfigs:
    """The configurations of one cluster, with the authorities that its certificates come from."""

    def __init__(self, pki: Pki, cluster: str, endpoint: str) -> None:
        self._pki, self._cluster, self._endpoint = pki, cluster, endpoint

    @functools.cached_property
    def _secrets(self) -> dict[str, str]:
        made = generated_configs.made_up_secrets(_service_account_key())
        for name, pair in (("OS", self._pki.talos), ("K8S", self._pki.kubernetes)):
            made |= {f"{name}_CRT": _base64(pair.crt), f"{name}_KEY": _base64(_key(name, pair))}
        return made

    def text(self, facts: Facts) -> str:
        """One node's configuration."""
        text = generated_configs.load(_release(facts.talos), cast(Literal["worker"], facts.role), self._secrets)
        text = _INSTALLER.sub(facts.installer, text)
        text = _ENDPOINT.sub(f"https://{self._endpoint}:6443", text)
        text = text.replace("clusterName: demo", f"clusterName: {self._cluster}")
        if "kind: HostnameConfig" in text:
            return text.replace("auto: stable", f"hostname: {facts.name}")
        return text.replace("    network: {}\n", f"    network:\n        hostname: {facts.name}\n")


@functools.cache
def _service_account_key() -> str:
    # One for all fleets of a process: an RSA key takes a noticeable part of a second.
    return generated_configs.made_up_secrets()["SERVICE_ACCOUNT_KEY"]


def _key(name: str, pair: Pair) -> bytes:
    # Talos writes its own Ed25519 keys under a label of their own.
    return pair.talos_key if name == "OS" else pair.pem_key


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _release(talos: str) -> str:
    """The newest release whose form of a configuration ``talos`` has."""
    known = [version for version in generated_configs.VERSIONS if versions.at_least(talos, version.removeprefix("v"))]
    return known[-1] if known else generated_configs.VERSIONS[0]


def write(directory: Path, nodes: Iterable[tuple[str, str]]) -> None:
    """Write ``configs/NODE.yaml`` and ``group_vars/talos.yml`` below ``directory``.

    Args:
        nodes: names and texts.
    """
    configs = directory / "configs"
    configs.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, text in nodes:
        path = configs / f"{name}.yaml"
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
    variables = directory / "group_vars"
    variables.mkdir(exist_ok=True)
    (variables / "talos.yml").write_text(yaml.safe_dump(GROUP_VARS), encoding="utf-8")
