# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config import difference
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.difference import (
    NotUnderstood,
    differences,
)
from dry_runs import dry_runs

IMAGE = ("v1alpha1 machine.install.image", "UnattendedInstallConfig installer.image")
RUNS = {f"{run.version} {run.name}": run for run in dry_runs()}
DIFFERING = [name for name, run in RUNS.items() if not run.answer.rstrip().endswith("No changes.")]
EXPECTED = {
    "v1.10 installer-image-controlplane": {IMAGE[0]},
    "v1.10 installer-image-worker": {IMAGE[0]},
    "v1.10 host-name": {"v1alpha1 machine.network.hostname"},
    "v1.12 installer-image-controlplane": {IMAGE[0]},
    "v1.12 whole-other-cluster": {
        *(f"v1alpha1 cluster.{key}" for key in ("ca.crt", "id", "secret", "token")),
        "v1alpha1 machine.ca.crt",
        "v1alpha1 machine.token",
    },
    "v1.13 installer-image-worker": {IMAGE[0]},
    "v1.13 cluster-authority": {"v1alpha1 cluster.ca.crt", "v1alpha1 cluster.ca.key"},
    "v1.14 installer-image-controlplane": {IMAGE[1]},
    "v1.14 installer-image-worker": {IMAGE[1]},
    "v1.14 documents-in-another-order": {"HostnameConfig"},
    "v1.14 image-and-host-name": {"HostnameConfig auto", "HostnameConfig hostname", IMAGE[1]},
    "v1.14 token-is-a-reference": {"v1alpha1 machine.token"},
    "v1.14 token-is-vaulted": {"v1alpha1 machine.token"},
    "v1.14 cluster-id-of-another": {"DiscoveryIdentityConfig clusterID"},
    "v1.14 kubernetes-key": {"KubeAPIServerCAConfig issuingCA.key"},
    "v1.14 service-account-key": {"KubeServiceAccountConfig issuer.privateKey"},
    "v1.14 machine-authority": {"v1alpha1 machine.ca.crt", "v1alpha1 machine.ca.key"},
    "v1.14 wipe": {"UnattendedInstallConfig provisioning.wipe"},
    "v1.14 two-changes-far-apart": {"KubeCoreDNSConfig enabled", "v1alpha1 machine.certSANs.[]"},
    "v1.14 document-added-at-the-end": {"KmsgLogConfig/remote"},
    "v1.14 document-removed": {"FilesystemTrimConfig"},
    "v1.14 values-like-diff-lines": {IMAGE[1], *(f"v1alpha1 machine.sysctls.a.{key}" for key in "bcde")},
    "v1.14 value-of-several-lines": {
        f"v1alpha1 machine.files.[].{key}" for key in ("content", "op", "path", "permissions")
    },
    "v1.14 text-beyond-ascii": {"KubeNodeConfig annotations.note"},
    "v1.14 without-final-line-break": {IMAGE[1]},
    "v1.14 older-form-installer-image": {IMAGE[0]},
    "v1.14 older-form-host-name": {"v1alpha1 machine.network.hostname"},
}


def diff_of(name):
    return RUNS[name].answer.split("Config diff:\n\n", 1)[1]


def found_in(name, diff=None):
    return differences(diff_of(name) if diff is None else diff, RUNS[name].sent.decode())


def place(difference):
    return f"{difference.document} {difference.path}".strip()


def test_most_recorded_answers_are_diffs():
    assert len(DIFFERING) > 30
    assert set(EXPECTED) <= set(DIFFERING)


@pytest.mark.parametrize("name", DIFFERING)
def test_every_difference_of_a_real_answer_is_placed(name):
    found = found_in(name)
    assert name not in EXPECTED or {place(one) for one in found} == EXPECTED[name]
    # Each changed line of the diff is in one of the values, opens a level, parts two documents, or is merely moved.
    values = "\n".join(value for one in found for value in (*one.removed, *one.added))
    changed = [line[1:].strip() for line in diff_of(name).splitlines()[2:] if line[:1] in ("+", "-")]
    words = [line.lstrip("- ").split(": ", 1)[-1].strip("'|- " + '"') for line in changed if line[-1:] not in ":-}]"]
    assert changed
    # The escapes of a quoted value are not looked into.
    assert not [word for word in words if word.partition("\\")[0] not in values and not all(one.moved for one in found)]


@pytest.mark.parametrize("name", DIFFERING)
def test_no_secret_is_shown(name):
    placed = [one for one in found_in(name) if one.path]
    assert placed or all(one.document for one in found_in(name))
    for one in placed:
        hidden = [value for value in (*one.removed, *one.added) if not one.show and len(value) > 5]
        assert not [value for value in hidden if value in str(one).split(": ", 1)[1]], place(one)
        assert "removed=" not in repr(one) and "added=" not in repr(one)


