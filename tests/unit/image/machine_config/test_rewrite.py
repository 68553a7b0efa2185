# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import json

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.image import references
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config import document
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.document import BOM, ConfigError
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.rewrite import rewrite
from operator_configs import ID, SCHEMATIC, VERSIONS, Config, assert_hidden, load, new_image

ARGS = ("enforcing=1",)


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def loader(request, monkeypatch):
    # Installations without libyaml get the same results.
    monkeypatch.setattr(document, "LOADER", getattr(yaml, request.param))


def same_but(before, after, change):
    expected = copy.deepcopy(load(before))
    change(expected)
    return load(after) == expected


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["controlplane", "worker"])
def test_uki_changes_one_line(version, kind):
    config = Config(version, kind)
    result = rewrite(config.text, new_image(version), boot="uki", schematic_args=ARGS)
    assert result.problems == () and result.changed

    def change(documents):
        documents[0]["machine"]["install"]["image"] = new_image(version)

    assert same_but(config.text, result.text, change)
    # Byte for byte: comments, quotes and order stay.
    assert result.text == config.text.replace(SCHEMATIC, ID)
    assert [line for line in result.diff if line[0] in "+-" and line[:3] not in ("+++", "---")] == [
        f'-        image: "factory.talos.dev/metal-installer/{SCHEMATIC}:{version}" #',
        f'+        image: "{new_image(version)}" #',
    ]
    assert_hidden(config, *result.diff, repr(result))
    again = rewrite(result.text, new_image(version), boot="uki", schematic_args=ARGS)
    assert not again.changed and again.text == result.text and again.diff == ()


@pytest.mark.parametrize("version", [v for v in VERSIONS if v >= "v1.12"])
@pytest.mark.parametrize("key", [None, "false", "true", '"true"'])
@pytest.mark.parametrize("args", [(), ("enforcing=1", "console=ttyS0")])
def test_grub_takes_the_arguments_from_the_schematic(version, key, args):
    config = Config(version, grub_key=key, args=args)
    result = rewrite(config.text, new_image(version), boot="grub", schematic_args=(*ARGS, "console=ttyS0"))
    assert result.problems == ()

    def change(documents):
        install = documents[0]["machine"]["install"]
        install["image"] = new_image(version)
        install["grubUseUKICmdline"] = True
        install.pop("extraKernelArgs", None)

    assert same_but(config.text, result.text, change)
    assert_hidden(config, *result.diff)
    kept = set(config.text.splitlines()) - set(result.text.splitlines())
    assert all("image:" in line or "grubUse" in line or "extraKernel" in line or "- " in line for line in kept)
    assert not rewrite(result.text, new_image(version), boot="grub", schematic_args=ARGS).changed


def test_unattended():
    config = Config("v1.14.1", unattended=True)
    for boot in ("uki", "grub"):
        result = rewrite(config.text, new_image("v1.14.1"), boot=boot, schematic_args=ARGS)
        assert result.text == config.text.replace(SCHEMATIC, ID)
        assert_hidden(config, *result.diff)


UNATTENDED = "---\napiVersion: v1alpha1\nkind: UnattendedInstallConfig\nprovisioning: {diskSelector: {match: 'true'}}\n"


@pytest.mark.parametrize("install", ["{disk: /dev/sda}", "{}", "{wipe: false}", "{image: x.io/y:v1.14.1}", "[]"])
@pytest.mark.parametrize("boot", ["uki", "grub"])
def test_both_forms_of_an_installation_are_refused(install, boot):
    text = f"machine:\n  type: worker\n  install: {install}\n{UNATTENDED}"
    result = rewrite(text, new_image("v1.14.1"), boot=boot, schematic_args=ARGS)
    assert result.text == text and not result.changed
    assert "machine.install stands beside UnattendedInstallConfig" in result.problems[0]


