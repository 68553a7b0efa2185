# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a factory or a registry answers, answer by answer: what is asked next, and which answer is none."""

from __future__ import annotations

import hashlib
import json
from email.message import Message
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.image import errors
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.access import Access
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.answers import Answer
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.factory import Factory
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.references import Target
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.registry import Registries
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem

TEXT = "customization: {}\n"
ID = hashlib.sha256(TEXT.encode()).hexdigest()
OTHER = "customization:\n    extraKernelArgs:\n        - quiet\n"
OTHER_ID = hashlib.sha256(OTHER.encode()).hexdigest()
OWNED = "owner: me\ncustomization: {}\n"
URL = "https://factory.example"


class Http:
    """Answers one request after another, and keeps what was asked."""

    def __init__(self, *answers: tuple[int, Any] | tuple[int, Any, dict[str, str]]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str]] = []
        self.sent: list[tuple[Any, dict[str, str]]] = []

    def request(
        self, access: Access, method: str, url: str, body: Any = None, headers: Any = None, **_how: Any
    ) -> Answer:
        self.asked.append((method, url.removeprefix(access.url)))
        self.sent.append((body, dict(headers or {})))
        status, content, *more = self.answers.pop(0)
        message = Message()
        for name, value in (more[0] if more else {}).items():
            message[name] = value
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        return Answer(status, message, data, url)


def factory(*answers: Any, access: Access | None = None) -> tuple[Factory, Http]:
    """A factory that answers so."""
    http: Any = Http(*answers)
    return Factory(access or Access(URL), http=http), http


def test_a_schematic_is_registered_and_read_back() -> None:
    made, http = factory((201, {"id": ID, "schematic": TEXT}), (200, TEXT.encode()))
    assert made.create(TEXT) == ID
    assert http.asked == [("POST", "/schematics"), ("GET", f"/schematics/{ID}")]
    assert http.sent[0] == (b"customization: {}\n", {"Content-Type": "application/yaml"})
    older, _http = factory((201, {"id": ID}), (200, TEXT.encode()))
    assert older.create(TEXT) == ID


ENTERPRISE = Access(URL, token="t")


@pytest.mark.parametrize(
    ("answers", "access", "kind", "words"),
    [
        ([(400, b"no such field")], None, errors.Rejected, "the factory refuses the schematic: no such field"),
        ([(200, {"id": ID})], None, errors.BadAnswer, "did not register the schematic"),
        ([(201, [])], None, errors.BadAnswer, "gave JSON that is no dict"),
        ([(201, {})], None, errors.BadAnswer, "gave no schematic id"),
        ([(201, {"id": ID.upper()})], None, errors.BadAnswer, "gave no schematic id"),
        ([(201, {"id": ID, "schematic": 7})], None, errors.BadAnswer, "gave a schematic that is no text"),
        ([(201, {"id": OTHER_ID})], None, errors.WrongId, "the text it answered with has not this id either"),
        ([(201, {"id": OTHER_ID, "schematic": TEXT})], None, errors.WrongId, "has not this id either"),
        ([(201, {"id": OTHER_ID, "schematic": OTHER})], None, errors.WrongId, "it answered with another schematic"),
        ([(201, {"id": OTHER_ID, "schematic": OTHER})], ENTERPRISE, errors.WrongId, "it answered with another"),
        (
            [(201, {"id": hashlib.sha256(b"[").hexdigest(), "schematic": "["})],
            ENTERPRISE,
            errors.WrongId,
            "the text it answered with cannot be read",
        ),
        (
            [(201, {"id": hashlib.sha256(b"customization:  {}\n").hexdigest(), "schematic": "customization:  {}\n"})],
            ENTERPRISE,
            errors.WrongId,
            "the text it answered with is not canonical",
        ),
        ([(201, {"id": ID}), (404, b"")], None, errors.LostSchematic, f"does not know the schematic {ID}"),
        ([(201, {"id": ID}), (200, OTHER.encode())], None, errors.WrongId, "the schematic read back has another hash"),
        ([(201, {"id": ID}), (200, b"\xff")], None, errors.BadAnswer, "gave bytes that are no text"),
        ([(201, {"id": ID}), (500, b"")], None, errors.BadAnswer, "the factory did not show the schematic"),
        (
            [(201, {"id": ID, "schematic": TEXT + " "}), (200, TEXT.encode())],
            None,
            errors.WrongId,
            "the schematic read back differs from the one it answered with",
        ),
    ],
)
def test_an_answer_that_is_no_registration(
    answers: list[Any], access: Access | None, kind: type[Problem], words: str
) -> None:
    made, _http = factory(*answers, access=access)
    with pytest.raises(kind, match=words):
        made.create(TEXT)


