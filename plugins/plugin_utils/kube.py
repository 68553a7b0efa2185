# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Access to the Kubernetes API by a kubeconfig, through the official client library."""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from .operator_files import read_text
from .private_files import short_lived_file
from .problem import Problem, missing_library
from .yaml_loader import load_yaml

_IMPORT_ERROR: ImportError | None = None
try:
    import kubernetes
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError
except ImportError as error:
    kubernetes = None
    _IMPORT_ERROR = error
    if not TYPE_CHECKING:
        # So that both can be named in an "except" where the library is absent; nothing raises them then.
        ApiException, HTTPError = ConnectionRefusedError, ConnectionResetError

__all__ = ["ApiException", "ClusterProblem", "HTTPError", "items_of", "kube_client", "request", "unread"]

#: The path of the Node objects.
NODES = ("api", "v1", "nodes")
_WHY = "without it the cluster can neither be read nor drained"
_LISTS = ("clusters", "contexts", "users")
_FILES = {"certificate-authority", "client-certificate", "client-key", "tokenFile"}


class ClusterProblem(Problem):
    """The Kubernetes API could not be read."""

    kind = "kubernetes"


@contextmanager
def kube_client(kubeconfig: str, context: str | None = None) -> Iterator[Any]:
    """An API client of the ``kubernetes`` library; in the end its connections are closed.

    Args:
        kubeconfig: path of the kubeconfig file.
        context: its context, or None for the current one.

    Raises:
        ClusterProblem: when the kubeconfig cannot be used.
        FileProblem: when it cannot be read, decrypted or decoded.
        MissingLibrary: without the ``kubernetes`` library.
    """
    if kubernetes is None:
        raise missing_library("kubernetes", _IMPORT_ERROR)
    with ExitStack() as kept:
        try:
            client = kept.enter_context(_client(kubeconfig, context, kept))
        except Problem:
            raise
        except Exception as error:
            # A kubeconfig that cannot be used ends in whatever its file, its YAML or its credentials plugin raise.
            raise unread(kubeconfig, error, _WHY) from error
        yield client


def _client(kubeconfig: str, context: str | None, kept: ExitStack) -> Any:
    paths = [Path(part).expanduser() for part in kubeconfig.split(os.pathsep) if part] or [Path(kubeconfig)]
    if len(paths) > 1:
        # As in KUBECONFIG: of several files those that are not there are left out.
        paths = [path for path in paths if path.exists()]
    texts = {path.absolute(): read_text(path, "kubeconfig", why=_WHY) for path in paths}
    if _by_file(texts):
        return kubernetes.config.new_client_from_config(config_file=kubeconfig, context=context)
    config = _merged(texts)
    _keep_in_memory(config, context, kept)
    return kubernetes.config.new_client_from_config_dict(config, context=context)


def _by_file(texts: Mapping[Path, str]) -> bool:
    """Whether the library has to read the files itself: for a program, which it starts beside the file, or for tokens,
    which it keeps there. It reads plain UTF-8 only, and all else ten times slower than it is read here.
    """
    if not any(word in text for text in texts.values() for word in ("exec", "auth-provider")):
        return False
    return all(path.read_bytes() == text.encode() for path, text in texts.items())


def _merged(texts: Mapping[Path, str]) -> dict[str, Any]:
    """Several kubeconfigs as one, as the library merges files: the first entry of a name, the last current context."""
    merged: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", **{key: [] for key in _LISTS}}
    for path, text in texts.items():
        document = load_yaml(text)
        if not isinstance(document, Mapping):
            raise ClusterProblem(f"{path} is no kubeconfig", _WHY, "give the path of a kubeconfig file")
        _make_absolute(document, path.parent)
        for key in _LISTS:
            known = {entry["name"] for entry in merged[key]}
            merged[key] += [entry for entry in document.get(key) or () if entry["name"] not in known]
        if "current-context" in document:
            merged["current-context"] = document["current-context"]
    return merged


def _make_absolute(document: Any, directory: Path) -> None:
    """Files that a kubeconfig names are relative to it, which the library does not know of a mapping."""
    for entry in [*(document.get("clusters") or ()), *(document.get("users") or ())]:
        part = entry.get("cluster") or entry.get("user") or {}
        for key in _FILES & set(part):
            part[key] = str(directory / part[key])


def _keep_in_memory(config: dict[str, Any], context: str | None, kept: ExitStack) -> None:
    """Give the certificates and the key of a context names, as long as ``kept`` is open.

    The library would write them to files that stay behind in a process of a task, which ends without cleaning up.
    """
    name = context or config.get("current-context")
    chosen: dict[str, Any] = next((entry["context"] for entry in config["contexts"] if entry["name"] == name), {})
    for entries, kind in (("clusters", "cluster"), ("users", "user")):
        for entry in config[entries]:
            part = entry.get(kind) or {}
            for key in _FILES if entry["name"] == chosen.get(kind) else ():
                if part.get(f"{key}-data"):
                    content = base64.b64decode(part.pop(f"{key}-data"))
                    part[key] = kept.enter_context(short_lived_file(content))


