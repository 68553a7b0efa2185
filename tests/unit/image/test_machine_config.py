# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.image import machine_config as mc
from ansible_collections.talosops.selinux.plugins.plugin_utils.image import references
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from configs import SCHEMATIC, VERSIONS, Config

ID = "224daeedea2a793a0cd003ab8b8cadb4c8a16645d7b485fcfa965c5948be2e18"
ARGS = ("enforcing=1",)


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def loader(request, monkeypatch):
    # Installations without libyaml get the same results.
    monkeypatch.setattr(mc, "_LOADER", getattr(yaml, request.param))


def new_image(version):
    return f"factory.talos.dev/metal-installer/{ID}:{version}"


def load(text):
    return [document for document in yaml.safe_load_all(text) if document is not None]


def same_but(before, after, change):
    expected = copy.deepcopy(load(before))
    change(expected)
    return load(after) == expected


def assert_hidden(config, *outputs):
    shown = "\n".join(output if isinstance(output, str) else json.dumps(output) for output in outputs)
    # Not even a part of a secret.
    assert not [word for word in config.words if word[4:20] in shown]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["controlplane", "worker"])
def test_uki_changes_one_line(version, kind):
    config = Config(version, kind)
    result = mc.rewrite(config.text, new_image(version), boot="uki", schematic_args=ARGS)
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
    again = mc.rewrite(result.text, new_image(version), boot="uki", schematic_args=ARGS)
    assert not again.changed and again.text == result.text and again.diff == ()


@pytest.mark.parametrize("version", [v for v in VERSIONS if v >= "v1.12"])
@pytest.mark.parametrize("key", [None, "false", "true", '"true"'])
@pytest.mark.parametrize("args", [(), ("enforcing=1", "console=ttyS0")])
def test_grub_takes_the_arguments_from_the_schematic(version, key, args):
    config = Config(version, grub_key=key, args=args)
    result = mc.rewrite(config.text, new_image(version), boot="grub", schematic_args=(*ARGS, "console=ttyS0"))
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
    assert not mc.rewrite(result.text, new_image(version), boot="grub", schematic_args=ARGS).changed


def test_unattended():
    config = Config("v1.14.1", unattended=True)
    for boot in ("uki", "grub"):
        result = mc.rewrite(config.text, new_image("v1.14.1"), boot=boot, schematic_args=ARGS)
        assert result.text == config.text.replace(SCHEMATIC, ID)
        assert_hidden(config, *result.diff)
    assert mc.validate(config.text, version="v1.14.1") == []
    assert "UnattendedInstallConfig is not known to Talos v1.13.9" in mc.validate(config.text, version="v1.13.9")


def test_both_generations_in_one_file():
    text = Config("v1.14.1").text + (
        "---\napiVersion: v1alpha1\nkind: UnattendedInstallConfig\nprovisioning: {diskSelector: {match: 'true'}}\n"
    )
    result = mc.rewrite(text, new_image("v1.14.1"), boot="uki", schematic_args=ARGS)
    documents = load(result.text)
    assert documents[0]["machine"]["install"]["image"] == new_image("v1.14.1")
    assert documents[-1]["installer"] == {"image": new_image("v1.14.1")}
    assert list(documents[-1]) == ["installer", "apiVersion", "kind", "provisioning"]


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
    result = mc.rewrite(text, new_image("v1.14.1"), boot=boot, schematic_args=(*ARGS, "console=ttyS0"))
    assert result.problems == ()

    def change(documents):
        part = documents[0]["machine"]["install"]
        part["image"] = new_image("v1.14.1")
        if boot == "grub":
            part["grubUseUKICmdline"] = True
            part.pop("extraKernelArgs", None)

    assert same_but(text, result.text, change)
    assert "# a comment" in result.text or "# a comment" not in text
    assert result.text.count("\r\n") == result.text.count("\n") or newline == "\n"
    assert result.text.endswith(f"    token: x # \u00e9{newline}cluster: {{}}{newline}")


def test_json_is_yaml():
    text = json.dumps({"machine": {"type": "worker", "install": {"disk": "/dev/sda", "extraKernelArgs": ["quiet"]}}})
    result = mc.rewrite(text, new_image("v1.14.1"), boot="grub", schematic_args=(*ARGS, "quiet"))
    assert load(result.text)[0]["machine"]["install"] == {
        "disk": "/dev/sda",
        "image": new_image("v1.14.1"),
        "grubUseUKICmdline": True,
    }


def test_an_alias_that_would_change_something_else_is_refused():
    text = "machine:\n  install: &a\n    disk: /dev/sda\n    image: x.io/y:v1\n  other: *a\n"
    with pytest.raises(mc.ConfigError):
        mc.rewrite(text, new_image("v1.14.1"), boot="uki", schematic_args=ARGS)
    text = "machine:\n  kubelet: &a {image: x.io/y:v1}\n  install: *a\n"
    with pytest.raises(mc.ConfigError):
        mc.rewrite(text, new_image("v1.14.1"), boot="uki", schematic_args=ARGS)


# --- refusals ---------------------------------------------------------------------------------------------------


