# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The simulated Image Factory, asked over HTTP."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from simulator import factory_schematic as schematics
from simulator.factory import Factory
from simulator.factory_auth import FactoryAuth, ImageError

EMPTY = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"
ENFORCING = "224daeedea2a793a0cd003ab8b8cadb4c8a16645d7b485fcfa965c5948be2e18"
ENFORCING_TEXT = "customization:\n    extraKernelArgs:\n        - enforcing=1\n"

# Ids of the real factory: its own test vectors, and well-known ids of the public instance.
REAL_IDS = [
    ("{}", EMPTY),
    ('customization: {"extraKernelArgs": []}', EMPTY),
    ("customization: {extraKernelArgs: [enforcing=1]}", ENFORCING),
    (
        "customization: {extraKernelArgs: [enforcing=0]}",
        "f3e64045833485f033d32e781e5e58d8785ba80cbb41c7657b6b6448401ef208",
    ),
    (
        "customization: {extraKernelArgs: [-selinux, selinux=0]}",
        "8d8ed424906943cec3f8fafce57fef8c394a74292d8f516c56e9f2d155a9b9a0",
    ),
    (
        "customization: {systemExtensions: {officialExtensions: "
        "[siderolabs/iscsi-tools, siderolabs/util-linux-tools]}}",
        "613e1592b2da41ae5e265e8789429f22e121aab91cb4deb6bc3c0b6262961245",
    ),
    (
        '{"customization": {"extraKernelArgs": ["noapic", "nolapic"], "systemExtensions": {}}}',
        "9cba8e32753f91a16c1837ab8abf356af021706ef284aef07380780177d9a06c",
    ),
    (
        '{"customization": {"meta": [{"key": 10, "value": "foo"}], "extraKernelArgs": []}}',
        "d308a2a5ee2277bed5fbaa104fcbc8d59122abfa737df987a95b4ca763459a7f",
    ),
    (
        '{"overlay": {"name": "rpi_generic", "image": "siderolabs/sbc-raspberrypi"}}',
        "ee21ef4a5ef808a9b7484cc0dda0f25075021691c8c09a276591eedb638ea1f9",
    ),
    (
        '{"customization":{"secureboot": {"includeWellKnownCertificates": true}}}',
        "fa8e05f142a851d3ee568eb0a8e5841eaf6b0ebc8df9a63df16ac5ed2c04f3e6",
    ),
    (
        "customization: {diskImage: {sectorSize: 4096}}",
        "92833e9ddd9bb9e11b2464fa5525429f01866306d52ebd882ee08d7918f6d1ea",
    ),
]


@dataclass
class Answer:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Served:
    """A factory served from a loop in a thread of its own, and a client for it."""

    def __init__(self, factory: Factory) -> None:
        self.factory = factory
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        asyncio.run_coroutine_threadsafe(factory.start("127.0.0.1", 0), self.loop).result(10)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.factory.stop(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def ask(self, path: str, *, method: str = "GET", body: str | None = None, timeout: float = 10, **headers: str):
        data = None if body is None else body.encode()
        request = urllib.request.Request(self.factory.url + path, data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return Answer(response.status, response.read(), dict(response.headers))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read(), dict(error.headers))

    def post(self, text: str, **headers: str) -> Answer:
        return self.ask("/schematics", method="POST", body=text, **headers)


@pytest.fixture
def served() -> Iterator[Served]:
    one = Served(Factory())
    yield one
    one.close()


@pytest.mark.parametrize(("text", "identity"), REAL_IDS)
def test_a_posted_schematic_gets_the_id_of_the_real_factory(served: Served, text: str, identity: str) -> None:
    answer = served.post(text)
    assert answer.status == 201
    assert answer.json["id"] == identity
    assert served.ask(f"/schematics/{identity}").body.decode() == answer.json["schematic"]


@pytest.mark.parametrize(
    "text",
    [
        "customization: {extraKernelArg: [enforcing=1]}",
        "customisation: {}",
        "customization: {systemExtensions: {extensions: [a]}}",
        "customization: {extraKernelArgs: enforcing=1}",
        "customization: {meta: [{key: 300, value: a}]}",
        "customization: {bootloader: lilo}",
        "customization: {}\ncustomization: {}",
        "owner: me",
        "[]",
        "",
        "a: b: c",
    ],
)
def test_what_is_no_schematic_is_refused(served: Served, text: str) -> None:
    assert served.post(text).status == 400


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("enforcing=1", "enforcing=1"),
        ("-selinux", "-selinux"),
        ("yes", "'yes'"),
        ("null", '"null"'),
        ("08", '"08"'),
        ("=", "="),
        ("\u00fcber", "\u00fcber"),
        ("1", '"1"'),
        ("", '""'),
        ("0x10", '"0x10"'),
        ("2026-01-01", '"2026-01-01"'),
        ("a: b", "'a: b'"),
        ("@x", "'@x'"),
        ("it's: so", "'it''s: so'"),
        ('dyndbg="file x +p"', 'dyndbg="file x +p"'),
    ],
)
def test_scalars_are_quoted_as_go_yaml_v4_rc6_does(value: str, written: str) -> None:
    parsed = schematics.parse(json.dumps({"customization": {"extraKernelArgs": [value]}}))
    assert schematics.canonical(parsed).splitlines()[-1] == f"        - {written}"