def test_an_enterprise_factory_adds_the_owner() -> None:
    identifier = hashlib.sha256(OWNED.encode()).hexdigest()
    answers = [(201, {"id": identifier, "schematic": OWNED}), (200, OWNED.encode())]
    made, _http = factory(*answers, access=ENTERPRISE)
    assert made.create(TEXT) == identifier
    # Without credentials nobody is the owner.
    anybody, _http = factory(*answers)
    with pytest.raises(errors.WrongId, match="it answered with another schematic"):
        anybody.create(TEXT)


@pytest.mark.parametrize("what", ["extensions", "overlays"])
def test_lists_by_version(what: str) -> None:
    made, http = factory(
        (200, [{"name": "a", "more": 1}]), (404, b""), (500, b""), (200, {}), (200, [{"name": 1}]), (200, ["a"])
    )
    ask = getattr(made, what)
    assert ask("v1.14.1") == [{"name": "a", "more": 1}]
    assert http.asked == [("GET", f"/version/v1.14.1/{what}/official")]
    with pytest.raises(errors.NotFound, match=rf"has no list of {what} for v1\.14\.1"):
        ask("v1.14.1")
    with pytest.raises(errors.BadAnswer, match=f"did not list the {what}"):
        ask("v1.14.1")
    with pytest.raises(errors.BadAnswer, match="is no list"):
        ask("v1.14.1")
    for _again in range(2):
        with pytest.raises(errors.BadAnswer, match=f"listed {what} without names"):
            ask("v1.14.1")


def test_versions() -> None:
    made, http = factory((200, ["v1.14.1"]), (500, b""), (200, [1]), (400, b"no"))
    assert made.versions() == ["v1.14.1"]
    assert http.asked == [("GET", "/versions")]
    with pytest.raises(errors.BadAnswer, match="did not list its versions"):
        made.versions()
    with pytest.raises(errors.BadAnswer, match="a list with other things than words"):
        made.versions()
    with pytest.raises(errors.Rejected, match="did not list its versions: no"):
        made.versions()


def test_an_overlay_that_the_factory_does_not_have_is_missed_before_anything_is_registered() -> None:
    text = "overlay: {name: rpi_generic, image: siderolabs/sbc-raspberrypi}"
    made, http = factory((200, ["v1.14.1"]), (200, [{"name": "rock4cplus"}]))
    with pytest.raises(errors.MissingExtension, match=r"has no overlay rpi_generic for Talos v1\.14\.1"):
        made.verify(text, "v1.14.1", arch="arm64", goal="permissive")
    assert http.asked == [("GET", "/versions"), ("GET", "/version/v1.14.1/overlays/official")]
    made, http = factory((200, ["v1.14.1"]), (200, [{"name": "rpi_generic"}]), (400, b"no"))
    with pytest.raises(errors.Rejected, match="refuses the schematic: no"):
        made.verify(text, "v1.14.1", arch="arm64", goal="permissive")
    assert http.asked[-1] == ("POST", "/schematics")


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ((404, b""), errors.NotFound, f"has no image of {ID} for v1"),
        ((500, b""), errors.BadAnswer, "did not build the kernel command line"),
        ((200, b"a\nb"), errors.BadAnswer, "is not one line of text"),
        ((200, b" \n"), errors.BadAnswer, "is not one line of text"),
    ],
)
def test_a_command_line_that_is_none(answer: Any, kind: type[Problem], words: str) -> None:
    made, _http = factory((200, b" a b=1 \n"), answer)
    assert made.cmdline(ID, Target("v1.14.1")) == "a b=1"
    with pytest.raises(kind, match=words):
        made.cmdline(ID, Target("v1.14.1"))


DIGEST = f"sha256:{'d' * 64}"
NAME = "registry.example/a/b:v1"
PATH = "/v2/a/b/manifests/v1"


def registry(*answers: Any, access: Access | None = None) -> tuple[Registries, Http]:
    """The registries behind one that answers so."""
    http: Any = Http(*answers)
    mirror = access or Access("https://registry.example", username="u", password="p")
    return Registries(http, Access(URL), {"registry.example": mirror}), http


def test_a_digest_is_asked_for_without_the_manifest_and_else_with_it() -> None:
    named = {"Docker-Content-Digest": DIGEST}
    made, http = registry((200, b"", named))
    assert made.resolve(NAME) == DIGEST
    assert http.asked == [("HEAD", PATH)]
    assert "application/vnd.oci.image.index.v1+json" in http.sent[0][1]["Accept"]
    made, http = registry((405, b""), (200, b"x", named))
    assert made.resolve(NAME, DIGEST) == DIGEST
    assert http.asked == [("HEAD", PATH), ("GET", PATH)]
    own = f"sha256:{hashlib.sha256(b'manifest').hexdigest()}"
    made, http = registry((200, b""), (200, b"manifest"))
    assert made.resolve(NAME) == own
    made, http = registry((405, b""), (200, b"manifest"))
    assert made.resolve(NAME) == own
    assert len(http.asked) == 2


