# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a real talosctl against the simulator, and say what each answer ought to be."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .simulator import Simulator


@dataclass(frozen=True)
class Answer:
    """What one run of talosctl gave."""

    line: str
    code: int
    out: str
    err: str

    def documents(self) -> list[dict[str, Any]]:
        """The JSON documents that ``-o json`` prints one after another."""
        decoder, found, position = json.JSONDecoder(), [], 0
        text = self.out.strip()
        while position < len(text):
            document, position = decoder.raw_decode(text, position)
            found.append(document)
            while position < len(text) and text[position].isspace():
                position += 1
        return found


Expectation = Callable[[Answer], str | None]


class Judge:
    """Runs talosctl against one simulator and keeps the score."""

    def __init__(self, talosctl: Path, simulator: Simulator) -> None:
        self.talosctl = talosctl
        self.simulator = simulator
        self.matching = 0
        self.mismatches: list[str] = []

    def address(self, name: str) -> str:
        """The address of a node, or of several with commas between them."""
        return ",".join(str(self.simulator.nodes[one].address) for one in name.split(","))

    def run(self, name: str, *arguments: str, context: str = "admin", via: str | None = None) -> Answer:
        """Run talosctl for one node, directly or through the endpoint ``via``."""
        node = self.address(name)
        options = ["--talosconfig", str(self.simulator.directory / "talosconfig"), "--context", context, "-n", node]
        if "--insecure" not in arguments:
            options += ["-e", self.address(via or name)]
        command = [str(self.talosctl), *arguments, *options]
        # Talosctl keeps a state directory in HOME, and colours its output for terminals.
        environment = {**os.environ, "HOME": str(self.simulator.directory), "NO_COLOR": "1", "TERM": "dumb"}
        environment.pop("TALOSCONFIG", None)
        where = f"{name} via {via}" if via else name
        shown = f"{' '.join(arguments)}  [{where if context == 'admin' else f'{where}, {context}'}]"
        try:
            done = subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=90,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            return Answer(
                shown, -1, _text(late.stdout), f"no end within {late.timeout:.0f} seconds; {_text(late.stderr)}"
            )
        return Answer(shown, done.returncode, done.stdout, done.stderr)

    def judge(self, answer: Answer, expectation: Expectation) -> bool:
        """Compare one answer with what was expected and print the line."""
        try:
            complaint = expectation(answer)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            complaint = f"the answer could not be read ({type(error).__name__}: {error}): {answer.out[:200]!r}"
        if complaint is None:
            self.matching += 1
            print(f"matching      {answer.line}", flush=True)
            return True
        self.mismatches.append(answer.line)
        print(f"NOT MATCHING  {answer.line}\n              {complaint}", flush=True)
        return False

    def expect(self, name: str, *arguments: str, then: Expectation, **options: Any) -> bool:
        """Run and judge."""
        return self.judge(self.run(name, *arguments, **options), then)


def succeeds(*parts: str) -> Expectation:
    """Exit status 0, and every part somewhere in the output."""

    def check(answer: Answer) -> str | None:
        if answer.code != 0:
            return f"expected success, got exit status {answer.code}: {answer.err.strip()[:300]}"
        missing = [part for part in parts if part not in answer.out + answer.err]
        return f"expected {missing} in the output, got {answer.out[:300]!r}" if missing else None

    return check


def fails(*parts: str) -> Expectation:
    """A non-zero exit status, and every part in the error text."""

    def check(answer: Answer) -> str | None:
        if answer.code == 0:
            return f"expected a failure with {parts}, got success: {answer.out[:200]!r}"
        missing = [part for part in parts if part not in answer.err]
        return f"expected {missing} in the error, got {answer.err.strip()[:300]!r}" if missing else None

    return check


def has_spec(**fields: Any) -> Expectation:
    """One JSON document whose spec has these values."""

    def check(answer: Answer) -> str | None:
        if complaint := succeeds()(answer):
            return complaint
        documents = answer.documents()
        if len(documents) != 1:
            return f"expected one document, got {len(documents)}"
        spec = documents[0]["spec"]
        wrong = {key: spec.get(key) for key, value in fields.items() if spec.get(key) != value}
        return f"expected {fields}, got {wrong}" if wrong else None

    return check


def has_rows(count: int, *columns: str) -> Expectation:
    """A table with these column titles and this number of rows."""

    def check(answer: Answer) -> str | None:
        if complaint := succeeds(*columns)(answer):
            return complaint
        rows = len(answer.out.strip().splitlines()) - 1
        return f"expected {count} rows, got {rows}" if rows != count else None

    return check


def _printed(name: str) -> str:
    # talosctl makes its JSON from YAML with bare ids: what looks like a number becomes one, on a real node as here.
    if re.fullmatch(r"0x[0-9a-f]+", name):
        return str(int(name, 16))
    return str(int(name, 8)) if re.fullmatch(r"0[0-7]*", name) else name


def lists(kind: str, namespace: str, names: set[str], address: str) -> Expectation:
    """The JSON of all resources of one type, with complete metadata."""

    def check(answer: Answer) -> str | None:
        if complaint := succeeds()(answer):
            return complaint
        documents = answer.documents()
        for document in documents:
            metadata = document["metadata"]
            if metadata["type"] != kind or metadata["namespace"] != namespace or document["node"] != address:
                return f"expected {kind} in {namespace} of {address}, got {metadata} of {document['node']}"
            if metadata["phase"] not in ("running", "tearingDown") or str(metadata["version"]) in ("", "undefined"):
                return f"expected a phase and a version, got {metadata}"
            if not isinstance(document.get("spec"), (dict, str)):
                return f"expected a spec, got {document.get('spec')!r}"
        found = {str(document["metadata"]["id"]) for document in documents}
        printed = {_printed(name) for name in names}
        return f"expected {sorted(printed)}, got {sorted(found)}" if found != printed else None

    return check


def has_lines(count: int) -> Expectation:
    """Exit status 0 and exactly this number of lines."""

    def check(answer: Answer) -> str | None:
        lines = len(answer.out.splitlines())
        return succeeds()(answer) or (f"expected {count} lines, got {lines}" if lines != count else None)

    return check


def _text(output: str | bytes | None) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""
