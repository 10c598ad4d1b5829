"""Delivers results to the AFM, in the order in which they came."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from ._backoff import Backoff
from ._handlers import Outcome, logger
from ._json import write_json
from ._link import Link
from ._pace import is_set_within
from .errors import SlamonError
from .new_task import Id
from .polling import Report
from .tasks import TaskAnswer

AT_ONCE = 100
"""So many results are posted in one request at most."""
BYTES_AT_ONCE = 500_000
"""A request with several results has so many bytes at most."""
MOST_WAITING = 1_000
MOST_BYTES_WAITING = 64 << 20
"""While so many results, or bytes of them, are not delivered, an agent takes no more tasks."""
LONGEST_WAIT = 60.0
"""Seconds between two tries."""


class Delivery:
    """The results that are not delivered yet."""

    def __init__(self, agent_id: Id) -> None:
        self._agent_id = agent_id
        self._waiting: deque[tuple[Report, int]] = deque()
        self._bytes = 0
        self._changed = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._hurried = asyncio.Event()
        self.freed: Callable[[], None] = lambda: None
        """Called whenever results have been delivered."""

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether so much is not delivered that there should not be more of it."""
        return len(self._waiting) >= MOST_WAITING or self._bytes >= MOST_BYTES_WAITING

    def ids(self) -> list[str]:
        """Return the tasks whose results are not delivered."""
        return [str(report.task_id) for report, _ in self._waiting]

    def add(self, task_id: str, outcome: Outcome) -> None:
        """Keep a result, to be delivered."""
        report = Report(task_id, outcome.task_data, outcome.task_error, self._agent_id)
        size = len(write_json(report.to_json()))
        self._waiting.append((report, size))
        self._bytes += size
        self._empty.clear()
        self._changed.set()

    def hurry(self) -> None:
        """Try again now: the agent is stopping."""
        self._hurried.set()

    async def emptied(self) -> None:
        """Wait until there is nothing to deliver."""
        await self._empty.wait()

    async def run(self, link: Link) -> None:
        """Deliver what there is and what comes, for ever."""
        backoff = Backoff(1.0, LONGEST_WAIT)
        while True:
            if not self._waiting:
                self._empty.set()
                self._changed.clear()
                await self._changed.wait()
                continue
            try:
                answers = await link.deliver(self._first())
            except SlamonError as problem:
                pause = backoff.wait(min(problem.retry_after or 0.0, LONGEST_WAIT))
                logger.warning(
                    "could not deliver %d results, tries again in %.1f s: %s", len(self), pause, problem
                )
                await self._pause(pause)
                continue
            if self._take_answers(answers):
                backoff.reset()
            else:
                pause = backoff.wait()
                logger.warning("the AFM could not store %d results, tries again in %.1f s", len(self), pause)
                await self._pause(pause)

    def _first(self) -> list[Report]:
        first: list[Report] = []
        total = 0
        for report, size in self._waiting:
            total += size
            if first and (len(first) == AT_ONCE or total > BYTES_AT_ONCE):
                break
            first.append(report)
        return first

    def _take_answers(self, answers: list[TaskAnswer]) -> bool:
        """Forget what was answered for good; False if nothing was."""
        kept: list[tuple[Report, int]] = []
        is_any_final = False
        for answer in answers:
            report, size = self._waiting.popleft()
            if answer.status >= 500 or answer.status in (408, 429):
                kept.append((report, size))
                continue
            is_any_final = True
            if answer.is_stored:
                continue
            is_unfit = answer.status == 413 or (answer.field or "").split(".")[-1].startswith("task_data")
            if report.task_data is not None and is_unfit:
                # The task would otherwise wait for its result until its time is over.
                sentence = f"the AFM refused the result: {answer.detail}"
                logger.warning("task %s: %s", report.task_id, sentence)
                error = Report(report.task_id, task_error=sentence, agent_id=report.agent_id)
                kept.append((error, len(write_json(error.to_json()))))
            else:
                logger.warning("dropped the result of task %s: %s", report.task_id, answer.detail)
        self._waiting.extendleft(reversed(kept))
        self._bytes = sum(size for _, size in self._waiting)
        self.freed()
        return is_any_final

    async def _pause(self, seconds: float) -> None:
        if await is_set_within(self._hurried, seconds):
            # Once: the next pause is a whole one.
            self._hurried.clear()
