# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a SecurityState says by what it leaves out, and which ways a client is given."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import client as talos_client
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.client import (
    NodeClient,
    connect,
    connect_maintenance,
    ways_without,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.config import Context
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import (
    ConfigError,
    InvalidAnswer,
    OnlyWay,
    PermissionRefused,
    TalosError,
    Unsupported,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.versions import parse_version

from .peers import Authority

#: What a node of 1.14 leaves nothing out of.
FULL = {
    "selinuxState": "enabled, permissive",
    "secureBoot": False,
    "bootedWithUKI": True,
    "moduleSignatureEnforced": True,
    "fipsState": "disabled",
    "ukiSigningKeyFingerprint": "u",
    "pcrSigningKeyFingerprint": "p",
}


class Node(NodeClient):
    """A node with this SecurityState and this release."""

    def __init__(self, raw: dict[str, Any], release: str = "v1.14.1") -> None:
        self.node, self.raw, self.release, self.asked = "n", raw, release, 0

    async def spec(self, resource: str, id: str | None = None) -> dict[str, Any]:
        assert resource == "security_state"
        return self.raw

    async def talos_version(self) -> Any:
        self.asked += 1
        return parse_version(self.release)


def state(raw: dict[str, Any], release: str = "v1.14.1") -> Any:
    return asyncio.run(Node(raw, release).security_state())


def without(*keys: str, **changed: Any) -> dict[str, Any]:
    return {key: value for key, value in {**FULL, **changed}.items() if key not in keys}


@pytest.mark.parametrize(
    ("raw", "release", "said"),
    [
        (FULL, "v1.14.1", "permissive"),
        (without(selinuxState="enabled, enforcing"), "v1.14.1", "enforcing"),
        (without(selinuxState="disabled"), "v1.14.1", "disabled"),
        (without(selinuxState="disabled"), "v1.10.0", "disabled"),
        (without("selinuxState"), "v1.14.1", "disabled"),
        (without("selinuxState"), "v1.10.0", "disabled"),
        (without("selinuxState"), "v1.9.6", "unsupported"),
        (without("selinuxState"), "v1.0.0", "unsupported"),
    ],
)
def test_the_mode(raw: dict[str, Any], release: str, said: str) -> None:
    assert state(raw, release).selinux == said


@pytest.mark.parametrize("text", ["", "enabled", "enforcing", "enabled, enforcing ", "permissive", None, True])
def test_a_mode_of_other_words_is_no_mode(text: Any) -> None:
    with pytest.raises(InvalidAnswer, match="a SecurityState with selinuxState"):
        state(without(selinuxState=text))


def test_all_that_it_says() -> None:
    found = state(FULL)
    assert (found.secure_boot, found.booted_with_uki, found.module_signature_enforced) == (False, True, True)
    assert (found.fips_state, found.uki_signing_key_fingerprint, found.pcr_signing_key_fingerprint) == (
        "disabled",
        "u",
        "p",
    )
    assert found.raw == FULL


@pytest.mark.parametrize(
    ("key", "attribute", "release", "said"),
    [
        ("bootedWithUKI", "booted_with_uki", "v1.10.0", False),
        ("bootedWithUKI", "booted_with_uki", "v1.9.6", None),
        ("moduleSignatureEnforced", "module_signature_enforced", "v1.12.0", False),
        ("moduleSignatureEnforced", "module_signature_enforced", "v1.11.9", None),
        ("fipsState", "fips_state", "v1.14.1", None),
    ],
)
def test_a_false_is_left_out_by_releases_that_know_it(key: str, attribute: str, release: str, said: Any) -> None:
    assert getattr(state(without(key), release), attribute) is said


def test_the_release_is_asked_for_only_where_something_was_left_out() -> None:
    whole, lacking = Node(FULL), Node(without("bootedWithUKI"))
    asyncio.run(whole.security_state())
    asyncio.run(lacking.security_state())
    assert (whole.asked, lacking.asked) == (0, 1)
    asyncio.run(lacking.security_state(parse_version("v1.14.1")))
    assert lacking.asked == 1


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"secureBoot": "no"}, "without secureBoot"),
        ({"secureBoot": None}, "without secureBoot"),
        ({"bootedWithUKI": "yes"}, "a bootedWithUKI that is not of type bool"),
        ({"fipsState": 1}, "a fipsState that is not of type str"),
        ({"ukiSigningKeyFingerprint": []}, "an? ukiSigningKeyFingerprint that is not of type str"),
    ],
)
def test_what_has_another_type_is_no_answer(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidAnswer, match=told):
        state(without(**changed))


class Waiting(NodeClient):
    """A node that serves its release in another way than most do, or in none that is one."""

    def __init__(self, refusal: TalosError | None, told: Any) -> None:
        self.node, self.refusal, self.told = "n", refusal, told

    async def version(self) -> Any:
        if self.refusal is not None:
            raise self.refusal
        return SimpleNamespace(tag=self.told)

    async def get(self, resource: str, id: str | None = None) -> Any:
        assert resource == "version"
        return SimpleNamespace(type="Versions.runtime.talos.dev", spec=self.told)


REFUSALS = [PermissionRefused("not for you", "w", "d"), Unsupported("not here", "w", "d")]