def test_the_empty_schematic_is_known_and_others_are_not(served: Served) -> None:
    assert served.ask(f"/schematics/{EMPTY}").body == b"customization: {}\n"
    assert served.ask(f"/schematics/{ENFORCING}").status == 404
    assert served.ask(f"/image/{ENFORCING}/v1.14.1/cmdline-metal-amd64").status == 404


@pytest.mark.parametrize(
    ("version", "line"),
    [
        (
            "v1.10.1",
            "talos.platform=metal console=tty0 init_on_alloc=1 slab_nomerge pti=on consoleblank=0 "
            "nvme_core.io_timeout=4294967295 printk.devkmsg=on ima_template=ima-ng ima_appraise=fix ima_hash=sha512 "
            "selinux=1 enforcing=1",
        ),
        (
            "v1.11.0",
            "talos.platform=metal console=tty0 init_on_alloc=1 slab_nomerge pti=on consoleblank=0 "
            "nvme_core.io_timeout=4294967295 printk.devkmsg=on selinux=1 enforcing=1",
        ),
        (
            "v1.13.0",
            "talos.platform=metal console=tty0 init_on_alloc=1 slab_nomerge pti=on consoleblank=0 "
            "nvme_core.io_timeout=4294967295 printk.devkmsg=on selinux=1 module.sig_enforce=1 "
            "proc_mem.force_override=never enforcing=1",
        ),
        (
            "v1.14.1",
            "talos.platform=metal console=tty0 slab_nomerge pti=on consoleblank=0 printk.devkmsg=on selinux=1 "
            "module.sig_enforce=1 proc_mem.force_override=never enforcing=1",
        ),
    ],
)
def test_the_command_line_is_the_releases_own_plus_the_schematics(served: Served, version: str, line: str) -> None:
    served.post(ENFORCING_TEXT)
    assert served.ask(f"/image/{ENFORCING}/{version}/cmdline-metal-amd64").body.decode() == line


def test_removal_and_second_values_follow_talos(served: Served) -> None:
    removed = served.post("customization: {extraKernelArgs: [-selinux, selinux=0, -pti=on]}").json["id"]
    line = served.ask(f"/image/{removed}/v1.14.1/cmdline-metal-arm64").body.decode().split()
    assert [argument for argument in line if argument.startswith("selinux")] == ["selinux=0"]
    assert "pti=on" not in line
    # Without the removal the value that counts, the first, stays.
    kept = served.post("customization: {extraKernelArgs: [selinux=0]}").json["id"]
    line = served.ask(f"/image/{kept}/v1.14.1/cmdline-metal-arm64").body.decode().split()
    assert [argument for argument in line if argument.startswith("selinux")] == ["selinux=1", "selinux=0"]


def test_versions_and_extensions(served: Served) -> None:
    assert "v1.14.1" in served.ask("/versions").json
    names = {extension["name"] for extension in served.ask("/version/v1.14.1/extensions/official").json}
    assert "siderolabs/iscsi-tools" in names
    assert served.ask("/version/1.14.1/extensions/official").status == 200
    assert served.ask("/version/v1.99.0/extensions/official").status == 404
    assert served.ask("/version/v1.14.1/overlays/official").json[0]["name"] == "rpi_generic"


def test_other_files_and_pxe(served: Served) -> None:
    assert served.ask(f"/image/{EMPTY}/v1.14.1/metal-amd64.iso").status == 200
    assert served.ask(f"/image/{EMPTY}/v1.14.1/metal-amd64.exe").status == 400
    assert served.ask(f"/image/{EMPTY}/v1.99.0/metal-amd64.iso").status == 404
    assert served.ask(f"/image/{EMPTY}/v1.14.1/cmdline-toaster-amd64").status == 400
    script = served.ask(f"/pxe/{EMPTY}/v1.14.1/metal-amd64").body.decode()
    assert script.startswith("#!ipxe")
    assert f"{served.factory.url}/image/{EMPTY}/v1.14.1/kernel-amd64 talos.platform=metal" in script


