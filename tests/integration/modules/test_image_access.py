# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The schematic module with own factories, mirrored registries, and from one side of an air gap to the other."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from integration import playbook
from simulator import Simulator
from simulator import factory as simulated

REGISTRY = "registry.example.org"
TOKEN, PASSWORD = "enterprise-token-1", "registry-password-1"
IMAGE = {"schematic": "customization: {}", "version": "v1.14.1", "platform": "metal", "arch": "amd64"}


@dataclasses.dataclass(frozen=True)
class Tried:
    """One play over a public and an enterprise factory, and the requests that the enterprise one saw."""

    run: playbook.Run
    public: str
    bundle: Path
    requests: list[Any]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tried]:
    """Run every way to an image."""
    directory = tmp_path_factory.mktemp("access")
    bundle = directory / "bundle"
    own = simulated.Factory(
        auth=simulated.FactoryAuth(users={"alice": PASSWORD}, tokens={TOKEN: "alice"}, machine_tokens={})
    )
    with Simulator({"name": "access", "nodes": {"worker-1": {}, "worker-2": {}}}, directory / "fleet") as sim:
        sim.run(own.start("127.0.0.1", 0))
        try:
            public = {"factory_url": sim.factory_url}
            mirror = {"registry": REGISTRY, "url": own.url, "username": "alice", "password": PASSWORD}
            wrong = {**mirror, "password": "not-it"}
            offline = {"bundle": str(bundle), "factory_url": "https://factory.invalid"}

            def task(name: str, **options: Any) -> dict[str, Any]:
                more = {"check_mode": options.pop("check_mode")} if "check_mode" in options else {}
                arguments = {**IMAGE, "secureboot": False, **options}
                return {"name": name, "talosops.selinux.schematic": arguments, "ignore_errors": True, **more}

            one = [
                task("no credentials", factory_url=own.url),
                task("token", factory_url=own.url, token=TOKEN),
                task("mirror", factory_url=own.url, token=TOKEN, registry=REGISTRY, mirrors=[mirror]),
                task("mirror, wrong password", factory_url=own.url, token=TOKEN, registry=REGISTRY, mirrors=[wrong]),
                task("secureboot", **public, secureboot=True),
                task("aws", **public, platform="aws"),
                task("latest", **public, version="latest"),
                task("saved in check mode", **public, save_bundle=str(directory / "none"), check_mode=True),
                task("both", **public, save_bundle=str(bundle), bundle=str(bundle)),
                task("no bundle", **offline),
            ]
            for step in one:
                step["when"] = "inventory_hostname == 'worker-1'"
            # Both hosts at a time write to one bundle, each its own image.
            arch = "{{ {'worker-1': 'amd64', 'worker-2': 'arm64'}[inventory_hostname] }}"
            both = [
                task("save", **public, save_bundle=str(bundle), arch=arch),
                task("offline", **offline, arch=arch),
            ]
            gap = [
                task("offline, way back", **offline, goal="permissive"),
                task("offline, other registry", **offline, registry="registry.example.net:5000/talos"),
                task("offline, asked", **offline, registry=REGISTRY, mirrors=[mirror]),
                task("offline, mirrored", **offline, registry=REGISTRY, mirrors=[{**mirror, "url": sim.factory_url}]),
            ]
            for step in gap:
                step["when"] = "inventory_hostname == 'worker-1'"
            run = playbook.play(sim, directory / "run", [*one, *both, *gap], arguments=["-vvv"])
            assert sim.writes() == []
            yield Tried(run, sim.factory_url, bundle, list(own.requests))
        finally:
            sim.run(own.stop())


def test_an_enterprise_factory_takes_a_token(tried: Tried) -> None:
    assert tried.run.of("no credentials")["failure"]["kind"] == "unauthorized"
    result = tried.run.of("token")
    assert result["verified"] is True and "owner: alice" in result["schematic"]


def test_a_mirror_has_credentials_of_its_own(tried: Tried) -> None:
    result = tried.run.of("mirror")
    assert result["target"]["installer"].startswith(f"{REGISTRY}/metal-installer/")
    assert result["target"]["installer_digest"] == tried.run.of("token")["target"]["installer_digest"]
    assert tried.run.of("mirror, wrong password")["failure"]["kind"] == "unauthorized"


def test_no_secret_is_shown(tried: Tried) -> None:
    # The play ran with -vvv.
    shown = tried.run.output + json.dumps(tried.run.records) + (tried.bundle / "manifest.json").read_text()
    for secret in (TOKEN, PASSWORD):
        assert secret not in shown


def test_media_of_both_boot_modes_and_other_platforms(tried: Tried) -> None:
    for name, stem, media in (
        ("secureboot", "metal-amd64-secureboot", {"cmdline", "uki", "iso", "pxe", "disk_image"}),
        ("aws", "aws-amd64", {"cmdline", "uki", "disk_image"}),
    ):
        result = tried.run.of(name)
        assert set(result["media"]) == media
        assert all(stem in url and result["id"] in url and "v1.14.1" in url for url in result["media"].values())
    assert "/metal-installer-secureboot/" in tried.run.of("secureboot")["target"]["installer"]
    assert "/aws-installer/" in tried.run.of("aws")["target"]["installer"]
    assert tried.run.of("latest")["failure"]["kind"] == "bad_reference"


def test_a_bundle_goes_over_the_gap(tried: Tried) -> None:
    manifest = json.loads((tried.bundle / "manifest.json").read_text())
    assert sorted(image["arch"] for image in manifest["images"]) == ["amd64", "arm64"]
    assert manifest["factory"] == tried.public
    for host in ("worker-1", "worker-2"):
        online, offline = tried.run.of("save", host), tried.run.of("offline", host)
        assert offline["target"] == online["target"] and offline["cmdline"] == online["cmdline"]
        assert online["changed"] is True and offline["changed"] is False
    assert tried.run.of("saved in check mode")["changed"] is True
    assert not (tried.bundle.parent / "none").exists()
    assert tried.run.of("offline, other registry")["target"]["installer"].startswith("registry.example.net:5000/talos/")
    assert tried.run.of("offline, mirrored")["target"]["installer"].startswith(f"{REGISTRY}/")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("no bundle", "bundle_missing"), ("offline, way back", "not_in_bundle"), ("offline, asked", "not_found")],
)
def test_what_the_bundle_does_not_prove_stops(tried: Tried, name: str, kind: str) -> None:
    assert tried.run.of(name)["failure"]["kind"] == kind


def test_a_bundle_is_not_read_and_written_at_once(tried: Tried) -> None:
    assert "mutually exclusive" in tried.run.of("both")["msg"]
