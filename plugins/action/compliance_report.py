# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge a fleet against a profile and keep the report as a bundle."""

from __future__ import annotations

import datetime as dt
import getpass
import os
import socket
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible.utils.display import Display  # type: ignore[import-untyped]  # ansible-core ships no types

from ..plugin_utils.actions import TalosAction
from ..plugin_utils.canonical import canonical_json
from ..plugin_utils.compliance import bundle, cited, gather, history, versions
from ..plugin_utils.compliance.formats import junit, openreports, oscal, page, prometheus, sarif, table
from ..plugin_utils.compliance.formats.summary import summary_lines
from ..plugin_utils.compliance.formats.texts import visible
from ..plugin_utils.compliance.model import build_report
from ..plugin_utils.compliance.profile import load_profile
from ..plugin_utils.compliance.results import Ground
from ..plugin_utils.compliance.retired import in_force, read_retirements
from ..plugin_utils.evidence.files import EvidenceProblem
from ..plugin_utils.gate import waivers
from ..plugin_utils.gate.functions import iso
from ..plugin_utils.gate.policy import load_policy
from ..plugin_utils.gate.waiver_files import load_waivers


class ActionModule(TalosAction):
    """One report of the fleet, in every form that was asked for."""

    MODULE = "compliance_report"

    def act(self) -> dict[str, Any]:
        report, ledger = self._report(dt.datetime.now(dt.UTC).replace(microsecond=0))
        shown = visible(report)
        written = None
        if not self.check:
            place = Path(self.params["output"]) / history.directory_name(report["generated_at"])
            written = self._write(place, report, shown, ledger)
            self._textfile(shown)
        lines, failed = summary_lines(shown), self._stops(report["counts"]["results"])
        # Not every result callback shows text with line breaks as people would want to read it.
        Display().display("\n" + "\n".join(lines) + "\n")
        return {
            "counts": report["counts"],
            "drift": report["drift"],
            "nodes": {row["node"]: row["status"] for row in report["nodes"]},
            "sha256": report["sha256"],
            "bundle": str(written) if written else None,
            # Whatever a failed task returns is shown, and the table was a moment ago.
            **({} if failed else {"table": "\n".join(lines)}),
            "changed": written is not None,
            "failed": failed,
            "msg": lines[-1] + (f"; the report is in {written}" if written else ""),
        }

    def _report(self, now: dt.datetime) -> tuple[dict[str, Any], bytes]:
        """The report, and the lines of the ledger that it cites."""
        params = self.params
        profile, policy = load_profile(params["profile"]), load_policy(params["policy"])
        given = load_waivers(params["waivers"]) if params["waivers"] else ()
        # An expired waiver is a finding here and stops nothing, so they are not linted.
        granted = waivers.Waivers(given, policy, now)
        previous, line = history.earlier_reports(Path(params["output"]), profile.name, iso(now))
        hosts, population = self._population()
        nodes, unread = _collected(params["evidence"])
        unread |= {host: {"found": "this run was limited to other hosts"} for host in population if host not in hosts}
        retired = read_retirements(params["retired"] or ())
        found = gather.gather(
            population,
            nodes,
            unread,
            directory=Path(params["directory"]),
            zones={host: self.variable(host, "talos_zone") for host in population},
            configs={host: self.variable(host, "talos_machine_config") for host in population},
            ledger=Path(params["ledger"]) if params["ledger"] else None,
            previous=previous,
            probes=Path(params["probes"]) if params["probes"] else None,
            retired=in_force(retired, now) if retired else None,
        )
        report = build_report(
            found.subjects,
            Ground(profile, policy, granted, now),
            previous=previous,
            history=line,
            run={
                "by": _user(),
                "controller": socket.gethostname(),
                "clock_offset_seconds": gather.largest_clock_offset(found.subjects),
            },
            versions=versions.versions(),
            waves=found.waves,
            labels={str(key): str(value) for key, value in (params["labels"] or {}).items()},
            ledger=found.cited,
            retired=retired,
        )
        return report, found.ledger

    def _population(self) -> tuple[list[str], list[str]]:
        """The hosts of this run, and all that the report has to name."""
        hosts = self.hosts()
        named = self.params["population"] or []
        return hosts, [*hosts, *(host for host in named if host not in hosts and self.known(host))]

    def _stops(self, results: Mapping[str, int]) -> bool:
        wrong = results["fail"] + (results["unknown"] if self.params["fail_on"] == "unknown" else 0)
        nothing = self.params["fail_on"] == "unknown" and not results["total"]
        return self.params["fail_on"] != "never" and (bool(wrong) or nothing)

    def _write(self, place: Path, report: dict[str, Any], shown: dict[str, Any], ledger: bytes) -> Path:
        key = self.params["signing_key"]
        files = {bundle.REPORT: canonical_json(report) + b"\n", **self._formats(shown)}
        return bundle.write_bundle(
            place,
            files | ({cited.LEDGER: ledger} if report["ledger"] else {}),
            cited.citations(report),
            about={key: report[key] for key in ("generated_at", "run", "versions", "profile", "policy", "labels")},
            signing_key=self.read_file(key, "signing key") if key else None,
        )

    def _formats(self, report: dict[str, Any]) -> dict[str, bytes]:
        writers: dict[str, Callable[[], dict[str, bytes]]] = {
            "html": lambda: {"report.html": page.render(report)},
            "junit": lambda: {"junit.xml": junit.render(report)},
            "csv": lambda: {"report.csv": table.render(report)},
            "prometheus": lambda: {"metrics.prom": prometheus.render(report)},
            "oscal": lambda: {"oscal-assessment-results.json": oscal.render(report)},
            "sarif": lambda: {
                "report.sarif": sarif.render(
                    report, root=self.params["sarif_root"], fallback=self.params["sarif_fallback"]
                )
            },
            "openreports": lambda: {
                f"openreports/{name}": data
                for name, data in openreports.render(report, namespace=self.params["namespace"]).items()
            },
        }
        files: dict[str, bytes] = {}
        for name in self.params["formats"]:
            files |= writers[name]()
        return files

    def _textfile(self, report: dict[str, Any]) -> None:
        """The collector reads the file at any moment, as another user: it is replaced in one step, readable by all."""
        path = self.params["textfile"]
        if path is None:
            return
        try:
            descriptor, scratch = tempfile.mkstemp(prefix=".", suffix=".writing", dir=Path(path).parent)
            with os.fdopen(descriptor, "wb") as file:
                file.write(prometheus.render(report))
                os.fchmod(file.fileno(), 0o644)
            Path(scratch).replace(path)
        except OSError as error:
            raise EvidenceProblem(
                f"the metrics cannot be written to {path}: {error.strerror}",
                "an old file would go on saying what was true before",
                "make the collector's directory writable for this user",
            ) from error


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a user without a name.
        return f"uid {os.getuid()}"


def _collected(evidence: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The documents and the unread nodes of an evidence task, also of one that failed since it could read no node.

    Raises:
        EvidenceProblem: it failed for another reason, so nothing was asked.
    """
    if not evidence.get("failed"):
        return dict(evidence["nodes"]), dict(evidence["unread"])
    failure = evidence.get("failure") or {}
    if failure.get("kind") != "fleet_unread":
        raise EvidenceProblem(
            f"the evidence was not collected: {evidence.get('msg')}",
            "a report without a look at the nodes says nothing about them",
            "repair what the message names and run it again",
        )
    return {}, {host: problem for problem in failure["unread"] for host in problem["hosts"]}