def test_manifests_have_a_stable_digest_that_can_be_asked_for(served: Served) -> None:
    served.post(ENFORCING_TEXT)
    path = f"/v2/metal-installer/{ENFORCING}/manifests/"
    head = served.ask(path + "v1.14.1", method="HEAD")
    digest = head.headers["Docker-Content-Digest"]
    assert (head.status, head.body) == (200, b"")
    assert served.ask(path + digest).headers["Docker-Content-Digest"] == digest
    assert served.ask(path + "v1.14.1").headers["Docker-Content-Digest"] == digest
    legacy = served.ask(f"/v2/installer/{ENFORCING}/manifests/v1.14.1")
    assert legacy.status == 200 and legacy.headers["Docker-Content-Digest"] != digest
    newest = served.ask("/versions").json[-1]
    assert served.ask(path + "latest").body == served.ask(path + newest).body
    assert served.ask(path + "v1.99.0").status == 404
    assert served.ask(f"/v2/toaster/{ENFORCING}/manifests/v1.14.1").status == 400
    assert served.ask("/v2/").status == 200


def test_a_node_resolves_the_installer_it_is_given(served: Served) -> None:
    served.post(ENFORCING_TEXT)
    reference = f"{served.factory.host}/metal-installer/{ENFORCING}"
    digest = served.ask(f"/v2/metal-installer/{ENFORCING}/manifests/v1.14.1").headers["Docker-Content-Digest"]
    for suffix in (":v1.14.1", f"@{digest}", f":v1.14.1@{digest}"):
        image = served.factory.resolve_installer(reference + suffix)
        assert (image["schematic"], image["version"], image["text"]) == (ENFORCING, "v1.14.1", ENFORCING_TEXT)
        assert image["kernel_args"][-1] == "enforcing=1" and "selinux=1" in image["kernel_args"]
    plain = served.factory.resolve_installer("ghcr.io/siderolabs/installer:v1.13.2")
    assert plain["schematic"] is None and "enforcing=1" not in plain["kernel_args"]
    for wrong, words in (
        (reference + ":v1.99.0", "Talos version v1.99.0 is not available"),
        (f"{reference}:v1.14.0@{digest}", "the digest does not belong to the tag"),
        (f"{served.factory.host}/metal-installer/{'0' * 64}:v1.14.1", "schematic 0+ not found"),
        (f"{served.factory.host}/toaster-installer/{ENFORCING}:v1.14.1", "invalid image: toaster-installer"),
        ("ghcr.io/siderolabs/installer:v1.14.1", "installer:v1.14.1: not found"),
        ("nonsense", "not an Image Factory installer reference"),
    ):
        with pytest.raises(ImageError, match=words):
            served.factory.resolve_installer(wrong)


def test_extensions_are_part_of_the_image_or_break_its_build(served: Served) -> None:
    text = "customization: {systemExtensions: {officialExtensions: [siderolabs/iscsi-tools]}}"
    identity = served.post(text).json["id"]
    reference = f"{served.factory.host}/metal-installer/{identity}:v1.14.1"
    assert served.factory.resolve_installer(reference)["extensions"] == [{"name": "iscsi-tools", "version": "v0.2.0"}]
    unknown = 'official extension "siderolabs/iscsi-tools" is not available for Talos version v1.14.1'
    for value, status, words in (
        ("siderolabs/iscsi-tools", 400, unknown),
        ({"name": "siderolabs/iscsi-tools", "status": 503}, 503, "internal server error"),
        (True, 400, unknown),
    ):
        served.factory.set_fault("missing_extension", value)
        assert served.ask(f"/v2/metal-installer/{identity}/manifests/v1.14.1", method="HEAD").status == status
        with pytest.raises(ImageError, match=words):
            served.factory.resolve_installer(reference)
    served.factory.clear_fault("missing_extension")
    assert served.ask(f"/v2/metal-installer/{identity}/manifests/v1.14.1", method="HEAD").status == 200


