# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Texts of a node that may quote the machine configuration it was given, without what they quote.

Talos' errors repeat keys with their values, cut them short, wrap them, escape them. So a text is not searched for whole
values: whatever shares eight characters in a row with a value of the configuration, in any of its encodings and
whatever white space stands between, is masked.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote, quote_plus

from ...problem import Problem
from .document import ConfigError, Configuration, leaves
from .kinds import KEYS, SINCE
from .masking import MASK, visible
from .unresolved import is_secret_key

#: So many characters in a row give a value away; fewer are words by chance.
_RUN = 8
#: A shorter value is masked where it stands alone.
_SHORTEST = 4
#: Longer values (files, manifests) are looked for as they are, and not in every encoding.
_ENCODED_UP_TO = 8_192
#: More than this and the text is not shown at all.
_MOST_CHARACTERS = 4_000_000

#: Words of Talos' own that its errors hold, whatever a configuration says.
_TALOS = ("/v1alpha1/", "non-controlplane", "worker", "init", "kube-apiserver", "kube-controller-manager", "kubernetes")
#: Values that many configurations hold and everybody knows: what `talosctl gen config` writes, API versions, and images
#: that Talos and Kubernetes publish. In a place that is named after a secret nothing is taken for one of them.
_PUBLIC = re.compile(
    r"(?:[a-z0-9.-]{1,80}\.k8s\.io/)?v[0-9]{1,3}(?:(?:alpha|beta)[0-9]{1,3})?"
    r"|(?:registry\.k8s\.io|ghcr\.io/siderolabs)/[a-z0-9/._-]{1,80}:v[0-9]{1,4}(?:\.[0-9]{1,4}){2}"
    r"|controlplane|worker|init|baseline|restricted|latest|kube-system|NoSchedule|PodSecurity|PodSecurityConfiguration"
    r"|Metadata|Policy|RBAC|Node|vxlan|https://discovery\.talos\.dev/"
)

#: What the context of a problem says in our own words.
_OWN = ("node", "method", "endpoint")

_SPACE = re.compile(r"\s+")
_SPACE_OR_ESCAPE = re.compile(r"(?:\s|\\(?:[nrtabfv]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}))+")
_BREAK = re.compile(r"\\[nrt]")
_WORD_PART = re.compile(r"[A-Za-z0-9+/=_.~%\\-]")
_WITHHELD = "the node's text is not shown, since it could not be told from the configuration's values"


