"""Threads for nodes that are plain functions, and what becomes of those that never return."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, TypeVar  # Any: a node's arguments

import structlog

log = structlog.get_logger()
T = TypeVar("T")
MAX_LEAKED: Final = 16
"""Threads that never returned and that a worker lives with; then it drains and is started anew."""


class NodeThreads(ThreadPoolExecutor):
    """An executor that knows how many of its calls are under way."""

    def __init__(self, size: int) -> None:
        super().__init__(max_workers=size, thread_name_prefix="node")
        self._counting = threading.Lock()
        self.busy = 0

    def submit(self, call: Callable[..., T], /, *args: Any, **more: Any) -> Future[T]:
        """Run a call in a thread."""

        def counted() -> T:
            with self._counting:
                self.busy += 1
            try:
                return call(*args, **more)
            finally:
                with self._counting:
                    self.busy -= 1

        return super().submit(counted)


class ThreadKeeper:
    """The event loop's threads: enough for every slot, and fresh ones when some are stuck.

    A thread cannot be ended from outside: a node that never returns keeps its own for ever. After a time-out new
    calls get new threads, so that the stuck ones hold up nobody else.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._current: NodeThreads | None = None
        self._left: list[NodeThreads] = []

    def serve(self) -> None:
        """Become the running loop's threads."""
        self._current = NodeThreads(self._size)
        asyncio.get_running_loop().set_default_executor(self._current)

    def replace_stuck(self) -> None:
        """After a time-out: new calls do not wait behind a call that may never return."""
        if self._current is None or not self._current.busy:
            return
        stuck = self._current
        self.serve()
        stuck.shutdown(wait=False)  # what it has in hand goes on; its own queue, too
        self._left.append(stuck)
        log.warning("threads_replaced", still_busy=stuck.busy, leaked=self.leaked)

    @property
    def leaked(self) -> int:
        """Threads of earlier time-outs that have not returned."""
        self._left = [threads for threads in self._left if threads.busy]
        return sum(threads.busy for threads in self._left)

    @property
    def too_many_leaked(self) -> bool:
        """Whether the process should be started anew."""
        return self.leaked >= MAX_LEAKED
