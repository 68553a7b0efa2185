# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what a node runs to a verified image: what is taken from whom, and what is said of the result."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.image import bundle, errors, resolve
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.references import BadReference
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import (
    InvalidAnswer,
    NotFound,
    Unreachable,
    Unsupported,
)

VERSION = "v1.14.1"
CONSOLE = "customization:\n    extraKernelArgs:\n        - console=ttyS0\n"
ENFORCING = CONSOLE + "        - enforcing=1\n"


def params(sim: Any, **changes: Any) -> dict[str, Any]:
    """The options of the module."""
    return {
        **dict.fromkeys(("schematic", "version", "platform", "arch", "secureboot")),
        **dict.fromkeys(("bundle", "save_bundle", "expect_digest", "registry", "username", "password", "token")),
        "ca_path": None,
        "allow_plain_http": False,
        "mirrors": [],
        "goal": "enforcing",
        "factory_url": sim.url,
        **changes,
    }


def found(sim: Any, **changes: Any) -> dict[str, Any]:
    """What a node says that it runs."""
    return {
        "id": sim.put({"customization": {"extraKernelArgs": ["console=ttyS0"]}}),
        "schematic": CONSOLE,
        "version": VERSION,
        "platform": "metal",
        "arch": "amd64",
        "secureboot": False,
        "from_uki": True,
        "cmdline": None,
        **changes,
    }


def test_the_image_of_a_node(sim: Any) -> None:
    present = found(sim)
    result = resolve.resolve(params(sim), present)
    target, media = result.pop("target"), result.pop("media")
    identifier = result["id"]
    assert result.pop("cmdline").split().count("enforcing=1") == 1
    assert result == {
        "present": present["id"],
        "id": identifier,
        "schematic": ENFORCING,
        "added": ["enforcing=1"],
        "removed": [],
        "verified": True,
        "changed": True,
        "diff": result["diff"],
    }
    assert "\n+  - enforcing=1\n" in result["diff"]["prepared"]
    assert result["diff"]["prepared"].endswith("\n")
    assert target == {
        "version": VERSION,
        "schematic": identifier,
        "installer": f"{sim.host}/metal-installer/{identifier}:{VERSION}@{target['installer_digest']}",
        "installer_digest": target["installer_digest"],
        "kernel_args": ["console=ttyS0", "enforcing=1"],
    }
    assert media["iso"] == f"{sim.url}/image/{identifier}/{VERSION}/metal-amd64.iso"
    # It is registered now.
    again = resolve.resolve(params(sim, expect_digest=target["installer_digest"]), present)
    assert (again["changed"], again["id"], again["target"]) == (False, identifier, target)


def test_in_check_mode_nothing_is_registered(sim: Any) -> None:
    present = found(sim)
    before = [one.method for one in sim.requests].count("POST")
    result = resolve.resolve(params(sim), present, check=True)
    assert [one.method for one in sim.requests].count("POST") == before
    assert {key: result[key] for key in ("verified", "target", "cmdline", "media", "changed", "added")} == {
        "verified": False,
        "target": None,
        "cmdline": None,
        "media": None,
        "changed": True,
        "added": ["enforcing=1"],
    }
    resolve.resolve(params(sim), present)
    known = resolve.resolve(params(sim), present, check=True)
    assert (known["verified"], known["changed"]) == (True, False)


def test_in_check_mode_a_schematic_whose_id_only_the_factory_knows_is_not_said_to_be_there(sim: Any) -> None:
    image = {"version": VERSION, "platform": "metal", "arch": "amd64", "secureboot": False}
    text = 'customization: {extraKernelArgs: ["caf\u00e9"]}'
    result = resolve.resolve(params(sim, schematic=text, **image), None, check=True)
    assert (result["id"], result["verified"], result["changed"]) == (None, False, True)
    assert not sim.requests


