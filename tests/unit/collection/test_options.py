# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of every module and role: what each is where nobody sets it, of which type, and of which choices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.arguments import argument_spec
from expected import require_expected_json

ROOT = Path(__file__).resolve().parents[3]
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))


def test_the_options_of_every_module() -> None:
    require_expected_json("collection/options.json", {name: argument_spec(name) for name in MODULES})


def test_the_variables_of_every_role() -> None:
    specs = {path.parts[-3]: _spec(path) for path in sorted((ROOT / "roles").glob("*/meta/argument_specs.yml"))}
    assert set(specs) == {"compliance", "reinstall"}
    require_expected_json("collection/roles.json", specs)


def _spec(path: Path) -> dict[str, Any]:
    """The options of a role; that its defaults are these is tested of all roles."""
    return _options(yaml.safe_load(path.read_text())["argument_specs"]["main"]["options"])


def _options(options: dict[str, Any]) -> dict[str, Any]:
    """Options without what is said of them."""
    found = {name: {key: value for key, value in one.items() if key != "description"} for name, one in options.items()}
    for one in found.values():
        if "options" in one:
            one["options"] = _options(one["options"])
    return found
