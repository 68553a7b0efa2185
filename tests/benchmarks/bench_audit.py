# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How fast a realistic audit log is summarized, beside the other readers of such logs, in one run.

    python tests/benchmarks/bench_audit.py [--lines 1000000] [--runs 5] [--memory GIGABYTES] [--features]

Each round runs every tool once, in a new order, so that a busy machine disturbs all alike. Printed are the medians
of CPU time (user and system) and the ratios. A tool that is not installed is skipped, and that is said loudly.
``POLICY`` in the environment names the binary policy that audit2allow needs; without it only its parser can be timed.
``--memory`` compares the peak resident size for a log of 100 MB with that for one of the given size, streamed.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import audit_mix

READ = "import sys\nfrom ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log import scanner, sources\n"
# What audit2allow and aureport give, too: every kind of denial and how often.
SUMMARIZE = READ + (
    "s = scanner.summarize(sys.argv[1])\n"
    "print(s.counts, s.missing, *sorted((g.count, g.signature) for g in s.groups), sep='\\n')\n"
)
# The first mebibyte of the log over and over, numbers and times going on, in pieces as a file would be read.
STREAM = (
    READ
    + """
import re, resource

with open(sys.argv[1], "rb") as log:
    head = log.read(1 << 20)
parts = re.split(rb"(msg=audit\\([0-9.]+:[0-9]+\\))", head[: head.rindex(b"\\n") + 1])
keys = [re.fullmatch(rb"msg=audit\\(([0-9.]+):([0-9]+)\\)", key).groups() for key in parts[1::2]]
span = int(keys[-1][1]) - int(keys[0][1]) + 1


def chunks(want):
    done = turn = 0
    while done < want:
        for n, (stamp, serial) in enumerate(keys):
            second = 1700000000 + turn * 3600 + int(stamp[:10]) % 3600
            parts[2 * n + 1] = b"msg=audit(%d%s:%d)" % (second, stamp[10:], int(serial) + turn * span)
        block = b"".join(parts)
        for start in range(0, len(block), sources.BLOCK):
            yield block[start : start + sources.BLOCK]
        done += len(block)
        turn += 1


s = scanner.summarize(chunks(float(sys.argv[2]) * 1e9))
print(s.counts["lines"], s.missing, s.counts["doubtful"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
)
# What can be asked of the reader in another way; the difference in CPU time is what it costs.
FEATURES = {
    "as above, and all names and five samples of each denial decoded": "scanner.summarize(sys.argv[1]).denials\n",
    "five samples of each denial kept (the default), against one": "scanner.summarize(sys.argv[1], max_samples=1)\n",
    "the block-wise path, against every event by itself": (
        "reader = scanner.Scanner(careful=True)\n"
        "with open(sys.argv[1], 'rb') as log:\n"
        "    while chunk := log.read(1 << 20):\n"
        "        reader.feed(chunk)\n"
        "reader.close()\n"
    ),
}


def interpreter() -> str:
    """The Python that audit2allow runs in, so that builds of Python are not what is compared; else this one."""
    tool = shutil.which("audit2allow")
    if tool:
        with Path(tool).open("rb") as script:
            words = script.readline().removeprefix(b"#!").split()
        python = words[0].decode() if words else ""
        new_enough = "import sys; sys.exit(sys.version_info < (3, 11))"
        if "python" in python and subprocess.run([python, "-c", new_enough], check=False).returncode == 0:
            return python
    return sys.executable


def tools(log: Path) -> dict[str, list[str]]:
    """The commands to time, by name; ours first."""
    return {
        "this collection": [interpreter(), "-c", SUMMARIZE, str(log)],
        "grep -c 'avc:  denied'": ["grep", "-a", "-c", "avc:  denied", str(log)],
        "ausearch -m avc": ["ausearch", "-m", "avc", "-if", str(log)],
        "aureport -a": ["aureport", "-a", "-if", str(log)],
        "audit2allow": ["audit2allow", "-p", os.environ.get("POLICY", "")],
    }


def measure(command: list[str], log: Path) -> tuple[float, float]:
    """CPU and wall seconds of one run."""
    # audit2allow reads its standard input, where this lets it survive bytes that are not UTF-8; a file it cannot read.
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:surrogateescape"}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    # grep stops at the first match when its output is /dev/null, so it goes to a file.
    with tempfile.TemporaryFile() as out, log.open("rb") as source:
        given = source if command[0] == "audit2allow" else subprocess.DEVNULL
        done = subprocess.run(command, stdin=given, stdout=out, stderr=subprocess.PIPE, env=environment, check=False)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        print(f"  {command[0]} ended with {done.returncode}: {done.stderr[-300:].decode(errors='replace')}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def compare(log: Path, runs: int) -> None:
    commands = tools(log)
    for name, command in list(commands.items()):
        if shutil.which(command[0]) is None:
            print(f"!!! SKIPPED: {command[0]} is not installed, so nothing is said about {name}")
            del commands[name]
    if "audit2allow" in commands and not os.environ.get("POLICY"):
        # Without a policy audit2allow stops at once; its parser alone is what it always does.
        commands["audit2allow"] = [
            interpreter(),
            "-c",
            "import sys, sepolgen.audit as a\np = a.AuditParser()\np.parse_file(open(sys.argv[1], errors='replace'))\n"
            "p.to_access()",
            str(log),
        ]
        print("audit2allow: no POLICY given, so only its parser (sepolgen) is timed: less than all of it")
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for turn in range(runs):
        # In another order each time, so that none always runs behind the same one.
        for name in random.Random(turn).sample(list(commands), len(commands)):
            times[name].append(measure(commands[name], log))
    ours = statistics.median(cpu for cpu, _wall in times["this collection"])
    print(f"{'tool':28} {'CPU s':>8} {'wall s':>8} {'ours is x times as fast':>25}")
    for name, found in times.items():
        cpu, wall = statistics.median(c for c, _wall in found), statistics.median(w for _cpu, w in found)
        print(f"{name:28} {cpu:8.2f} {wall:8.2f} {cpu / ours:25.2f}")


def features(log: Path, runs: int) -> None:
    whole = [interpreter(), "-c", SUMMARIZE, str(log)]
    commands = {"whole": whole}
    for name, change in FEATURES.items():
        commands[name] = [interpreter(), "-c", READ + change, str(log)]
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _unused in range(runs):
        for name, command in commands.items():
            times[name].append(measure(command, log)[0])
    base = statistics.median(times["whole"])
    for name, found in times.items():
        middle = statistics.median(found)
        print(f"{name:60} {base:6.2f} against {middle:6.2f} CPU s")


def memory(log: Path, gigabytes: float) -> None:
    sizes = {}
    for size in (0.1, gigabytes):
        command = [interpreter(), "-c", STREAM, str(log), str(size)]
        out = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
        ).stdout.split()
        sizes[size] = int(out[-1])
        print(
            f"{size:6.1f} GB: {int(out[0]):>12} lines, {out[1]} missing, {out[2]} doubtful, peak"
            f" {int(out[-1]) / 1024:.1f} MiB"
        )
    print(f"peak for {gigabytes} GB is {sizes[gigabytes] / sizes[0.1]:.3f} times that for 0.1 GB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--memory", type=float, default=0, metavar="GIGABYTES")
    parser.add_argument("--features", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        log = audit_mix.write_mix(Path(directory) / "mix.log", given.lines)
        load = os.getloadavg()[0]
        print(f"{given.lines} lines, {log.stat().st_size / 1e6:.0f} MB, load {load:.1f}, read with {interpreter()}")
        compare(log, given.runs)
        if given.features:
            features(log, given.runs)
        if given.memory:
            memory(log, given.memory)


if __name__ == "__main__":
    main()