@pytest.mark.parametrize("role", ["file-of-a-worker", "file-of-a-control-plane"])
def test_another_role(role):
    places = {place(one) for one in found_in(f"v1.14 {role}")}
    assert {"v1alpha1 machine.type", "v1alpha1 machine.ca.key", "KubeSchedulerConfig"} <= places


def test_values_that_change_in_both_directions_of_one_place():
    one = next(one for one in found_in("v1.14 wipe") if one.path == "provisioning.wipe")
    assert (one.removed, one.added, one.moved, str(one)) == (
        ("false",),
        ("true",),
        False,
        "UnattendedInstallConfig provisioning.wipe: false -> true",
    )


def test_carriage_returns_and_colours_change_nothing():
    name = "v1.14 image-and-host-name"
    diff = diff_of(name)
    assert found_in(name, diff.replace("\n", "\r\n")) == found_in(name)
    coloured = "\n".join(f"\x1b[31m{line}\x1b[0m" if line.startswith("-") else line for line in diff.split("\n"))
    assert coloured != diff and found_in(name, coloured) == found_in(name)
    assert found_in(name, diff.rstrip("\n")) == found_in(name)
    marker = "\\ No newline at end of file\n"
    assert found_in(name, diff + marker) == found_in(name)
    assert diff.count("\n+") > 1 and found_in(name, diff.replace("\n+ ", f"\n{marker}+ ")) == found_in(name)


def test_a_key_that_only_the_node_has_and_that_holds_nothing_is_a_difference():
    diff = "--- a\n+++ b\n@@ -1,3 +1,2 @@\n machine:\n     type: worker\n-    kubelet:\n"
    (one,) = differences(diff, "machine:\n    type: worker\n")
    assert str(one) == "v1alpha1 machine.kubelet: removed <masked>"


def test_a_document_of_the_node_that_does_not_say_its_kind_is_not_understood():
    sent = "machine:\n    type: worker\n"
    head = "--- a\n+++ b\n@@ -1,5 +1,2 @@\n machine:\n     type: worker\n----\n-apiVersion: v1alpha1\n"
    with pytest.raises(NotUnderstood, match="fits nowhere"):
        differences(f"{head}-hostname: a\n", sent)
    (one,) = differences(f"{head}-kind: HostnameConfig\n", sent)
    assert str(one) == "HostnameConfig: the whole document is only on the node"


def test_a_list_in_another_order_is_a_difference():
    sent = "machine:\n    certSANs:\n        - b\n        - a\n        - c\n    type: worker\n"
    diff = (
        "--- a\n+++ b\n@@ -1,6 +1,6 @@\n machine:\n     certSANs:\n+        - b\n         - a\n"
        "-        - b\n         - c\n     type: worker\n"
    )
    assert [str(one) for one in differences(diff, sent)] == ["v1alpha1 machine.certSANs.[]: in another order"]


def test_equal_parts_of_one_configuration_are_named_together():
    interface = (
        "            - interface: {}\n              dhcp: true\n              mtu: 1500\n              ignore: {}\n"
    )
    sent = (
        "machine:\n    network:\n        interfaces:\n" + interface.format("a", "true") + interface.format("b", "true")
    )
    diff = (
        "--- a\n+++ b\n@@ -5,3 +5,3 @@\n               dhcp: true\n               mtu: 1500\n"
        "-              ignore: false\n+              ignore: true\n"
    )
    assert [str(one) for one in differences(diff, sent)] == [
        "v1alpha1 machine.network.interfaces.[].ignore: <masked> -> <masked>"
    ]


