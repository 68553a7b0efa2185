# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ways in which a factory or a registry does not give what a rollout needs, each with its own kind."""

from __future__ import annotations

from ..problem import Problem


class FactoryError(Problem):
    """The Image Factory or a registry did not give what a rollout needs."""

    kind = "factory"


class WrongId(FactoryError):
    """The factory's schematic is not the one that was sent."""

    kind = "wrong_id"


class LostSchematic(FactoryError):
    """The factory does not know a schematic that it has just accepted."""

    kind = "lost_schematic"


class RateLimited(FactoryError):
    """The factory answers 429 to the end."""

    kind = "rate_limited"


class Unavailable(FactoryError):
    """No answer, or a server error to the end."""

    kind = "unavailable"


class WrongCmdline(FactoryError):
    """The image's kernel command line is not what the goal needs."""

    kind = "wrong_cmdline"


class MissingExtension(FactoryError):
    """An extension or overlay of the schematic does not exist for the target version."""

    kind = "missing_extension"


class DigestChanged(FactoryError):
    """The installer is another image than the one that was checked."""

    kind = "digest_changed"


class BadAnswer(FactoryError):
    """An answer that cannot be understood."""

    kind = "bad_answer"


class Rejected(FactoryError):
    """The factory refuses the schematic or the request (400)."""

    kind = "rejected"


class Unauthorized(FactoryError):
    """Credentials are missing, wrong, or not for this schematic (401, 403)."""

    kind = "unauthorized"


class NotFound(FactoryError):
    """The factory has no such thing (404)."""

    kind = "not_found"


class UnsafeUrl(FactoryError):
    """An address without TLS, or one that cannot be used."""

    kind = "unsafe_url"


class SchematicError(Problem):
    """A schematic that cannot be read, or not with certainty."""

    kind = "bad_schematic"


class UnknownField(SchematicError):
    """A field that this version does not know: dropping it would build another image."""

    kind = "unknown_schematic_field"


class UncertainSchematic(SchematicError):
    """A schematic whose canonical text only the factory can tell."""

    kind = "uncertain_schematic"


def bad_schematic(found: str, detail: str = "") -> SchematicError:
    """The error for a text that is no schematic; ``detail`` is the place in it."""
    return SchematicError(
        f"{found}{f' ({detail.strip()})' if detail else ''}",
        "no image can be derived from it",
        "compare it with the schematic fields in the Image Factory documentation",
    )


def uncertain_schematic(found: str) -> UncertainSchematic:
    """The error for a schematic with something that the factory may write or read in another way."""
    return UncertainSchematic(
        found,
        "the schematic's id cannot be computed offline with certainty",
        "let the Image Factory compute it (verify with the factory instead of offline)",
    )
