# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Access to the Kubernetes API by a kubeconfig, through the official client library."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from .problem import Problem, missing_library

_IMPORT_ERROR: ImportError | None = None
try:
    import kubernetes
except ImportError as error:
    kubernetes = None
    _IMPORT_ERROR = error


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
        MissingLibrary: without the ``kubernetes`` library.
    """
    if kubernetes is None:
        raise missing_library("kubernetes", _IMPORT_ERROR)
    try:
        return kubernetes.config.new_client_from_config(config_file=kubeconfig, context=context)
    except Exception as error:
        # A kubeconfig that cannot be used ends in whatever its file, its YAML or its credentials plugin raise.
        raise unread(kubeconfig, error, "without it the cluster can neither be read nor drained") from error


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
