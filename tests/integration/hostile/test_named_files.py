# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every kind of file that an operator names, as people keep it: vaulted, with a byte order mark, or in UTF-16."""

from __future__ import annotations

import codecs
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import quick_yaml
import waiver_file
from ansible.parsing.vault import VaultLib, VaultSecret
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from integration import playbook
from simulator import Simulator

PASSWORD = b"correct-horse"
REMARK = "gilt für alle Knoten"
Form = Callable[[bytes], bytes]


def _vaulted(data: bytes) -> bytes:
    return bytes(VaultLib([("default", VaultSecret(PASSWORD))]).encrypt(data))


FORMS: dict[str, Form] = {
    "vault": _vaulted,
    "byte-order-mark": lambda data: codecs.BOM_UTF8 + data,
    "utf-16": lambda data: codecs.BOM_UTF16_LE + data.decode().encode("utf-16-le"),
    "vaulted-byte-order-mark": lambda data: _vaulted(codecs.BOM_UTF8 + data),
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    nodes = {**{f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)}, "worker-1": {}}
    scenario = {"name": "files", "uptime": "96h", "time_scale": 60, "nodes": nodes}
    with Simulator(scenario, tmp_path_factory.mktemp("fleet")) as sim:
        yield sim


class Files:
    """One file of each kind in a directory, in one form, and the variables that name them."""

    def __init__(self, sim: Simulator, directory: Path, form: Form) -> None:
        self.directory = directory
        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        authority = quick_yaml.load((sim.directory / "kubeconfig").read_text())["clusters"][0]["cluster"]
        certificate = _pem(authority, sim.directory)
        x509.load_pem_x509_certificate(certificate)
        waiver = waiver_file.waiver("pod_t:run_t:dir:write", reason=REMARK)
        policy = {"schema": 1, "name": "ours", "extends": "strict"}
        profile = (playbook.ROOT / "plugins/plugin_utils/compliance/data/talos-selinux-enforcing.yml").read_bytes()
        contents: dict[str, bytes] = {
            "talosconfig": (sim.directory / "talosconfig").read_bytes(),
            "kubeconfig": (sim.directory / "kubeconfig").read_bytes(),
            "policy.yml": quick_yaml.dump(policy).encode(),
            "waivers.yml": waiver_file.text_of(waiver).encode(),
            "profile.yml": profile,
            "signing.key": private,
            "public.key": public,
            "ca.pem": certificate,
        }
        directory.mkdir()
        for name, data in contents.items():
            (directory / name).write_bytes(form(data))
        shutil.copytree(sim.directory / "configs", directory / "configs")
        for path in (directory / "configs").iterdir():
            path.write_bytes(form(f"# {REMARK}\n".encode() + path.read_bytes()))
        (directory / "password").write_bytes(PASSWORD)

    def named(self, name: str) -> str:
        return str(self.directory / name)

    @property
    def variables(self) -> dict[str, Any]:
        return {
            "talos_config": self.named("talosconfig"),
            "talos_machine_config": self.named("configs") + "/{{ inventory_hostname }}.yaml",
            "rollout_kubeconfig": self.named("kubeconfig"),
            "rollout_policy": self.named("policy.yml"),
            "rollout_signing_key": self.named("signing.key"),
            "rollout_ca_path": self.named("ca.pem"),
            "compliance_policy": self.named("policy.yml"),
            "compliance_waivers": self.named("waivers.yml"),
            "compliance_profile": self.named("profile.yml"),
            "compliance_signing_key": self.named("signing.key"),
            "compliance_fail_on": "never",
        }


def _pem(cluster: dict[str, Any], directory: Path) -> bytes:
    import base64

    if "certificate-authority-data" in cluster:
        return base64.b64decode(cluster["certificate-authority-data"])
    return (directory / cluster["certificate-authority"]).read_bytes()


