# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.image import errors, references, schematic
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.access import Access
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.factory import Factory
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.http import Http
from ansible_collections.talosops.selinux.plugins.plugin_utils.operator_files import FileProblem
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID
from simulator import factory as simulated

ENFORCING = "customization:\n    extraKernelArgs:\n        - enforcing=1\n"
ENFORCING_ID = "224daeedea2a793a0cd003ab8b8cadb4c8a16645d7b485fcfa965c5948be2e18"
WITH_EXTENSION = (
    '{"customization": {"extraKernelArgs": ["enforcing=1"],'
    ' "systemExtensions": {"officialExtensions": ["siderolabs/iscsi-tools"]}}}'
)
VERSION = "v1.14.1"


PATIENCE = {"backoff": 0.01, "timeout": 5.0, "deadline": 20.0, "attempts": 3}


def client(access, **options):
    """A factory with little patience; options of both Http and Factory."""
    patience = {**PATIENCE, **{key: options.pop(key) for key in (*PATIENCE, "sleep") if key in options}}
    return Factory(access, http=Http(**patience), **options)


def test_the_whole_proof(sim):
    result = client(sim.url).verify(ENFORCING, VERSION)
    assert result["id"] == ENFORCING_ID
    assert result["installer"] == f"{sim.host}/metal-installer/{ENFORCING_ID}:{VERSION}"
    assert result["pinned"] == f"{result['installer']}@{result['digest']}"
    assert "enforcing=1" in result["cmdline"].split()
    assert "enforcing=1" in result["kernel_args"]
    assert result["schematic"] == ENFORCING
    assert result["media"]["iso"] == f"{sim.url}/image/{ENFORCING_ID}/{VERSION}/metal-amd64.iso"
    json.dumps(result)
    again = client(sim.url).verify(ENFORCING, VERSION, expected_digest=result["digest"])
    assert again == result


@pytest.mark.parametrize(
    ("platform", "arch", "secureboot"),
    [("metal", "arm64", False), ("metal", "amd64", True), ("aws", "amd64", False), ("nocloud", "arm64", True)],
)
def test_platforms_and_boot_modes(sim, platform, arch, secureboot):
    result = client(sim.url).verify(WITH_EXTENSION, VERSION, platform, arch, secureboot=secureboot)
    assert f"/{platform}-installer{'-secureboot' if secureboot else ''}/" in result["installer"]
    assert f"talos.platform={platform}" in result["cmdline"].split()
    assert result["extensions"] == ["siderolabs/iscsi-tools"]


def test_the_way_back(sim):
    result = client(sim.url).verify("customization: {}", VERSION, goal="permissive")
    assert "enforcing=1" not in result["cmdline"]
    with pytest.raises(errors.WrongCmdline, match="enforcing=1 is in force"):
        client(sim.url).verify(ENFORCING, VERSION, goal="permissive")


def test_ids_agree_with_an_independent_implementation(sim):
    # The simulator has its own canonicalisation, written from the specification without sight of this one.
    for text in (
        ENFORCING,
        WITH_EXTENSION,
        "{}",
        '{"overlay": {"name": "rpi_generic", "image": "siderolabs/sbc-raspberrypi"}}',
        '{"customization": {"meta": [{"key": 10, "value": "foo"}], "bootloader": "grub"}}',
        '{"customization": {"extraKernelArgs": ["a: b", "-", "1", "console=ttyS0,115200n8", "true"]}}',
    ):
        assert client(sim.url).create(text) == schematic.parse(text).id()


# --- a factory that is wrong: each fault its own error, and always before anything else is asked --------------------

FAULTS = [
    ("wrong_id", True, errors.WrongId, "wrong_id"),
    ("lost_schematic", True, errors.LostSchematic, "lost_schematic"),
    ("rate_limited", {"times": True, "after": 0}, errors.RateLimited, "rate_limited"),
    ("server_error", True, errors.Unavailable, "unavailable"),
    ("wrong_cmdline", True, errors.WrongCmdline, "wrong_cmdline"),
    ("wrong_cmdline", "talos.platform=metal selinux=0 selinux=1 enforcing=1", errors.WrongCmdline, "wrong_cmdline"),
    ("wrong_cmdline", "talos.platform=metal selinux=1 enforcing=1 enforcing=1", errors.WrongCmdline, "wrong_cmdline"),
    ("wrong_cmdline", "talos.platform=metal selinux=1 enforcing=1 audit=0", errors.WrongCmdline, "wrong_cmdline"),
    ("wrong_cmdline", "talos.platform=aws selinux=1 enforcing=1", errors.WrongCmdline, "wrong_cmdline"),
    ("wrong_cmdline", "talos.platform=metal enforcing=1", errors.WrongCmdline, "wrong_cmdline"),
    ("missing_extension", "siderolabs/iscsi-tools", errors.MissingExtension, "missing_extension"),
    ("bad_json", True, errors.BadAnswer, "bad_answer"),
]


