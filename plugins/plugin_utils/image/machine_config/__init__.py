# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machine configurations of one node: read, checked, rewritten, compared with what the node runs, and shown masked.

In reading order: ``document`` (text to documents), ``places`` (the one table of where Talos keeps which fact),
``kinds``, ``unresolved`` and ``secrets`` (what a value must look like), ``checks``, ``facts``, ``rewrite``,
``masking``, ``difference`` (a dry run's diff) and ``dry_run`` (the node's own judgement before anything is wiped),
``repair``.
"""

from __future__ import annotations
