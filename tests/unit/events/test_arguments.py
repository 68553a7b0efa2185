# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One description of the event source's arguments: its documentation, its schema and what it takes agree."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import event_schema
import jsonschema
import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.events.arguments import BadArguments, read_arguments

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTATION = runpy.run_path(str(event_schema.SOURCE))["DOCUMENTATION"]
EXAMPLES = runpy.run_path(str(event_schema.SOURCE))["EXAMPLES"]
SCHEMA = json.loads(event_schema.SCHEMA.read_text())


def test_the_schema_is_what_the_documentation_says() -> None:
    assert event_schema.SCHEMA.read_text() == event_schema.text(), "run `make pages`"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def _valid(arguments: Any) -> bool:
    return jsonschema.Draft202012Validator(SCHEMA).is_valid(arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"state": "s"},
        {"state": "s", "stat": 1},
        {"state": 7},
        {"state": "s", "poll_seconds": 5},
        {"state": "s", "poll_seconds": 0.5},
        {"state": "s", "poll_seconds": True},
        {"state": "s", "poll_seconds": "5"},
        {"state": "s", "in_flight": 1.5},
        {"state": "s", "in_flight": 0},
        {"state": "s", "in_flight": 1},
        {"state": "s", "poll_seconds": 0},
        {"state": "s", "poll_seconds": -1.0},
        {"state": "s", "most_per_signature": -1},
        {"state": "s", "most_per_signature": 0},
        {"state": "s", "route": "any"},
        {"state": "s", "route": "endpoint"},
        {"state": "s", "nodes": [1]},
        {"state": "s", "nodes": ["10.0.0.1"]},
        {"state": "s", "nodes": "10.0.0.1"},
        {"state": "s", "feedback": True},
        {"state": "s", "feedback": 1},
        {"state": "s", "waivers": "w.yml", "talosconfig": "t", "context": "c"},
    ],
)
def test_the_schema_takes_what_the_source_takes(arguments: dict[str, Any]) -> None:
    try:
        read_arguments(arguments, DOCUMENTATION)
    except BadArguments:
        assert not _valid(arguments)
    else:
        assert _valid(arguments)


def test_every_example_is_one_that_it_takes() -> None:
    pages = [EXAMPLES, *(path.read_text() for path in (ROOT / "extensions" / "eda" / "rulebooks").glob("*.yml"))]
    pages += [block.partition("```")[0] for block in (ROOT / "docs" / "events.md").read_text().split("```yaml\n")[1:]]
    found = [
        source["talosops.selinux.denials"]
        for page in pages
        for ruleset in yaml.safe_load(page)
        for source in ruleset.get("sources", ())
    ]
    assert len(found) >= 3
    for arguments in found:
        plain = {key: value for key, value in arguments.items() if "{{" not in str(value)}
        read_arguments({"state": "s", **plain}, DOCUMENTATION)
        assert set(arguments) <= set(SCHEMA["properties"])


def test_what_the_defaults_are_is_what_it_uses() -> None:
    taken = read_arguments({"state": "s"}, DOCUMENTATION)
    defaults = {key: value["default"] for key, value in SCHEMA["properties"].items() if "default" in value}
    assert {key: taken[key] for key in defaults} == defaults
    assert defaults


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_time_without_an_end_is_none(value: float) -> None:
    with pytest.raises(BadArguments, match="poll_seconds is not a number from"):
        read_arguments({"state": "s", "poll_seconds": value}, DOCUMENTATION)