@pytest.mark.parametrize("install", ["", "null", "~"])
def test_a_key_without_a_value_is_no_second_form(install):
    text = f"machine:\n  type: worker\n  install: {install}\n{UNATTENDED}"
    result = rewrite(text, new_image("v1.14.1"), boot="uki", schematic_args=ARGS)
    assert result.problems == ()
    assert load(result.text)[-1]["installer"] == {"image": new_image("v1.14.1")}


@pytest.mark.parametrize("installer", ["", "\ninstaller: {}", "\ninstaller:", "\ninstaller:\n  image: x.io/y:v1"])
def test_the_image_of_an_unattended_installation(installer):
    text = f"machine: {{type: worker}}\n{UNATTENDED.rstrip()}{installer}\n"
    result = rewrite(text, new_image("v1.14.1"), boot="uki", schematic_args=ARGS)
    assert load(result.text)[-1]["installer"] == {"image": new_image("v1.14.1")}
    assert load(result.text)[-1]["provisioning"] == {"diskSelector": {"match": "true"}}


@pytest.mark.parametrize("unattended", [False, True])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_byte_order_mark_stays(unattended, newline):
    config = Config(unattended=unattended)
    text = BOM + config.text.replace("\n", newline)
    result = rewrite(text, new_image("v1.14.1"), boot="uki", schematic_args=ARGS)
    assert result.text == text.replace(SCHEMATIC, ID)
    assert_hidden(config, *result.diff)