def test_an_option_wins_over_what_the_node_says(sim: Any) -> None:
    given = params(sim, version="v1.14.0", platform="nocloud", arch="arm64", secureboot=True)
    result = resolve.resolve(given, found(sim))
    assert "/nocloud-installer-secureboot/" in result["target"]["installer"]
    assert (result["target"]["version"], result["present"]) == ("v1.14.0", found(sim)["id"])
    assert result["media"]["iso"].endswith("/v1.14.0/nocloud-arm64-secureboot.iso")
    alone = resolve.resolve({**given, "schematic": CONSOLE}, None)
    assert (alone["present"], alone["target"]) == (None, result["target"])


def test_a_schematic_whose_text_the_node_does_not_tell_is_read_from_the_factory(sim: Any) -> None:
    assert resolve.resolve(params(sim), found(sim, schematic=None))["added"] == ["enforcing=1"]


def test_the_way_back_and_nothing_to_do(sim: Any) -> None:
    enforcing = found(
        sim, schematic=ENFORCING, id=sim.put({"customization": {"extraKernelArgs": ["console=ttyS0", "enforcing=1"]}})
    )
    back = resolve.resolve(params(sim, goal="permissive"), enforcing)
    assert (back["added"], back["removed"]) == ([], ["enforcing=1"])
    same = resolve.resolve(params(sim), enforcing)
    assert (same["added"], same["removed"], same["diff"], same["changed"]) == ([], [], {}, False)


@pytest.mark.parametrize(("here", "of_node"), [(True, True), (False, False)])
def test_what_a_node_runs_says_nothing_about_its_neighbours(here: bool, of_node: bool, sim: Any) -> None:
    given = params(sim, schematic="unknown: 1\n", version=VERSION, platform="metal", arch="amd64", secureboot=False)
    with pytest.raises((errors.SchematicError, BadReference)) as raised:
        resolve.resolve(given, found(sim) if here else None)
    assert raised.value.context["of_node"] is of_node


def test_a_bundle_is_filled_and_read(sim: Any, tmp_path: Any) -> None:
    present, place = found(sim), str(tmp_path / "b")
    online = resolve.resolve(params(sim), present)
    kept = resolve.resolve(params(sim, save_bundle=place), present, check=True)
    assert (kept["changed"], (tmp_path / "b").exists()) == (True, False)
    assert resolve.resolve(params(sim, save_bundle=place), present)["changed"] is True
    sim.requests.clear()
    offline = resolve.resolve(params(sim, bundle=place), present)
    assert sim.requests == []
    assert (offline["changed"], offline["verified"]) == (False, True)
    for key in ("id", "schematic", "target", "cmdline", "media", "present"):
        assert offline[key] == online[key]
    with pytest.raises(bundle.NotInBundle):
        resolve.resolve(params(sim, bundle=place, goal="permissive"), present)
    with pytest.raises(bundle.BundleError):
        resolve.resolve(params(sim, bundle=str(tmp_path / "none")), present)


def test_each_host_has_its_own_credentials() -> None:
    mirror = {"registry": "factory.example", "url": "https://mirror.example", "ca_path": None}
    mirror |= {"username": "mu", "password": "mp", "token": "mt"}
    given = params(
        SimpleNamespace(url="http://factory.example"), username="u", password="p", token="t",
        registry="registry.example", mirrors=[mirror], allow_plain_http=True,
    )  # fmt: skip
    service = resolve.factory_of(given)
    access = service.access
    assert (access.url, access.username, access.password, access.token) == ("http://factory.example", "u", "p", "t")
    assert access.allow_plain_http is True
    assert service.registry == "registry.example"
    there = service.registries.mirrors["factory.example"]
    assert (there.url, there.username, there.password, there.token) == ("https://mirror.example", "mu", "mp", "mt")