GOOD = "v1.14 installer-image-worker"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda diff: "", "no unified diff"),
        (lambda diff: "No changes", "no unified diff"),
        (lambda diff: "@@ -1,900000 +1,900000 @@ diff too large to display\n", "no unified diff"),
        (lambda diff: "--- a\n+++ b\n", "nothing in it differs"),
        (lambda diff: diff.split("@@")[0] + "@@ -1,80000 +1,2 @@ diff too large to display\n", "belongs to no hunk"),
        (lambda diff: diff.replace("--- a", "--- c"), "no unified diff"),
        (lambda diff: "".join(diff.splitlines(keepends=True)[:-1]), "in the middle of a hunk"),
        (lambda diff: diff + "+machine: {}\n", "belongs to no hunk"),
        (lambda diff: diff + " \n", "belongs to no hunk"),
        (lambda diff: diff.replace("+    image", "     image"), "not as many"),
        (lambda diff: diff.replace("+    image", "*    image"), "not as many"),
        (lambda diff: diff.replace("+    image: f", "+    image: \x1b]8;;x\x07f"), "control characters"),
        (lambda diff: diff.replace("+    image: f", "+    image: \u202ef"), "control characters"),
        (lambda diff: diff.replace("+    image", "+  - image"), "fits nowhere"),
        (lambda diff: diff.replace("+    image: factory", "+    imagination: factory"), "fits nowhere"),
        (lambda diff: diff.replace("+    image: factory", "+    image: [factory"), "fits nowhere"),
        (lambda diff: diff.replace(" installer:", " bootloader:"), "fits nowhere"),
        (lambda diff: diff.replace("\n", "\n\n"), "no unified diff"),
        (lambda diff: diff + "x" * 5_000_000, "longer than"),
        (lambda diff: diff + "@@ -1,1 +1,5001 @@\n a\n" + "+a\n" * 5_000, "more than 4000 lines differ"),
        (lambda diff: diff + "@@ -900,1 +900,2 @@\n stranger: 1\n+machine: 2\n", "fits nowhere"),
    ],
)
def test_what_is_not_understood_in_full_is_refused(change, why):
    changed = change(diff_of(GOOD))
    assert changed != diff_of(GOOD)
    with pytest.raises(NotUnderstood, match=why) as caught:
        found_in(GOOD, changed)
    assert "factory" not in str(caught.value)


def test_a_diff_against_another_file_is_not_understood():
    """The answer for one node's file, taken for the answer for another's."""
    with pytest.raises(NotUnderstood, match="fits nowhere"):
        differences(diff_of("v1.14 kubernetes-key"), RUNS["v1.14 wipe"].sent.decode())


def read(*values, at=(("v1alpha1", "a.b"),), side="removed"):
    """What a hunk means at a place: these values on one side."""
    ((document, path),) = at
    lines = tuple(difference._Line(document, None, tuple(path.split(".")), value) for value in values)
    return difference._Reading(**{**dict.fromkeys(("removed", "added", "moved"), ()), side: lines})


def test_equally_good_readings_are_one_that_names_every_place():
    here, there = read("x"), read("x", at=(("HostnameConfig", "c"),))
    assert difference._as_one([here]) is difference._as_one([here, here]) is here
    one = difference._as_one([here, there, here, there])
    assert one == difference._Reading((difference._Line("", "", ("v1alpha1 a.b or HostnameConfig c",), "x"),), (), ())
    assert difference._or([here.removed[0], here.removed[0]]) == here.removed[0]


@pytest.mark.parametrize("other", [read("y"), read("x", "x"), read(), read("x", side="added"), read("x", side="moved")])
def test_readings_that_say_different_things_are_not_understood(other):
    with pytest.raises(NotUnderstood, match="fits several places of the configuration in different ways"):
        difference._as_one([read("x"), other])


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        ([(" ", "a"), ("+", "b"), (" ", "c"), (" ", "---"), (" ", "d")], 3),
        ([(" ", "---"), ("+", "b"), (" ", "c")], 3),
        ([("+", "---"), ("+", "b")], 2),
        ([(" ", "a"), ("+", "b")], 2),
    ],
)
def test_the_beginning_of_the_next_document_is_no_part_of_a_hunk(lines, left):
    assert difference._without_next_document(lines) == lines[:left]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"path": "a.b", "removed": ("x",), "added": ("y",)}, "v1alpha1 a.b: *** -> ***"),
        ({"path": "a.b", "removed": ("x",), "added": ("y", "z", "y"), "show": True}, "v1alpha1 a.b: x -> y, z"),
        ({"path": "a.b", "removed": (), "added": ("y", "z")}, "v1alpha1 a.b: added ***"),
        ({"path": "a.b", "removed": ("x",), "added": ()}, "v1alpha1 a.b: removed ***"),
        ({"path": "a.b", "removed": (), "added": (), "moved": True}, "v1alpha1 a.b: in another order"),
        ({"path": "", "removed": ("x",), "added": ()}, "v1alpha1: the whole document is only on the node"),
        ({"path": "", "removed": (), "added": ("x",)}, "v1alpha1: the whole document is not on the node"),
        ({"path": "", "removed": ("x",), "added": ("y",)}, "v1alpha1: *** -> ***"),
        ({"document": "", "path": "a or b", "removed": ("x",), "added": ()}, "a or b: removed ***"),
    ],
)
def test_a_difference_in_words(given, text):
    shown = str(difference.Difference(**{"document": "v1alpha1", **given}))
    assert shown.replace(difference.MASK, "***") == text
