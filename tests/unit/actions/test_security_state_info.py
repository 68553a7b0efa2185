# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read of a node, also of a release that does not serve its kernel command line."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.action import security_state_info
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.answers import SecurityState
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import Unsupported

DIFFERS = "SecurityState says permissive, but the kernel command line asks for enforcing"


@pytest.mark.parametrize(
    ("spec", "args", "differs"),
    [
        ({"cmdline": "selinux=1 enforcing=1"}, ["selinux=1", "enforcing=1"], [DIFFERS]),
        ({"cmdline": "selinux=1"}, ["selinux=1"], []),
        ({}, None, []),
        (None, None, []),
    ],
    ids=["differs", "agrees", "does not say", "does not have it"],
)
def test_the_kernel_arguments_are_known_or_not(
    spec: dict[str, str] | None, args: list[str] | None, differs: list[str]
) -> None:
    class Client:
        async def version(self) -> Any:
            return SimpleNamespace(tag="v1.11.0")

        async def security_state(self, version: Any) -> SecurityState:
            assert version.release == (1, 11)
            return SecurityState("permissive", False, "u", "p", True, "disabled", None, {})

        async def get(self, name: str) -> Any:
            assert name == "kernel_cmdline"
            if spec is None:
                raise Unsupported("it has no such resource", "w", "d")
            return SimpleNamespace(spec=spec)

    client: Any = Client()
    nobody: Any = None
    assert asyncio.run(security_state_info._state(client, nobody)) == {
        "selinux": "permissive",
        "talos_version": "v1.11.0",
        "kernel_args": args,
        "disagreements": differs,
        "booted_with_uki": True,
        "secure_boot": False,
        "uki_signing_key_fingerprint": "u",
        "pcr_signing_key_fingerprint": "p",
        "fips_state": "disabled",
        "module_signature_enforced": None,
    }
