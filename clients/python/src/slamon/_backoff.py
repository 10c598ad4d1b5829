"""How long to wait before another try."""

from __future__ import annotations

import random
from typing import Optional


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
