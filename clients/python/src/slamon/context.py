"""What a handler knows about the task that it executes, and how it says that the task fails."""

from __future__ import annotations

import threading
import time
from typing import Optional


class Failure(Exception):
    """Raised by a handler that cannot do what its task asks for: its text becomes the error of the task."""


class Context:
    """What a handler knows about the task that it executes, beside its data."""

    def __init__(
        self, task_id: str, task_type: str, task_version: int, attempt: int, deadline: Optional[float]
    ) -> None:
        self.task_id = task_id
        """The id under which the result is reported. A further attempt of the same task has another one."""
        self.task_type = task_type
        self.task_version = task_version
        self.attempt = attempt
        """Which attempt of the task this is, from 1."""
        self.deadline = deadline
        """When a result comes too late, by time.monotonic(); None: there is no such time."""
        self._ended = threading.Event()

    def time_left(self, most: float) -> float:
        """Return how many seconds the handler may still take, at most `most`."""
        return most if self.deadline is None else min(max(self.deadline - time.monotonic(), 0.0), most)

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody waits for the result any more: the task was cancelled, or its time is over."""
        return self._ended.is_set()

    def wait_cancelled(self, seconds: float) -> bool:
        """Sleep, in a thread, unless nobody waits for the result any more; return whether that is so."""
        return self._ended.wait(seconds)

    def raise_if_cancelled(self) -> None:
        """Raise a Failure if nobody waits for the result any more."""
        if self.is_cancelled:
            raise Failure("nobody waits for the result any more")

    def _end(self) -> None:
        self._ended.set()
