# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A verdict holds for what it was given for, and for nothing else."""

from __future__ import annotations

import base64
import copy
import datetime as dt
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import canonical_json, sealed, sha256_of
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import signing
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.binding import check_document, recheck
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.errors import SignatureProblem, VerdictRefused
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.policy import Policy
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.verdict import judge
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import MissingLibrary
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from .samples import DELETED, NOW, TARGET, changed, denial, evidence

SECOND = dt.timedelta(seconds=1)


@pytest.fixture
def verdict(strict: Policy) -> dict[str, Any]:
    return judge(evidence(), strict, now=NOW)


def live_of(verdict: dict[str, Any], document: dict[str, Any] | None = None) -> dict[str, Any]:
    """A live node on which the verdict holds."""
    return {
        **copy.deepcopy(verdict["binds"]),
        "node": verdict["node"],
        "evidence": document or evidence(),
        "coverage": "complete",
        "denials": [],
    }


def refused(verdict: dict[str, Any], live: dict[str, Any], now: dt.datetime = NOW, **key: Any) -> VerdictRefused:
    with pytest.raises(VerdictRefused) as caught:
        recheck(verdict, live, now, **key)
    assert caught.value.kind == "verdict_refused"
    assert caught.value.why
    assert caught.value.do
    return caught.value


def test_it_holds_while_nothing_changed(verdict: dict[str, Any]) -> None:
    recheck(verdict, live_of(verdict), NOW)
    end = NOW + dt.timedelta(hours=4)
    recheck(verdict, live_of(verdict), end - SECOND)
    assert "expired" in refused(verdict, live_of(verdict), end).found


@pytest.mark.parametrize(
    "path",
    [
        "node",
        "identity",
        "uuid",
        "boot_id",
        "talos_version",
        "policy_sha256",
        "config_sha256",
        "target.version",
        "target.schematic",
        "target.installer",
        "target.installer_digest",
        "target",
    ],
)
@pytest.mark.parametrize("value", ["another", None, DELETED, 0, False])
def test_any_other_value_refuses_by_its_name(verdict: dict[str, Any], path: str, value: Any) -> None:
    refusal = refused(verdict, changed(live_of(verdict), path, value))
    assert refusal.context["bound"] == ("target.version" if path == "target" else path)


@pytest.mark.parametrize("path", ["identity", "uuid", "talos_version", "policy_sha256", "config_sha256", "boot_id"])
def test_a_verdict_that_is_not_bound_is_refused(verdict: dict[str, Any], path: str) -> None:
    loose = sealed(changed(verdict, f"binds.{path}", None))
    refusal = refused(loose, live_of(verdict))
    assert refusal.context["bound"] == path
    if path != "boot_id":
        # A boot may be told by its time instead.
        assert "not bound to any" in refusal.found


@pytest.mark.parametrize("value", [None, "all", 3])
def test_a_verdict_without_bindings_is_refused(verdict: dict[str, Any], value: Any) -> None:
    assert refused(sealed({**verdict, "binds": value}), live_of(verdict)).context["bound"] == "binds"
    assert refused(sealed(changed(verdict, "binds.target", value)), live_of(verdict)).context["bound"] == "binds"


@pytest.mark.parametrize("path", ["binds.identity", "decision", "node", "expires_at", "checks", "policy.name"])
def test_a_verdict_that_was_changed_is_refused(verdict: dict[str, Any], path: str) -> None:
    assert refused(changed(verdict, path, "x"), live_of(verdict)).context["bound"] == "sha256"


@pytest.mark.parametrize(
    "odd",
    [
        {"checks": "eligible"},
        {"checks": {"result": "pass"}},
        {"checks": [1]},
        {"waived": ["w"]},
        {"waived": 5},
        {"denials": [1]},
        {"denials": {"waived": "a:b:c:d"}},
        {"denials": {"waived": [["a"]]}},
        {"node": None},
        {"node": ["worker-1"]},
    ],
)
def test_a_verdict_of_another_form_is_refused_whoever_sealed_it(verdict: dict[str, Any], odd: dict[str, Any]) -> None:
    assert refused(sealed({**verdict, **odd}), live_of(verdict)).found == (
        "the verdict does not have the form that this gate gives one"
    )


def test_a_verdict_of_another_schema_is_refused(verdict: dict[str, Any]) -> None:
    for schema in (0, 2, "1", None):
        assert refused(sealed({**verdict, "schema": schema}), live_of(verdict)).context["bound"] == "schema"


