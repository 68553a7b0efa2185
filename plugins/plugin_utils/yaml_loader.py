# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The safe YAML loader that everything here reads with.

The one written in C is an order of magnitude faster, and its marks count characters as well; it is there wherever
PyYAML was built with libyaml.
"""

from __future__ import annotations

from typing import Any

try:
    import yaml
except ImportError:
    # Whoever can do without YAML looks for the library itself, and says so.
    LOADER: Any = None
else:
    LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_yaml(text: str | bytes) -> Any:
    """The one document of a YAML text that is trusted: the collection's own, or an operator's.

    Raises:
        yaml.YAMLError: it is no YAML, or more than one document.
    """
    return yaml.load(text, Loader=LOADER)
