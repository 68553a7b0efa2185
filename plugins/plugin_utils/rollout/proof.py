# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The proof of one move: the node enforces by several witnesses, and it was reinstalled, not upgraded."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from ..canonical import is_sealed
from ..evidence.identity import one_machine
from ..problem import Problem
from ..talos import boots
from .labels import judge_labels

# The domain of Talos' machined. PID 1 stays in kernel_t or initramfs_t when the policy was not applied to it.
INIT_DOMAINS = ("init_t",)
# The volumes that every install makes anew; their partition UUIDs survive an upgrade and die with a wipe.
SYSTEM_VOLUMES = ("META", "STATE", "EPHEMERAL")
CONTROL_PLANE_TYPES = ("controlplane", "init")

Answer = tuple[bool | None, str]
Evidence = Mapping[str, Any]


class EvidenceTampered(Problem):
    """A proof was asked for from evidence whose content does not match its hash."""

    kind = "evidence_tampered"


def prove(
    before: Evidence,
    after: Evidence,
    *,
    target: Mapping[str, Any] | None = None,
    labels: Mapping[str, str | None] | None = None,
) -> dict[str, Any]:
    """Compare the evidence saved before the wipe with evidence taken after the first boot.

    Args:
        before, after: sealed evidence documents, schema 1, of the same machine.
        target: ``{version, schematic}`` that was to be installed; by default ``before.operation.target``, else
            ``after.operation.target``.

        labels: the labels of the new system's directories by path (``labels.labels_of``); None leaves them out.

    Returns:
        ``{node, witnesses: [{id, ok: bool|None, found}], reinstall: [{id, ok: bool|None, found}], enforcing: bool,
        reinstalled: bool, proven: bool, before_sha256, after_sha256}``. ``ok`` is None when it is not known, and only
        True everywhere proves. Witnesses: ``selinux_state``, ``kernel_args``, ``pid1_label``, ``policy_loaded``,
        ``denials`` (no record of this boot says permissive=1). Reinstall: ``same_machine``, ``later``, ``identity``,
        ``meta``, ``state``, ``ephemeral``, ``boot``, ``version``, ``schematic`` (when the target names one), ``labels``
        (when they were read), and ``etcd_member`` on control planes.

    Raises:
        EvidenceTampered: when a document does not carry the hash of its own content.
    """
    for name, document in (("before", before), ("after", after)):
        if not is_sealed(document):
            raise EvidenceTampered(
                f"the evidence {name} the reinstall does not match its own hash",
                "a proof from changed evidence proves nothing",
                "restore the saved evidence file, or collect again and look into who changed it",
                document=name,
            )
    target = target or _get(before, "operation", "target") or _get(after, "operation", "target") or {}
    witnesses = [_item(name, witness(after)) for name, witness in WITNESSES.items()]
    reinstall = [
        _item("same_machine", _same_machine(before, after)),
        _item("later", _later(before, after)),
        _item("identity", _changed("node identity", _get(before, "node", "identity"), _get(after, "node", "identity"))),
        *(
            _item(
                volume.lower(), _changed(f"{volume} partition", *(_partition(doc, volume) for doc in (before, after)))
            )
            for volume in SYSTEM_VOLUMES
        ),
        _item("boot", _new_boot(before, after)),
        _item("version", _equals("Talos version", target.get("version"), _get(after, "talos", "version"))),
    ]
    if target.get("schematic") is not None:
        found = _get(after, "talos", "schematic", "id")
        reinstall.append(_item("schematic", _equals("schematic", target["schematic"], found)))
    if {_get(before, "node", "machine_type"), _get(after, "node", "machine_type")} != {"worker"}:
        reinstall.append(_item("etcd_member", _new_member(before, after)))
    if labels is not None:
        control_plane = _get(after, "node", "machine_type") in CONTROL_PLANE_TYPES
        reinstall.append(_item("labels", judge_labels(labels, control_plane=control_plane)))
    enforcing = all(item["ok"] is True for item in witnesses)
    reinstalled = all(item["ok"] is True for item in reinstall)
    return {
        "node": _get(after, "node", "name"),
        "witnesses": witnesses,
        "reinstall": reinstall,
        "enforcing": enforcing,
        "reinstalled": reinstalled,
        "proven": enforcing and reinstalled,
        "before_sha256": before["sha256"],
        "after_sha256": after["sha256"],
    }


# -- witnesses of enforcing ----------------------------------------------------------------------------------------


def _selinux_state(after: Evidence) -> Answer:
    state = _get(after, "selinux", "state")
    if state in (None, "unknown"):
        return None, "the SELinux state is not known"
    return state == "enforcing", f"SecurityState says {state}"


def _kernel_args(after: Evidence) -> Answer:
    args = _get(after, "selinux", "kernel_args")
    if args is None:
        return None, "the kernel command line is not known"
    enforcing = [arg for arg in args if str(arg).startswith("enforcing=")]
    selinux = next((str(arg) for arg in args if str(arg).startswith("selinux=")), None)
    # The kernel takes the last enforcing=, Talos the first selinux=; two different values are an accident either way.
    good = bool(enforcing) and set(enforcing) == {"enforcing=1"} and selinux == "selinux=1"
    shown = " ".join([*(str(arg) for arg in enforcing), *([selinux] if selinux else [])])
    return good, f"the kernel was started with {shown or 'neither enforcing= nor selinux='}"


