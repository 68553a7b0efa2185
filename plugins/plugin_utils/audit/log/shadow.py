# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shadow of a user message: the bytes of the log that its text may fill, and whose program sent it.

The kernel copies the text of user messages unescaped, line breaks included, and auditd writes it raw.
"""

from __future__ import annotations

from .contexts import context_type

SYSTEM_DOMAINS = frozenset(
    b"init_t initramfs_t kernel_t udev_t installer_t sys_containerd_t pod_containerd_t kubelet_t etcd_t apid_t trustd_t"
    b" dashboard_t".split()
)
"""Domains of Talos' own programs; everything else may run code of a workload."""

USER_MESSAGE_BYTES = 8970
"""Longest text of one user message: AUDIT_MESSAGE_TEXT_MAX is 8560 and auditd's buffer 8970 bytes (linux, Talos)."""

SHADOW = USER_MESSAGE_BYTES + 512
"""How many bytes from the start of a user message on may be its text."""

# Of a message the kernel keeps 8560 bytes (AUDIT_MESSAGE_TEXT_MAX) and puts a quote behind them. So much may stand
# before them in its line for the quote to fit into auditd's buffer as well.
_QUOTED_WITHIN = 400


def reach_of(block: bytes, start: int, final: bool) -> int:
    """How many bytes the message at ``start`` can hold: up to the last line that ends with the quote put behind it.

    -1 where ``block`` ends too early to tell. ``final``: the stream ends with it, and with a whole line.
    """
    until = start + SHADOW
    if until > len(block) and not final:
        return -1
    opening = block.find(b" msg='", start, start + _QUOTED_WITHIN)
    last = block.rfind(b"'\n", start, until)
    # With CRLF a block does not tell how many bytes were written.
    if opening < 0 or last < opening or block[block.find(b"\n", opening) - 1] == 13:
        return SHADOW
    return last + 2 - start


def closes_quote(text: bytes) -> bool:
    """Whether a line ends with the quote that the kernel puts behind the text of a user message."""
    return b"'" in text and (b"'\n" in text or b"'\r\n" in text or text.endswith(b"'"))


def subject(text: bytes) -> bytes:
    """The type in ``subj=`` of a user record, from the part the kernel wrote."""
    header = text[:1024].partition(b" msg=")[0] if b" msg='" not in text[:1024] else text[: text.find(b" msg='")]
    start = header.rfind(b" subj=")
    return context_type(header[start + 6 :].split(b" ", 1)[0]) if start >= 0 else b"unknown"
