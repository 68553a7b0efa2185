# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils import canonical
from ansible_collections.talosops.selinux.plugins.plugin_utils.image import bundle, errors, references
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.access import Access
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.factory import Factory
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.references import Target
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.resolve import resolve
from simulator import factory as simulated

ENFORCING = "customization:\n    extraKernelArgs:\n        - enforcing=1\n"
PERMISSIVE = "customization: {}\n"
VERSION = "v1.14.1"
METAL = Target(VERSION)


def prepare(factory, directory, texts, targets, goal="enforcing"):
    """A bundle of every schematic for every target, as the factory verifies them."""
    images = [
        factory.verify(text, target.version, target.platform, target.arch, secureboot=target.secureboot, goal=goal)
        for text in texts
        for target in targets
    ]
    bundle.add(directory, factory.access.url, images)


@pytest.fixture
def made(sim, tmp_path):
    prepare(Factory(sim.url), tmp_path, [ENFORCING], [METAL, Target(VERSION, "aws", "arm64")])
    return tmp_path


def reseal(directory, change):
    path = directory / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(canonical.sealed(manifest)))


def test_a_bundle_says_what_the_factory_said(sim, made):
    online = Factory(sim.url).verify(ENFORCING, VERSION)
    sim.requests.clear()
    offline = bundle.verify_offline(made, "customization: {extraKernelArgs: [enforcing=1]}", VERSION)
    assert {key: offline[key] for key in online} == online
    assert offline["bundle"]["factory"] == sim.url
    assert not sim.requests
    again = bundle.verify_offline(made, ENFORCING, VERSION, "aws", "arm64", expected_digest=None)
    assert "/aws-installer/" in again["installer"]
    assert [p.name for p in made.iterdir()] == ["manifest.json"]


def test_a_bundle_grows(sim, made):
    prepare(Factory(sim.url), made, [PERMISSIVE], [METAL], goal="permissive")
    prepare(Factory(sim.url), made, [ENFORCING], [METAL])
    assert len(bundle.load(made)["images"]) == 3
    assert bundle.verify_offline(made, PERMISSIVE, VERSION, goal="permissive")["goal"] == "permissive"
    with pytest.raises(bundle.NotInBundle, match="the bundle has no enforcing image"):
        bundle.verify_offline(made, PERMISSIVE, VERSION)


def test_another_registry_behind_the_air_gap(sim, made):
    found = bundle.verify_offline(made, ENFORCING, VERSION, registry="registry.example.org:5000/talos")
    assert found["pinned"].startswith("registry.example.org:5000/talos/metal-installer/")
    assert found["pinned"].endswith(found["digest"])


def test_a_mirror_that_can_be_asked_has_the_digest_of_the_bundle(sim, made):
    nobody = dict.fromkeys(("username", "password", "token", "ca_path"))
    mirror = {"registry": "registry.example.org", "url": sim.url, **nobody}
    image = {"schematic": ENFORCING, "version": VERSION, "platform": "metal", "arch": "amd64", "secureboot": False}
    where = {"factory_url": "http://127.0.0.1:9", "registry": mirror["registry"], "mirrors": [mirror]}
    params = {**nobody, **where, **image, "goal": "enforcing", "bundle": str(made), "allow_plain_http": True}
    params |= {"save_bundle": None, "expect_digest": None}
    assert resolve(params, None)["target"]["installer"].startswith("registry.example.org/metal-installer/")
    sim.set_fault("digest_changes")
    with pytest.raises(errors.DigestChanged, match="is now sha256"):
        resolve(params, None)


def test_an_owner_of_an_enterprise_factory(start, tmp_path):
    sim = start(auth=simulated.FactoryAuth(users={"alice": "hunter2"}))
    prepare(Factory(Access(sim.url, "alice", "hunter2")), tmp_path, [ENFORCING], [METAL])
    assert "hunter2" not in (tmp_path / "manifest.json").read_text()
    assert bundle.verify_offline(tmp_path, ENFORCING, VERSION)["owner"] == "alice"


@pytest.mark.parametrize(
    ("schematic", "options"),
    [
        ("customization: {extraKernelArgs: [enforcing=1, quiet]}", {}),
        (ENFORCING, {"version": "v1.14.2"}),
        (ENFORCING, {"arch": "arm64"}),
        (ENFORCING, {"secureboot": True}),
        (ENFORCING, {"goal": "permissive"}),
        (ENFORCING, {"expected_digest": "sha256:" + "0" * 64}),
        ("owner: mallory\n" + ENFORCING, {}),
    ],
)
def test_what_is_not_in_the_bundle(made, schematic, options):
    with pytest.raises(bundle.NotInBundle, match=r"the bundle has no |the bundle's installer is sha256"):
        bundle.verify_offline(made, schematic, **{"version": VERSION, **options})


def test_no_bundle(tmp_path):
    with pytest.raises(bundle.MissingBundle, match=r"manifest\.json cannot be read"):
        bundle.verify_offline(tmp_path, ENFORCING, VERSION)
    with pytest.raises(references.BadReference, match="is not an exact Talos version"):
        bundle.verify_offline(tmp_path, ENFORCING, "latest")


