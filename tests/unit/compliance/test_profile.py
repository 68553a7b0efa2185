# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Profiles: the built-in ones are frozen, and one that is not understood is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance import profile as profiles
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.profile import ProfileProblem, load_profile
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.errors import PolicyProblem
from ansible_collections.talosops.selinux.plugins.plugin_utils.operator_files import FileProblem

#: What auditors quote. A change here is a change of the profile's version.
FROZEN = {
    "talos-selinux-enforcing": {
        "mode-enforcing": (
            "ComplianceAsCode selinux_state equivalent", "CCE CCE-84079-3 equivalent",
            "SRG SRG-OS-000445-GPOS-00199 equivalent", "STIG RHEL 9 RHEL-09-431010 equivalent",
            "CIS RHEL 9 1.3.1.5 equivalent", "NIST 800-53 AC-3 partial", "NIST 800-53 AC-3(3) partial",
            "NIST 800-53 SC-3 partial", "NIST 800-53 SC-7(21) partial", "NIST 800-53 SC-39 partial",
        ),
        "kernel-argument": (
            "ComplianceAsCode coreos_enable_selinux_kernel_argument equivalent", "CCE CCE-83899-5 equivalent",
            "SRG SRG-APP-000233-CTR-000585 equivalent", "NIST 800-53 AC-3 partial", "NIST 800-53 CM-6 supports",
        ),
        "not-disabled": (
            "ComplianceAsCode selinux_not_disabled equivalent", "CCE CCE-86152-6 equivalent",
            "CIS RHEL 9 1.3.1.4 equivalent", "NIST 800-53 AC-3 partial",
        ),
        "policy-loaded": (
            "ComplianceAsCode selinux_policytype equivalent", "CCE CCE-84074-4 equivalent",
            "SRG SRG-OS-000445-GPOS-00199 equivalent", "STIG RHEL 9 RHEL-09-431015 equivalent",
            "CIS RHEL 9 1.3.1.3 equivalent", "NIST 800-53 AC-3(3) partial",
        ),
        "witnesses-agree": ("NIST 800-53 SI-6 supports",),
        "enforcement-probed": ("NIST 800-53 AC-3(3) partial", "NIST 800-53 SI-6 supports"),
        "audit-complete": ("NIST 800-53 AU-5 supports", "NIST 800-53 AU-9 partial"),
        "no-open-denials": ("NIST 800-53 AC-6 supports",),
        "no-mac-errors": ("NIST 800-53 SI-6 supports",),
        "new-install": ("NIST 800-53 CM-6 supports", "NIST 800-53 SI-7 supports"),
        "not-retired": (),
    },
    "talos-selinux-permissive-observed": {
        "not-disabled": (
            "ComplianceAsCode selinux_not_disabled equivalent", "CCE CCE-86152-6 equivalent",
            "CIS RHEL 9 1.3.1.4 equivalent",
        ),
        "policy-loaded": ("ComplianceAsCode selinux_policytype equivalent", "CCE CCE-84074-4 equivalent"),
        "audit-complete": ("NIST 800-53 AU-5 supports", "NIST 800-53 AU-9 partial"),
        "no-open-denials": ("NIST 800-53 AC-6 supports",),
        "no-mac-errors": ("NIST 800-53 SI-6 supports",),
        "not-retired": (),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", profiles.BUILT_IN)
def test_rule_ids_and_mappings_are_frozen(name):
    found = {
        rule.id: tuple(f"{item['framework']} {item['id']} {item['strength']}" for item in rule.maps)
        for rule in load_profile(name).rules
    }
    assert found == FROZEN[name]


@pytest.mark.parametrize("name", profiles.BUILT_IN)
def test_nothing_claims_a_benchmark_of_kubernetes_and_only_full_answers_claim_more_than_support(name):
    items = [item for rule in load_profile(name).rules for item in rule.maps]
    assert items
    for item in items:
        assert "kubernetes" not in item["framework"].lower()
        assert item["why"].endswith(".")
        if item["id"] in ("AU-5", "AC-6", "CM-6", "SI-6", "SI-7"):
            assert item["strength"] == "supports"


def own(tmp_path, **changes):
    document = {
        "schema": 1,
        "name": "own",
        "version": "1",
        "title": "Own",
        "max_evidence_age": "4h",
        "rules": [
            {
                "id": "a-rule",
                "title": "A rule",
                "severity": "low",
                "assert": "selinux.state == 'enforcing'",
                "found": "{selinux.state}",
                "expected": "enforcing",
                "rationale": "Because.",
                "remedy": "Do it.",
            }
        ],
    }
    rule = changes.pop("rule", None)
    document |= changes
    if rule:
        document["rules"][0] |= rule
    path = tmp_path / "own.yml"
    path.write_text(yaml.safe_dump(document))
    return str(path)


def test_a_profile_of_ones_own_is_loaded(tmp_path):
    loaded = load_profile(own(tmp_path, labels={"system": "S1"}, rule={"labels": {"owner": "me"}}))
    assert (loaded.name, loaded.max_evidence_age, loaded.labels) == ("own", 14400, {"system": "S1"})
    assert loaded.rules[0].labels == {"owner": "me"}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"schema": 2}, "not a mapping of schema 1"),
        ({"more": 1}, "not a mapping of schema 1"),
        ({"rules": []}, "no rules"),
        ({"rules": ["x"]}, "no id"),
        ({"max_evidence_age": "long"}, "max_evidence_age"),
        ({"labels": {"a": 1}}, "labels"),
        ({"rule": {"id": "A B"}}, "no id"),
        ({"rule": {"id": 7}}, "no id"),
        ({"rule": {"id": None}}, "no id"),
        ({"rule": {"severity": "block"}}, "severity"),
        ({"rule": {"expected": ""}}, "expected"),
        ({"rule": {"maps": [{"framework": "X", "id": "1", "strength": "full", "why": "y"}]}}, "strength"),
        ({"rule": {"maps": [{"framework": "X"}]}}, "strength"),
    ],
)
def test_a_profile_that_is_not_understood_is_refused(tmp_path, change, found):
    with pytest.raises(ProfileProblem, match=found):
        load_profile(own(tmp_path, **change))


def test_an_expression_over_a_path_that_no_evidence_has_is_refused(tmp_path):
    with pytest.raises(PolicyProblem, match="did you mean state"):
        load_profile(own(tmp_path, rule={"assert": "selinux.stat == 'enforcing'"}))


def test_a_profile_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FileProblem, match="cannot be read"):
        load_profile(str(tmp_path / "none.yml"))


@pytest.mark.parametrize("text", ["a: [", "schema: 1\nschema: 1", "schema: !x 1"])
def test_a_profile_that_is_no_yaml_is_refused(tmp_path, text):
    (tmp_path / "own.yml").write_text(text)
    with pytest.raises(ProfileProblem, match="it cannot be read: "):
        load_profile(str(tmp_path / "own.yml"))


def test_a_profile_with_two_rules_of_one_id_is_refused(tmp_path):
    rules = yaml.safe_load(Path(own(tmp_path)).read_text())["rules"]
    with pytest.raises(ProfileProblem, match="two of its rules have one id"):
        load_profile(own(tmp_path, rules=rules * 2))
