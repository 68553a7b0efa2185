# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The HTML report in a real browser: complete without script, inert against what a node could say, accessible."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import axe_playwright_python
import compliance_fleets as fleets
import pypdf
import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.formats import page as html
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed")
AXE = next(Path(axe_playwright_python.__file__).parent.rglob("axe.min.js"))
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]
HISTORY = [{"generated_at": "2026-11-21T12:00:00Z", "counts": fleets.report([])["counts"]["results"]}]
#: So many nodes have all that a page may show.
FEW = 12
WAVES = [
    {"number": 0, "kind": "canary", "nodes": ["node-0003"], "moved": ["node-0003"]},
    {"number": 1, "kind": "workers", "nodes": ["node-0004", "node-0005", "node-0006"], "moved": ["node-0004"]},
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield chromium
        chromium.close()


def full(count: int = 50) -> dict[str, Any]:
    """A report that shows every section and every state."""
    before = fleets.report([fleets.subject("node-0001", 1), fleets.subject("node-0002", 2)])
    return fleets.report(fleets.every_state(count, 3), fleets.WAIVER, history=HISTORY, previous=before, waves=WAVES)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_bytes(html.render(full()))
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of few nodes, which has whatever a page of many has."""
    path = tmp_path_factory.mktemp("page") / "small.html"
    path.write_bytes(html.render(full(FEW)))
    return path


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Page:
    """A tab that pages are opened in one after the other, since a new one costs a process."""
    return browser.new_context().new_page()


def opened(browser: Browser, path: Path, **context: Any) -> Page:
    page = browser.new_context(**context).new_page()
    page.goto(path.as_uri())
    return page


def test_few_nodes_have_all_that_many_have(file: Path, small: Path) -> None:
    def kinds(path: Path) -> set[str]:
        """The elements with what they are said to be."""
        return set(re.findall(r"<[a-z0-9]+(?: (?:class|role|scope|type)=[^ >]+)*", path.read_text(encoding="utf-8")))

    assert len(kinds(file)) > 30
    assert kinds(small) == kinds(file)


@pytest.mark.parametrize("script", [True, False])
def test_every_number_is_present_with_and_without_script(browser: Browser, file: Path, script: bool) -> None:
    page = opened(browser, file, java_script_enabled=script)
    text, report = page.locator("#overview").inner_text(), full()
    for kind, counts in (("nodes", "nodes"), ("results", "results"), ("rules", "rules")):
        for name, count in report["counts"][counts].items():
            if name not in ("total", "drift"):
                assert f"{count} {kind}" in text, (kind, name)
    assert page.locator("#details > details").count() == 50
    assert page.locator("[id^=results-] tr").count() == report["counts"]["results"]["total"]


@pytest.mark.parametrize("script", [True, False])
def test_every_count_leads_to_exactly_its_rows(browser: Browser, file: Path, script: bool) -> None:
    page = opened(browser, file, java_script_enabled=script)
    links = [
        (link.get_attribute("href"), int(link.get_attribute("data-count") or "-1"))
        for link in page.locator("a[data-count]").all()
    ]
    assert len(links) >= 15
    for target, count in links:
        page.goto(f"{file.as_uri()}{target}")
        assert page.locator(f"table:has({target}) tbody tr:visible").count() == count, target


@pytest.mark.parametrize("number", range(len(fleets.PAYLOADS)))
def test_a_payload_in_every_field_stays_inert(tab: Page, tmp_path: Path, number: int) -> None:
    payload = fleets.PAYLOADS[number]
    one = fleets.subject(
        payload,
        1,
        node__identity=payload,
        node__uuid=payload,
        node__machine_type=payload,
        selinux__state=payload,
        selinux__disagreements=[payload],
        selinux__pid1_label=payload,
        selinux__kernel_args=[payload],
        talos__version=payload,
        audit__coverage__reasons=[{"id": "F1", "text": payload, "severity": "partial"}],
        audit__coverage__since=payload,
        audit__coverage__holes=[{"stream": payload, "after_serial": payload, "after": payload}],
        audit__denials=[{**fleets.samples.denial(), "signature": payload, "source_type": payload, "class": payload}],
    )
    one.timeline, one.zone, one.unread = [{"at": payload, "what": payload}], payload, payload
    one.proof = {"proven": payload, "reinstall": [{"id": payload, "ok": None}]}
    one.probe_asked = True
    one.probe = {
        "id": payload,
        "outcome": payload,
        "finished_at": "2026-11-22T11:55:00Z",
        "attempts": [],
        "path": payload,
    }
    check = dict.fromkeys(("id", "found", "remedy", "doc"), payload)
    check |= {"severity": "block", "result": "fail"}
    one.verdict = {"decision": payload, "issued_at": payload, "expires_at": payload, "path": payload, "checks": [check]}
    path = tmp_path / "hostile.html"
    waves = [{"number": 1, "kind": payload, "nodes": [payload, "x"], "moved": [payload]}]
    before = fleets.report([fleets.subject(payload, 1)])
    before["nodes"][0]["uuid"] = payload
    report = fleets.report([one], labels={payload: payload}, history=HISTORY, waves=waves, previous=before)
    path.write_bytes(html.render(report))
    asked: list[str] = []
    tab.on("request", note := lambda request: asked.append(request.url))
    tab.goto(path.as_uri())
    assert tab.evaluate("window.pwned") is None
    tab.remove_listener("request", note)
    assert asked == [path.as_uri()]
    assert tab.locator("script").count() == 1
    assert tab.locator("img, iframe, object, [onload], [onerror], [onmouseover]").count() == 0


def test_an_injected_inline_script_does_not_run(browser: Browser, file: Path, tmp_path: Path) -> None:
    hurt = tmp_path / "hurt.html"
    hurt.write_text(
        file.read_text()
        .replace("<main>", "<main><script>window.pwned=1</script><img src=x onerror='window.pwned=1'>", 1)
        .replace("<h1>", "<h1 style='color:red'>", 1)
    )
    page = opened(browser, hurt)
    assert page.evaluate("window.pwned") is None
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).color") != "rgb(255, 0, 0)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("opening", [False, True])
def test_axe_finds_no_violation(browser: Browser, small: Path, scheme: Any, opening: bool) -> None:
    # The test's own script is what the policy of the page is there to stop.
    page = opened(browser, small, color_scheme=scheme, bypass_csp=True)
    if opening:
        page.evaluate("document.querySelectorAll('details').forEach((item) => item.open = true)")
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run().then((result) => result.violations)")
    assert [(item["id"], item["nodes"][0]["html"][:200]) for item in found] == []


def test_sorting_and_filtering_are_all_that_script_adds(browser: Browser, file: Path) -> None:
    page = opened(browser, file)
    page.locator("#results-h + table th button", has_text="Rule").click()
    cells = page.locator("#results-fail tr td:nth-child(2)").all_inner_texts()
    assert cells == sorted(cells)
    page.get_by_label("Show only nodes with").fill("node-0007")
    assert [item.is_visible() for item in page.locator("#details > details").all()].count(True) == 1


def test_the_paper_has_every_node_and_its_last_step(browser: Browser, file: Path) -> None:
    text = " ".join(sheet.extract_text() for sheet in pypdf.PdfReader(io.BytesIO(opened(browser, file).pdf())).pages)
    words = " ".join(text.split())
    for row in full()["nodes"]:
        assert row["node"] in words
    assert words.count("reset done") == 50


def test_a_thousand_nodes_stay_a_page(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "large.html"
    names = [one.name for one in fleets.every_state(1000, 3)]
    waves = [
        {"number": n, "kind": "workers", "nodes": names[n * 20 :][:20], "moved": names[n * 20 :][:9]} for n in range(50)
    ]
    before = fleets.report([fleets.subject("node-0001", 1), fleets.subject("node-0002", 2)])
    fleet = fleets.rolled_out(fleets.every_state(1000, 3))
    data = html.render(fleets.report(fleet, fleets.WAIVER, history=HISTORY, previous=before, waves=waves))
    assert len(data) <= 5_000_000
    path.write_bytes(data)
    page = opened(browser, path)
    assert page.evaluate("document.getElementsByTagName('*').length") <= 90_000, (
        "what a real fleet has more of needs some room below 100,000"
    )
    assert page.locator("#details > details").count() == 1000
