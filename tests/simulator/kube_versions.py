# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a Kubernetes API checks before a write: that it builds on what is there now, and that a Lease is one.

Texts and rules as in Kubernetes 1.34: ``apiserver/pkg/registry/generic/registry/store.go`` (conflicts),
``pkg/registry/coordination/lease/strategy.go`` (an update must name the version it is based on),
``pkg/apis/coordination/validation`` (fields).
"""

from __future__ import annotations

import json
import re
from typing import Any

from .kube_kinds import ApiError, Kind, Object

# What metav1.MicroTime reads: RFC 3339 with exactly six digits of the second.
_MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)\Z")


def check_new(kind: Kind, item: Object) -> None:
    """Check an object that is to be created. Raises ApiError."""
    if item["metadata"].get("resourceVersion"):
        raise ApiError(500, "InternalError", "resourceVersion should not be set on objects to be created")
    if kind.resource == "leases":
        _check_lease(kind, item)


def check_update(kind: Kind, present: Object, item: Object, *, whole: bool) -> None:
    """Check a changed object against the one that is there; ``whole`` for PUT. Raises ApiError."""
    given, known = item["metadata"].get("resourceVersion"), present["metadata"]["resourceVersion"]
    if whole and not given and kind.resource == "leases":
        raise _invalid(kind, item, "metadata.resourceVersion: Invalid value: 0: must be specified for an update")
    if given and given != known:
        raise _conflict(
            kind,
            item["metadata"]["name"],
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    if item["metadata"].get("uid") not in (None, present["metadata"]["uid"]):
        have, wanted = item["metadata"]["uid"], present["metadata"]["uid"]
        text = f"Precondition failed: UID in precondition: {have}, UID in object meta: {wanted}"
        raise _conflict(kind, item["metadata"]["name"], text)
    for key in ("uid", "creationTimestamp"):
        item["metadata"][key] = present["metadata"][key]
    if kind.resource == "leases":
        _check_lease(kind, item)


def check_deletion(kind: Kind, present: Object, body: bytes) -> None:
    """Check the preconditions of DeleteOptions. Raises ApiError."""
    try:
        options: Any = json.loads(body) if body else {}
    except ValueError as error:
        raise ApiError(400, "BadRequest", "the body of the request was no JSON") from error
    conditions = (options.get("preconditions") if isinstance(options, dict) else None) or {}
    metadata = present["metadata"]
    for key, word in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if conditions.get(key) not in (None, metadata[key]):
            text = f"Precondition failed: {word} in precondition: {conditions[key]}, {word} in object meta: "
            raise _conflict(kind, metadata["name"], text + str(metadata[key]))


def _check_lease(kind: Kind, item: Object) -> None:
    spec = item.get("spec") or {}
    for name, least, word in (("leaseDurationSeconds", 1, "greater than 0"), ("leaseTransitions", 0, None)):
        value = spec.get(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise ApiError(400, "BadRequest", f"Lease in version v1 cannot be handled: {name} is no number")
        if value is not None and value < least:
            text = f"must be {word}" if word else "must be greater than or equal to 0"
            raise _invalid(kind, item, f"spec.{name}: Invalid value: {value}: {text}")
    if spec.get("holderIdentity") == "":
        raise _invalid(kind, item, 'spec.holderIdentity: Invalid value: "": must not be empty')
    for name in ("acquireTime", "renewTime"):
        value = spec.get(name)
        if value is not None and not (isinstance(value, str) and _MICRO_TIME.match(value)):
            raise ApiError(400, "BadRequest", f"Lease in version v1 cannot be handled: {name} is no MicroTime")


def _conflict(kind: Kind, name: str, why: str) -> ApiError:
    text = f'Operation cannot be fulfilled on {kind.full_name} "{name}": {why}'
    details = {"name": name, "group": kind.full_name.partition(".")[2], "kind": kind.resource}
    return ApiError(409, "Conflict", text, details)


def _invalid(kind: Kind, item: Object, why: str) -> ApiError:
    name = item["metadata"]["name"]
    group = kind.full_name.partition(".")[2]
    shown = f"{kind.kind}.{group}" if group else kind.kind
    details = {"name": name, "group": group, "kind": kind.kind}
    return ApiError(422, "Invalid", f'{shown} "{name}" is invalid: {why}', details)
