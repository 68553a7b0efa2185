# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client inside Ansible's process: absent libraries, forked workers, no threads left behind."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import fleet
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.client import NodeClient, connect

from .conftest import Lab

COLLECTIONS = Path(__file__).resolve().parents[3] / ".collections"

SCRIPT = """
import importlib, sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in sys.argv[2].split(","):
            raise ImportError(f"No module named {name}")
sys.meta_path.insert(0, Block())
sys.path.insert(0, sys.argv[1])
base = "ansible_collections.talosops.selinux.plugins.plugin_utils."
modules = {name.rpartition(".")[2]: importlib.import_module(base + name) for name in sys.argv[3].split(",")}
def use():
    context = modules["config"].Talosconfig.load(sys.argv[4]).context()
    modules["client"].connect(context, "127.0.0.1")
    modules["wire"].message("common.Data")
    modules["specs"].parse_spec("a: 1")
    modules["tls"].spki_fingerprint(b"")
try:
    use()
except Exception as error:
    print(type(error).__name__, getattr(error, "context", {}).get("library"))
"""


@pytest.mark.parametrize(
    ("blocked", "library"),
    [
        ("grpclib,h2,multidict", "grpclib"),
        ("google", "protobuf"),
        ("yaml", "PyYAML"),
        ("cryptography", "cryptography"),
        ("grpclib,google,yaml,cryptography,h2,multidict,jmespath,kubernetes", "PyYAML"),
    ],
)
def test_an_absent_library_is_named_on_first_use(lab: Lab, blocked: str, library: str) -> None:
    """ansible-test imports every file without third-party libraries, so importing must never fail."""
    names = ("client", "config", "errors", "fleet", "resources", "specs", "tls", "transport", "versions", "wire")
    modules = ",".join([*(f"talos.{name}" for name in names), "gate.expression", "gate.signing", "kube", "yaml_loader"])
    arguments = [str(COLLECTIONS), blocked, modules, str(lab.directory / "talosconfig")]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["MissingLibrary", library], done.stderr


async def _version(client: NodeClient) -> str:
    return (await client.version()).tag


def _in_a_worker(lab: Lab, queue: Any) -> None:
    queue.put((lab.ask("worker-1", _version), threading.active_count()))


# Python 3.12 warns of the simulator's own thread, which Ansible's process does not have.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_worker_asks_after_its_parent_did(lab: Lab) -> None:
    """Ansible forks a worker for each task, after plugins of the parent may have used the client."""
    context = lab.context()
    threads = threading.active_count()

    async def go() -> list[tuple[str, int]]:
        results = []
        async with connect(context, lab.address("worker-1")) as client:
            assert await _version(client) == "v1.14.1"
            fork = multiprocessing.get_context("fork")
            for _unused in range(4):
                queue = fork.SimpleQueue()
                # The simulator's thread does not run in the child, but the address it listens on is the parent's.
                worker = fork.Process(target=_isolated, args=(lab, queue))
                worker.start()
                while worker.is_alive() and queue.empty():
                    await _version(client)
                results.append(queue.get())
                worker.join()
            assert await _version(client) == "v1.14.1"
        return results

    assert fleet.run(go()) == [("v1.14.1", 1)] * 4
    # Threads of servers that earlier tests started may end meanwhile.
    assert threading.active_count() <= threads


def _isolated(lab: Lab, queue: Any) -> None:
    # A fork inside a running loop inherits the mark of that loop; Ansible's workers are forked outside of one.
    import asyncio

    asyncio.events._set_running_loop(None)
    _in_a_worker(lab, queue)


def test_names_are_resolved_without_threads(lab: Lab) -> None:
    context = lab.context()

    async def go() -> int:
        # The certificate is for the address; the name only shows that a name can be connected.
        async with connect(context, "localhost:1"):
            return 0

    threads = threading.active_count()
    with pytest.raises(Exception, match="localhost:1 cannot be connected"):
        fleet.run(go())
    # Threads of servers that earlier tests started may end meanwhile.
    assert threading.active_count() <= threads