class Quotes:
    """Masks what texts quote of some configurations. It holds their values: keep it no longer than they are kept."""

    def __init__(self, *texts: str) -> None:
        """Learn the values of configurations; one that cannot be read makes every text be withheld."""
        self._runs: set[str] = set()
        self._short: set[str] = set()
        self._withhold = sum(map(len, texts)) > _MOST_CHARACTERS
        if self._withhold:
            return
        words = {*SINCE, *_TALOS, *(key for keys in KEYS.values() for key in keys)}
        try:
            configs = [Configuration(text) for text in texts]
        except ConfigError:
            self._withhold = True
            return
        for config in configs:
            self._learn(config, words)
        self._short -= words
        for word in words:
            self._runs.difference_update(_runs(word))
        # A password may be a word.
        for config in configs:
            self._learn_named(config)

    def masked(self, text: str, limit: int = 600, keep: Sequence[str] = ()) -> str:
        """The text in one line of at most ``limit`` characters, with everything masked that it quotes.

        Args:
            text: the node's text.
            limit: the most characters of the answer.
            keep: words of our own in the text, such as the node's address, which the configuration may also have.
        """
        if self._withhold:
            return _WITHHELD
        hidden = bytearray(len(text))
        # Line breaks may have become escapes on the way, and then they part a value like any white space.
        for gap in (_SPACE, _SPACE_OR_ESCAPE):
            self._hide(text, gap, hidden)
        for word in self._short:
            for match in re.finditer(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])", text):
                hidden[match.start() : match.end()] = b"\1" * len(match[0])
        for word in filter(None, keep):
            for match in re.finditer(re.escape(word), text):
                hidden[match.start() : match.end()] = b"\2" * len(word)
        shown = " ".join(_BREAK.sub(" ", "".join(_without(text, hidden))).split())
        shown = "".join(character if character.isprintable() else " " for character in shown)
        return shown if len(shown) <= limit else f"{shown[: limit - 3]}..."

    def _hide(self, text: str, gap: re.Pattern[str], hidden: bytearray) -> None:
        """Mark what the text shares with a value when the gaps are taken out of it."""
        skipped = {index for match in gap.finditer(text) for index in range(*match.span())}
        places = [index for index in range(len(text)) if index not in skipped]
        compact = "".join(text[index] for index in places)
        for start in range(len(compact) - _RUN + 1):
            if compact[start : start + _RUN] in self._runs:
                first, last = places[start], places[start + _RUN - 1]
                hidden[first : last + 1] = b"\1" * (last + 1 - first)

    def problem(self, problem: Problem) -> Problem:
        """The same problem with its texts masked, and without the errors that caused it."""
        own = {key: value for key, value in problem.context.items() if key in _OWN and isinstance(value, str)}
        problem.found = self.masked(problem.found, keep=tuple(own.values()))
        problem.context = {
            key: value if key in own or not isinstance(value, str) else self.masked(value)
            for key, value in problem.context.items()
        }
        problem.args = (problem.found, problem.why, problem.do)
        problem.__cause__ = problem.__context__ = None
        return problem

    def _learn(self, config: Configuration, words: set[str]) -> None:
        for document in config.documents:
            for path, value in leaves(document.data):
                words.update(part for part in path if isinstance(part, str) and len(part) <= 40)
                if not isinstance(value, str) or is_secret_key(path) or _PUBLIC.fullmatch(value):
                    continue
                if visible(document.kind, path):
                    words.add(value)
                    continue
                self._learn_value(value, _SHORTEST)

    def _learn_named(self, config: Configuration) -> None:
        """Learn what stands in places that are named after secrets."""
        for document in config.documents:
            for path, value in leaves(document.data):
                if isinstance(value, str) and is_secret_key(path):
                    self._learn_value(value, 1)

    def _learn_value(self, value: str, shortest: int) -> None:
        for variant in _variants(value):
            self._runs.update(_runs(variant))
        short = value.strip()
        if shortest <= len(short) < _RUN:
            self._short.add(short)


def _variants(value: str) -> Iterator[str]:
    """A value as it may be quoted: plain, decoded, encoded, escaped; white space taken out."""
    yield _SPACE.sub("", value)
    if len(value) > _ENCODED_UP_TO:
        return
    for text in (value, *_decoded(value)):
        yield _SPACE.sub("", text)
        yield _SPACE.sub("", json.dumps(text)[1:-1])
        yield quote(text, safe="")
        yield quote_plus(text)
        data = text.encode("utf-8", "replace")
        yield data.hex()
        # Inside a longer text the groups of three bytes begin at any of three places.
        for shift in range(3):
            encoded = base64.b64encode(b"\0" * shift + data).decode()[4 if shift else 0 :]
            yield encoded.rstrip("=")[:-1]
            yield encoded.rstrip("=")[:-1].translate(str.maketrans("+/", "-_"))


def _decoded(value: str) -> Iterator[str]:
    compact = _SPACE.sub("", value)
    if len(compact) < _RUN:
        return
    try:
        yield base64.b64decode(compact, validate=True).decode("latin-1")
    except (binascii.Error, ValueError):
        return


def _runs(text: str) -> Iterable[str]:
    return (text[start : start + _RUN] for start in range(len(text) - _RUN + 1))


def _without(text: str, hidden: bytearray) -> Iterator[str]:
    """The text with each hidden stretch, and the rest of the words it touches, as one mask. 2 marks our own words."""
    index = 0
    while index < len(text):
        mark, stop = hidden[index], index
        while stop < len(text) and hidden[stop] == mark:
            stop += 1
        part = text[index:stop]
        if mark == 1:
            part = MASK
        elif mark == 0:
            if stop < len(text) and hidden[stop] == 1:
                part = part[: len(part) - _touching(reversed(part))]
            if index and hidden[index - 1] == 1:
                part = part[_touching(part) :]
        yield part
        index = stop


def _touching(characters: Iterable[str]) -> int:
    count = 0
    for character in characters:
        if not _WORD_PART.match(character):
            break
        count += 1
    return count