@pytest.mark.parametrize(
    ("answers", "name", "kind", "words"),
    [
        ([(404, b"")], NAME, errors.NotFound, "the registry has no image registry"),
        ([(500, b"")], NAME, errors.BadAnswer, "the registry did not resolve registry"),
        ([(200, b""), (404, b"")], NAME, errors.BadAnswer, "the registry did not resolve"),
        ([(200, b"", {"Docker-Content-Digest": "sha256:x"})], NAME, errors.BadAnswer, "gave a digest that is none"),
        ([(403, b"")], NAME, errors.Unauthorized, "access is denied .HTTP 403"),
        ([(401, b"")], NAME, errors.Unauthorized, "access is denied .HTTP 401"),
        (
            [(200, b"", {"Docker-Content-Digest": DIGEST})],
            f"{NAME}@sha256:{'e' * 64}",
            errors.DigestChanged,
            f"is now {DIGEST}, not sha256:eee",
        ),
    ],
)
def test_an_image_that_is_not_resolved(answers: list[Any], name: str, kind: type[Problem], words: str) -> None:
    made, _http = registry(*answers)
    with pytest.raises(kind, match=words):
        made.resolve(name)


BEARER = {"WWW-Authenticate": 'Bearer realm="https://registry.example/token",service="s",scope="repository:a/b:pull"'}
ELSEWHERE = {"WWW-Authenticate": 'bearer realm="https://auth.example/token?x=1",service="s"'}


@pytest.mark.parametrize(
    ("challenge", "token", "path", "password"),
    [
        (BEARER, {"token": "abc"}, "/token?service=s&scope=repository%3Aa%2Fb%3Apull", True),
        (BEARER, {"token": "", "access_token": "abc"}, "/token?service=s&scope=repository%3Aa%2Fb%3Apull", True),
        # The address comes from an answer: nobody else is given the password.
        (ELSEWHERE, {"token": "abc"}, "https://auth.example/token?x=1&service=s", False),
    ],
)
def test_a_token_is_fetched_where_the_registry_says(
    challenge: dict[str, str], token: dict[str, str], path: str, password: bool
) -> None:
    made, http = registry((401, b"", challenge), (200, token), (200, b"", {"Docker-Content-Digest": DIGEST}))
    assert made.resolve(NAME) == DIGEST
    assert http.asked[1] == ("GET", path)
    assert http.sent[1][1]["Authorization"].startswith("Basic ") is password
    assert http.sent[2][1]["Authorization"] == "Bearer abc"


@pytest.mark.parametrize("token", [{}, {"token": 7}, {"token": "a b"}, {"token": ""}])
def test_a_token_that_is_none(token: dict[str, Any]) -> None:
    made, _http = registry((401, b"", BEARER), (200, token))
    with pytest.raises(errors.BadAnswer, match="gave no token"):
        made.resolve(NAME)


def test_basic_is_for_those_who_have_a_token_only() -> None:
    basic = {"WWW-Authenticate": "Basic realm=x"}
    with_token = Access("https://registry.example", token="t")
    made, http = registry((401, b"", basic), (200, b"", {"Docker-Content-Digest": DIGEST}), access=with_token)
    assert made.resolve(NAME) == DIGEST
    assert http.sent[1][1]["Authorization"].startswith("Basic ")
    # A challenge of another kind is answered by nobody's password.
    made, http = registry((401, b"", {"WWW-Authenticate": "Negotiate"}), access=with_token)
    with pytest.raises(errors.Unauthorized):
        made.resolve(NAME)
    assert len(http.asked) == 1
    made, http = registry((401, b"", basic))
    with pytest.raises(errors.Unauthorized):
        made.resolve(NAME)
    assert len(http.asked) == 1


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("registry.example", "https://mirror.example"),
        ("factory.example", "https://factory.example"),
        ("other.example", "https://other.example"),
        ("127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("localhost:5000", "http://localhost:5000"),
    ],
)
def test_how_a_registry_is_reached(name: str, url: str) -> None:
    http: Any = Http()
    own = Access("https://factory.example/prefix", username="u", password="p", token="t")
    made = Registries(http, own, {"registry.example": Access("https://mirror.example")})
    access = made._access_to(name)
    assert access.url == url
    assert (access.username, access.password, access.token) == (
        ("u", "p", "t") if name == "factory.example" else (None, None, None)
    )
