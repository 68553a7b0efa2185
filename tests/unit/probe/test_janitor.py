# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Without somebody who cleans up after it, a probe does not begin."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.probe.janitor import NoJanitor, watched


@pytest.mark.parametrize(("call", "code"), [("fork", errno.EAGAIN), ("pipe", errno.EMFILE)])
def test_nothing_begins_where_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch, call: str, code: int) -> None:
    ran: list[str] = []

    def refused() -> Any:
        raise OSError(code, os.strerror(code))

    # What was opened for it is closed again, or a long run would end without any left.
    before = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(os, call, refused)
    with pytest.raises(NoJanitor, match=os.strerror(code)), watched(lambda: ran.append("remove")):
        ran.append("block")
    assert ran == []
    assert len(list(Path("/proc/self/fd").iterdir())) == before
