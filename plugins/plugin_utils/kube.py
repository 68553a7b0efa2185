# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Access to the Kubernetes API by a kubeconfig, through the official client library."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .operator_files import read_text
from .problem import Problem, missing_library

_IMPORT_ERROR: ImportError | None = None
try:
    import kubernetes
    import yaml
except ImportError as error:
    kubernetes = None
    _IMPORT_ERROR = error

_WHY = "without it the cluster can neither be read nor drained"
_FILES = {"certificate-authority", "client-certificate", "client-key", "tokenFile"}


class ClusterProblem(Problem):
    """The Kubernetes API could not be read."""

    kind = "kubernetes"


def kube_client(kubeconfig: str, context: str | None = None) -> Any:
    """An API client of the ``kubernetes`` library; enter it, so that its connections are closed.

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
    try:
        return _client(kubeconfig, context)
    except Problem:
        raise
    except Exception as error:
        # A kubeconfig that cannot be used ends in whatever its file, its YAML or its credentials plugin raise.
        raise unread(kubeconfig, error, _WHY) from error


def _client(kubeconfig: str, context: str | None) -> Any:
    # Several files in the form of KUBECONFIG are merged by the library, which reads plain UTF-8 only.
    several = os.pathsep in kubeconfig
    text = "" if several else read_text(kubeconfig, "kubeconfig", why=_WHY)
    if several or Path(kubeconfig).expanduser().read_bytes() == text.encode():
        return kubernetes.config.new_client_from_config(config_file=kubeconfig, context=context)
    document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    _make_absolute(document, Path(kubeconfig).expanduser().absolute().parent)
    return kubernetes.config.new_client_from_config_dict(document, context=context)


def _make_absolute(document: Any, directory: Path) -> None:
    """Files that a kubeconfig names are relative to it, which the library does not know of a mapping."""
    for entry in [*(document.get("clusters") or ()), *(document.get("users") or ())]:
        part = entry.get("cluster") or entry.get("user") or {}
        for key in _FILES & set(part):
            part[key] = str(directory / part[key])


def unread(kubeconfig: str, error: Exception, why: str) -> ClusterProblem:
    """The problem of an API that gave no answer, or one that refuses."""
    reason = getattr(error, "reason", None) or type(error).__name__
    return ClusterProblem(
        f"the Kubernetes API of {kubeconfig} cannot be read: {reason}",
        why,
        "check the kubeconfig, its credentials and that the API server answers",
        kubeconfig=kubeconfig,
    )


def items_of(read: Callable[..., Any], timeout: float) -> list[dict[str, Any]]:
    """The items of a list call of the library as the plain dictionaries that the API sends.

    The library's own models take most of the time of reading a large cluster, and are not needed.

    Args:
        read: a list method of one of the library's APIs.
        timeout: seconds for the call.

    Raises:
        ValueError: the answer is not a list of objects.
    """
    answer = json.loads(read(_preload_content=False, _request_timeout=timeout).data)
    items = answer.get("items") if isinstance(answer, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError("the answer is not a list of objects")
    return items
