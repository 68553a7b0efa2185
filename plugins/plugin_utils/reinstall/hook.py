# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The operator's command that boots a wiped machine from a medium."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time

from ..quoted import Quoted
from ..texts import printable
from .work import StepProblem, Work


def run_hook(work: Work) -> None:
    """Run the command, and wait until it ended well.

    Raises:
        StepProblem: it cannot be run, does not end in time, or says that it failed.
    """
    target = work.facts["target"]
    environment = {
        **os.environ,
        **{str(name): str(value) for name, value in work.params["boot_hook_environment"].items()},
        "TALOS_NODE": work.host,
        "TALOS_ADDRESS": work.facts["address"],
        "TALOS_UUID": work.facts["uuid"] or "",
        "TALOS_SCHEMATIC": target["schematic"],
        "TALOS_VERSION": target["version"],
    }
    command = [str(word) for word in work.params["boot_hook"]]
    why, do = "the wiped machine stays down until something boots it", "fix the hook, then run the rollout again"
    end = time.monotonic() + work.params["wipe_timeout"]
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "a word of it or of its environment holds a zero byte"
            raise StepProblem(
                f"the boot hook {command[0] if command else ''} cannot be run: {reason}", why, do, node=work.host
            ) from error
        try:
            while (code := _ended(process)) is None:
                work.hold_cluster()
                if time.monotonic() >= end:
                    found = f"the boot hook did not end within {work.params['wipe_timeout']:g} seconds"
                    raise StepProblem(found, why, do, node=work.host)
        except BaseException:
            # With all that it started: one of them could power-cycle the machine while another run goes on with it.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        output.seek(0)
        told = printable(_without_secrets(work, output.read(10_000).decode("utf-8", "replace")), 300)
    if code != 0:
        raise StepProblem(f"the boot hook ended with {code}: {told}", why, do, node=work.host)


def _without_secrets(work: Work, text: str) -> str:
    """What a hook wrote, without the values of its environment, among which is the BMC's password."""
    quoted = Quoted()
    for value in work.params["boot_hook_environment"].values():
        quoted.learn(str(value))
    return quoted.masked(text)


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(timeout=1)
    except subprocess.TimeoutExpired:
        return None
