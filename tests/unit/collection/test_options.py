# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of every module: what each is where nobody sets it, of which type, and of which choices."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.talosops.selinux.plugins.plugin_utils.arguments import argument_spec
from expected import require_expected_json

MODULES = sorted(path.stem for path in (Path(__file__).resolve().parents[3] / "plugins" / "modules").glob("*.py"))


def test_the_options_of_every_module() -> None:
    require_expected_json("collection/options.json", {name: argument_spec(name) for name in MODULES})
