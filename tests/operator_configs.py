# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machine configurations of each Talos generation, with secrets made up at each run."""

from __future__ import annotations

import base64
import json
import secrets
import string

import quick_yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.facts import facts

SCHEMATIC = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"
ID = "224daeedea2a793a0cd003ab8b8cadb4c8a16645d7b485fcfa965c5948be2e18"
VERSIONS = ("v1.10.9", "v1.11.6", "v1.12.11", "v1.13.9", "v1.14.1")


class Config:
    """One configuration: its ``text``, and every secret ``word`` in it."""

    def __init__(self, version="v1.14.1", kind="controlplane", *, grub_key=None, args=(), unattended=False):
        self.words = []
        minor = int(version.split(".")[1])
        secret = self.secret
        lines = [
            "# generated for the lab, do not edit   # " + secret(),
            "version: v1alpha1 # Indicates the schema used to decode the contents.",
            "debug: false",
            "persist: true",
            "machine:",
            f"    type: {kind} # the role",
            f"    token: {self.token()}",
            "    ca:",
            f"        crt: {self.pem('CERTIFICATE')}",
            f"        key: {self.pem('PRIVATE KEY') if kind == 'controlplane' else chr(34) * 2}",
            "    certSANs: []",
            "    #   # wanted once",
            f"    #   token: {secret()}",
            "    kubelet:",
            "        image: ghcr.io/siderolabs/kubelet:v1.34.1",
            "        extraArgs:",
            f"            some-secret: '{secret()}'",
            "        defaultRuntimeSeccompProfileEnabled: true",
            "    network:",
            *([] if minor >= 12 else ["        hostname: node-1.example.org"]),
            "        interfaces:",
            "            - interface: wg0",
            "              wireguard:",
            f"                  privateKey: {secret()}",
            "                  peers:",
            f'                      - presharedKey: "{secret()}"',
        ]
        if not unattended:
            lines += [
                "    # Used to provide instructions for installations.",
                "    install:",
                "        disk: /dev/sda # The disk used for installations.",
                f'        image: "factory.talos.dev/metal-installer/{SCHEMATIC}:{version}" # old',
                "        wipe: false",
                *([f"        grubUseUKICmdline: {grub_key}"] if grub_key is not None else []),
                *(["        extraKernelArgs:", *(f"            - {arg}" for arg in args), ""] if args else []),
                "        # diskSelector:",
                "        #     size: 4GB",
            ]
        lines += [
            "    files:",
            "        - content: |",
            f"            password = {secret()}",
            "",
            f"            # {secret()}",
            "          permissions: 0o600",
            "          path: /var/etc/x.conf",
            "          op: create",
            f"    env: {{HTTPS_PROXY: 'http://user:{secret()}@proxy.example.org', GRPC: {secret()}}}",
            "    registries:",
            "        config:",
            "            registry.example.org:",
            "                auth:",
            "                    username: robot",
            f"                    password: {secret()}",
            "    sysctls:",
            '        net.core.somaxconn: "65535"',
            "cluster:",
            f"    id: {self.key()}",
            f"    secret: {self.key()}",
            "    controlPlane:",
            "        endpoint: https://10.0.0.2:6443",
            "    clusterName: demo",
            f"    token: {self.token()}",
        ]
        if kind == "controlplane":
            lines += [
                f"    secretboxEncryptionSecret: {self.key()}",
                "    ca:",
                f"        crt: {self.pem('CERTIFICATE')}",
                f"        key: {self.pem('PRIVATE KEY')}",
                "    aggregatorCA:",
                f"        crt: {self.pem('CERTIFICATE')}",
                f"        key: {self.pem('PRIVATE KEY')}",
                "    serviceAccount:",
                f"        key: {self.pem('PRIVATE KEY')}",
                "    etcd:",
                "        ca:",
                f"            crt: {self.pem('CERTIFICATE')}",
                f"            key: {self.pem('PRIVATE KEY')}",
                "    inlineManifests:",
                "        - name: extra",
                "          contents: |-",
                "            apiVersion: v1",
                "            kind: Secret",
                f"            stringData: {{a: {secret()}}}",
            ]
        else:
            lines += ["    ca:", f"        crt: {self.pem('CERTIFICATE')}", '        key: ""']
        if minor >= 12:
            lines += ["---", "apiVersion: v1alpha1", "kind: HostnameConfig", "hostname: node-1"]
            lines += ["---", "apiVersion: v1alpha1", "kind: WireguardConfig", "name: wg1", f"privateKey: {secret()}"]
        lines += [
            "---",
            "apiVersion: v1alpha1",
            "kind: KmsgLogConfig",
            "name: remote",
            f"url: tcp://10.0.0.9:5044/?key={secret()}",
        ]
        if unattended:
            lines += [
                "---",
                "apiVersion: v1alpha1",
                "kind: UnattendedInstallConfig # installs on its own",
                "installer:",
                f"    image: 'factory.talos.dev/metal-installer/{SCHEMATIC}:{version}'",
                "provisioning:",
                "    diskSelector:",
                "        match: disk.size > 10u * GB && !disk.readonly",
                "    wipe: true",
            ]
        self.text = "\n".join(lines) + "\n"

    def secret(self):
        word = base64.b32encode(secrets.token_bytes(20)).decode().lower()
        self.words.append(word)
        return word

    def token(self):
        """A bootstrap token, as kubeadm and Talos write them."""
        letters = string.ascii_lowercase + string.digits
        word = "".join(secrets.choice(letters) for _unused in range(6)) + "."
        word += "".join(secrets.choice(letters) for _unused in range(16))
        self.words.append(word)
        return word

    def key(self):
        """32 bytes in base64."""
        word = base64.b64encode(secrets.token_bytes(32)).decode()
        self.words.append(word)
        return word

    def pem(self, label):
        """The base64 of a PEM block, as the v1alpha1 document holds certificates and keys."""
        body = base64.b64encode(secrets.token_bytes(48)).decode()
        # Split, so that no file of the project holds the marker of a key.
        block = "\n".join(("-----BEGIN " + label + "-----", body, "-----END " + label + "-----", ""))
        word = base64.b64encode(block.encode()).decode()
        self.words += [body, word[40:]]
        return word


def new_image(version):
    """The installer that the tests point configurations to."""
    return f"factory.talos.dev/metal-installer/{ID}:{version}"


def problems_in(text, **about):
    """What is wrong with a configuration; ``about`` as for ``facts``."""
    return facts(text, **about)["problems"]


def load(text):
    """The documents of a configuration that are not empty."""
    return [document for document in quick_yaml.load_all(text) if document is not None]


def assert_hidden(config, *outputs):
    """Not even a part of a secret of the configuration stands in the outputs."""
    shown = "\n".join(output if isinstance(output, str) else json.dumps(output) for output in outputs)
    assert not [word for word in config.words if word[4:20] in shown]