@pytest.mark.parametrize(
    "install",
    [
        "install: {disk: /dev/sda}",
        "install: {disk: /dev/sda, extraKernelArgs: [console=ttyS0, enforcing=1]}",
        "install: {extraKernelArgs: [console=ttyS0], disk: /dev/sda, image: x.io/y:v1}",
        'install: {"image": "", "disk": "/dev/sda"}',
        "install:\n        image:\n        disk: /dev/sda",
        "install:\n        disk: /dev/sda\n        image: # nothing yet\n        wipe: true",
        "install:\n        disk: /dev/sda\n        image: ~",
        "install:\n        disk: /dev/sda\n        extraKernelArgs: [console=ttyS0]\n        image: x.io/y:v1",
        "install:\n        extraKernelArgs:\n        - console=ttyS0\n        # a comment\n        disk: /dev/sda",
        "install:\n        disk: /dev/sda\n        extraKernelArgs:\n            - console=ttyS0 # why",
        "install: # here\n\n        # and there\n\n        disk: /dev/sda\n",
        "install:\n        disk: /dev/sda\n        image: 'x.io/\u00e9\U0001f600' # \u00e9",
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("boot", ["uki", "grub"])
def test_odd_ways_to_write_it(install, newline, boot):
    text = f"# caf\u00e9 \U0001f600\nmachine:\n    type: worker\n    {install}\n    token: x # \u00e9\ncluster: {{}}\n"
    text = text.replace("\n", newline)
    result = rewrite(text, new_image("v1.14.1"), boot=boot, schematic_args=(*ARGS, "console=ttyS0"))
    assert result.problems == ()

    def change(documents):
        part = documents[0]["machine"]["install"]
        part["image"] = new_image("v1.14.1")
        if boot == "grub":
            part["grubUseUKICmdline"] = True
            part.pop("extraKernelArgs", None)

    assert same_but(text, result.text, change)
    assert ("# a comment" in result.text) is ("# a comment" in text)
    assert result.text.count("\r\n") == (result.text.count("\n") if newline == "\r\n" else 0)
    assert result.text.endswith(f"    token: x # \u00e9{newline}cluster: {{}}{newline}")


def test_json_is_yaml():
    text = json.dumps({"machine": {"type": "worker", "install": {"disk": "/dev/sda", "extraKernelArgs": ["quiet"]}}})
    result = rewrite(text, new_image("v1.14.1"), boot="grub", schematic_args=(*ARGS, "quiet"))
    assert load(result.text)[0]["machine"]["install"] == {
        "disk": "/dev/sda",
        "image": new_image("v1.14.1"),
        "grubUseUKICmdline": True,
    }


def test_an_alias_that_would_change_something_else_is_refused():
    text = "machine:\n  install: &a\n    disk: /dev/sda\n    image: x.io/y:v1\n  other: *a\n"
    with pytest.raises(ConfigError, match=r"would not leave machine\.other\.image as it must be"):
        rewrite(text, new_image("v1.14.1"), boot="uki", schematic_args=ARGS)
    text = "machine:\n  kubelet: &a {image: x.io/y:v1}\n  install: *a\n"
    with pytest.raises(ConfigError, match=r"would not leave machine\.kubelet\.image as it must be"):
        rewrite(text, new_image("v1.14.1"), boot="uki", schematic_args=ARGS)


def test_a_merge_key_is_resolved():
    text = "machine:\n  time: &a {disk: /dev/sda, wipe: true}\n  install:\n    <<: *a\n    wipe: false\n"
    result = rewrite(text, new_image("v1.14.1"), boot="uki", schematic_args=ARGS)
    assert load(result.text)[0]["machine"]["install"] == {
        "disk": "/dev/sda",
        "wipe": False,
        "image": new_image("v1.14.1"),
    }
    merged = "machine:\n  time: &a {disk: /dev/sda, image: x.io/y:v1}\n  install: {<<: *a}\n"
    with pytest.raises(ConfigError, match="without YAML aliases and merge keys"):
        rewrite(merged, new_image("v1.14.1"), boot="uki", schematic_args=ARGS)


@pytest.mark.parametrize(
    "text",
    [
        "x: &a {install: {disk: /dev/sda}}\nmachine:\n  <<: *a\n  type: worker\n",
        "x: &a {machine: {install: {disk: /dev/sda}}}\n<<: *a\n",
    ],
)
def test_an_install_section_that_is_only_merged_in_is_refused(text):
    with pytest.raises(ConfigError, match=r"would not leave machine\.install as it must be"):
        rewrite(text, new_image("v1.14.1"), boot="uki", schematic_args=ARGS)


@pytest.mark.parametrize("style", ["|", ">"])
def test_an_image_over_several_lines_is_refused(style):
    text = f"machine:\n  install:\n    image: {style}\n      x.io/y:v1\n    disk: /dev/sda\n"
    with pytest.raises(ConfigError, match="the value of image is written over several lines"):
        rewrite(text, new_image("v1.14.1"), boot="uki", schematic_args=ARGS)


@pytest.mark.parametrize("boot", ["uki", "grub"])
def test_a_section_of_nothing_but_arguments_is_refused(boot):
    text = "machine:\n  install:\n    extraKernelArgs: [enforcing=1]\n"
    with pytest.raises(ConfigError, match=r"machine\.install holds nothing but extraKernelArgs"):
        rewrite(text, new_image("v1.14.1"), boot=boot, schematic_args=ARGS)


@pytest.mark.parametrize("args", ["quiet", "{a: b}", "[{a: b}]", "[true]", "[[quiet]]"])
def test_arguments_that_are_no_list_of_words_are_refused(args):
    text = f"machine:\n  install:\n    disk: /dev/sda\n    extraKernelArgs: {args}\n"
    result = rewrite(text, new_image("v1.14.1"), boot="grub", schematic_args=ARGS)
    assert result.problems == ("machine.install.extraKernelArgs is not a list of strings",)
    assert result.text == text and not result.changed


@pytest.mark.parametrize("boot", ["uki", "grub"])
def test_a_section_that_starts_behind_its_mark_keeps_its_column(boot):
    text = "machine:\n  ? install\n  : disk: /dev/sda\n    wipe: true\n"
    result = rewrite(text, new_image("v1.14.1"), boot=boot, schematic_args=ARGS)
    added = f"image: {new_image('v1.14.1')}\n    "
    added = f"{added}grubUseUKICmdline: true\n    " if boot == "grub" else added
    assert load(result.text)[0]["machine"]["install"].keys() >= {"disk", "wipe", "image"}
    assert len(result.text) == len(text) + len(added)


def test_enforcing_only_where_a_uki_ignores_it():
    config = Config(args=("enforcing=1",))
    result = rewrite(config.text, new_image("v1.14.1"), boot="uki")
    assert result.text == config.text and not result.changed
    assert "UKI ignores" in result.problems[0]


def test_whatever_a_uki_ignores_is_refused():
    config = Config(args=("console=ttyS0", "net.ifnames=0 audit=0", "enforcing=1", "talos.config=https://x/?a=hunter2"))
    result = rewrite(config.text, new_image("v1.14.1"), boot="uki", schematic_args=(*ARGS, "console=ttyS0"))
    assert result.text == config.text and not result.changed
    assert result.problems == (
        "a UKI ignores machine.install.extraKernelArgs; add these to the schematic, or take them out: net.ifnames=0, "
        "audit=0, talos.config=https://x/?a=<masked>",
    )
    # What the schematic has as well is not lost, and the way back does not stumble over the argument of the way there.
    both = Config(args=("console=ttyS0", "enforcing=1"))
    for goal, args in (("enforcing", (*ARGS, "console=ttyS0")), ("permissive", ("console=ttyS0",))):
        again = rewrite(both.text, new_image("v1.14.1"), boot="uki", goal=goal, schematic_args=args)
        assert again.problems == () and again.changed


def test_other_argument_problems():
    def problems(config, **options):
        options = {"boot": "grub", "schematic_args": ARGS, **options}
        return rewrite(config.text, new_image(options.get("version", "v1.14.1")), **options).problems

    assert "no enforcing=1" in problems(Config(), schematic_args=())[0]
    assert "has enforcing=1" in problems(Config(), goal="permissive")[0]
    assert problems(Config(), goal="permissive", schematic_args=()) == ()
    lost = problems(Config(args=("console=ttyS0", "audit=0", "enforcing=1", "talos.config=https://x/?a=hunter2")))
    assert lost == (
        "kernel arguments would be lost, add them to the schematic: console=ttyS0, talos.config=https://x/?a=<masked>",
    )
    assert "from Talos 1.12 on only" in problems(Config("v1.11.6"), version="v1.11.6")[0]
    assert problems(Config("v1.12.0"), version="v1.12.0") == ()


@pytest.mark.parametrize(
    "image", ["factory.talos.dev/metal-installer/x:latest", "installer:v1.14.1", "ghcr.io/siderolabs/installer", ""]
)
def test_vague_images_are_refused(image):
    with pytest.raises(references.BadReference, match=r"names no exact release|is not of the form"):
        rewrite(Config().text, image, boot="uki", schematic_args=ARGS)


def test_the_tag_is_the_target_version():
    with pytest.raises(ConfigError, match=r"the installer's tag is v1\.14\.0, not the target version v1\.14\.1"):
        rewrite(Config().text, new_image("v1.14.0"), boot="uki", version="v1.14.1", schematic_args=ARGS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing",
        "- a",
        "word",
        "machine: [",
        "machine: {token: hunter2hunter2, x",
        "machine:\n  token: hunter2hunter2\n bad",
        "machine: {type: worker, type: controlplane, token: hunter2hunter2}",
        "a: 1\n---\nb: 2\n",
        "null: 2",
        "kind: UnattendedInstallConfig\n---\nkind: UnattendedInstallConfig\n",
        "a: \x00",
    ],
)
def test_unreadable_configurations(text):
    with pytest.raises(ConfigError) as caught:
        rewrite(text, new_image("v1.14.1"), boot="uki", schematic_args=ARGS)
    assert "hunter2" not in f"{caught.value} {caught.value.as_dict()}"


def test_a_configuration_that_installs_nothing():
    with pytest.raises(ConfigError, match="neither"):
        rewrite("machine: {type: worker}", new_image("v1.14.1"), boot="uki", schematic_args=ARGS)
