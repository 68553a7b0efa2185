# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Talos makes of a machine configuration: decoding, judgement, encoding, difference.

Texts and order of the judgement are those that real Talos gave to changed configurations (tests/data).
"""

from .decoding import Decoded, Rejected, decode
from .difference import difference
from .judgement import judge

__all__ = ["Decoded", "Rejected", "decode", "difference", "judge"]
