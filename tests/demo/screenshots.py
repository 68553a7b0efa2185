# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Screenshots for the docs: `make screenshots`. Needs Debian's chromium."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import compliance_fleets as fleets
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.formats import page
from playwright.sync_api import sync_playwright

_IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
_HISTORY = [
    {
        "generated_at": f"2026-11-{day}T12:00:00Z",
        "counts": {"total": 450, "pass": 180 + 10 * day, "fail": 90 - 3 * day, "unknown": 180 - 7 * day}
        | {"waived": 0, "not_applicable": 0},
    }
    for day in range(16, 22)
]
_WAVES = [
    {"number": 0, "kind": "canary", "nodes": ["node-0003"], "moved": ["node-0003"]},
    {"number": 1, "kind": "workers", "nodes": ["node-0004", "node-0007"], "moved": ["node-0004"]},
]


def main() -> int:
    """Write docs/images/compliance-{light,dark}.png."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("chromium is not installed (Debian: apt-get install chromium)")
        return 1
    before = fleets.report([fleets.subject("node-0001", 1), fleets.subject("node-0002", 2)])
    report = fleets.report(
        fleets.every_state(50, 3),
        fleets.WAIVER,
        history=_HISTORY,
        previous=before,
        waves=_WAVES,
        labels={"ticket": "AUD-7"},
    )
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as play:
        path = Path(scratch) / "report.html"
        path.write_bytes(page.render(report))
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for scheme in ("light", "dark"):
            shown = browser.new_context(color_scheme=scheme, viewport={"width": 1100, "height": 900}).new_page()
            shown.goto(path.as_uri())
            shown.screenshot(path=_IMAGES / f"compliance-{scheme}.png")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
