# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node itself says about its logs being the whole story: its mode, command line, release and boot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..talos.boots import ANOTHER, SAME, UNKNOWN, compare
from ..talos.versions import parse_version

if TYPE_CHECKING:
    from .coverage import CoverageInput

_HEALTHY_STAGES = frozenset({"running"})


class NodeChecks:
    """Collects the reasons and notes of a judgement; the checks that need no log are its own."""

    def __init__(self, given: CoverageInput) -> None:
        self.given = given
        self.reasons: list[dict[str, str]] = []
        self.notes: list[dict[str, str]] = []
        self.release = _release(given.talos_version)
        self.boot = compare(*given.looks) if given.looks else UNKNOWN

    def _mode(self) -> None:
        given = self.given
        if given.mode is None:
            self._gap("F17", "the platform mode is not known")
        elif given.mode == "container":
            self._fatal("F17", "the node runs in container mode: SELinux is off and auditd is not started there")
        if given.stage is None:
            self._gap("F18", "the node's stage is not known")
        elif given.stage == "maintenance":
            before = self.release is not None and self.release < (1, 13)
            tail = "; releases before 1.13 serve no logs there" if before else ""
            self._fatal("F18", f"the node is in maintenance mode{tail}")
        elif given.stage not in _HEALTHY_STAGES:
            self._gap("F18", f"the node's stage is {given.stage}, not running")
        state = given.selinux_state
        if state is None or state == "unknown":
            self._gap("F15", "the SELinux state is not known")
        elif state == "disabled":
            self._fatal("F15", "SELinux is disabled: nothing is checked, so nothing is denied")
        elif state == "unsupported":
            self._fatal("F16", "this release does not report SELinux: no policy is active")
        elif state not in ("permissive", "enforcing"):
            self._gap("F15", f"the SELinux state {state!r} is not one this collection knows")
        if state == "enforcing":
            self._note(
                "F23",
                "the node enforces: a program that is refused takes other paths, so the log is never the whole list",
            )
        elif state == "permissive":
            self._note("F13", "permissive mode logs a denial once per cache entry: only the time since boot counts")
        if given.extensions:
            self._note("F27", "extension services run in unconfined_container_t: a later policy may confine them")

    def _cmdline(self) -> None:
        cmdline = self.given.cmdline
        if cmdline is None:
            self._gap("F3", "the kernel command line is not known")
            self._gap("F2", "whether auditd is disabled on the kernel command line is not known")
            return
        words: dict[str, list[str]] = {}
        for word in cmdline.split():
            key, _unused, value = word.partition("=")
            words.setdefault(key, []).append(value)
        if any(value in ("0", "off") for value in words.get("audit", [])):
            self._fatal("F3", "the kernel command line has audit=0: no denial is ever recorded")
        if any(value not in ("0", "false") for value in words.get("talos.auditd.disabled", [])):
            self._fatal("F2", "the kernel command line has talos.auditd.disabled: the service does not run")
        for key in ("security", "lsm"):
            for value in words.get(key, []):
                if "selinux" not in value.split(","):
                    self._fatal(
                        "F15", f"the kernel command line has {key}={value}: another module than SELinux is active"
                    )
                elif "apparmor" in value.split(",") and value.split(",").index("apparmor") < value.split(",").index(
                    "selinux"
                ):
                    self._fatal("F15", f"the kernel command line has {key}={value}: AppArmor comes before SELinux")
        first = words.get("selinux", [None])[0]
        if first != "1" and self.given.selinux_state != "enforcing":
            if first is None:
                self._gap("F15", "the kernel command line has no selinux=1: Talos loads no policy")
            else:
                self._fatal("F15", f"the first selinux= on the kernel command line is {first!r}: Talos loads no policy")

    def _version_facts(self) -> None:
        if self.given.talos_version is None or self.release is None:
            self._gap("F16", "the Talos version is not known")
            return
        if self.release < (1, 10):
            self._fatal("F16", f"Talos {self.given.talos_version} has no policy active by default")
        self._note("F21", "a clean run under this version's policy says nothing firm about another version's")

    def _boot(self) -> None:
        given = self.given
        if self.boot == ANOTHER:
            self._gap("F12", "the node rebooted while it was read")
        elif self.boot != SAME:
            self._gap("F12", "nothing shows that the node did not reboot while it was read")
        if given.uptime_seconds is None:
            self._gap("F12", "the uptime is not known")
        elif given.uptime_seconds < 0:
            self._gap("F32", "the uptime is negative: a clock is wrong")
        if given.time_synced is False:
            self._gap("F32", "the node's clock is not synchronised")

    def _gap(self, id_: str, text: str) -> None:
        self._reason(id_, text, "gap")

    def _fatal(self, id_: str, text: str) -> None:
        self._reason(id_, text, "fatal")

    def _reason(self, id_: str, text: str, severity: str) -> None:
        reason = {"id": id_, "text": text, "severity": severity}
        if reason not in self.reasons and len(self.reasons) < 200:
            self.reasons.append(reason)

    def _note(self, id_: str, text: str) -> None:
        note = {"id": id_, "text": text}
        if note not in self.notes:
            self.notes.append(note)


def _release(text: str | None) -> tuple[int, int] | None:
    try:
        return parse_version(text or "").release
    except ValueError:
        return None
