# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests to the Kubernetes API: what is sent, and which answers are none."""

from __future__ import annotations

import base64
import codecs
import contextlib
import json
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils import kube
from ansible_collections.talosops.selinux.plugins.plugin_utils.kube import (
    ApiException,
    ClusterProblem,
    HTTPError,
    items_of,
    kube_client,
    request,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import MissingLibrary


class Server(ThreadingHTTPServer):
    """Answers every request alike and remembers it."""

    status = 200
    answer = b'{"kind": "Status"}'
    received: list[dict[str, Any]]


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.received.append(
            {"method": self.command, "path": self.path, "headers": dict(self.headers), "body": body}
        )
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.answer)))
        self.end_headers()
        self.wfile.write(self.server.answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

    def log_message(self, *_unused: Any) -> None:
        """Nothing is logged."""


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on the loopback interface."""
    made = Server(("127.0.0.1", 0), _Handler)
    made.received = []
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def client(server: Server, tmp_path: Path) -> Iterator[Any]:
    """A client of that server by a kubeconfig with a token."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": {"token": "let-me-in"}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(document))
    with kube_client(str(tmp_path / "kubeconfig")) as made:
        yield made


def test_a_request_is_authorized_and_says_what_it_sends_and_wants(server: Server, client: Any) -> None:
    patched = {"spec": {"unschedulable": True}}
    assert request(client, "PATCH", ("api", "v1", "nodes", "w"), patched, timeout=5) == {"kind": "Status"}
    (sent,) = server.received
    assert (sent["method"], sent["path"], json.loads(sent["body"])) == ("PATCH", "/api/v1/nodes/w", patched)
    headers = {key.lower(): value for key, value in sent["headers"].items()}
    assert headers["authorization"] == "Bearer let-me-in"
    assert headers["content-type"] == "application/strategic-merge-patch+json"
    assert headers["accept"] == "application/json"


def test_a_name_stays_one_part_of_the_path_and_a_query_one_value(server: Server, client: Any) -> None:
    query = {"fieldSelector": "spec.nodeName=a&limit=1"}
    request(client, "GET", ("api", "v1", "nodes", "../secrets?x=1#y"), query=query, timeout=5)
    assert server.received[0]["path"] == (
        "/api/v1/nodes/..%2Fsecrets%3Fx%3D1%23y?fieldSelector=spec.nodeName%3Da%26limit%3D1"
    )


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_names_something_else_is_not_sent(server: Server, client: Any, name: str) -> None:
    with pytest.raises(ValueError, match="names nothing"):
        request(client, "DELETE", ("api", "v1", "nodes", name), timeout=5)
    assert server.received == []


@pytest.mark.parametrize("status", [301, 403, 404, 409, 429, 500])
def test_a_refusal_is_raised_with_its_words(server: Server, client: Any, status: int) -> None:
    server.status, server.answer = status, b'{"message": "because"}'
    with pytest.raises(ApiException) as caught:
        request(client, "POST", ("apis", "policy"), {}, timeout=5)
    assert caught.value.status == status and json.loads(caught.value.body) == {"message": "because"}


@pytest.mark.parametrize("answer", [b"", b"[]", b"null", b'"items"', b"<html></html>", b'{"items": [], "a'])
def test_what_is_no_object_is_no_answer(server: Server, client: Any, answer: bytes) -> None:
    server.answer = answer
    with pytest.raises(ValueError, match=r".+"):
        request(client, "GET", ("api", "v1", "nodes"), timeout=5)


def test_a_server_that_is_gone_is_no_answer(server: Server, client: Any) -> None:
    client.configuration.host = "http://127.0.0.1:1"
    with pytest.raises(HTTPError, match="Max retries exceeded"):
        request(client, "PUT", ("api",), {}, timeout=5)


@pytest.mark.parametrize("answer", [{}, {"items": None}, {"items": {}}, {"items": [None]}, {"items": ["node"]}])
def test_a_list_without_objects_is_not_an_empty_list(answer: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="list of objects"):
        items_of(answer)


def test_a_part_of_a_list_is_not_the_list() -> None:
    assert items_of({"metadata": {"continue": ""}, "items": [{}]}) == [{}]
    with pytest.raises(ValueError, match="a part of a list"):
        items_of({"metadata": {"continue": "eyJ2", "remainingItemCount": 3}, "items": [{}]})


