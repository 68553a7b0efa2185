# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask many nodes at once: a value or an error for each, never an answer missing."""

from __future__ import annotations

import asyncio
import errno
import gc
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from typing import Any, TypeVar

from ..problem import Problem
from .errors import ConfigError, DeadlineExceeded, InvalidAnswer, NotKept, TalosError

T = TypeVar("T", bound=Hashable)
V = TypeVar("V")

MAX_IN_FLIGHT = 256
#: What writing to an open file ends with, which names none.
_OF_A_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})


async def ask_all(
    targets: Sequence[T],
    ask: Callable[[T], Awaitable[V]],
    *,
    in_flight: int = 64,
    node_deadline: float = 45.0,
) -> dict[T, V | TalosError]:
    """Call ``ask(target)`` for every target and return what each gave, in the order of ``targets``.

    Args:
        in_flight: how many are asked at the same time (1 to 256; above 64 they only wait for the processor).
        node_deadline: seconds for one target, after which its value is a DeadlineExceeded.

    Returns:
        For each target its value, or the TalosError that asking it ended with.

    Raises:
        ConfigError: ``in_flight`` is out of its range.
        Problem: one that is not about a node (a missing library); it would be the same for all.
    """
    if not 1 <= in_flight <= MAX_IN_FLIGHT:
        raise ConfigError(
            f"in_flight is {in_flight}",
            "it is how many nodes are asked at the same time, each of which takes a connection of its own",
            f"give a number from 1 to {MAX_IN_FLIGHT}",
        )
    order = list(dict.fromkeys(targets))
    answers: dict[T, V | TalosError] = {}
    waiting = iter(order)

    async def one(target: T) -> V | TalosError:
        try:
            async with asyncio.timeout(node_deadline):
                return await ask(target)
        except TalosError as error:
            return error
        except Problem:
            raise
        except TimeoutError:
            return DeadlineExceeded(
                f"{target} was not read completely within {node_deadline:g} s",
                "the node or the network is too slow; what arrived is not used",
                "check the node, or raise the node deadline",
                node=str(target),
            )
        except OSError as error:
            return _not_kept(target, error) if _is_local(error) else _not_understood(target, error)
        except Exception as error:
            # One node's strange answer must not cost the answers of all others; and it must not pass for a good one.
            return _not_understood(target, error)

    async def worker() -> None:
        for target in waiting:
            answers[target] = await one(target)

    # A fixed pool instead of a task per node: results come as they are ready and memory does not grow with the fleet.
    try:
        async with asyncio.TaskGroup() as group:
            for _unused in range(min(in_flight, len(order))):
                group.create_task(worker())
    except BaseExceptionGroup as failures:
        # The caller wants the one problem that all share, not the group around it; and so does Ansible, which ends a
        # task whose time is over by an exception of its own.
        problems = [error for error in failures.exceptions if isinstance(error, Problem)]
        raise (problems or failures.exceptions)[0] from failures
    return {target: answers[target] for target in order}


def _not_understood(target: object, error: Exception) -> TalosError:
    problem = InvalidAnswer(
        f"reading {target} ended with an unexpected {type(error).__name__}",
        "the answer was not understood, so nothing is known about this node",
        "report this with the node's Talos version",
        node=str(target),
    )
    problem.__cause__ = error
    return problem


def _is_local(error: OSError) -> bool:
    """Whether it is about a file; the client makes what connections raise its own errors."""
    return error.filename is not None or error.errno in _OF_A_DISK


def _not_kept(target: object, error: OSError) -> TalosError:
    place = f" in {error.filename}" if error.filename is not None else ""
    problem = NotKept(
        f"what {target} answered could not be kept{place}: {error.strerror}",
        "an answer that is not on the control host's disk proves nothing later",
        "give the directory room and make it writable for this user, then run it again",
        node=str(target),
    )
    problem.__cause__ = error
    return problem


def run(coroutine: Coroutine[Any, Any, V]) -> V:
    """Run ``coroutine`` to its end in an event loop of its own, and return its value.

    For Ansible's forked workers: nothing outlives the call, no thread either, so nothing crosses a fork.

    Raises:
        Problem: what the coroutine raises.
    """
    # What Ansible holds lives as long as this process, and is not looked through again and again.
    gc.freeze()
    try:
        return asyncio.run(coroutine)
    finally:
        gc.unfreeze()
