# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many lists of kernel arguments: what the solver makes of each, what each means, and how each differs from another."""

from __future__ import annotations

import random
from typing import get_args

from ansible_collections.talosops.selinux.plugins.plugin_utils.image import kernel_args
from expected import require_expected

WORDS = [
    *("enforcing=1", "enforcing=0", "enforcing", "enforcing=0x1", "enforcing=01", "enforcing=+1", 'enforcing="1"'),
    *("enforcing=2", "enforcing=x", "-enforcing", "-enforcing=1", '"enforcing=1"', "enforcing=08", "enforcing=-1"),
    *("selinux=1", "selinux=0", "selinux", "-selinux", "selinux=01", "-selinux=1", "selinux="),
    *("audit=0", "audit=1", "audit=off", "audit=OFF", "audit", "talos.auditd.disabled=1", "talos.auditd.disabled=0"),
    *("talos.auditd.disabled", "security=apparmor", "security=selinux", "lsm=selinux", "lsm=yama,selinux,apparmor"),
    *("lsm=apparmor,selinux", "lsm=smack,selinux", "lsm=", "lsm", "lsm=bpf,landlock", "-lsm=x"),
    *("console=ttyS0", "console=tty0", "quiet", "--", "quiet -- init=/x", "a_b=1", "a-b=2", "BOOT_IMAGE=/boot/a"),
    *("initrd=/b", "talos.config=https://user:pass@example/?token=abc&u=${uuid}", "my.token=abc", 'x="a b"'),
    *("-quiet", "net.ifnames=0", "password=x y=2", "enforcing=1 quiet", "selinux=1 selinux=0 z"),
]


def test_many_lists() -> None:
    draw = random.Random(5)
    lists = [[word] for word in WORDS] + [draw.choices(WORDS, k=draw.randrange(2, 7)) for _again in range(80)]
    lines = []
    for number, args in enumerate(lists):
        lines.append(f"{number}: {' | '.join(args)}")
        for goal in get_args(kernel_args.Goal):
            found = kernel_args.solve(args, goal)
            lines.append(f"  {goal}: {' | '.join(found.args)}; added {found.added}, removed {found.removed}")
            lines += [f"    {line}" for line in found.diff] if found.changed else []
        meant = kernel_args.effective(args)
        lines.append(f"  {meant}")
        lines += [f"  not enforcing: {problem}" for problem in meant.problems("enforcing")]
        lines += [f"  not permissive: {problem}" for problem in meant.problems("permissive")]
        assert kernel_args.effective(" ".join(args)) == meant
        other = " ".join(lists[number - 1])
        lines.append(f"  against the one before: {kernel_args.compare(other, ' '.join(args))}")
    require_expected("image/kernel_args.txt", "\n".join([*lines, ""]))