def asked(**answers: Any) -> dict[str, Any]:
    """What a node answers, asked for its image."""
    given: dict[str, Any] = {
        "version": SimpleNamespace(tag=VERSION, platform="metal", arch="amd64"),
        "get_image_factory_schematic": SimpleNamespace(spec={"schematicId": "abc"}),
        "list_extension_statuses": [],
        "security_state": SimpleNamespace(secure_boot=True, booted_with_uki=False),
        "get_kernel_cmdline": SimpleNamespace(spec={"cmdline": "a b"}),
        **answers,
    }

    class Client:
        node = "n"

        def __getattr__(self, method: str) -> Any:
            async def call(*args: str) -> Any:
                answer = given["_".join([method, *args])]
                if isinstance(answer, Exception):
                    raise answer
                return answer

            return call

    client: Any = Client()
    return asyncio.run(resolve.present_image(client))


EXTENSION = SimpleNamespace(spec={"metadata": {"name": "schematic", "version": "def", "extraInfo": CONSOLE}})


def test_what_a_node_runs() -> None:
    whole = {
        "id": "abc", "schematic": None, "version": VERSION, "platform": "metal", "arch": "amd64", "secureboot": True,
        "from_uki": False, "cmdline": "a b",
    }  # fmt: skip
    assert asked() == whole
    for gone in (NotFound("f", "w", "d"), Unsupported("f", "w", "d")):
        older = asked(get_image_factory_schematic=gone, list_extension_statuses=[EXTENSION])
        assert older == {**whole, "id": "def", "schematic": CONSOLE}
    assert asked(get_kernel_cmdline=Unsupported("f", "w", "d"))["cmdline"] is None


@pytest.mark.parametrize(
    "answers",
    [
        {"get_image_factory_schematic": NotFound("f", "w", "d")},
        {"version": SimpleNamespace(tag=VERSION, platform=None, arch="amd64")},
    ],
)
def test_what_a_node_does_not_say_is_not_guessed(answers: dict[str, Any]) -> None:
    with pytest.raises(InvalidAnswer, match="does not report which schematic it booted") as raised:
        asked(**answers)
    assert raised.value.node == "n"


@pytest.mark.parametrize("which", ["get_kernel_cmdline", "get_image_factory_schematic"])
def test_a_node_that_does_not_answer_is_no_older_one(which: str) -> None:
    with pytest.raises(Unreachable):
        asked(**{which: Unreachable("f", "w", "d")})


IMAGE = {
    "target": {"version": VERSION, "kernel_args": ["console=ttyS0 quiet"]},
    "cmdline": "a=1 console=ttyS0 quiet enforcing=1",
}


@pytest.mark.parametrize(
    ("version", "cmdline", "from_uki", "words"),
    [
        (VERSION, "a=1 console=ttyS0 quiet", True, None),
        ("v1.14.0", "other", True, None),
        (VERSION, None, True, "does not report its kernel command line"),
        (VERSION, "a=1 console=ttyS0 quiet b=2", True, "it has nothing more where the node has b=2"),
        (VERSION, "console=ttyS0 quiet", True, "it has a=1 where the node has nothing"),
        # With GRUB the machine configuration may have given some, and the schematic none.
        (VERSION, "a=1 b=2", False, None),
        (VERSION, "b=2", False, "it has a=1 where"),
        (VERSION, "a=1", None, None),
    ],
)
def test_an_image_boots_as_the_node_does_but_for_selinux(
    version: str, cmdline: str | None, from_uki: bool | None, words: str | None
) -> None:
    present = {"version": version, "cmdline": cmdline, "from_uki": from_uki}
    if words is None:
        assert resolve.require_same_command_line(present, IMAGE) is None  # type: ignore[func-returns-value]  # that it returns is what is tested
        return
    with pytest.raises(errors.WrongCmdline, match=words) as raised:
        resolve.require_same_command_line(present, IMAGE)
    assert raised.value.context["of_node"] is True


def test_an_image_that_was_not_verified_cannot_be_compared() -> None:
    present = {"version": VERSION, "cmdline": None, "from_uki": True}
    assert resolve.require_same_command_line(present, {"target": None}) is None  # type: ignore[func-returns-value]  # that it returns is what is tested