@pytest.mark.parametrize(
    "damage",
    [
        *("", "{", "[]", "null", "[" * 100000, '{"schema": 1, "images": [], "sha256": "x"}', "\xff"),
        '{"schema": NaN, "images": [], "sha256": "x"}',
    ],
)
def test_damaged_manifests(made, damage):
    (made / "manifest.json").write_text(damage, encoding="latin-1")
    with pytest.raises(bundle.BundleError) as caught:
        bundle.verify_offline(made, ENFORCING, VERSION)
    assert caught.value.kind == "bundle_broken"


def test_a_manifest_without_end_is_not_read(tmp_path):
    (tmp_path / "manifest.json").touch()
    os.truncate(tmp_path / "manifest.json", 16 * 1024 * 1024 + 1)
    with pytest.raises(bundle.BundleError, match=r"manifest\.json is too large"):
        bundle.load(tmp_path)


def test_a_full_disk_leaves_the_old_bundle_and_nothing_else(tmp_path, monkeypatch):
    bundle.add(tmp_path, "https://factory.example", [])
    before = (tmp_path / "manifest.json").read_bytes()

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(bundle.BundleError, match=r"cannot be written to .* .No space left on device."):
        bundle.add(tmp_path, "https://other.example", [])
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
    assert (tmp_path / "manifest.json").read_bytes() == before


def test_a_changed_byte_breaks_the_seal(made):
    path = made / "manifest.json"
    path.write_text(path.read_text().replace("enforcing=1", "enforcing=0"))
    with pytest.raises(bundle.BundleError, match="hash"):
        bundle.load(made)


@pytest.mark.parametrize(
    ("key", "value", "error", "words"),
    [
        ("id", "0" * 64, bundle.BundleError, "a schematic whose id is another"),
        ("cmdline", "talos.platform=metal selinux=1", errors.WrongCmdline, "enforcing=1 is not in force"),
        ("cmdline", 1, bundle.BundleError, "an image whose description"),
        ("digest", "sha256:0", bundle.BundleError, "a digest that is none"),
        ("installer", "x.example.org/installer:latest", references.BadReference, "names no exact release"),
        (
            "installer",
            f"x.example.org/metal-installer/{'0' * 64}:{VERSION}",
            bundle.BundleError,
            "an installer reference of",
        ),
        ("schematic", PERMISSIVE, bundle.NotInBundle, "has no enforcing image"),
        ("schematic", None, bundle.BundleError, "an image whose description"),
    ],
)
def test_a_resealed_lie_is_found_by_the_checks(made, key, value, error, words):
    def change(manifest):
        for image in manifest["images"]:
            image[key] = value

    reseal(made, change)
    with pytest.raises(error, match=words):
        bundle.verify_offline(made, ENFORCING, VERSION)


def test_another_schema(made):
    reseal(made, lambda manifest: manifest.update(schema=2))
    with pytest.raises(bundle.BundleError, match="schema"):
        bundle.load(made)


def test_a_failed_preparation_leaves_the_old_bundle(sim, made):
    before = (made / "manifest.json").read_bytes()
    sim.set_fault("wrong_cmdline")
    with pytest.raises(errors.WrongCmdline, match="enforcing=1 is not in force"):
        prepare(Factory(sim.url), made, [ENFORCING], [METAL])
    assert (made / "manifest.json").read_bytes() == before


def test_a_directory_that_cannot_be_written(sim, tmp_path):
    image = Factory(sim.url).verify(ENFORCING, VERSION)
    (tmp_path / "file").write_text("")
    with pytest.raises(bundle.BundleError, match="cannot be written"):
        bundle.add(tmp_path / "file", sim.url, [image])


def test_many_write_to_one_bundle_at_a_time(sim, tmp_path):
    image = Factory(sim.url).verify(ENFORCING, VERSION)
    children = []
    for number in range(8):
        child = os.fork()
        if child == 0:
            # A copy of the process, which must not run the rest of the tests.
            try:
                bundle.add(tmp_path, sim.url, [{**image, "id": f"{number:064x}"}])
            except BaseException:
                os._exit(1)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    assert len(bundle.load(tmp_path)["images"]) == 8


def test_a_manifest_is_written_beside_its_place_and_takes_it_in_one_step(tmp_path, monkeypatch):
    path, synced = tmp_path / "manifest.json", []
    path.write_text("old")
    monkeypatch.setattr(
        bundle.os,
        "fsync",
        lambda descriptor: synced.append((Path(f"/proc/self/fd/{descriptor}").readlink(), path.read_text())),
    )
    bundle._write(path, "new")
    ((scratch, before),) = synced
    assert (scratch.parent, scratch.name.startswith(".manifest-"), before) == (tmp_path, True, "old")
    assert (path.read_text(), list(tmp_path.iterdir())) == ("new", [path])
    assert path.stat().st_mode & 0o777 == 0o644
    with pytest.raises(UnicodeEncodeError, match="ascii"):
        bundle._write(path, "\u00e4")
    assert (path.read_text(), list(tmp_path.iterdir())) == ("new", [path])
