# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config import document
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.masking import mask, masked_diff
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from operator_configs import VERSIONS, Config, assert_hidden, load


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def loader(request, monkeypatch):
    # Installations without libyaml get the same results.
    monkeypatch.setattr(document, "LOADER", getattr(yaml, request.param))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["controlplane", "worker"])
def test_no_secret_survives_masking(version, kind):
    config = Config(version, kind, args=("siderolink.api=grpc://x?jointoken=hunter2",))
    masked = mask(config.text)
    assert_hidden(config, masked)
    assert "hunter2" not in masked and "generated for the lab" not in masked
    assert "type: " + kind in masked and "clusterName: demo" in masked and "/dev/sda" in masked
    # The structure stays readable.
    assert mask(masked) == masked
    assert [list(document) for document in load(masked)] == [list(document) for document in load(config.text)]


def test_secrets_in_unlikely_places():
    text = (
        'machine:\n  type: &t s3cr3t-value-1\n  other: *t\n  install: {image: "x.io/y:v1", extra: s3cr3t-value-2}\n'
        "  ? s3cr3t-value-3\n  : s3cr3t-value-4\n  list: [s3cr3t-value-5, {a: s3cr3t-value-6}]\n"
        "  folded: >\n    s3cr3t-value-7\n\n    more\n  last: |\n    s3cr3t-value-8"
    )
    masked = mask(text)
    for number in (1, 2, 4, 5, 6, 7, 8):
        assert f"s3cr3t-value-{number}" not in masked
    assert "x.io/y:v1" in masked


def test_what_is_hidden_where_it_stands_is_hidden_where_it_is_meant():
    for text in ("machine: {token: &t s3cr3t-value, type: *t}", "machine: {type: &t s3cr3t-value, token: *t}"):
        assert "s3cr3t" not in mask(text)


def test_a_key_without_a_value_stays():
    text = "machine:\n  token:\n  type: worker\n"
    assert mask(text) == text


def test_a_diff_of_secrets_shows_none():
    before, after = Config(), Config()
    shown = "\n".join(masked_diff(before.text, after.text))
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
    masked = mask(f"# S3CRET\n{text}# S3CRET\n")
    assert "S3CRET" not in masked and "T3RCES" not in masked
    assert [list(document) for document in load(masked)] == [["machine"], ["kind", "spec"]]
