"""When an agent polls next.

`return_time` is a time by the AFM's clock, and the agent's may be hours off. So it is compared with the
`Date` of the same answer, which is by the AFM's clock as well, and only the difference counts.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from typing import Optional

SHORTEST = 1.0
"""No poll follows another one sooner, in seconds, unless there is work to be had."""
LONGEST = 3_600.0
"""The longest time between two polls, in seconds, whatever an AFM says: it might have a clock that jumped."""


def seconds_until(return_time: Optional[datetime], date: Optional[datetime], default: float) -> float:
    """Return how long to wait until `return_time`; `default` if there is none, or it cannot be right."""
    default = min(max(default, SHORTEST), LONGEST)
    if return_time is None:
        return default
    wait = (return_time - (date or datetime.now(timezone.utc))).total_seconds()
    # Over already: by the AFM's clock that says "at once", by another it says nothing.
    if wait > LONGEST or (wait < 0 and date is None):
        return default
    return max(wait, SHORTEST)


def seconds_from(date: Optional[datetime], deadline: datetime) -> float:
    """Return how long a deadline is away, by the AFM's clock if it said what time it was."""
    return (deadline - (date or datetime.now(timezone.utc))).total_seconds()


async def is_set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait until an event is set, or for so many seconds; return whether it is.

    Unlike asyncio.wait_for before Python 3.12, it never passes over that it is cancelled.
    """
    waiter = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({waiter}, timeout=seconds)
    finally:
        waiter.cancel()
    return event.is_set()