def test_only_an_eligible_verdict_counts_and_its_checks_must_say_so(strict: Policy, verdict: dict[str, Any]) -> None:
    for change in ({"talos__ready": False}, {"talos__ready": None}):
        other = judge(evidence(**change), strict, now=NOW)
        assert refused(other, live_of(verdict)).context["bound"] == "decision"
        # A resealed lie about the decision is caught by the checks that it still carries.
        assert refused(sealed({**other, "decision": "eligible"}), live_of(verdict)).context["bound"] == "decision"
    assert refused(sealed({**verdict, "decision": "refused"}), live_of(verdict)).context["bound"] == "decision"
    assert refused(sealed({**verdict, "checks": []}), live_of(verdict)).context["bound"] == "decision"


def test_time(verdict: dict[str, Any]) -> None:
    live = live_of(verdict)
    assert refused(verdict, live, NOW + dt.timedelta(hours=4)).context["bound"] == "expires_at"
    assert refused(verdict, live, NOW - SECOND).context["bound"] == "issued_at"
    for broken in ("tomorrow", None, "2026-11-22T16:00:00"):
        for field in ("expires_at", "issued_at"):
            assert refused(sealed({**verdict, field: broken}), live).context["bound"] == "expires_at"


@pytest.fixture
def before_1_14(strict: Policy) -> tuple[dict[str, Any], dict[str, Any]]:
    """A verdict of a release without boot ids, and the live node a quarter of an hour later."""
    document = evidence(boot__id=None)
    verdict = judge(document, strict, now=NOW)
    look = document["boot"]["look"]
    later = {**look, "at": look["at"] + 900, "cpu_seconds": look["cpu_seconds"] + 899, "processes": 812400}
    return verdict, {**live_of(verdict, document), "look": later}