@pytest.mark.parametrize("form", FORMS)
def test_every_kind_of_file_is_read_in_every_form(fleet: Simulator, tmp_path: Path, form: str) -> None:
    files = Files(fleet, tmp_path / "files", FORMS[form])
    variables = playbook.settings(fleet, tmp_path / "kept", **files.variables)
    vault = ["--vault-password-file", files.named("password")]
    judged = playbook.run(fleet, tmp_path / "gate", "talosops.selinux.gate", variables=variables, arguments=vault)
    assert judged.code == 0, judged.output
    result = judged.of("Judge the evidence")
    assert result["policy"]["name"] == "ours"
    verdicts = {name: playbook.verdict(entry) for name, entry in result["nodes"].items()}
    assert {name: verdict["decision"] for name, verdict in verdicts.items()} == dict.fromkeys(fleet.nodes, "eligible")
    assert all(verdict["signature"] for verdict in verdicts.values())
    reported = playbook.run(
        fleet, tmp_path / "report", "talosops.selinux.compliance", variables=variables, arguments=vault
    )
    assert reported.code == 0, reported.output
    bundle = reported.of("Report compliance")["bundle"]
    assert [w["reason"] for w in json.loads((Path(bundle) / "report.json").read_text())["waivers"]] == [REMARK]
    task = {
        "name": "Check",
        "talosops.selinux.compliance_bundle_info": {"path": bundle, "public_key": files.named("public.key")},
        "run_once": True,
    }
    checked = playbook.play(fleet, tmp_path / "check", [task], arguments=vault).of("Check")
    assert (checked["sound"], checked["signed"]) == (True, True)


#: How each kind of file is asked for, with what its error calls it.
ASKED: dict[str, tuple[str, dict[str, Any], str]] = {
    "talosconfig": ("security_state_info", {"talosconfig": "talosconfig"}, "the talosconfig "),
    "kubeconfig": ("evidence", {"kubeconfig": "kubeconfig", "directory": "kept"}, "the kubeconfig "),
    "machine configuration": (
        "machine_config_info",
        {"src": "configs/worker-1.yaml", "version": "v1.14.1", "installer": "factory.talos.dev/installer/a:v1.14.1"},
        "the machine configuration of ",
    ),
    "policy": ("gate", {"evidence": {"nodes": {}}, "policy": "policy.yml"}, "the policy "),
    "waivers": ("gate", {"evidence": {"nodes": {}}, "waivers": "waivers.yml"}, "the waiver file "),
    "CA file": ("schematic", {"ca_path": "ca.pem", "version": "v1.14.1"}, "the CA file "),
    "public key": ("compliance_bundle_info", {"path": "no-bundle", "public_key": "public.key"}, "the public key "),
}


@pytest.mark.parametrize(
    ("form", "says"),
    [
        (_vaulted, "encrypted by Ansible Vault and was not decrypted"),
        (lambda data: data.decode().encode("utf-16-le"), "looks like UTF-16 or UTF-32 without a byte order mark"),
        (lambda data: b"\x1f\x8b" + data, "compressed by gzip"),
    ],
    ids=["no-password", "utf-16-without-mark", "packed"],
)
def test_a_form_that_cannot_be_read_is_named(fleet: Simulator, tmp_path: Path, form: Form, says: str) -> None:
    files = Files(fleet, tmp_path / "files", form)
    tasks = []
    for kind, (module, options, _called) in ASKED.items():
        given = {
            name: files.named(value) if isinstance(value, str) and (files.directory / value).exists() else value
            for name, value in options.items()
        }
        tasks.append({"name": kind, f"talosops.selinux.{module}": given, "ignore_errors": True, "run_once": True})
    run = playbook.play(fleet, tmp_path / "play", tasks, hosts="worker-1")
    for kind, (_module, _options, called) in ASKED.items():
        told = run.of(kind)["msg"]
        assert called in told and says in told, f"{kind}: {told}"
    assert not [secret for secret in playbook.secrets(fleet.directory) if secret in run.output.encode()]