@pytest.mark.parametrize(("fault", "value", "error", "kind"), FAULTS)
def test_each_fault_has_its_own_error(sim, fault, value, error, kind):
    sim.set_fault(fault, value)
    with pytest.raises(error) as caught:
        client(sim.url).verify(WITH_EXTENSION, VERSION)
    assert caught.value.kind == kind
    assert caught.value.why and caught.value.do
    sim.clear_fault(fault)
    assert client(sim.url).verify(WITH_EXTENSION, VERSION)["digest"]


def test_a_digest_that_changes_between_check_and_use(sim):
    checked = client(sim.url).verify(ENFORCING, VERSION)
    sim.set_fault("digest_changes")
    with pytest.raises(errors.DigestChanged) as caught:
        client(sim.url).registries.resolve(checked["installer"], checked["digest"])
    assert caught.value.context["expected"] == checked["digest"]
    with pytest.raises(errors.DigestChanged, match="is now sha256"):
        client(sim.url).verify(ENFORCING, VERSION, expected_digest=checked["digest"])


@pytest.mark.parametrize("fault", ["rate_limited", "server_error"])
def test_a_fault_that_passes_is_waited_out(sim, fault):
    sim.set_fault(fault, {"times": 2, "after": 0} if fault == "rate_limited" else 2)
    assert client(sim.url).create(ENFORCING) == ENFORCING_ID


def test_retry_after_is_obeyed_and_bounded(sim):
    waits = []
    sim.set_fault("rate_limited", {"times": 1, "after": 7})
    client(sim.url, sleep=waits.append).create(ENFORCING)
    assert waits == [7.0]
    sim.set_fault("rate_limited", {"times": True, "after": 86400})
    with pytest.raises(errors.RateLimited) as caught:
        client(sim.url, sleep=waits.append).create(ENFORCING)
    assert waits == [7.0] and caught.value.context["retry_after"] == 86400


def test_a_factory_that_hangs(sim):
    sim.set_fault("hang")
    with pytest.raises(errors.Unavailable, match=r"TimeoutError.*2 attempts"):
        client(sim.url, timeout=0.1, attempts=2).versions()


def test_a_factory_that_is_not_there():
    with pytest.raises(errors.Unavailable) as caught:
        client("http://127.0.0.1:9", attempts=2).versions()
    assert caught.value.context["attempts"] == 2


def test_unknown_version_and_fields(sim):
    with pytest.raises(errors.NotFound, match=r"the factory does not build Talos v1\.99\.0"):
        client(sim.url).verify(ENFORCING, "v1.99.0")
    with pytest.raises(errors.UnknownField, match=r"customization\.kernelArgs"):
        client(sim.url).verify("customization: {kernelArgs: [enforcing=1]}", VERSION)
    with pytest.raises(references.BadReference, match=r"v1\.9\.6 is older than v1\.10\.0"):
        client(sim.url).verify(ENFORCING, "v1.9.6")
    assert not [r for r in sim.requests if r.method == "POST"]


@pytest.mark.parametrize("version", ["latest", "1.14.1", "v1.14", "", "v1.14.1/../x", "v1.14.1\n"])
def test_latest_and_other_vague_versions_are_refused(sim, version):
    with pytest.raises(references.BadReference, match="is not an exact Talos version"):
        client(sim.url).verify(ENFORCING, version)
    with pytest.raises(references.BadReference, match="names no exact release"):
        client(sim.url).registries.resolve(f"{sim.host}/metal-installer/{ENFORCING_ID}:latest")
    assert not sim.requests


# --- credentials ----------------------------------------------------------------------------------------------------


