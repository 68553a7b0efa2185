# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run ansible-test sanity on a copy of what is released, at the path it insists on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pip

ROOT = Path(__file__).resolve().parent.parent.parent

#: What ansible-test reads of the tests: which Python versions it need not care for.
SETTINGS = "tests/config.yml"

# ansible-test makes virtual environments without pip and downloads a bootstrap script for them from outside the
# package index. This gives them the pip that this environment has: only the index is needed, and no time.
GET_PIP = f"""\
import shutil, sysconfig
shutil.copytree({str(Path(pip.__file__).parent)!r}, sysconfig.get_path("purelib") + "/pip", dirs_exist_ok=True)
"""


def main(target: Path) -> int:
    """Copy the files git knows (and new ones it does not ignore) to ``target`` and test them there.

    The tests are not released (``build_ignore`` in galaxy.yml); linting them again would take longer than all the rest.
    """
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    shutil.rmtree(target, ignore_errors=True)
    for name in filter(None, listed.decode().split("\0")):
        source = ROOT / name
        if source.is_file() and (name == SETTINGS or not name.startswith("tests/")):
            copy = target / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy)
    subprocess.run(["git", "init", "-q"], cwd=target, check=True)
    home = ROOT / "build" / "home"
    cache = home / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for version in ("get_pip_24_2.py", "get_pip_25_2.py", "get_pip_25_3.py"):
        (cache / version).write_text(GET_PIP, encoding="utf-8")
    # Most of what is installed is never imported, so that compiling it would be most of the work.
    environment = {**os.environ, "HOME": str(home), "PIP_NO_COMPILE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment.pop("PYTHONPATH", None)
    environment.pop("ANSIBLE_COLLECTIONS_PATH", None)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    command = ["ansible-test", "sanity", "--local", "--python", python, "--color", "no"]
    return subprocess.run(command, cwd=target, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main((ROOT / sys.argv[1]).resolve()))
