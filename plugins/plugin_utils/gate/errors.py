# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the gate refuses to work with, each kind with its own error."""

from __future__ import annotations

from typing import ClassVar

from ..problem import Problem


class PolicyProblem(Problem):
    """A gate policy, or an expression in one, cannot be used."""

    kind: ClassVar[str] = "policy"


class WaiverProblem(Problem):
    """A waiver file or one of its waivers cannot be used."""

    kind: ClassVar[str] = "waiver"


class EvidenceRefused(Problem):
    """An evidence document that must not be judged: altered, of another schema, or of another node."""

    kind: ClassVar[str] = "evidence_refused"


class VerdictRefused(Problem):
    """A verdict that does not allow what it is presented for; ``context["bound"]`` names the value that differs."""

    kind: ClassVar[str] = "verdict_refused"


class SignatureProblem(Problem):
    """A signing key or a signature cannot be used."""

    kind: ClassVar[str] = "signature"


class RequestRefused(Problem):
    """An operation that would reach enforcing by an upgrade; ``context["checks"]`` lists the ids that refuse it."""

    kind: ClassVar[str] = "request_refused"