def test_enterprise_credentials(start):
    auth = simulated.FactoryAuth(
        users={"alice": "hunter2"}, tokens={"alice-token": "alice"}, machine_tokens={"machine-token": "alice"}
    )
    sim = start(auth=auth)
    with pytest.raises(errors.Unauthorized, match="HTTP 401"):
        client(sim.url).create(ENFORCING)
    with pytest.raises(errors.Unauthorized) as caught:
        client(Access(sim.url, "alice", "wrong-password")).create(ENFORCING)
    assert "wrong-password" not in str(caught.value) and "wrong-password" not in repr(caught.value.as_dict())
    for access in (Access(sim.url, "alice", "hunter2"), Access(sim.url, token="alice-token")):
        result = client(access).verify(ENFORCING, VERSION)
        # The owner is stamped from the identity and makes it another id, which the offline computation follows.
        assert result["owner"] == "alice"
        assert result["id"] != ENFORCING_ID
        assert result["id"] == schematic.parse("owner: alice\n" + ENFORCING).id()
        assert "hunter2" not in repr(access) and "alice-token" not in repr(access)
    with pytest.raises(errors.Unauthorized, match="HTTP 403"):
        client(Access(sim.url, token="machine-token")).create(ENFORCING)


def test_an_owner_is_not_accepted_from_a_factory_without_credentials(odd):
    answer = "owner: mallory\n" + ENFORCING
    given = schematic.parse(answer).id()
    odd.routes["/schematics"] = (201, {}, json.dumps({"id": given, "schematic": answer}).encode())
    odd.routes[f"/schematics/{given}"] = (200, {}, answer.encode())
    with pytest.raises(errors.WrongId, match="it answered with another schematic"):
        client(odd.url).create(ENFORCING)
    assert client(Access(odd.url, "mallory", "x")).create(ENFORCING) == given


# --- servers that do odd things -------------------------------------------------------------------------------------


class Odd:
    """An HTTP server whose answers are a table: path -> (status, headers, body) or a function of the request."""

    def __init__(self, context=None):
        self.routes = {}
        self.requests = []
        odd = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                self.rfile.read(length)
                path = self.path.partition("?")[0]
                odd.requests.append((self.command, self.path, dict(self.headers)))
                route = odd.routes.get(path, (404, {}, b"not here"))
                status, headers, body = route(self) if callable(route) else route
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_HEAD = do_POST = answer

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.scheme = "http" if context is None else "https"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def host(self):
        return f"127.0.0.1:{self.server.server_address[1]}"

    @property
    def url(self):
        return f"{self.scheme}://{self.host}"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def odd():
    server = Odd()
    yield server
    server.stop()


@pytest.fixture
def other():
    server = Odd()
    yield server
    server.stop()


DIGEST = "sha256:" + "ab" * 32
MANIFEST = f"/v2/metal-installer/{ENFORCING_ID}/manifests/{VERSION}"


def reference(host):
    return f"{host}/metal-installer/{ENFORCING_ID}:{VERSION}"


def test_credentials_do_not_follow_a_redirect_to_another_host(odd, other):
    odd.routes[MANIFEST] = (307, {"Location": f"{other.url}/elsewhere"}, b"")
    other.routes["/elsewhere"] = (200, {"Docker-Content-Digest": DIGEST}, b"")
    access = Access(odd.url, "alice", "hunter2")
    assert client(access).registries.resolve(reference(odd.host)) == DIGEST
    assert "Authorization" in odd.requests[0][2]
    assert "Authorization" not in other.requests[0][2]


def test_a_redirect_away_from_tls_is_refused(odd):
    odd.routes["/versions"] = (302, {"Location": "http://factory.example.org/versions"}, b"")
    with pytest.raises(errors.UnsafeUrl, match="is not https"):
        client(odd.url).versions()


@pytest.mark.parametrize(
    ("location", "words"), [("/versions", "redirects more than 5 times"), ("", "redirects to nowhere")]
)
def test_endless_redirects(odd, location, words):
    odd.routes["/versions"] = (302, {"Location": location}, b"")
    with pytest.raises(errors.BadAnswer, match=words):
        client(odd.url).versions()