@pytest.mark.parametrize("refusal", REFUSALS, ids=["refused", "not there"])
@pytest.mark.parametrize(
    ("told", "found"),
    [
        ({"version": "v1.12.3"}, None),
        ({"version": 7}, "a Version resource without a version"),
        ({}, "a Version resource without a version"),
        ("v1.12.3", "is not a mapping"),
        ({"version": "1.x\x1b"}, "answered Version with"),
    ],
)
def test_the_release_of_a_node_that_serves_only_its_resource(refusal: TalosError, told: Any, found: str | None) -> None:
    if found is None:
        assert asyncio.run(Waiting(refusal, told).talos_version()).release == (1, 12)
        return
    with pytest.raises(InvalidAnswer, match=found) as caught:
        asyncio.run(Waiting(refusal, told).talos_version())
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("tag", ["", "latest", "v1"])
def test_a_release_that_is_none_is_no_answer(tag: str) -> None:
    with pytest.raises(InvalidAnswer, match="answered Version with"):
        asyncio.run(Waiting(None, tag).talos_version())


def test_one_of_several_resources_is_asked_for_by_its_id() -> None:
    with pytest.raises(ValueError, match="extension_statuses has no fixed id"):
        asyncio.run(connect(context(), "10.0.0.9").get("extension_statuses"))


def context(*endpoints: str) -> Context:
    made = Authority().context()
    made.endpoints = list(endpoints)
    return made


def ways(client: NodeClient) -> list[tuple[str, str | None]]:
    """The host of each way, and to which it forwards."""
    return [(way.address.host, way.forwarded_to) for way in client._ways]


def test_the_ways_of_each_route() -> None:
    given = context("10.0.0.1", "10.0.0.2")
    assert ways(connect(given, "10.0.0.9")) == [("10.0.0.9", None)]
    through = ways(connect(given, "10.0.0.9", route="endpoint"))
    assert sorted(through) == [("10.0.0.1", "10.0.0.9"), ("10.0.0.2", "10.0.0.9")]
    assert ways(connect(given, "10.0.0.9", route="auto")) == [("10.0.0.9", None), *through]
    # The node is no way around its own trouble.
    assert ways(connect(given, "10.0.0.1", route="endpoint"))[-1][0] == "10.0.0.1"
    assert ways(connect(given, "10.0.0.2", route="endpoint"))[-1][0] == "10.0.0.2"
    first = {ways(connect(given, f"10.0.1.{number}", route="endpoint"))[0][0] for number in range(20)}
    assert first == {"10.0.0.1", "10.0.0.2"}, "all nodes are asked through one endpoint first"


def test_routes_that_do_not_exist() -> None:
    with pytest.raises(ConfigError, match="has no endpoints"):
        connect(context(), "10.0.0.9", route="endpoint")
    assert ways(connect(context(), "10.0.0.9", route="auto")) == [("10.0.0.9", None)]
    with pytest.raises(ValueError, match="is not direct, endpoint or auto"):
        connect(context("10.0.0.1"), "10.0.0.9", route="side")  # type: ignore[arg-type]  # that is the point


def test_a_name_is_verified_at_the_node_and_at_an_endpoint_only_where_that_is_the_route() -> None:
    given = context("10.0.0.1")
    auto = connect(given, "10.0.0.9", route="auto", server_name="name")
    assert [way.diagnosis.server_name for way in auto._ways] == ["name", "10.0.0.1"]
    assert [way.diagnosis.server_name for way in connect(given, "n", route="endpoint", server_name="name")._ways] == [
        "name"
    ]


@pytest.mark.parametrize("node", ["10.0.0.1", "10.0.0.1:50000", "cp.invalid"])
def test_a_node_is_no_way_to_itself(node: str) -> None:
    host = node.partition(":")[0]
    with pytest.raises(OnlyWay, match=f"{host}"):
        ways_without(context(host), node)
    assert ways_without(context(host, "10.0.0.2"), node) == ["10.0.0.2"]
    assert ways_without(context(host), node, ["10.0.0.3", "10.0.0.3", host]) == ["10.0.0.3"]
    with pytest.raises(OnlyWay, match="is through itself"):
        ways_without(context(), node)


def test_two_names_of_one_address_are_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talos_client, "resolve", lambda host, port: {"a": ["10.0.0.1"], "b": ["10.0.0.1"]}[host])
    talos_client._addresses.cache_clear()
    try:
        with pytest.raises(OnlyWay, match="control plane b and its peers is through a"):
            ways_without(context("a"), "b")
    finally:
        talos_client._addresses.cache_clear()


@pytest.mark.parametrize("fingerprint", ["", "x", "AAAA", "not base64 at all"])
def test_a_fingerprint_is_the_base64_of_a_digest(fingerprint: str) -> None:
    with pytest.raises(ConfigError, match="is not a certificate fingerprint"):
        connect_maintenance("10.0.0.9", fingerprints=[fingerprint])


def test_a_machine_in_maintenance_mode_is_pinned_or_trusted_by_name() -> None:
    with pytest.raises(ConfigError, match="no fingerprint is pinned for node"):
        connect_maintenance("10.0.0.9")
    digest = "A" * 43 + "="
    assert ways(connect_maintenance("10.0.0.9", fingerprints=[digest])) == [("10.0.0.9", None)]
    assert ways(connect_maintenance("10.0.0.9", trust_unverified=True)) == [("10.0.0.9", None)]
