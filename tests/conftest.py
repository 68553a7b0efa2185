# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make the working copy importable as the collection, wherever it was cloned to."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLLECTIONS = ROOT / ".collections"
LINK = COLLECTIONS / "ansible_collections" / "talosops" / "selinux"

LINK.parent.mkdir(parents=True, exist_ok=True)
if not LINK.is_symlink():
    # Another test process may make it at the same moment.
    with contextlib.suppress(FileExistsError):
        LINK.symlink_to(os.path.relpath(ROOT, LINK.parent), target_is_directory=True)
sys.path[:0] = [str(COLLECTIONS), str(ROOT / "tests")]
