# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A schematic's text is read strictly, and refused where anybody might read it in another way."""

from __future__ import annotations

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.image import errors, schematic, schematic_fields


@pytest.mark.parametrize(
    "text",
    [
        "customization: {kernelArgs: [x]}",
        "version: 1",
        "customization: {systemExtensions: {unofficialExtensions: [x]}}",
        "customization: {meta: [{key: 1, value: x, name: y}]}",
        "overlay: {image: a, name: b, version: c}",
        "customization: {futureField: {}}",
    ],
)
def test_unknown_fields_are_refused(text):
    with pytest.raises(errors.UnknownField, match="which this collection does not know"):
        schematic.parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("customization: [", "is not readable YAML .line 2."),
        ("[]", "the schematic is not a mapping"),
        ("just a word", "the schematic is not a mapping"),
        ("customization: {extraKernelArgs: x}", "customization.extraKernelArgs is not a list"),
        ("customization: {extraKernelArgs: [{a: b}]}", r"extraKernelArgs\[0\] is not a string"),
        ("customization: {meta: [{key: 256, value: x}]}", r"meta\[0\].key is not between 0 and 255"),
        ("customization: {meta: [{key: x, value: x}]}", r"meta\[0\].key is not a whole number"),
        ("customization: {extraKernelArgs: [a]}\ncustomization: {}", "has the key 'customization' twice"),
        ("customization: {secureboot: {includeWellKnownCertificates: 1}}", "is neither true nor false"),
        ("customization: !!python/object/apply:os.system [x]", "uses YAML anchors, aliases or tags"),
    ],
)
def test_what_is_no_schematic_is_refused(text, words):
    with pytest.raises(errors.SchematicError, match=words):
        schematic.parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds 0 YAML documents"),
        ("a: 1\n---\nb: 2", "holds 2 YAML documents"),
        ("customization: &a {}", "uses YAML anchors, aliases or tags"),
        ("customization: {extraKernelArgs: [yes]}", "is not quoted and reads as a YAML bool"),
        ("customization: {extraKernelArgs: [1]}", "is not quoted and reads as a YAML int"),
        ("customization: {extraKernelArgs: [null]}", "is a YAML null, not a string"),
        ("customization: {1: x}", "customization has a key that is not a plain word"),
        ("~: x", "the schematic has a key that is not a plain word"),
        *(
            (f"overlay: {{options: {{a: {value}}}}}", "a holds a value that is no string")
            for value in ("1.5", "~", "yes")
        ),
        ("customization: {bootloader: auto}", "is none of dual-boot, grub, sd-boot"),
    ],
)
def test_what_reads_differently_elsewhere_is_refused(text, words):
    with pytest.raises(errors.UncertainSchematic, match=words):
        schematic.parse(text)


@pytest.mark.parametrize("text", ["customization:", "customization: {extraKernelArgs: , systemExtensions: ~}"])
def test_a_field_without_a_value_is_as_one_that_is_not_there(text):
    assert schematic.parse(text) == schematic.parse("{}")
    assert schematic.parse(text).canonical() == "customization: {}\n"


def test_the_options_of_an_overlay_keep_their_types():
    options = "{a: true, b: 'true', c: -7, d: '7', e: [x, 0], f: {g: false}, h: ''}"
    read = schematic.parse(f"overlay: {{name: n, image: i, options: {options}}}").data["overlay"]["options"]
    assert read == {"a": True, "b": "true", "c": -7, "d": "7", "e": ["x", 0], "f": {"g": False}, "h": ""}


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ({"overlay": {"name": "n"}}, {"overlay": {"image": "", "name": "n"}, "customization": {}}),
        ({"overlay": {"image": "i"}}, {"overlay": {"image": "i", "name": ""}, "customization": {}}),
        ({"overlay": {}}, {"customization": {}}),
        (
            {"customization": {"meta": [{"key": 10}, {"value": "v"}, {"key": 12, "value": "w"}]}},
            {
                "customization": {
                    "meta": [{"key": 10, "value": ""}, {"key": 0, "value": "v"}, {"key": 12, "value": "w"}]
                }
            },
        ),
        ({"customization": {"meta": [], "extraKernelArgs": []}, "owner": ""}, {"customization": {}}),
        (
            {"customization": {"secureboot": {"includeWellKnownCertificates": False}}, "owner": "o"},
            {"owner": "o", "customization": {}},
        ),
    ],
)
def test_what_is_written_though_it_is_empty_and_what_is_not(given, written):
    assert schematic_fields.in_order(given) == written


def test_the_parts_of_a_schematic():
    text = "customization: {extraKernelArgs: [a=1], systemExtensions: {officialExtensions: [siderolabs/x]}}\n"
    found = schematic.parse(text + "overlay: {name: n, image: i}\nowner: o\n")
    assert (found.kernel_args, found.extensions, found.overlay, found.owner) == (("a=1",), ("siderolabs/x",), "n", "o")
    empty = schematic.parse("customization: {}")
    assert (empty.kernel_args, empty.extensions, empty.overlay, empty.owner) == ((), (), None, None)