def unread(kubeconfig: str, error: Exception, why: str) -> ClusterProblem:
    """The problem of an API that gave no answer, or one that refuses."""
    reason = getattr(error, "reason", None) or type(error).__name__
    if str(error).startswith(("Invalid kube-config", "File does not exist")):
        # What the library says of a kubeconfig names its entries and files. Other texts may be a credentials plugin's.
        reason = str(error)
    return ClusterProblem(
        f"the Kubernetes API of {kubeconfig} cannot be read: {reason}",
        why,
        "check the kubeconfig, its credentials and that the API server answers",
        kubeconfig=kubeconfig,
    )


@contextmanager
def session(kubeconfig: str, context: str | None, why: str) -> Iterator[Any]:
    """An API client as of :func:`kube_client`; whatever is raised while it is used is one problem with this ``why``.

    The library lets errors of urllib3, yaml, ssl and its own through, and each means the same: there is no answer.
    """
    try:
        with kube_client(kubeconfig, context) as client:
            yield client
    except Problem:
        raise
    except Exception as error:
        raise unread(kubeconfig, error, why) from error


def read_lists(
    kubeconfig: str, context: str | None, paths: Sequence[tuple[str, ...]], *, why: str, timeout: float = 15.0
) -> list[list[dict[str, Any]]]:
    """The objects of several lists, as the API sends them, in the order of the paths.

    Args:
        kubeconfig: path of the kubeconfig file.
        context: its context, or None for the current one.
        paths: as of :func:`request_at`.
        why: why they are needed.
        timeout: seconds for each list.

    Raises:
        ClusterProblem: when any of them cannot be read.
        MissingLibrary: without the ``kubernetes`` library.
    """
    with session(kubeconfig, context, why) as client:
        return [items_of(request(client, "GET", path, timeout=timeout)) for path in paths]


def request(
    client: Any,
    method: str,
    path: Sequence[str],
    body: Mapping[str, Any] | None = None,
    *,
    query: Mapping[str, str] | None = None,
    timeout: float,
) -> dict[str, Any]:
    """Send one request and return the answer as the plain data that the API sends; as of :func:`request_at`."""
    return request_at(client, method, path, body, query=query, timeout=timeout)[0]


def request_at(
    client: Any,
    method: str,
    path: Sequence[str],
    body: Mapping[str, Any] | None = None,
    *,
    query: Mapping[str, str] | None = None,
    timeout: float,
) -> tuple[dict[str, Any], dt.datetime | None]:
    """Send one request and return the answer as the plain data that the API sends, and when it sent it.

    The library's classes of APIs and models are not used: they take a second of CPU to load in every process that
    needs one, and more time than the API server to read a large cluster.

    Args:
        client: from :func:`kube_client`.
        method: of HTTP; a ``PATCH`` is a strategic merge.
        path: its parts, which are quoted here: ``("api", "v1", "nodes", name)``.
        timeout: seconds.

    Returns:
        The answer, and the server's time (None where it gave none).

    Raises:
        ApiException: the API answered with an error, whose ``status``, ``headers`` and ``body`` it has.
        HTTPError: there was no answer.
        ValueError: a part of the path names nothing, or the answer is not an object in JSON.
    """
    if any(part in ("", ".", "..") for part in path):
        raise ValueError(f"{path!r} has a part that names nothing")
    url = client.configuration.host + "".join("/" + quote(part, safe="") for part in path)
    kind = "application/strategic-merge-patch+json" if method == "PATCH" else "application/json"
    headers = {**client.default_headers, "Accept": "application/json", "Content-Type": kind}
    for setting in client.configuration.auth_settings().values():
        headers[setting["key"]] = setting["value"]
    # Early releases of the library take no fractions of a second, and then do without a timeout.
    answer = client.rest_client.request(
        method,
        url + ("?" + urlencode(query) if query else ""),
        headers=headers,
        body=body,
        _request_timeout=max(1, round(timeout)),
    )
    text = answer.read() if answer.data is None else answer.data
    if not 200 <= answer.status <= 299:
        error = ApiException(status=answer.status, reason=answer.reason)
        error.body, error.headers = text, answer.getheaders()
        raise error
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("the answer is not an object")
    return found, date_of(answer.getheaders())


def date_of(headers: Mapping[str, str] | None) -> dt.datetime | None:
    """When an answer was sent, by the server's clock (RFC 9110, 6.6.1); None where it does not say."""
    try:
        date = parsedate_to_datetime((headers or {}).get("Date") or "")
    except ValueError:
        return None
    return date if date.tzinfo else None


def items_of(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The objects of an answer that is a list of the API.

    Raises:
        ValueError: it is not a list of objects, or only a part of one.
    """
    items = answer.get("items")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError("the answer is not a list of objects")
    if (answer.get("metadata") or {}).get("continue"):
        # Nobody asked for a part, so whatever stands between does not pass all of it on.
        raise ValueError("the answer is a part of a list")
    return items
