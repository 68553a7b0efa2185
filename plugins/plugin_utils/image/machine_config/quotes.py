# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Texts of a node that may quote the machine configuration it was given, without what they quote.

Talos' errors repeat keys with their values, cut them short, wrap them, escape them (see ``quoted``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...problem import Problem
from ...quoted import SHORTEST, Quoted
from .document import ConfigError, Configuration, leaves
from .kinds import KEYS, SINCE
from .masking import visible
from .unresolved import is_secret_key

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

_WITHHELD = "the node's text is not shown, since it could not be told from the configuration's values"


class Quotes(Quoted):
    """Masks what texts quote of some configurations. It holds their values: keep it no longer than they are kept."""

    def __init__(self, *texts: str) -> None:
        """Learn the values of configurations; one that cannot be read makes every text be withheld."""
        super().__init__()
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
        self.forget(words)
        # A password may be a word.
        for config in configs:
            self._learn_named(config)

    def masked(self, text: str, limit: int = 600, keep: Sequence[str] = ()) -> str:
        """As :meth:`Quoted.masked`; nothing of the text where the values of a configuration are not known."""
        return _WITHHELD if self._withhold else super().masked(text, limit, keep)

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
                self.learn(value, SHORTEST)

    def _learn_named(self, config: Configuration) -> None:
        """Learn what stands in places that are named after secrets."""
        for document in config.documents:
            for path, value in leaves(document.data):
                if isinstance(value, str) and is_secret_key(path):
                    self.learn(value, 1)
