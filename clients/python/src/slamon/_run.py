"""Polls for tasks and has them executed, until the agent is asked to stop."""

from __future__ import annotations

import asyncio
import contextlib
import time

from ._backoff import Backoff
from ._delivery import Delivery
from ._executor import Executor
from ._handlers import logger
from ._link import Link, Polled
from ._pace import LONGEST, SHORTEST, is_set_within, seconds_until
from .errors import SlamonError

BUSY = 10.0
"""While all executors have work, an AFM that tells what was cancelled is asked so often, in seconds."""
LAST_POLL = 2.0
"""Seconds that the last polls may take when the agent stops."""


class Stop:
    """Whether an agent is to stop: at first when its tasks are over, then at once."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurried = asyncio.Event()

    def ask(self) -> None:
        """Ask it to stop; the second time, at once."""
        (self.hurried if self.asked.is_set() else self.asked).set()


class Run:
    """An agent that runs."""

    def __init__(
        self,
        link: Link,
        executor: Executor,
        delivery: Delivery,
        *,
        default_wait: float,
        longest_poll: float,
        shutdown_limit: float,
    ) -> None:
        self._link = link
        self._executor = executor
        self._delivery = delivery
        self._default_wait = max(default_wait, SHORTEST)
        self._longest_poll = longest_poll
        self._shutdown_limit = shutdown_limit
        self._stopping = False
        self._is_polling = False
        self._wake = asyncio.Event()
        executor.freed = delivery.freed = self._wake.set

    async def until(self, stop: Stop) -> None:
        """Run until it is asked to stop, and then as long as tasks that have begun take, within the limit."""
        polling = asyncio.ensure_future(self._poll_for_ever())
        delivering = asyncio.ensure_future(self._delivery.run(self._link))
        asked = asyncio.ensure_future(stop.asked.wait())
        own = {polling, delivering, asked}
        try:
            ended, _ = await asyncio.wait(own, return_when=asyncio.FIRST_COMPLETED)
            for each in ended:
                each.result()
            running, undelivered = len(self._executor.ids()), len(self._delivery)
            logger.info("the agent is stopping: %d tasks run, %d results wait", running, undelivered)
            await self._end_polls(polling)
            self._delivery.hurry()
            await self._finish(stop)
            await self._hand_back()
        except asyncio.CancelledError:
            # Whoever runs the agent wants it to end now.
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._hand_back(), LAST_POLL)
            raise
        finally:
            for each in own:
                each.cancel()
            await asyncio.gather(*own, return_exceptions=True)

    async def _end_polls(self, polling: asyncio.Future[None]) -> None:
        self._stopping = True
        self._wake.set()
        if not self._is_polling:
            return
        # The next poll of an agent ends the one that the AFM holds open. What that one brings at this
        # moment is executed; were the connection just closed, it would be lost.
        with contextlib.suppress(SlamonError, asyncio.TimeoutError):
            await asyncio.wait_for(self._link.poll(0, None), LAST_POLL)
        await asyncio.wait({polling}, timeout=LAST_POLL)
        polling.cancel()

    async def _finish(self, stop: Stop) -> None:
        async def finished() -> None:
            await self._executor.finished()
            await self._delivery.emptied()

        finishing = asyncio.ensure_future(finished())
        hurried = asyncio.ensure_future(stop.hurried.wait())
        try:
            await asyncio.wait(
                {finishing, hurried}, timeout=self._shutdown_limit, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for each in (finishing, hurried):
                each.cancel()
            await asyncio.gather(finishing, hurried, return_exceptions=True)

    async def _hand_back(self) -> None:
        """Tell the AFM of what will not be finished, so that others may have it at once."""
        self._stopping = True
        undelivered = len(self._delivery)
        stopped = self._executor.cancel_all()
        if not stopped and not undelivered:
            logger.info("the agent has ended")
            return
        logger.warning(
            "the agent ends: %d tasks run, %d results are not delivered", len(stopped), undelivered
        )
        with contextlib.suppress(SlamonError, asyncio.TimeoutError):
            await asyncio.wait_for(self._give_up(stopped), LAST_POLL)

    async def _give_up(self, stopped: list[str]) -> None:
        if self._link.is_plain:
            for task_id in stopped:
                await self._link.give_up(task_id)
        else:
            await self._link.poll(0, [])

    async def _poll_for_ever(self) -> None:
        backoff = Backoff(SHORTEST, self._default_wait)
        while not self._stopping:
            free = self._free()
            # A result is kept before its task counts as over, so that none is left out here.
            running = list(dict.fromkeys(self._executor.ids() + self._delivery.ids()))
            began = time.monotonic()
            self._is_polling = True
            try:
                polled = await self._link.poll(free, running)
            except SlamonError as problem:
                pause = self._default_wait
                if problem.is_passing:
                    pause = backoff.wait(min(problem.retry_after or 0.0, LONGEST))
                logger.warning("could not poll for tasks, tries again in %.1f s: %s", pause, problem)
                self._is_polling = False
                await self._pause(pause)
                continue
            self._is_polling = False
            backoff.reset()
            brought = self._take(polled)
            await self._pause_after(polled, free, brought, time.monotonic() - began)

    def _free(self) -> int:
        return 0 if self._delivery.is_full else self._executor.free()

    def _take(self, polled: Polled) -> int:
        """Have tasks executed, and stop those that were cancelled; return how many are new."""
        answer = polled.answer
        for task_id in answer.cancelled:
            self._executor.cancel(task_id)
        return sum(self._executor.start(task, answer.date) for task in answer.tasks)

    async def _pause_after(self, polled: Polled, free: int, brought: int, took: float) -> None:
        """Wait until the next poll, after one that took so many seconds."""
        answer = polled.answer
        wait = seconds_until(answer.return_time, answer.date, self._default_wait)
        if free == 0 or brought >= free:
            # There are likely to be more tasks.
            await self._pause(min(wait, BUSY) if polled.is_extended else wait, until_free=True)
        elif polled.is_extended and self._longest_poll > SHORTEST:
            if brought:
                return
            # An AFM that has held the poll, or had something to say, can hold the next one.
            if answer.cancelled or took >= self._longest_poll - SHORTEST:
                wait = max(SHORTEST - took, 0.0)
            await self._pause(wait)
        else:
            await self._pause(wait)

    async def _pause(self, seconds: float, until_free: bool = False) -> None:
        until = time.monotonic() + seconds
        while not self._stopping and not (until_free and self._free() > 0):
            left = until - time.monotonic()
            if left <= 0:
                return
            self._wake.clear()
            await is_set_within(self._wake, left)