def test_the_token_exchange_of_a_registry(odd):
    def manifest(request):
        if request.headers.get("Authorization") == "Bearer given":
            return 200, {"Docker-Content-Digest": DIGEST}, b""
        realm = f'Bearer realm="{odd.url}/token",service="r",scope="repository:x:pull"'
        return 401, {"WWW-Authenticate": realm}, b""

    odd.routes[MANIFEST] = manifest
    odd.routes["/token"] = (200, {}, b'{"token": "given"}')
    assert client(odd.url).registries.resolve(reference(odd.host)) == DIGEST
    assert "scope=repository%3Ax%3Apull" in odd.requests[1][1]
    mirror = {"factory.example.org": Access(odd.url, "alice", "hunter2")}
    assert client("https://factory.example.org", mirrors=mirror).registries.resolve(reference("factory.example.org"))
    asked = [headers for _unused, path, headers in odd.requests if path.startswith("/token")][1]
    assert asked["Authorization"] == "Basic " + base64.b64encode(b"alice:hunter2").decode()


def test_a_token_service_of_another_host_gets_no_password(odd, other):
    # The port differs, the host is the same: take a name instead, which only an answer could have brought in.
    odd.routes[MANIFEST] = (
        401,
        {"WWW-Authenticate": f'Bearer realm="{other.url.replace("127.0.0.1", "localhost")}/t"'},
        b"",
    )
    other.routes["/t"] = (200, {}, b'{"token": "given"}')
    with pytest.raises(errors.Unauthorized, match="HTTP 401"):
        client(Access(odd.url, "alice", "hunter2")).registries.resolve(reference(odd.host))
    assert all("Authorization" not in headers for _unused, _unused, headers in other.requests)


@pytest.mark.parametrize(
    ("answer", "words"),
    [(b"[]", "no dict"), (b"{", "no JSON"), (b'{"token": 1}', "no token"), (b'{"token": "a\\nb"}', "no token")],
)
def test_a_token_service_that_answers_nonsense(odd, answer, words):
    odd.routes[MANIFEST] = (401, {"WWW-Authenticate": f'Bearer realm="{odd.url}/t"'}, b"")
    odd.routes["/t"] = (200, {}, answer)
    with pytest.raises(errors.BadAnswer, match=words):
        client(odd.url).registries.resolve(reference(odd.host))


def test_a_registry_without_the_digest_header_is_hashed(odd):
    odd.routes[MANIFEST] = (200, {}, b"{}")
    digest = client(odd.url).registries.resolve(reference(odd.host))
    assert digest == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    odd.routes[MANIFEST] = (200, {"Docker-Content-Digest": "md5:1"}, b"{}")
    with pytest.raises(errors.BadAnswer, match="gave a digest that is none"):
        client(odd.url).registries.resolve(reference(odd.host))


def test_a_missing_image(odd):
    with pytest.raises(errors.NotFound, match="the registry has no image"):
        client(odd.url).registries.resolve(reference(odd.host))


def test_an_answer_cut_short_or_without_end(odd):
    odd.routes["/versions"] = (200, {"Content-Length": "100"}, b'["v1.14.1"]')
    with pytest.raises(errors.Unavailable, match=r"does not answer GET /versions .*2 attempts"):
        client(odd.url, timeout=0.2, attempts=2).versions()
    odd.routes["/versions"] = (200, {}, b'["' + b"x" * (9 * 1024 * 1024) + b'"]')
    with pytest.raises(errors.Unavailable, match="an answer of more than 8388608 bytes"):
        client(odd.url, attempts=1).versions()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{}", "no list"),
        (b"[1]", "other things than words"),
        (b"[", "no JSON"),
        (b"\xff", "no JSON"),
        (b"[" * 100000, "no JSON"),
    ],
)
def test_version_lists_that_are_none(odd, body, words):
    odd.routes["/versions"] = (200, {}, body)
    with pytest.raises(errors.BadAnswer, match=words):
        client(odd.url).versions()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({}, "no schematic id"),
        ({"id": "x"}, "no schematic id"),
        ({"id": 1}, "no schematic id"),
        ({"id": ENFORCING_ID, "schematic": 1}, "a schematic that is no text"),
        ([], "no dict"),
        ({"id": ENFORCING_ID.upper()}, "no schematic id"),
    ],
)
def test_registrations_that_are_none(odd, answer, words):
    odd.routes["/schematics"] = (201, {}, json.dumps(answer).encode())
    with pytest.raises(errors.BadAnswer, match=words):
        client(odd.url).create(ENFORCING)


