# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""talosconfig: found like talosctl finds it, understood in all its forms, and never shown."""

from __future__ import annotations

import base64
import datetime
import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.operator_files import FileProblem
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.client import connect, connect_maintenance
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.config import (
    Address,
    Context,
    Talosconfig,
    host_of,
    parse_address,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import (
    ConfigError,
    TalosError,
    Unauthenticated,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.tls import mutual_tls
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

UTC = datetime.timezone.utc  # noqa: UP017 (as in the code under test)
NOW = datetime.datetime.now(UTC).replace(microsecond=0)


def _identity(start: int = -1, end: int = 1) -> tuple[bytes, bytes]:
    """A self-signed Ed25519 certificate valid from now + ``start`` to now + ``end`` days, and its key, as PEM."""
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "os:admin")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(NOW + datetime.timedelta(start))
    certificate = builder.not_valid_after(NOW + datetime.timedelta(end)).sign(key, None)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # The label under which Talos writes it; put together here so that no key header stands in a tracked file.
    pem = pem.replace(b" PRIVATE KEY", b" ED25519 PRIVATE KEY")
    return certificate.public_bytes(Encoding.PEM), pem


CRT, KEY = _identity()


def _b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _raw(**changes: Any) -> dict[str, Any]:
    context = {"endpoints": ["10.0.0.2"], "ca": _b64(CRT), "crt": _b64(CRT), "key": _b64(KEY), **changes}
    return {key: value for key, value in context.items() if value is not None}


def _write(path: Path, *, current: str | None = "demo", **contexts: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"context": current, "contexts": contexts or {"demo": _raw()}}))
    return path


def test_lookup_order(tmp_path: Path) -> None:
    explicit = _write(tmp_path / "explicit")
    by_variable = _write(tmp_path / "variable")
    by_home = _write(tmp_path / "talos-home" / "config")
    default = _write(tmp_path / "home" / ".talos" / "config")
    environ = {
        "TALOSCONFIG": str(by_variable),
        "TALOS_HOME": str(by_home.parent),
        "HOME": str(tmp_path / "home"),
    }
    assert Talosconfig.load(str(explicit), environ).path == str(explicit)
    assert Talosconfig.load(None, environ).path == str(by_variable)
    by_variable.unlink()
    assert Talosconfig.load(None, environ).path == str(by_home)
    del environ["TALOS_HOME"]
    assert Talosconfig.load(None, environ).path == str(default)