@pytest.mark.parametrize("step", [0, 2, 90, 4379, 36 * 3600, -90, -4379, -36 * 3600])
@pytest.mark.parametrize("marks", [True, False], ids=["ring head read", "ring head gone"])
def test_a_clock_step_between_verdict_and_reset_is_no_reboot(
    step: int, marks: bool, before_1_14: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    verdict, live = before_1_14
    look = {**live["look"], "boot_time": live["look"]["boot_time"] + step, **({} if marks else {"marks": {}})}
    recheck(verdict, {**live, "look": look}, NOW)


@pytest.mark.parametrize("step", [0, 2, -4379])
def test_a_reboot_between_verdict_and_reset_is_another_boot(
    step: int, before_1_14: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    verdict, live = before_1_14
    new = {"cpu_seconds": 61.0, "processes": 400, "context_switches": 9000}
    booted = live["look"]["boot_time"] + step
    for marks in ({}, {"1": "1795348700.148"}):
        live["boot_time"] = "2026-11-22T12:01:00Z"
        found = refused(verdict, {**live, "look": {**live["look"], **new, "boot_time": booted, "marks": marks}})
        assert found.context["bound"] == "boot_time"
        assert found.found == (
            f"the node rebooted: it says now that it booted at {live['boot_time']}; the verdict is for the boot of"
            " 2026-11-18T12:00:00Z"
        )


def test_a_boot_that_nothing_shows_to_be_the_same_is_refused(
    before_1_14: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    verdict, live = before_1_14
    two_stories = {**live["look"], "marks": {"1": "1795003200.148", "2": "5.000"}}
    for look in (None, {}, {"boot_time": 1795003200}, {**live["look"], "processes": 5}, two_stories):
        assert refused(verdict, {**live, "look": look}).found == (
            "it is not known whether this is still the boot that was judged"
        )
    assert refused(verdict, {**live, "boot_id": "appeared"}).context["bound"] == "boot_id"


def test_the_boot_time_is_the_one_that_was_seen(verdict: dict[str, Any]) -> None:
    """Where the boot has an id too: no bound value may be another than the evidence's."""
    assert verdict["binds"]["boot_id"] is not None
    for other in ("2026-11-18T12:00:01Z", None):
        forged = sealed({**verdict, "binds": {**verdict["binds"], "boot_time": other}})
        assert refused(forged, live_of(verdict)).context["bound"] == "boot_time"


def test_the_evidence_is_hashed_again(verdict: dict[str, Any]) -> None:
    live = live_of(verdict)
    altered = {**evidence(), "errors": [{"kind": "x", "source": "y", "found": "z"}]}
    for wrong in (altered, sealed(altered), None, "path", {}):
        assert refused(verdict, {**live, "evidence": wrong}).context["bound"] == "evidence_sha256"
    unsealed = {key: value for key, value in evidence().items() if key != "sha256"}
    assert refused(verdict, {**live, "evidence": unsealed}).context["bound"] == "evidence_sha256"


def test_new_denials_refuse(verdict: dict[str, Any]) -> None:
    live = live_of(verdict)
    refusal = refused(verdict, {**live, "denials": [{"signature": "a_t:b_t:file:read", "count": 1}]})
    assert refusal.context == {"bound": "denials", "denials": ["a_t:b_t:file:read"]}
    for unknown in (None, {}, DELETED):
        assert refused(verdict, changed(live, "denials", unknown)).context["bound"] == "denials"
    hostile = {"signature": "\x1b[2J\n", "count": 1}
    assert str(refused(verdict, {**live, "denials": [hostile]})).isprintable()


@pytest.mark.parametrize("coverage", ["partial", "none", None, DELETED, True])
def test_an_incomplete_live_log_refuses(verdict: dict[str, Any], coverage: Any) -> None:
    assert refused(verdict, changed(live_of(verdict), "coverage", coverage)).context["bound"] == "denials"


def test_what_the_verdict_settled_may_recur(strict: Policy) -> None:
    benign = denial("kernel_t:run_t:file:execute", count=2, known_benign=True)
    document = evidence(audit__denials=[benign], audit__counts__denied=2)
    verdict = judge(document, strict, now=NOW)
    live = live_of(verdict, document)
    recheck(verdict, {**live, "denials": [{**benign, "count": 9}]}, NOW)
    refused(
        verdict, {**live, "denials": [{**benign, "count": 9}, {**benign, "signature": "x", "count": 0, "n": 1}, {}]}
    )


def test_open_denials_of_the_evidence_may_stay_but_not_grow(strict: Policy, verdict: dict[str, Any]) -> None:
    old = denial("a_t:b_t:file:read", count=2)
    other = denial("c_t:d_t:file:read", count=4)
    document = evidence(audit__denials=[other, old], audit__counts__denied=6)
    # Such a verdict exists under a policy that warns about denials only.
    loose = sealed(changed(verdict, "binds.evidence_sha256", document["sha256"]))
    live = live_of(loose, document)
    recheck(loose, {**live, "denials": [old]}, NOW)
    recheck(loose, {**live, "denials": [{**old, "count": 1}, other]}, NOW)
    for count in (3, None, "2", 2.5):
        assert refused(loose, {**live, "denials": [{**old, "count": count}]}).context["bound"] == "denials"


# ---------------------------------------------------------------- signatures


def pem(key: Any) -> tuple[bytes, bytes]:
    """(private, public) in PEM, made for this test."""
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private, public


@pytest.fixture(scope="module")
def keys() -> tuple[bytes, bytes]:
    return pem(ed25519.Ed25519PrivateKey.generate())


def test_a_signed_verdict_holds(verdict: dict[str, Any], keys: tuple[bytes, bytes]) -> None:
    private, public = keys
    signed = signing.sign(verdict, private)
    recheck(signed, live_of(verdict), NOW, required_key=public)
    recheck(signed, live_of(verdict), NOW, required_key=public.decode())
    recheck(signed, live_of(verdict), NOW)
    assert signing.sign(verdict, private.decode()) == signed
    assert set(signed["signature"]) == {"algorithm", "key", "value"}
    assert signed["signature"]["algorithm"] == "ed25519"
    assert len(signed["signature"]["key"]) == 64
    assert {k: v for k, v in signed.items() if k != "signature"} == verdict


def test_anyone_can_verify_the_signature(verdict: dict[str, Any], keys: tuple[bytes, bytes]) -> None:
    signed = signing.sign(verdict, keys[0])
    key = serialization.load_pem_public_key(keys[1])
    assert isinstance(key, ed25519.Ed25519PublicKey)
    key.verify(base64.b64decode(signed["signature"]["value"]), canonical_json(verdict))


def test_unsigned_and_foreign_verdicts_are_refused(verdict: dict[str, Any], keys: tuple[bytes, bytes]) -> None:
    private, public = keys
    other_private, other_public = pem(ed25519.Ed25519PrivateKey.generate())
    live = live_of(verdict)
    assert "not signed" in refused(verdict, live, required_key=public).found
    assert "another key" in refused(signing.sign(verdict, other_private), live, required_key=public).found
    signed = signing.sign(verdict, private)
    assert "another key" in refused(signed, live, required_key=other_public).found
    forged = {**verdict, "signature": {**signing.sign(verdict, other_private)["signature"]}}
    forged["signature"]["key"] = signed["signature"]["key"]
    assert "does not fit" in refused(forged, live, required_key=public).found
    for field, value in (("algorithm", "rsa"), ("algorithm", None), ("key", None)):
        wrong = changed(signed, f"signature.{field}", value)
        assert "another key" in refused(wrong, live, required_key=public).found
    for value in ("", "!", None, "AAAA", signed["signature"]["value"] + "\n!"):
        wrong = changed(signed, "signature.value", value)
        assert refused(wrong, live, required_key=public).context["bound"] == "signature"


def test_a_resealed_verdict_loses_its_signature(verdict: dict[str, Any], keys: tuple[bytes, bytes]) -> None:
    signed = signing.sign(verdict, keys[0])
    moved = changed(signed, "binds.boot_id", "another")
    moved["sha256"] = sha256_of(moved, ("sha256", "signature"))
    live = {**live_of(verdict), "boot_id": "another"}
    recheck(moved, live, NOW)
    assert "does not fit" in refused(moved, live, required_key=keys[1]).found


def test_only_ed25519_keys_are_used(verdict: dict[str, Any], keys: tuple[bytes, bytes]) -> None:
    private, public = pem(ec.generate_private_key(ec.SECP256R1()))
    for wrong in (private, b"", b"text", public):
        with pytest.raises(SignatureProblem, match="private key") as caught:
            signing.sign(verdict, wrong)
        assert caught.value.kind == "signature"
    for wrong in (public, b"", "text", keys[0]):
        with pytest.raises(SignatureProblem, match="public key"):
            signing.verify(signing.sign(verdict, keys[0]), wrong)


def test_a_key_with_a_password(verdict: dict[str, Any]) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    locked = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"open")
    )
    signing.verify(signing.sign(verdict, locked, b"open"), pem(key)[1])
    for wrong in (None, b"shut"):
        with pytest.raises(SignatureProblem, match="or its password is wrong"):
            signing.sign(verdict, locked, wrong)


def test_the_sample_target_is_what_is_bound(verdict: dict[str, Any]) -> None:
    assert verdict["binds"]["target"] == TARGET


def test_without_the_library_the_problem_says_so(verdict: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "serialization", None)
    monkeypatch.setattr(signing, "_IMPORT_ERROR", ImportError("not here"), raising=False)
    for act in (signing.sign, signing.verify):
        with pytest.raises(MissingLibrary, match=r"library cryptography .*not here") as caught:
            act(verdict, b"")
        assert caught.value.context == {"library": "cryptography"}


def test_the_key_of_a_refusal_is_named(verdict: dict[str, Any], keys: tuple[bytes, bytes]) -> None:
    signed = changed(signing.sign(verdict, keys[0]), "signature.key", "f00d")
    assert refused(signed, live_of(verdict), required_key=keys[1]).found == (
        "the verdict is signed with another key (f00d)"
    )


def test_a_waived_denial_may_recur(strict: Policy, verdict: dict[str, Any]) -> None:
    old = denial("a_t:b_t:file:read", count=2)
    document = evidence(audit__denials=[old], audit__counts__denied=2)
    for fate in ("waived", "benign"):
        fates = {"open": [], "waived": [], "benign": [], fate: ["a_t:b_t:file:read"]}
        settled = sealed({**changed(verdict, "binds.evidence_sha256", document["sha256"]), "denials": fates})
        recheck(settled, {**live_of(settled, document), "denials": [{**old, "count": 5}]}, NOW)
        # Other fates settle nothing, and a verdict that tells none settles nothing either.
        for told in ({**fates, fate: []}, {fate: []}, {"open": fates[fate]}, {}, None):
            loose = sealed({**settled, "denials": told})
            assert refused(loose, {**live_of(loose, document), "denials": [{**old, "count": 5}]}).context == {
                "bound": "denials",
                "denials": ["a_t:b_t:file:read"],
            }


def test_what_a_refusal_says(strict: Policy, verdict: dict[str, Any]) -> None:
    live = live_of(verdict)

    def found(change: dict[str, Any], **key: Any) -> str:
        return refused(verdict, {**live, **change}, **key).found

    assert found({"coverage": "partial"}) == "the log read just now is partial, not complete"
    assert found({"coverage": None}) == "the log read just now is of unknown coverage, not complete"
    assert found({"denials": None}) == "the present denials are not known"
    many = [{"signature": f"s{index}", "count": 1} for index in range(7)]
    assert found({"denials": many}) == "there are denials that the evidence does not have: s0, s1, s2, s3, s4"
    assert (
        found({"boot_id": "new"})
        == f"the verdict was given for boot_id {verdict['binds']['boot_id']}, and now it is new"
    )
    assert found({"uuid": None}) == (
        f"the present uuid is not known (the verdict was given for {verdict['binds']['uuid']})"
    )
    assert found({"evidence": None}) == "the evidence behind the verdict cannot be read"
    late = refused(verdict, live, NOW + dt.timedelta(hours=5)).found
    assert late == "the verdict expired at 2026-11-22T16:00:00Z"
    early = refused(verdict, live, NOW - SECOND).found
    assert early == "the verdict was given at 2026-11-22T12:00:00Z, which is in the future"
    other = judge(evidence(talos__ready=False), strict, now=NOW)
    assert refused(other, live).found == "the verdict is refused, not eligible"
    assert refused(sealed({**verdict, "schema": 2}), live).found == "the verdict has schema 2, not 1"
    assert refused({**verdict, "node": "x"}, live).found == (
        "the verdict does not match its own hash: it was changed after it was given"
    )
    unbound = sealed(changed(verdict, "binds.uuid", None))
    assert refused(unbound, live).found == "the verdict is not bound to any uuid"
    assert refused(sealed({**verdict, "binds": None}), live).found == "the verdict is bound to nothing"
    undated = sealed({**verdict, "issued_at": None})
    assert refused(undated, live).found == "the verdict does not say from when to when it holds"


def test_a_verdict_without_checks_and_an_unsealed_evidence_file(verdict: dict[str, Any]) -> None:
    bare = sealed({key: value for key, value in verdict.items() if key != "checks"})
    assert refused(bare, live_of(verdict)).context["bound"] == "decision"
    document = {**evidence(), "sha256": "0" * 64}
    assert refused(verdict, {**live_of(verdict), "evidence": document}).found == (
        "the evidence file does not match its own hash"
    )


AGAIN = "collect new evidence and ask the gate for a new verdict"
BOUND = "a verdict holds only for the node, boot, image and configuration it was given for"


@pytest.mark.parametrize(
    ("change", "live", "bound", "do"),
    [
        ({"schema": 2}, {}, "schema", AGAIN),
        ({"waived": 5}, {}, "sha256", AGAIN),
        ({"decision": "refused"}, {}, "decision", "do what its checks say"),
        ({"issued_at": None}, {}, "expires_at", AGAIN),
        ({"issued_at": "2026-11-22T12:00:01Z"}, {}, "issued_at", "set this machine's clock"),
        ({"expires_at": "2026-11-22T12:00:00Z"}, {}, "expires_at", AGAIN),
        ({"binds": None}, {}, "binds", AGAIN),
        ({}, {"uuid": None}, "uuid", "find out, then retry"),
        ({}, {"uuid": "x"}, "uuid", AGAIN),
        ({}, {"boot_id": None}, "boot_id", "find out, then retry"),
        ({}, {"evidence": None}, "evidence_sha256", "bring the evidence file back"),
        ({}, {"coverage": "none"}, "denials", "find out which records are missing; a denial could be among them"),
        ({}, {"denials": None}, "denials", "read the audit log again"),
        ({}, {"denials": [{"signature": "b"}, {"signature": "a"}, {}]}, "denials", AGAIN),
    ],
)
def test_what_is_to_be_done_about_a_refusal(
    verdict: dict[str, Any], change: dict[str, Any], live: dict[str, Any], bound: str, do: str
) -> None:
    refusal = refused(sealed({**verdict, **change}), {**live_of(verdict), **live})
    assert (refusal.why, refusal.do) == (BOUND, do)
    denials = {"denials": ["None", "a", "b"]} if live.get("denials") else {}
    assert refusal.context == {"bound": bound, **denials}


def test_a_verdict_names_no_node_or_a_target_that_is_not_known(verdict: dict[str, Any]) -> None:
    live = live_of(verdict)
    assert refused(verdict, {**live, "node": None}).found == (
        "the present node is not known (the verdict was given for node-1)"
    )
    loose = sealed(changed(verdict, "binds.target.installer", None))
    assert refused(loose, live).found == "the verdict is not bound to any target.installer"
    assert refused(verdict, {**live, "target": None}).found == (
        "the present target.version is not known (the verdict was given for v1.14.1)"
    )


def test_a_verdict_of_now_whatever_node_it_is_presented_for(verdict: dict[str, Any], keys: tuple[bytes, bytes]) -> None:
    check_document(verdict, NOW, None)
    check_document(
        {key: verdict[key] for key in verdict if key not in ("denials", "waived")}
        | {"sha256": sealed({key: verdict[key] for key in verdict if key not in ("denials", "waived")})["sha256"]},
        NOW,
        None,
    )
    check_document(signing.sign(verdict, keys[0]), NOW, keys[1])
    with pytest.raises(VerdictRefused, match="the verdict is not signed"):
        check_document(verdict, NOW, keys[1])
