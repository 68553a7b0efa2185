# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who waits looks again and again, and says at the end what was seen last."""

from __future__ import annotations

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils import waiting
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.slept: list[float] = []
        monkeypatch.setattr(waiting.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(waiting.time, "sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


class Booting(Problem):
    kind = "booting"


def wait(looks: list[int | Problem], timeout: float = 10.0) -> int:
    coming = iter(looks)

    def look() -> int:
        seen = next(coming)
        if isinstance(seen, Problem):
            raise seen
        return seen

    return waiting.poll(
        look,
        lambda seen: seen == 3,
        timeout=timeout,
        sleep=4.0,
        waiting_for="three",
        do="count again",
        patient_with=(Booting,),
    )


def test_the_first_look_may_suffice(clock: Clock) -> None:
    assert wait([3], timeout=0.0) == 3
    assert clock.slept == []


def test_a_problem_that_is_expected_is_waited_out(clock: Clock) -> None:
    assert wait([Booting("it boots", "w", "d"), 1, 3]) == 3
    assert clock.slept == [4.0, 4.0]


def test_another_problem_ends_the_wait(clock: Clock) -> None:
    with pytest.raises(Problem, match="it burns"):
        wait([Problem("it burns", "w", "d"), 3])


@pytest.mark.parametrize(
    ("last", "told"), [(2, "last seen: 2"), (Booting("it boots", "w", "d"), "last seen: it boots")]
)
def test_at_the_end_the_last_look_is_told_and_no_sleep_goes_over_it(
    clock: Clock, last: int | Problem, told: str
) -> None:
    with pytest.raises(waiting.NotYet, match=f"waited 10 seconds for three; {told}") as caught:
        wait([1, 1, last])
    assert clock.slept == [4.0, 4.0]
    assert (caught.value.kind, caught.value.do) == ("timeout", "count again")
