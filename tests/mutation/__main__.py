# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mutation test: change one thing at a time, and see whether a test notices.

usage: python -m mutation (--fixed | --sample N | --all) [--seed S] [--only PATTERN]... [--jobs N] [--most N]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from . import places, trial
from .covering import Covering
from .mutant import Mutant

ROOT = Path(__file__).resolve().parent.parent.parent
SCRATCH = ROOT / "build" / "mutation"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mutation", description="Change one thing at a time; does a test notice?")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--fixed", action="store_true", help="the mutants of fixed.yml, all of which must be killed")
    which.add_argument("--sample", type=int, metavar="N", help="so many of all mutants, drawn by the seed")
    which.add_argument("--all", action="store_true", help="every mutant")
    which.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of the sample")
    parser.add_argument("--only", action="append", default=[], metavar="PATTERN", help="files; !PATTERN takes out")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time (2)")
    parser.add_argument("--most", type=int, default=12, help="files of integration tests that a survivor passes (12)")
    parser.add_argument("--seconds", type=int, default=90, help="of CPU that the tests of a mutant may take (90)")
    return parser.parse_args()


class Run:
    """All trials of one call, and what is said of them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.covering = Covering(ROOT)
        self.outcomes: dict[Mutant, trial.Outcome] = {}
        self._waiting: SimpleQueue[Mutant] = SimpleQueue()
        self._lock = threading.Lock()
        self._begun = time.monotonic()

    def try_all(self, mutants: list[Mutant]) -> None:
        """Try mutants, several at a time."""
        for mutant in mutants:
            self._waiting.put(mutant)
        workers = [threading.Thread(target=self._work, args=(number,)) for number in range(self.options.jobs)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if len(self.outcomes) < len(mutants):
            raise SystemExit(f"{len(mutants) - len(self.outcomes)} mutants were not tried: a worker ended")

    def _work(self, number: int) -> None:
        worker = Worker(SCRATCH / f"copy-{number}", self.options.seconds)
        while True:
            try:
                mutant = self._waiting.get_nowait()
            except Empty:
                break
            outcome = worker.run(mutant, self.covering.stages(mutant, self.options.most))
            with self._lock:
                self.outcomes[mutant] = outcome
                self._say(mutant, outcome)
        worker.close()

    def _say(self, mutant: Mutant, outcome: trial.Outcome) -> None:
        files = f"{len(outcome.tests)} test files"
        print(f"{outcome.state:9} {mutant.where} {mutant.operator} ({outcome.seconds:.0f} s, {files}): {outcome.by}")
        for line in mutant.diff((ROOT / mutant.path).read_text(encoding="utf-8")):
            print(f"          {line}")
        sys.stdout.flush()

    def confirm(self) -> list[str]:
        """The tests that killed a mutant and fail without any, which therefore killed none."""
        killers = sorted({one.by for one in self.outcomes.values() if one.state == "killed"})
        killers = [name for name in killers if name.startswith("tests/")]
        worker = Worker(SCRATCH / "copy-0", 3600)
        broken = []
        while killers:
            outcome = worker.run(None, [[name.removeprefix("tests/") for name in killers]])
            if outcome.state == "survived":
                break
            if outcome.by not in killers:
                raise SystemExit(f"without any mutant: {outcome.by}")
            broken.append(outcome.by)
            killers.remove(outcome.by)
        worker.close()
        return broken

    def summary(self) -> str:
        """The last lines of the report."""
        counts = Counter(outcome.state for outcome in self.outcomes.values())
        minutes = (time.monotonic() - self._begun) / 60
        unknown = f", {counts['unknown']} not known for want of time" if counts["unknown"] else ""
        lines = [f"{counts['killed']} of {len(self.outcomes)} killed{unknown}, in {minutes:.0f} min"]
        lines += [f"{self.outcomes[one].state}: {one.where} {one.operator}" for one in self.left()]
        return "\n".join(lines)

    def left(self) -> list[Mutant]:
        """The mutants that no test is known to notice, in order of their places."""
        left = [mutant for mutant, outcome in self.outcomes.items() if outcome.state != "killed"]
        return sorted(left, key=lambda mutant: (mutant.path, mutant.line))


class Worker:
    """A process that tries mutants in its own copy."""

    def __init__(self, directory: Path, seconds: int) -> None:
        command = [sys.executable, "-m", "mutation", "--worker", str(directory), "--seconds", str(seconds)]
        self._process = subprocess.Popen(
            command, cwd=ROOT / "tests", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, mutant: Mutant | None, stages: list[list[str]]) -> trial.Outcome:
        """Try one mutant, or none, with these tests, a stage of them at a time."""
        request = [dataclasses.asdict(mutant) if mutant else None, stages]
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return trial.Outcome(**answer)

    def close(self) -> None:
        """Let it end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main() -> int:
    """Run it; the exit code is 1 where a fixed mutant survives or a killer fails without any mutant."""
    options = _arguments()
    if options.worker:
        trial.serve(ROOT, options.worker, options.seconds, sys.stdin, sys.stdout)
        return 0
    run = Run(options)
    mutants = places.only(places.fixed(ROOT) if options.fixed else places.made(ROOT), options.only)
    if options.sample:
        print(f"seed {options.seed}: {options.sample} of {len(mutants)} mutants")
        mutants = places.sample(ROOT, mutants, options.seed, options.sample)
    elif options.all:
        mutants = places.sample(ROOT, mutants, options.seed, len(mutants))
    run.try_all(mutants)
    broken = run.confirm()
    print("\n".join(f"fails without any mutant: {name}" for name in broken))
    print(run.summary())
    return 1 if broken or (options.fixed and run.left()) else 0


if __name__ == "__main__":
    sys.exit(main())