def _pid1_label(after: Evidence) -> Answer:
    label = _get(after, "selinux", "pid1_label")
    if label is None:
        return None, "the label of PID 1 is not known"
    parts = str(label).split(":")
    return len(parts) >= 3 and parts[2] in INIT_DOMAINS, f"PID 1 runs as {label or 'nothing (no label)'}"


def _policy_loaded(after: Evidence) -> Answer:
    loaded = _get(after, "selinux", "policy_loaded")
    if loaded is None:
        return None, "the kernel log does not reach back to the policy load"
    return loaded is True, "the kernel log shows " + ("the policy load" if loaded is True else "no policy load")


def _denials(after: Evidence) -> Answer:
    denials = _get(after, "audit", "denials")
    # A node may have no denial at all, so silence must not count against it; an unread log must.
    if denials is None or _get(after, "audit", "counts") is None:
        return None, "the audit log was not read"
    permissive = [denial.get("permissive") for denial in denials]
    if any(value is True for value in permissive):
        return False, f"{sum(value is True for value in permissive)} kinds of denial of this boot carry permissive=1"
    if any(value is not False for value in permissive):
        return None, "some denials do not say whether they were enforced"
    return True, f"{len(denials)} kinds of denial, none with permissive=1"


WITNESSES: dict[str, Callable[[Evidence], Answer]] = {
    "selinux_state": _selinux_state,
    "kernel_args": _kernel_args,
    "pid1_label": _pid1_label,
    "policy_loaded": _policy_loaded,
    "denials": _denials,
}


# -- proof of a new install ----------------------------------------------------------------------------------------


def _same_machine(before: Evidence, after: Evidence) -> Answer:
    names = _get(before, "node", "name"), _get(after, "node", "name")
    if names[0] != names[1]:
        return False, f"the evidence is of {names[0]} before and of {names[1]} after"
    called = _get(before, "node", "hostname"), _get(after, "node", "hostname")
    if called[0] != called[1]:
        # Kubernetes' node of the old name would be uncordoned, and the one of the new name was never cordoned.
        return False if all(called) else None, f"it is called {called[0]} before, {called[1]} after"
    (old, old_serial), (new, new_serial) = (
        (_get(one, "node", "uuid"), _get(one, "node", "serial_number")) for one in (before, after)
    )
    serials = f"serial number {old_serial} before, {new_serial} after"
    if old and new:
        answer = one_machine((str(old), old_serial), (str(new), new_serial))
        return answer, f"hardware UUID {old} before, {new} after, {serials}"
    if old_serial and new_serial:
        return old_serial == new_serial, serials
    return None, "neither hardware UUID nor serial number is known on both sides"


def _later(before: Evidence, after: Evidence) -> Answer:
    old, new = _time(before.get("collected_at")), _time(after.get("collected_at"))
    if old is None or new is None:
        return None, "when the evidence was collected is not known"
    return new > old, f"collected {before['collected_at']} before, {after['collected_at']} after"


def _new_boot(before: Evidence, after: Evidence) -> Answer:
    old, new = (boots.of_evidence(document.get("boot") or {}) for document in (before, after))
    named = f"boot {old.boot_id or 'without an id'} before, {new.boot_id or 'without an id'} after"
    answer = boots.compare(old, new)
    if answer != boots.UNKNOWN:
        return answer == boots.ANOTHER, named
    releases = _get(before, "talos", "version"), _get(after, "talos", "version")
    if all(releases) and releases[0] != releases[1]:
        # No boot runs two releases.
        return True, f"{releases[0]} ran before, {releases[1]} runs after"
    return None, f"{named}, and nothing else tells them apart"


def _new_member(before: Evidence, after: Evidence) -> Answer:
    if {_get(before, "node", "machine_type"), _get(after, "node", "machine_type")} - set(CONTROL_PLANE_TYPES):
        return None, "the machine type is not known on both sides, or changed"
    return _changed("etcd member id", _get(before, "etcd", "member_id"), _get(after, "etcd", "member_id"))


def _changed(what: str, old: Any, new: Any) -> Answer:
    if old in (None, "") or new in (None, ""):
        return None, f"the {what} is not known on both sides"
    if _plain(old) == _plain(new):
        return False, f"the {what} is still {new}: this is the old install"
    return True, f"the {what} was {old} and is {new}"


def _equals(what: str, wanted: Any, found: Any) -> Answer:
    if wanted in (None, "") or found in (None, ""):
        return None, f"the {what} that was wanted or the one that runs is not known"
    return str(wanted) == str(found), f"the {what} is {found}, wanted {wanted}"


def _partition(document: Evidence, volume: str) -> Any:
    return _get(document, "volumes", volume, "partition_uuid")


def _plain(value: Any) -> str:
    return re.sub(r"[^0-9a-z]", "", str(value).lower()) or str(value)


def _time(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else None


def _get(document: Any, *keys: str) -> Any:
    for key in keys:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document


def _item(identifier: str, answer: Answer) -> dict[str, Any]:
    return {"id": identifier, "ok": answer[0], "found": answer[1]}