def test_enforcing_only_where_a_uki_ignores_it():
    config = Config(args=("enforcing=1",))
    result = mc.rewrite(config.text, new_image("v1.14.1"), boot="uki")
    assert result.text == config.text and not result.changed
    assert "UKI ignores" in result.problems[0]


def test_whatever_a_uki_ignores_is_refused():
    config = Config(args=("console=ttyS0", "net.ifnames=0 audit=0", "enforcing=1", "talos.config=https://x/?a=hunter2"))
    result = mc.rewrite(config.text, new_image("v1.14.1"), boot="uki", schematic_args=(*ARGS, "console=ttyS0"))
    assert result.text == config.text and not result.changed
    assert result.problems == (
        "a UKI ignores machine.install.extraKernelArgs; add these to the schematic, or take them out: net.ifnames=0, "
        "audit=0, talos.config=https://x/?a=<masked>",
    )
    # With the other generation GRUB takes the image's arguments too.
    unattended = config.text + (
        "---\napiVersion: v1alpha1\nkind: UnattendedInstallConfig\nprovisioning: {diskSelector: {match: 'true'}}\n"
    )
    problems = mc.rewrite(unattended, new_image("v1.14.1"), boot="grub", schematic_args=ARGS).problems
    assert [problem.partition(" machine.install")[0] for problem in problems] == ["UnattendedInstallConfig ignores"]
    # What the schematic has as well is not lost, and the way back does not stumble over the argument of the way there.
    both = Config(args=("console=ttyS0", "enforcing=1"))
    for goal, args in (("enforcing", (*ARGS, "console=ttyS0")), ("permissive", ("console=ttyS0",))):
        again = mc.rewrite(both.text, new_image("v1.14.1"), boot="uki", goal=goal, schematic_args=args)
        assert again.problems == () and again.changed


def test_other_argument_problems():
    def problems(config, **options):
        options = {"boot": "grub", "schematic_args": ARGS, **options}
        return mc.rewrite(config.text, new_image(options.get("version", "v1.14.1")), **options).problems

    assert "no enforcing=1" in problems(Config(), schematic_args=())[0]
    assert "has enforcing=1" in problems(Config(), goal="permissive")[0]
    assert problems(Config(), goal="permissive", schematic_args=()) == ()
    lost = problems(Config(args=("console=ttyS0", "audit=0", "enforcing=1", "talos.config=https://x/?a=hunter2")))
    assert lost == (
        "kernel arguments would be lost, add them to the schematic: console=ttyS0, talos.config=https://x/?a=<masked>",
    )
    assert "which Talos refuses" in problems(Config(grub_key="true", args=("quiet",)), boot="uki")[0]
    assert "from Talos 1.12 on only" in problems(Config("v1.11.6"), version="v1.11.6")[0]


@pytest.mark.parametrize(
    "image", ["factory.talos.dev/metal-installer/x:latest", "installer:v1.14.1", "ghcr.io/siderolabs/installer", ""]
)
def test_vague_images_are_refused(image):
    with pytest.raises(references.BadReference):
        mc.rewrite(Config().text, image, boot="uki", schematic_args=ARGS)


def test_the_tag_is_the_target_version():
    with pytest.raises(mc.ConfigError):
        mc.rewrite(Config().text, new_image("v1.14.0"), boot="uki", version="v1.14.1", schematic_args=ARGS)


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
    with pytest.raises(mc.ConfigError) as caught:
        mc.rewrite(text, new_image("v1.14.1"), boot="uki", schematic_args=ARGS)
    assert "hunter2" not in f"{caught.value} {caught.value.as_dict()}"
    assert mc.validate(text)
    assert mc.facts(text)["valid"] is False
    with pytest.raises(mc.ConfigError):
        mc.mask(text)


def test_a_configuration_that_installs_nothing():
    with pytest.raises(mc.ConfigError, match="neither"):
        mc.rewrite("machine: {type: worker}", new_image("v1.14.1"), boot="uki", schematic_args=ARGS)


# --- validation and facts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["controlplane", "worker"])
def test_good_configurations(version, kind):
    config = Config(version, kind)
    assert mc.validate(config.text, version=version, machine_type=kind, hostname="node-1") == []
    facts = mc.facts(config.text, version=version)
    assert facts["valid"] is True and facts["problems"] == []
    assert facts["install"] == {
        "kind": "v1alpha1",
        "disk": "/dev/sda",
        "disk_selector": None,
        "image": f"factory.talos.dev/metal-installer/{SCHEMATIC}:{version}",
        "wipe": False,
        "extra_kernel_args": None,
        "grub_use_uki_cmdline": None,
    }
    assert_hidden(config, facts)
    assert mc.machine_type(config.text) == kind
    assert mc.hostname(config.text).startswith("node-1")