def test_a_missing_file_is_named_and_not_created(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    with pytest.raises(ConfigError, match=r"no talosconfig at .*\.talos/config, /var/run/secrets"):
        Talosconfig.load(None, environ)
    with pytest.raises(ConfigError, match="nowhere"):
        Talosconfig.load(str(tmp_path / "nowhere"), environ)
    with pytest.raises(ConfigError, match=r"no talosconfig at /var/run/secrets/talos\.dev/config\. ") as caught:
        Talosconfig.load(None, {})
    assert caught.value.kind == "config"
    assert list(tmp_path.iterdir()) == []


def test_current_and_named_context(tmp_path: Path) -> None:
    path = _write(tmp_path / "c", one=_raw(), demo=_raw(endpoints=["10.0.0.9"], nodes=["10.0.0.5"]))
    config = Talosconfig.load(str(path))
    context = config.context()
    assert (config.names, context.name, context.endpoints, context.nodes) == (
        ["demo", "one"],
        "demo",
        ["10.0.0.9"],
        ["10.0.0.5"],
    )
    assert config.context("one").endpoints == ["10.0.0.2"]
    with pytest.raises(ConfigError, match="no context 'two'"):
        config.context("two")
    with pytest.raises(ConfigError, match="no current context"):
        Talosconfig.load(str(_write(tmp_path / "d", current=None))).context()


def test_deprecated_target_and_first_document(tmp_path: Path) -> None:
    path = _write(tmp_path / "c", demo=_raw(endpoints=None, target="10.0.0.7"))
    path.write_text(path.read_text() + "---\ncontext: other\ncontexts: {}\n")
    assert Talosconfig.load(str(path)).context().endpoints == ["10.0.0.7"]


def test_secrets_are_hidden_and_the_key_is_readable(tmp_path: Path) -> None:
    config = Talosconfig.load(str(_write(tmp_path / "c")))
    context = config.context()
    shown = repr(config) + repr(context) + str(vars(config).keys())
    assert _b64(KEY)[60:100] not in shown and "BEGIN" not in shown
    # Under the label that Talos writes, nothing but Talos reads it.
    assert context.key is not None and b"ED25519" not in context.key
    assert load_pem_private_key(context.key, None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) == (
        KEY.replace(b"ED25519 ", b"")
    )
    mutual_tls(context)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"auth": {"siderov1": {"identity": "a@b"}}}, "Omni"),
        ({"auth": {"basic": {"username": "u", "password": "hunter2"}}}, "auth.basic"),
        ({"proxy-url": "http://proxy:3128"}, "proxy-url"),
        ({"crt": None}, "has no crt"),
        ({"key": None}, "has no key"),
        ({"key": "%%%hunter2"}, "key is not base64"),
        ({"key": _b64(b"hunter2")}, "key is not PEM"),
        ({"ca": ["hunter2"]}, "ca is not a text"),
        ({"crt": _b64(b"-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n")}, "crt is not a PEM"),
        ({"endpoints": {"a": "b"}}, "endpoints is not a list"),
        ({"nodes": [1]}, "nodes is not a list"),
    ],
)
def test_unusable_contexts_say_which_part(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    path = _write(tmp_path / "c", demo=_raw(**changes))
    with pytest.raises(ConfigError, match=text) as caught:
        Talosconfig.load(str(path)).context()
    said = str(caught.value) + str(caught.value.as_dict())
    assert str(path) in said and "demo" in said
    assert "hunter2" not in said and _b64(b"hunter2") not in said
    assert caught.value.kind == "config"


@pytest.mark.parametrize("value", ["hunter2", ["hunter2"], 7, None])
def test_a_context_that_is_no_mapping_is_named(tmp_path: Path, value: Any) -> None:
    path = _write(tmp_path / "c", demo=value)
    with pytest.raises(ConfigError, match="'demo' the value of contexts does not hold a mapping") as caught:
        Talosconfig.load(str(path)).context()
    assert "hunter2" not in str(caught.value) and str(path) in str(caught.value)


def test_the_dates_of_an_older_library_are_in_utc_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    start, end = NOW.replace(tzinfo=None), NOW.replace(tzinfo=None) + datetime.timedelta(1)
    older = SimpleNamespace(not_valid_before=start, not_valid_after=end)
    monkeypatch.setattr(x509, "load_pem_x509_certificate", lambda pem: older)
    assert Context("c", crt=CRT, key=KEY).validity() == (NOW, NOW + datetime.timedelta(1))


@pytest.mark.parametrize(
    "content",
    [
        "a: [hunter2",
        "- hunter2",
        "hunter2",
        "",
        "contexts: [hunter2]",
        "a: !!python/name:hunter2",
        "\x00hunter2",
        "{" * 9999,
    ],
)
def test_unusable_files_do_not_leak(tmp_path: Path, content: str) -> None:
    path = tmp_path / "c"
    path.write_text(content)
    with pytest.raises((ConfigError, FileProblem)) as caught:
        Talosconfig.load(str(path)).context()
    assert "hunter2" not in str(caught.value) and str(path) in str(caught.value)


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(["endpoints", "nodes", "ca", "crt", "key", "auth", "target"]), st.text()))
def test_no_content_escapes_as_another_error(tmp_path_factory: pytest.TempPathFactory, raw: dict[str, str]) -> None:
    path = _write(tmp_path_factory.mktemp("t") / "c", demo={**_raw(), **raw})
    try:
        Talosconfig.load(str(path)).context()
    except TalosError as error:
        assert error.kind == "config"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.2", Address("10.0.0.2", 50000)),
        ("10.0.0.2:6000", Address("10.0.0.2", 6000)),
        ("node-1.example.com", Address("node-1.example.com", 50000)),
        ("fd00::2", Address("fd00::2", 50000)),
        ("[fd00::2]", Address("fd00::2", 50000)),
        ("[fd00::2]:6000", Address("fd00::2", 6000)),
        ("https://talos.example.com", Address("talos.example.com", 443)),
        ("https://talos.example.com:8443/", Address("talos.example.com", 8443)),
        ("https://[fd00::2]", Address("fd00::2", 443)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://10.0.0.2:2379", "10.0.0.2"),
        ("https://[fd00::2]:2379", "fd00::2"),
        ("https://CP-1:2379", "cp-1"),
        ("https://[10.0.0.2]:2379", None),
        ("https://[fd00::2:2379", None),
        ("https://", None),
        ("10.0.0.2:2379", None),
        ("", None),
    ],
)
def test_the_host_of_what_others_call_a_url(url: str, host: str | None) -> None:
    assert host_of(url) == host


