# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is collected of nodes of every kind has exactly the fields and types of the schema, and says what they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from demo.run import SCENARIO
from evidence_shape import deviations
from expected import require_expected_json
from integration import judging
from simulator import Simulator

#: What differs from one fleet to the next: identities, which are numbered, and times and amounts, which are not.
IDENTITY = re.compile(
    r"\b(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?!(.)\1{63})[0-9a-f]{64}|[0-9a-f]{16}|127(?:\.\d+){3}"
    r"|SIM[0-9A-F]+|[0-9A-Za-z]{42,44})\b"
)
AMOUNT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z|\b\d{10}\.\d{3}\b|\A\d{2,}\Z")


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Simulator, dict[str, Any]]]:
    """The demonstration's fleet, and the evidence of each of its nodes."""
    with Simulator(SCENARIO, tmp_path_factory.mktemp("schema") / "fleet") as sim:
        yield sim, judging.collect_all(sim, dict.fromkeys(sim.nodes, judging.OPERATOR))


def comparable(value: Any, known: dict[str, str], key: str = "") -> Any:
    """The same data with a word for everything that differs from one fleet to the next."""
    if key in ("raw", "marks"):
        return f"something under {key}" if value else value
    if isinstance(value, dict):
        return {name: comparable(value[name], known, name) for name in sorted(value)}
    if isinstance(value, list):
        return [comparable(item, known) for item in value]
    if isinstance(value, str):
        named = IDENTITY.sub(lambda found: known.setdefault(found[0], f"<{len(known) + 1}>"), value)
        return AMOUNT.sub("<amount>", named)
    many = isinstance(value, int | float) and not isinstance(value, bool) and value > 9
    return "a number" if many or key == "offset_seconds" else value


def test_collected_documents_have_the_fields_of_the_schema(collected: tuple[Simulator, dict[str, Any]]) -> None:
    sim, documents = collected
    assert set(documents) == set(sim.nodes)
    for name, document in documents.items():
        assert sorted(deviations(document)) == [], name
    document = documents["worker-1"]
    changed = {**document, "node": {**document["node"], "uuid": 7, "colour": "red"}}
    del changed["cluster"]
    assert sorted(deviations(changed)) == [
        "cluster is missing",
        "node.colour is not in the schema",
        "node.uuid. is not of its type",
    ]


# A control plane, one with denials, one with an extension.
@pytest.mark.parametrize("name", ["cp-1", "worker-3", "worker-5"])
def test_a_document_says_what_the_node_is(name: str, collected: tuple[Simulator, dict[str, Any]]) -> None:
    sim, documents = collected
    node, document = sim.nodes[name], documents[name]
    told = [document["node"][key] for key in ("address", "identity")]
    assert told == [node.address, node.node_id]
    assert {document["boot"]["id"], document["kubernetes"]["boot_id"]} == {node.boot_id}
    require_expected_json(f"evidence/{name}.json", comparable(document, {}))
