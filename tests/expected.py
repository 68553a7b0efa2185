# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole documents as they were when somebody last read them: every key, value and order of what others read.

After a wanted change write them anew with ``EXPECTED=write`` in the environment, and read the difference.
"""

from __future__ import annotations

import difflib
import json
import os
from pathlib import Path
from typing import Any

_DATA = Path(__file__).parent / "data" / "expected"


def require_expected(name: str, text: str) -> None:
    """Fail where a text is not the one that is kept under a name."""
    path = _DATA / name
    if os.environ.get("EXPECTED") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    kept = path.read_bytes().decode("utf-8")
    changed = difflib.unified_diff(kept.splitlines(), text.splitlines(), f"{name} as kept", "as it is", lineterm="")
    assert text == kept, "\n".join(changed)


def require_expected_json(name: str, document: Any) -> None:
    """The same of plain data, however its keys are ordered."""
    require_expected(name, json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