def test_addresses_are_written_back() -> None:
    assert str(Address("fd00::2", 6000)) == "[fd00::2]:6000"
    assert str(Address("fd00::2")) == "[fd00::2]" and str(Address("10.0.0.2")) == "10.0.0.2"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://10.0.0.2",
        "https://u:p@h",
        "https://h/path",
        "https://h?query",
        "https://h#fragment",
        "10.0.0.2:0",
        "10.0.0.2:99999",
        "a b",
        "[10.0.0.2]",
        "a:b",
        "-x",
        "https://[h",
        "https://[10.0.0.2]",
        "https://h]",
    ],
)
def test_no_addresses(text: str) -> None:
    with pytest.raises(ConfigError, match="not an address"):
        parse_address(text)


@pytest.mark.parametrize(("start", "end", "text"), [(-9, -1, "expired on"), (1, 9, "not valid before")])
def test_dates_are_checked_before_connecting(tmp_path: Path, start: int, end: int, text: str) -> None:
    crt, key = _identity(start, end)
    context = Talosconfig.load(str(_write(tmp_path / "c", demo=_raw(crt=_b64(crt), key=_b64(key))))).context()
    # 192.0.2.1 is set aside for documentation: had a connection been tried, the failure would be another.
    with pytest.raises(Unauthenticated, match=text) as caught:
        connect(context, "192.0.2.1")
    limit = NOW + datetime.timedelta(end if end < 0 else start)
    assert limit.strftime("%Y-%m-%dT%H:%M:%SZ") in caught.value.found


def test_key_of_another_certificate(tmp_path: Path) -> None:
    _unused, other = _identity()
    context = Talosconfig.load(str(_write(tmp_path / "c", demo=_raw(key=_b64(other))))).context()
    with pytest.raises(ConfigError, match="does not belong"):
        mutual_tls(context)


def test_missing_ca_means_the_systems_authorities(tmp_path: Path) -> None:
    context = Talosconfig.load(str(_write(tmp_path / "c", demo=_raw(ca=None)))).context()
    assert context.ca is None
    mutual_tls(context)


def test_endpoint_route_needs_endpoints(tmp_path: Path) -> None:
    context = Talosconfig.load(str(_write(tmp_path / "c", demo=_raw(endpoints=[])))).context()
    with pytest.raises(ConfigError, match="no endpoints"):
        connect(context, "10.0.0.5", route="endpoint")
    with pytest.raises(ValueError, match="direct, endpoint or auto"):
        connect(context, "10.0.0.5", route="sideways")  # type: ignore[arg-type]  # that is the point


def test_maintenance_needs_a_pin_or_an_explicit_wish() -> None:
    with pytest.raises(ConfigError, match="no fingerprint is pinned"):
        connect_maintenance("10.0.0.5")
    for wrong in ("", "abc", "sha256:xyz", _b64(b"x" * 31)):
        with pytest.raises(ConfigError, match="not a certificate fingerprint"):
            connect_maintenance("10.0.0.5", fingerprints=[wrong])


def test_fleet_spreads_over_endpoints(tmp_path: Path) -> None:
    endpoints = [f"10.0.0.{number}" for number in (1, 2, 3)]
    context = Talosconfig.load(str(_write(tmp_path / "c", demo=_raw(endpoints=endpoints)))).context()
    firsts = [connect(context, f"10.0.1.{number}", route="endpoint").endpoint for number in range(60)]
    counts = [firsts.count(endpoint) for endpoint in endpoints]
    assert sum(counts) == 60 and min(counts) > 5
    # A node is no way around its own trouble.
    for node, endpoint in itertools.product(endpoints, endpoints):
        if node == endpoint:
            assert connect(context, node, route="endpoint").endpoint != node


@pytest.mark.parametrize(
    ("name", "context"),
    [
        ("none", "none"),
        ("without key", "without key"),
        ("omni", "omni"),
        ("other", "other"),
        ("proxy", "proxy"),
        (None, None),
    ],
)
def test_which_file_and_context_it_is_about(tmp_path: Path, name: str | None, context: str | None) -> None:
    contexts = {
        "without key": _raw(key=None),
        "omni": _raw(auth={"siderov1": {}}),
        "other": _raw(auth={"basic": {}}),
        "proxy": _raw(**{"proxy-url": "http://p"}),
    }
    path = _write(tmp_path / "c", current=None, **contexts)
    with pytest.raises(ConfigError) as raised:
        Talosconfig.load(str(path)).context(name)
    assert raised.value.context == {"file": str(path)} | ({"context": context} if context else {})
