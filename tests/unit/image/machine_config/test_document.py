# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config import document
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.document import (
    BOM,
    ConfigError,
    Configuration,
    dotted,
    leaves,
)


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def loader(request, monkeypatch):
    # Installations without libyaml get the same results.
    monkeypatch.setattr(document, "LOADER", getattr(yaml, request.param))


def test_documents_by_kind_and_name():
    config = Configuration(
        "---\nmachine: {type: worker, name: no}\n---\n# nothing\n---\napiVersion: v1alpha1\nkind: UserVolumeConfig\n"
        "name: a\n---\nkind: UserVolumeConfig\nname: b\n---\nkind: HostnameConfig\nhostname: h\n"
    )
    assert [one.label for one in config.documents] == [
        "v1alpha1",
        "UserVolumeConfig/a",
        "UserVolumeConfig/b",
        "HostnameConfig",
    ]
    assert config.get(None, "machine", "type") == "worker" and config.get("HostnameConfig", "hostname") == "h"
    assert config.get("KubeletConfig", "image") is None and config.get(None, "machine", "type", "x") is None
    assert config.main is config.documents[0] and Configuration("kind: X").main is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("machine: {}\n---\nmachine: {}", "the machine configuration has more than one v1alpha1 document"),
        ("kind: A\n---\nkind: A", "the machine configuration has more than one A document"),
        ("kind: A\nname: x\n---\nkind: A\nname: x", "the machine configuration has more than one A/x document"),
        (
            "kind: A\nname: hunter2 x\n---\nkind: A\nname: hunter2 x",
            "the machine configuration has more than one <masked> document",
        ),
        ("a: 1\nb: 2\na: hunter2", "the key a of the machine configuration is given twice (line 3)"),
        (
            "m:\n  hunter2 hunter2: 1\n  hunter2 hunter2: 1",
            "the key <masked> of the machine configuration is given twice (line 3)",
        ),
        ("? [hunter2]\n: 1", "a key of the machine configuration is not a string (line 1)"),
        ("~: 1", "a key of the machine configuration is not a string (line 1)"),
        ("a: &a 7\nb:\n  <<: *a", "a merge key (<<) of the machine configuration names no mapping (line 3)"),
        ("machine: {a: [hunter2}", "the machine configuration is not readable YAML (line 1)"),
        ("machine:\n\t- hunter2", "the machine configuration is not readable YAML (line 2)"),
        ("a: *hunter2", "the machine configuration is not readable YAML (line 1)"),
        ("a: \x00", "the machine configuration is not readable YAML"),
        ("- a", "the machine configuration is not made of YAML mappings"),
        ("$ANSIBLE_VAULT;1.1;AES256\n3132", "the machine configuration is not made of YAML mappings"),
        ("", "the machine configuration is not made of YAML mappings"),
        ("[" * 1000, "the machine configuration is not readable YAML"),
    ],
)
def test_what_cannot_be_read_is_refused_for_its_own_reason(text, found):
    with pytest.raises(ConfigError) as caught:
        Configuration(text)
    assert caught.value.found.startswith(found)
    assert "hunter2" not in str(caught.value) and caught.value.__cause__ is None


def test_merge_keys_and_aliases_are_resolved_as_the_specification_says():
    config = Configuration(
        "machine:\n  sysctls: &a {x: '1', y: '2'}\n  sysfs:\n    <<: *a\n    y: '3'\n  env: &b {z: '4', x: '5'}\n"
        "  nodeLabels: {<<: [*a, *b], w: '6'}\n  other: *a\n"
    )
    machine = config.get(None, "machine")
    assert machine["sysfs"] == {"y": "3", "x": "1"} and machine["other"] == {"x": "1", "y": "2"}
    assert machine["nodeLabels"] == {"w": "6", "x": "1", "y": "2", "z": "4"}


def test_aliases_that_multiply_are_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(ConfigError, match="multiply to more than 200000 values"):
        Configuration("\n".join(lines))
    merges = "a: &a {k: v}\n" + "".join(
        f"b{n}: &b{n} {{{{<<: [{', '.join([f'*b{n - 1}' if n else '*a'] * 10)}]}}}}\n".replace("{{", "{").replace(
            "}}", "}"
        )
        for n in range(8)
    )
    with pytest.raises(ConfigError, match="multiply to more than 200000 values"):
        Configuration(merges)


def test_go_knows_fewer_truth_values_than_yaml():
    config = Configuration("a: yes\nb: on\nc: True\nd: false\ne: 0o600\nf: 1_000\ng: ~\nh: 2024-01-01\ni: '~'\n")
    assert config.documents[0].data == {
        "a": "yes",
        "b": "on",
        "c": True,
        "d": False,
        "e": "0o600",
        "f": "1_000",
        "g": None,
        "h": "2024-01-01",
        "i": "~",
    }


def test_a_byte_order_mark_is_set_aside():
    config = Configuration(f"{BOM}machine: {{type: worker}}")
    assert config.bom == BOM and config.text.startswith("machine") and config.get(None, "machine", "type") == "worker"
    assert config.documents[0].node.start_mark.index == 0
    with pytest.raises(ConfigError, match="not readable YAML"):
        Configuration(f"machine: {{}}\n{BOM}\n: x")


def test_paths():
    data = {"a": [{"b": "c"}, {}], "d": {"e": None}}
    assert list(leaves(data)) == [(("a", 0, "b"), "c"), (("a", 1), {}), (("d", "e"), None)]
    assert dotted(("a", 0, "b")) == "a[0].b" and dotted(("a b c", "d")) == "<masked>.d"
