# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machine configurations of each Talos generation, with secrets made up at each run."""

from __future__ import annotations

import base64
import secrets

SCHEMATIC = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"
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
            f"    token: {secret()}.{secret()}",
            "    ca:",
            f"        crt: {secret()}",
            f"        key: {secret() if kind == 'controlplane' else chr(34) * 2}",
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
            f"    id: {secret()}=",
            f"    secret: {secret()}=",
            "    controlPlane:",
            "        endpoint: https://10.0.0.2:6443",
            "    clusterName: demo",
            f"    token: {secret()}",
        ]
        if kind == "controlplane":
            lines += [
                f"    secretboxEncryptionSecret: {secret()}",
                "    ca:",
                f"        crt: {secret()}",
                f"        key: {secret()}",
                "    aggregatorCA:",
                f"        crt: {secret()}",
                f"        key: {secret()}",
                "    serviceAccount:",
                f"        key: {secret()}",
                "    etcd:",
                "        ca:",
                f"            crt: {secret()}",
                f"            key: {secret()}",
                "    inlineManifests:",
                "        - name: extra",
                "          contents: |-",
                "            apiVersion: v1",
                "            kind: Secret",
                f"            stringData: {{a: {secret()}}}",
            ]
        else:
            lines += ["    ca:", f"        crt: {secret()}", '        key: ""']
        if minor >= 12:
            lines += ["---", "apiVersion: v1alpha1", "kind: HostnameConfig", "hostname: node-1"]
        lines += [
            "---",
            "apiVersion: v1alpha1",
            "kind: WireguardConfig",
            "name: wg1",
            f"privateKey: {secret()}",
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