def test_the_faults_of_a_factory_that_lies(served: Served) -> None:
    served.factory.set_fault("wrong_id")
    assert served.post(ENFORCING_TEXT).json["id"] != ENFORCING
    served.factory.clear_fault("wrong_id")
    served.factory.set_fault("lost_schematic")
    assert served.post(ENFORCING_TEXT).json["id"] == ENFORCING
    assert served.ask(f"/schematics/{ENFORCING}").status == 404
    assert served.ask(f"/v2/metal-installer/{ENFORCING}/manifests/v1.14.1").status == 404
    served.factory.clear_fault("lost_schematic")
    cmdline = f"/image/{ENFORCING}/v1.14.1/cmdline-metal-amd64"
    assert b"enforcing=1" in served.ask(cmdline).body
    served.factory.set_fault("wrong_cmdline")
    assert b"enforcing" not in served.ask(cmdline).body
    served.factory.set_fault("wrong_cmdline", "talos.platform=metal enforcing=0")
    assert served.ask(cmdline).body == b"talos.platform=metal enforcing=0"
    served.factory.clear_fault("wrong_cmdline")
    served.factory.set_fault("wrong_installer")
    assert b"enforcing=1" in served.ask(cmdline).body
    installed = served.factory.resolve_installer(f"{served.factory.host}/metal-installer/{ENFORCING}:v1.14.1")
    assert "enforcing=1" not in installed["kernel_args"]
    served.factory.set_fault("digest_changes")
    path = f"/v2/metal-installer/{ENFORCING}/manifests/v1.14.1"
    digests = {served.ask(path, method="HEAD").headers["Docker-Content-Digest"] for _unused in range(3)}
    assert len(digests) == 3


def test_the_faults_of_a_factory_in_trouble(served: Served) -> None:
    served.factory.set_fault("rate_limited", {"times": 2, "after": 7})
    answers = [served.ask("/versions") for _unused in range(3)]
    assert [answer.status for answer in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "7"
    served.factory.set_fault("server_error", 1)
    assert [served.ask("/versions").status for _unused in range(2)] == [500, 200]
    served.factory.set_fault("bad_json", 1)
    with pytest.raises(json.JSONDecodeError):
        _unused = served.ask("/versions").json
    served.factory.set_fault("hang", 1)
    with pytest.raises(TimeoutError):
        served.ask("/versions", timeout=0.3)
    assert served.ask("/versions").status == 200
    with pytest.raises(ValueError, match="no fault"):
        served.factory.set_fault("no_such_fault")


def test_every_request_is_recorded(served: Served) -> None:
    served.post(ENFORCING_TEXT)
    served.ask("/nothing")
    assert [(one.method, one.path, one.status) for one in served.factory.requests] == [
        ("POST", "/schematics", 201),
        ("GET", "/nothing", 404),
    ]
    assert served.factory.requests[0].body == ENFORCING_TEXT


def test_an_enterprise_factory_asks_who_you_are_and_stamps_the_owner() -> None:
    auth = FactoryAuth(users={"alice": "a"}, tokens={"token-of-bob": "bob"}, machine_tokens={"node": "bob"})
    served = Served(Factory(auth=auth))
    try:
        assert served.post(ENFORCING_TEXT).status == 401
        assert served.ask("/versions").status == 200
        alice = {"Authorization": "Basic YWxpY2U6YQ=="}
        bob = {"Authorization": "Bearer token-of-bob"}
        created = served.post(ENFORCING_TEXT, **alice).json
        assert created["schematic"] == "owner: alice\n" + ENFORCING_TEXT
        assert created["id"] != ENFORCING
        assert served.ask(f"/schematics/{created['id']}", **alice).status == 200
        assert served.ask(f"/schematics/{created['id']}", **bob).status == 403
        assert served.ask(f"/schematics/{EMPTY}", **alice).status == 403
        assert served.post("owner: alice\ncustomization: {}", **bob).status == 403
        node = {"Authorization": "Bearer node"}
        mine = served.post(ENFORCING_TEXT, **bob).json["id"]
        assert served.ask(f"/v2/metal-installer/{mine}/manifests/v1.14.1", **node).status == 200
        assert served.ask(f"/schematics/{mine}", **node).status == 403
        assert served.factory.requests[-1].status == 403
    finally:
        served.close()


def test_a_scenario_switches_faults_and_authentication_on() -> None:
    factory = Factory(faults={"wrong_id": True}, auth={"users": {"alice": "a"}}, extensions={})
    assert factory.faults == {"wrong_id": True}
    assert isinstance(factory.auth, FactoryAuth) and factory.auth.users == {"alice": "a"}
    with pytest.raises(ValueError, match="no fault"):
        Factory(faults={"nonsense": True})