@pytest.mark.parametrize("marks", [(b"", b""), (codecs.BOM_UTF8, b""), (b"", codecs.BOM_UTF8)])
def test_several_files_are_one(server: Server, tmp_path: Path, marks: tuple[bytes, bytes]) -> None:
    """As KUBECONFIG lists them: the cluster in one file, who asks and the context in the other, and one not there."""
    url = f"http://127.0.0.1:{server.server_port}"
    cluster = {"clusters": [{"name": "c", "cluster": {"server": url}}]}
    user = {
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    for mark, name, part in (
        (marks[0], "one", {**cluster, "users": [{"name": "v", "user": {"token": "other"}}], "current-context": "y"}),
        (marks[1], "two", {**user, "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}]}),
    ):
        whole = {"apiVersion": "v1", "kind": "Config", **part}
        (tmp_path / name).write_bytes(mark + yaml.safe_dump(whole).encode())
    with kube_client(f"{tmp_path / 'one'}:{tmp_path / 'no'}:{tmp_path / 'two'}", None) as client:
        assert request(client, "GET", ("version",), timeout=5) == {"kind": "Status"}
    assert server.received[0]["path"] == "/version"
    headers = {key.lower(): value for key, value in server.received[0]["headers"].items()}
    assert headers["authorization"] == "Bearer t"


def test_a_file_with_a_mark_is_read_as_one_without(server: Server, tmp_path: Path) -> None:
    """The library reads plain UTF-8 only; paths in the file are relative to it."""
    url = f"http://127.0.0.1:{server.server_port}"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url, "certificate-authority": "ca.crt"}}],
        "users": [{"name": "u", "user": {"tokenFile": "token"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (tmp_path / "token").write_text("t")
    (tmp_path / "ca.crt").write_text("")
    (tmp_path / "marked").write_bytes(b"\xef\xbb\xbf" + yaml.safe_dump(document).encode())
    with kube_client(str(tmp_path / "marked"), "x") as client:
        request(client, "GET", ("version",), timeout=5)
    assert len(server.received) == 1
    document["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "marked").write_bytes(b"\xef\xbb\xbf" + yaml.safe_dump(document).encode())
    with kube_client(str(tmp_path / "marked"), "x") as client:
        assert client.configuration.ssl_ca_cert == str(tmp_path / "ca.crt")


def test_keys_in_a_kubeconfig_reach_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of a task ends without the library's cleaning up, so what it wrote would stay behind."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    secrets = {key: f"the {key}".encode() for key in ("certificate-authority", "client-certificate", "client-key")}
    data = {f"{key}-data": base64.b64encode(secret).decode() for key, secret in secrets.items()}
    document = {
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1", **data, "certificate-authority": "x"}}],
        "users": [{"name": "u", "user": data}, {"name": "other", "user": {"client-key-data": "no base64"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}, {"name": "none"}],
        "current-context": "x",
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(document))
    for context in (None, "x"):
        with kube_client(str(tmp_path / "kubeconfig"), context) as client:
            found = client.configuration
            names = [found.ssl_ca_cert, found.cert_file, found.key_file]
            assert [Path(name).read_bytes() for name in names] == list(secrets.values())
            assert list((tmp_path / "temporary").iterdir()) == []
        assert not any(Path(name).exists() for name in names)
    with pytest.raises(ClusterProblem), kube_client(str(tmp_path / "kubeconfig"), "none"):
        pass


@pytest.mark.parametrize("user", [{"exec": {"command": "./login"}}, {"auth-provider": {"name": "oidc"}}])
def test_a_program_is_started_beside_its_file_and_a_token_kept_in_it(
    user: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library does both, where it reads the file itself."""
    asked: list[Any] = []

    def library(**given: Any) -> Any:
        asked.append(given)
        return contextlib.nullcontext("client")

    monkeypatch.setattr(kube.kubernetes.config, "new_client_from_config", library)
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump({"users": [{"name": "u", "user": user}]}))
    with kube_client(str(tmp_path / "kubeconfig"), "x") as client:
        assert client == "client"
    assert asked == [{"config_file": str(tmp_path / "kubeconfig"), "context": "x"}]


def test_of_several_files_the_first_entry_of_a_name_and_the_last_context_that_is_given_count(tmp_path: Path) -> None:
    texts = {
        tmp_path / "one": "current-context: a\ncontexts: [{name: a, context: {user: u}}]\n",
        tmp_path / "two": "current-context: b\ncontexts: [{name: a, context: {user: v}}, {name: b}]\nusers:\n",
        tmp_path / "three": "{}",
    }
    merged = kube._merged(texts)
    assert merged["current-context"] == "b"
    assert merged["contexts"] == [{"name": "a", "context": {"user": "u"}}, {"name": "b"}]
    assert (merged["clusters"], merged["users"]) == ([], [])


def test_a_file_that_a_kubeconfig_names_and_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(
        "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\nusers: [{name: u, user: {}}]\n"
        "clusters: [{name: k, cluster: {server: 'https://127.0.0.1:1', certificate-authority: gone.crt}}]\n"
    )
    message = f"cannot be read: File does not exist: {tmp_path}/gone.crt"
    with pytest.raises(ClusterProblem, match=message), kube_client(str(path)):
        raise AssertionError("it is usable")


@pytest.mark.parametrize("text", ["", "# nothing\n", "kubeconfig", "[a]", "12"])
def test_what_is_no_kubeconfig_is_called_so(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(ClusterProblem, match=f"{path} is no kubeconfig"), kube_client(str(path)):
        raise AssertionError("it is usable")


def test_without_the_library_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube, "kubernetes", None)
    with pytest.raises(MissingLibrary, match="kubernetes"), kube_client(str(tmp_path / "kubeconfig")):
        pass


@pytest.mark.parametrize(("context", "user"), [(None, "u"), ("x", "u"), ("y", "v"), ("none", None)])
def test_the_keys_of_the_context_that_was_named_are_kept_in_memory(context: str | None, user: str | None) -> None:
    key = base64.b64encode(b"a key").decode()
    config: dict[str, Any] = {
        "current-context": "x",
        "contexts": [
            {"name": "x", "context": {"cluster": "c", "user": "u"}},
            {"name": "y", "context": {"cluster": "c", "user": "v"}},
        ],
        "clusters": [{"name": "c", "cluster": {"server": "s"}}],
        "users": [{"name": name, "user": {"client-key-data": key}} for name in ("u", "v")],
    }
    with contextlib.ExitStack() as kept:
        kube._keep_in_memory(config, context, kept)
        found = {one["name"]: one["user"] for one in config["users"]}
        assert [name for name in found if "client-key-data" not in found[name]] == ([user] if user else [])
        assert user is None or Path(found[user]["client-key"]).read_bytes() == b"a key"