def test_the_text_read_back_must_belong_to_the_id(odd):
    odd.routes["/schematics"] = (201, {}, json.dumps({"id": ENFORCING_ID}).encode())
    odd.routes[f"/schematics/{ENFORCING_ID}"] = (200, {}, b"customization: {}\n")
    with pytest.raises(errors.WrongId, match="the schematic read back has another hash"):
        client(odd.url).create(ENFORCING)


def test_what_only_the_factory_can_canonicalise(odd):
    text = json.dumps({"customization": {"extraKernelArgs": ["enforcing=1", "on"]}})
    kept = "customization:\n    extraKernelArgs:\n        - enforcing=1\n        - 'on'\n"
    other = kept.replace("'on'", "quiet")
    import hashlib

    given = hashlib.sha256(kept.encode()).hexdigest()
    odd.routes["/schematics"] = (201, {}, json.dumps({"id": given, "schematic": kept}).encode())
    odd.routes[f"/schematics/{given}"] = (200, {}, kept.encode())
    assert client(odd.url).create(text) == given
    given = hashlib.sha256(other.encode()).hexdigest()
    odd.routes["/schematics"] = (201, {}, json.dumps({"id": given, "schematic": other}).encode())
    with pytest.raises(errors.WrongId, match="it answered with another schematic"):
        client(odd.url).create(text)
    odd.routes["/schematics"] = (201, {}, json.dumps({"id": given}).encode())
    with pytest.raises(errors.WrongId, match="the text it answered with has not this id either"):
        client(odd.url).create(text)


def test_a_refusal_says_why_without_secrets_or_control_bytes(odd):
    odd.routes["/schematics"] = (400, {}, b"field \x1b[31mdiskImage not found, token hunter2")
    with pytest.raises(errors.Rejected) as caught:
        client(Access(odd.url, "alice", "hunter2")).create(ENFORCING)
    assert "diskImage" in str(caught.value)
    assert "hunter2" not in str(caught.value) and "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://factory.example.org",
        "ftp://factory.example.org",
        "factory.example.org",
        "",
        "https://user:pw@example.org",
    ],
)
def test_unsafe_addresses(url):
    with pytest.raises(errors.UnsafeUrl) as caught:
        Access(url)
    assert "pw" not in str(caught.value)


def test_plain_http_elsewhere_only_when_asked_by_name():
    assert Access("http://factory.example.org", allow_plain_http=True).url


# --- TLS ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "factory")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, None)
    )
    directory = tmp_path_factory.mktemp("pki")
    pem = built.public_bytes(serialization.Encoding.PEM)
    (directory / "ca.pem").write_bytes(pem)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "server.pem").write_bytes(secret + pem)
    return directory


def test_an_own_certificate_authority(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "server.pem")
    server = Odd(context)
    server.routes["/versions"] = (200, {}, b'["v1.14.1"]')
    try:
        with pytest.raises(errors.UnsafeUrl, match="cannot be verified"):
            client(server.url).versions()
        assert client(Access(server.url, ca_file=str(certificate / "ca.pem"))).versions() == ["v1.14.1"]
        with pytest.raises(FileProblem, match=r"missing\.pem cannot be read"):
            client(Access(server.url, ca_file=str(certificate / "missing.pem"))).versions()
        for text in ("no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
            (certificate / "wrong.pem").write_text(text)
            with pytest.raises(errors.UnsafeUrl, match="cannot be used"):
                client(Access(server.url, ca_file=str(certificate / "wrong.pem"))).versions()
        marked = "\ufeff# Zertifikat für die Fabrik\n" + (certificate / "ca.pem").read_text()
        (certificate / "marked.pem").write_text(marked, encoding="utf-16")
        assert client(Access(server.url, ca_file=str(certificate / "marked.pem"))).versions() == ["v1.14.1"]
        # A mirrored registry has an authority of its own, and that of the factory is not taken for it.
        server.routes[MANIFEST] = (200, {"Docker-Content-Digest": DIGEST}, b"")
        for ca_file, trusted in ((str(certificate / "ca.pem"), True), (None, False)):
            mirrors = {"registry.example.org": Access(server.url, ca_file=ca_file)}
            own = Access("https://factory.example.org", ca_file=str(certificate / "ca.pem"))
            found = client(own, mirrors=mirrors)
            if trusted:
                assert found.registries.resolve(reference("registry.example.org")) == DIGEST
            else:
                with pytest.raises(errors.UnsafeUrl, match="cannot be verified"):
                    found.registries.resolve(reference("registry.example.org"))
    finally:
        server.stop()
