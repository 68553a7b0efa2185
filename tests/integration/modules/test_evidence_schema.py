# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is collected of nodes of every kind has exactly the fields and types of the schema."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence import schema
from demo.run import SCENARIO
from integration import judging
from simulator import Simulator


def test_collected_documents_have_the_fields_of_the_schema(tmp_path: Path) -> None:
    with Simulator(SCENARIO, tmp_path / "fleet") as sim:
        documents = judging.collect_all(sim, dict.fromkeys(sim.nodes, judging.OPERATOR))
    assert set(documents) == set(sim.nodes)
    for name, document in documents.items():
        assert sorted(set(schema.deviations(document))) == [], name
