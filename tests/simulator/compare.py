# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask a simulated node what a real one was asked, and name every difference: keys, types, codes, texts, labels.

What two nodes cannot have in common (ids, sizes, times, counts) is not compared; that a value is there and what kind of
value it is, always.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import quick_yaml
from google.protobuf.json_format import MessageToDict
from google.protobuf.unknown_fields import UnknownFieldSet
from grpclib.client import Channel, UnaryStreamMethod
from grpclib.exceptions import GRPCError

from . import services
from .proto import make, message_class
from .replay import Recorded

#: Keys whose text must be the same, wherever they stand in a resource or an answer.
_SAME = frozenset(
    {
        "phase",
        "type",
        "parentID",
        "parentId",
        "targetPath",
        "selinuxLabel",
        "stage",
        "error",
        "state",
        "displayType",
        "machineType",
        "filesystem",
        "target",
        "volumeID",
        "platform",
        "mode",
        "hostnameVersion",
        "domainname",
        "data",
        "link",
        "is_dir",
    }
)
#: Keys by which the entries of a list are told apart.
_KEYS = ("hostname", "id", "name", "mounted_on", "command", "device_name")
_LOOSE = re.compile(r"\d+")


def differences(recorded: Recorded, answer: tuple[tuple[str, str] | None, list[Any]]) -> Iterator[str]:
    """Every difference between what was recorded and what a simulated node answered to the same question."""
    error, messages = answer
    if (recorded.error is None) != (error is None):
        yield f"error: recorded {recorded.error}, simulated {error}"
        return
    if recorded.error is not None and error is not None:
        if recorded.error[0] != error[0]:
            yield f"code: recorded {recorded.error[0]}, simulated {error[0]}"
        if _LOOSE.sub("#", recorded.error[1]) != _LOOSE.sub("#", error[1]):
            yield f"text: recorded {recorded.error[1]!r}, simulated {error[1]!r}"
        return
    reply = message_class(services.METHODS[recorded.method].reply)
    known = [reply.FromString(message) for message in recorded.messages]
    for message in known:
        yield from sorted({f"unknown field: {name}" for name in _unknown(message)})
    if recorded.method.endswith(("/Logs", "/Dmesg", "/Read")):
        yield from _streams(known, messages)
        return
    left, right = _facts(known), _facts(messages)
    yield from _compare(left, right)


def _streams(recorded: list[Any], simulated: list[Any]) -> Iterator[str]:
    if bool(recorded) != bool(simulated):
        yield f"messages: recorded {len(recorded)}, simulated {len(simulated)}"
    largest = [max((len(message.bytes) for message in messages), default=0) for messages in (recorded, simulated)]
    if max(largest) == 1024 and largest[0] != largest[1]:
        yield f"chunks: recorded {largest[0]}, simulated {largest[1]}"


def _unknown(message: Any, where: str = "") -> Iterator[str]:
    for field in UnknownFieldSet(message):
        yield f"{where or message.DESCRIPTOR.full_name} {field.field_number}"
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE and not (field.message_type.GetOptions().map_entry):
            # What a resource says is compared by its YAML.
            for item in [value] if not isinstance(value, Iterable) else value:
                yield from _unknown(item)


def _facts(messages: list[Any]) -> dict[str, str]:
    """Paths of all values, each with its type, and its text where that must be the same."""
    found: dict[str, str] = {}
    if messages and messages[0].DESCRIPTOR.full_name in ("cosi.resource.GetResponse", "cosi.resource.ListResponse"):
        for message in messages:
            metadata, spec = message.resource.metadata, message.resource.spec
            where = _name(metadata.id)
            found[f"{where}: owner"] = metadata.owner
            found[f"{where}: phase"] = metadata.phase
            found[f"{where}: labels"] = ",".join(sorted(metadata.labels))
            found[f"{where}: finalizers"] = ",".join(sorted(set(metadata.finalizers)))
            _walk(quick_yaml.load(spec.yaml_spec), f"{where}: spec", found)
        return found
    plain = [MessageToDict(message, preserving_proto_field_name=True) for message in messages]
    _walk(plain[0] if len(plain) == 1 else plain, "", found)
    return found


def _walk(value: Any, where: str, found: dict[str, str]) -> None:
    if isinstance(value, Mapping):
        if not value:
            found[where] = "mapping"
        for key, item in value.items():
            _walk(item, f"{where}.{key}", found)
    elif isinstance(value, list):
        found[where] = "list"
        for item in value:
            name = next((str(item[key]) for key in _KEYS if key in item), "") if isinstance(item, Mapping) else ""
            _walk(item, f"{where}[{_name(name)}]", found)
    else:
        text = f" {value}" if where.rpartition(".")[2] in _SAME else ""
        found[where] = f"{type(value).__name__}{text}"


def _name(text: str) -> str:
    # Disks and devices are named by their driver, and identities are drawn by lot.
    text = re.sub(r"\b(vd|sd)([a-z])(\d*)\b", r"disk-\2\3", text)
    return "IDENTITY" if re.fullmatch(r"[0-9A-Za-z]{40,46}", text) else text


def _compare(left: Mapping[str, str], right: Mapping[str, str]) -> Iterator[str]:
    for sign, here, there in (("missing", left, right), ("too much", right, left)):
        yield from (f"{sign}: {path}" for path in dict.fromkeys(_highest(path, there) for path in sorted(here)) if path)
    for path in sorted(left.keys() & right.keys()):
        if left[path] != right[path]:
            yield f"{path}: recorded {left[path]}, simulated {right[path]}"


def _highest(path: str, there: Mapping[str, str]) -> str:
    """The highest thing on the way to ``path`` that is not there at all; '' when the path itself is there."""
    for end in [match.start() for match in re.finditer(r"(?<!^)(?=[.\[]|: )", path)] + [len(path)]:
        above = path[:end]
        if not any(known == above or known.startswith((f"{above}.", f"{above}[", f"{above}: ")) for known in there):
            return above
    return ""


def ask(
    address: str, context: ssl.SSLContext, questions: Iterable[Recorded]
) -> dict[str, tuple[tuple[str, str] | None, list[Any]]]:
    """Ask a simulated node all questions over one connection; by name its error or its messages."""

    async def one(channel: Channel, question: Recorded) -> tuple[tuple[str, str] | None, list[Any]]:
        known = services.METHODS.get(question.method)
        request, reply = (known.request, known.reply) if known else ("google.protobuf.Empty", "google.protobuf.Empty")
        fields = {key: value for key, value in question.request.items() if key not in ("node", "nodes")}
        metadata = {key: str(question.request[key]) for key in ("node", "nodes") if key in question.request}
        method: Any = UnaryStreamMethod(channel, question.method, message_class(request), message_class(reply))
        try:
            return None, await method(make(request, **fields), metadata=metadata, timeout=120)
        except GRPCError as error:
            return (error.status.name, error.message or ""), []

    async def every() -> dict[str, tuple[tuple[str, str] | None, list[Any]]]:
        channel = Channel(address, 50000, ssl=context)
        try:
            return {question.name: await one(channel, question) for question in questions}
        finally:
            channel.close()

    return asyncio.run(every())
