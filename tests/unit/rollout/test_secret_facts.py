# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A ledger keeps no secrets, by their names and by what they look like."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.errors import LedgerProblem, SecretRefused


@pytest.mark.parametrize(
    "facts",
    [
        {"token": "x"},
        {"machine_config": "x"},
        {"machineConfig": "x"},
        {"apiKey": "x"},
        {"TALOSCONFIG": "x"},
        {"nested": [{"deep": {"client-key": "x"}}]},
        {"note": "-----BEGIN " + "CERTIFICATE-----"},
        {"note": ["it says LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t"]},
        {"bootstrap_token": 7},
    ],
)
def test_secrets_are_refused_and_not_repeated(ledger, facts):
    with pytest.raises(SecretRefused) as caught:
        ledger.begin("w-1", "verify", **facts)
    assert "CERTIFICATE" not in str(caught.value)
    assert not ledger.path.exists()


def test_hashes_and_names_are_welcome(ledger):
    facts = {
        "config_sha256": "ab",
        "signing_key_fingerprint": "cd",
        "machine_config_path": "x.yaml",
        "schematic": "ef",
        "monkey": "business",
        "count": 3,
        "share": 0.5,
        "list": [None, True],
    }
    assert ledger.begin("w-1", "verify", **facts)["facts"] == facts


def test_only_plain_data(ledger):
    with pytest.raises(LedgerProblem, match="plain JSON"):
        ledger.begin("w-1", "verify", when=datetime(2026, 11, 22, tzinfo=UTC))