def test_facts_of_the_other_generation():
    facts = mc.facts(Config(unattended=True).text)
    assert facts["install"]["kind"] == "unattended"
    assert facts["install"]["disk_selector"] == "disk.size > 10u * GB && !disk.readonly"
    assert facts["install"]["wipe"] is True
    assert mc.facts("machine: {type: worker}")["install"] is None


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("    type: controlplane", "    type: bastion", "machine.type is neither"),
        ("    type: controlplane", "    type: init", "bootstraps a new cluster"),
        ("endpoint: https", "endpint: https", "cluster.controlPlane.endpoint is missing"),
        ("    token:", "    tokn:", "machine.token is missing"),
        ("    serviceAccount:", "    account:", "cluster.serviceAccount.key is missing"),
        ("secretboxEncryptionSecret", "boxSecret", "are both missing"),
        ("    aggregatorCA:", "    otherCA:", "cluster.aggregatorCA.crt is missing"),
        ("        disk: /dev/sda", "        legacyBIOSSupport: true", "neither disk nor diskSelector"),
        (":v1.14.1", ":latest", "names no exact release"),
        (":v1.14.1", ":v1.13.9", "is for v1.13.9, not for the target version v1.14.1"),
        ('        image: "factory', '        imag: "factory', "left to the boot medium"),
        ("    install:", "    installation:", "nothing would be installed"),
        ("    clusterName: demo", "    clusterName: ENC[AES256_GCM,data:x]", "still encrypted by SOPS"),
        ("version: v1alpha1", "$patch: delete", "is not a configuration, but a patch"),
        (
            "        wipe: false",
            "        wipe: false\n        grubUseUKICmdline: true\n        extraKernelArgs: [a]",
            "which Talos refuses",
        ),
    ],
)
def test_what_validation_finds(old, new, expected):
    config = Config()
    assert old in config.text
    problems = mc.validate(config.text.replace(old, new, 1 if "token" in old else -1), version="v1.14.1")
    assert any(expected in problem for problem in problems), problems
    assert_hidden(config, problems)


def test_what_validation_finds_in_workers_and_old_versions():
    worker = Config(kind="worker").text
    assert any(
        "must not be in a worker" in problem
        for problem in mc.validate(worker.replace('        key: ""', "        key: abc"))
    )
    old = Config("v1.11.6", grub_key="true").text
    assert any("not known to Talos v1.11.6" in problem for problem in mc.validate(old, version="v1.11.6"))
    assert any("no v1alpha1 document" in p for p in mc.validate("kind: HostnameConfig\nhostname: a\n"))


def test_a_configuration_of_another_machine():
    text = Config(kind="worker").text
    assert mc.mismatches(text, machine_type="worker", hostname="node-1.example.org") == []
    assert len(mc.mismatches(text, machine_type="controlplane", hostname="node-2")) == 2
    assert mc.mismatches(text) == []
    assert mc.hostname("machine: {}") is None and mc.machine_type("machine: {}") is None


# --- masking ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["controlplane", "worker"])
def test_no_secret_survives_masking(version, kind):
    config = Config(version, kind, args=("siderolink.api=grpc://x?jointoken=hunter2",))
    masked = mc.mask(config.text)
    assert_hidden(config, masked)
    assert "hunter2" not in masked and "generated for the lab" not in masked
    assert "type: " + kind in masked and "clusterName: demo" in masked and "/dev/sda" in masked
    # The structure stays readable.
    assert mc.mask(masked) == masked
    assert [list(document) for document in load(masked)] == [list(document) for document in load(config.text)]


def test_secrets_in_unlikely_places():
    text = (
        'machine:\n  type: &t s3cr3t-value-1\n  other: *t\n  install: {image: "x.io/y:v1", extra: s3cr3t-value-2}\n'
        "  ? s3cr3t-value-3\n  : s3cr3t-value-4\n  list: [s3cr3t-value-5, {a: s3cr3t-value-6}]\n"
        "  folded: >\n    s3cr3t-value-7\n\n    more\n  last: |\n    s3cr3t-value-8"
    )
    masked = mc.mask(text)
    for number in (1, 2, 4, 5, 6, 7, 8):
        assert f"s3cr3t-value-{number}" not in masked
    assert "x.io/y:v1" in masked


def test_a_diff_of_secrets_shows_none():
    before, after = Config(), Config()
    shown = "\n".join(mc.masked_diff(before.text, after.text))
    assert_hidden(before, shown)
    assert_hidden(after, shown)


SECRET = st.text("abcdefghijklmnop", min_size=12, max_size=20).map(lambda word: f"S3CRET{word}T3RCES")
TREE = st.recursive(
    SECRET,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["token", "key", "image", "type", "install", "machine", "name", "x", "content", "disk"]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from(["a", "b", "auth", "env"]), TREE, min_size=1),
    st.sampled_from([None, "'", '"', "|", ">"]),
    st.sampled_from([True, False, None]),
)
def test_whatever_the_shape_no_secret_is_shown(tree, style, flow):
    text = yaml.dump({"machine": {"files": tree}}, default_style=style, default_flow_style=flow, width=40)
    text += "---\n" + yaml.dump({"kind": "RegistryAuthConfig", "spec": tree}, default_flow_style=flow)
    masked = mc.mask(f"# S3CRET\n{text}# S3CRET\n")
    assert "S3CRET" not in masked and "T3RCES" not in masked
    assert [list(document) for document in load(masked)] == [["machine"], ["kind", "spec"]]
