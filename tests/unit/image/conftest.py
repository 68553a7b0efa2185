# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import asyncio
import threading

import pytest
from simulator import factory as simulated


@pytest.fixture(scope="session")
def loop():
    running = asyncio.new_event_loop()
    thread = threading.Thread(target=running.run_forever, daemon=True)
    thread.start()
    yield running
    running.call_soon_threadsafe(running.stop)
    thread.join()
    running.close()


@pytest.fixture
def start(loop):
    """Starts simulated factories on free ports; called with the simulator's own options."""
    started = []

    def run(**options):
        server = simulated.Factory(**options)
        asyncio.run_coroutine_threadsafe(server.start("127.0.0.1", 0), loop).result(10)
        started.append(server)
        return server

    yield run
    for server in started:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)


@pytest.fixture
def sim(start):
    return start()
