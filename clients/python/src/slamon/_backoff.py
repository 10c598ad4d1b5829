"""How long to wait before another try, and when there is none."""

from __future__ import annotations

import random
import time
from typing import Optional

FIRST_WAIT, LONGEST_WAIT = 0.25, 8.0
"""Seconds between two tries of a request."""


class Backoff:
    """Waits that double up to a longest one, each less up to half of it at random.

    Clients that lost an AFM at the same time do not come back at the same time.
    """

    def __init__(self, first: float, longest: float) -> None:
        self._first = min(first, longest)
        self._longest = longest
        self._next = self._first

    def wait(self, asked: Optional[float] = None) -> float:
        """Return the seconds before the next try; `asked` is what the AFM asks for, which is the least."""
        wait = self._next * (1 - random.random() / 2)
        self._next = min(self._next * 2, self._longest)
        return max(wait, asked or 0.0)

    def reset(self) -> None:
        """Begin anew, after something went well."""
        self._next = self._first


class Retries:
    """The further tries of a request that fails, or of several that follow each other."""

    def __init__(self, retry_for: Optional[float], deadline: Optional[float] = None) -> None:
        """Allow tries for `retry_for` seconds from a failure on, or without end, and until the deadline."""
        self._retry_for = float("inf") if retry_for is None else retry_for
        self._deadline = float("inf") if deadline is None else deadline
        self._failing_since: Optional[float] = None
        self._backoff = Backoff(FIRST_WAIT, LONGEST_WAIT)
        self.is_late = False
        """Whether it is the deadline that allows no further try."""

    def pause(self, asked: Optional[float] = None) -> Optional[float]:
        """Return the seconds before the next try after one that failed now; None if there is to be none."""
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        end = self._failing_since + self._retry_for
        wait = self._backoff.wait(asked)
        if now + wait <= min(end, self._deadline):
            return wait
        self.is_late = self._deadline < end
        return None

    def answered(self) -> None:
        """Let the next failure be a new one, with pauses that go on to grow."""
        self._failing_since = None

    def succeeded(self) -> None:
        """Begin anew, after something went well."""
        self._failing_since = None
        self._backoff.reset()
