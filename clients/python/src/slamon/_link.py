"""Speaks to the AFM for an agent, with or without what newer AFMs add to protocol 1."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Optional

from ._handlers import logger
from .async_client import AsyncClient
from .errors import ApiError, BadRequest, ConnectionFailed, InvalidAnswer, NotFound, TooLarge
from .polling import Poll, PollAnswer, Report
from .tasks import TaskAnswer

ASK_AGAIN = 3_600.0
"""After so many seconds, an AFM that did not know what newer ones add may have become a newer one."""
MOST_RUNNING = 1_000
"""An AFM takes so many ids of what an agent executes."""
FINAL = (400, 409, 410, 413, 415, 422)
"""Statuses that say that a result is wrong, and not who sends it, where, or when."""


@dataclass(frozen=True)
class Polled:
    """An answer to a poll."""

    answer: PollAnswer
    is_extended: bool
    """Whether the AFM knew for how long the poll would wait."""


class Link:
    """An AFM, and the agent that speaks to it."""

    def __init__(self, client: AsyncClient, agent: Poll, longest_poll: float) -> None:
        """Make one; `agent` is a poll that says what the agent is."""
        self._client = client
        self._agent = agent
        self._longest_poll = longest_poll
        self._plain_since: Optional[float] = None

    @property
    def is_plain(self) -> bool:
        """Whether the AFM knows nothing but protocol 1 as it was with version 1.1.0."""
        return self._plain_since is not None

    async def poll(self, free: int, running: Optional[Sequence[str]]) -> Polled:
        """Poll for tasks; `running` is what the agent has not reported, None if it says nothing of that."""
        poll = replace(
            self._agent,
            max_tasks=free,
            agent_time=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        )
        since = self._plain_since
        if since is not None and time.monotonic() - since < ASK_AGAIN:
            try:
                return Polled(await self._client.poll(poll), is_extended=False)
            except ConnectionFailed:
                # It may come back as a newer one.
                self._plain_since = time.monotonic() - ASK_AGAIN
                raise
        extended = replace(
            poll,
            max_wait=self._longest_poll if free > 0 else 0,
            agent_running=running if running is None or len(running) <= MOST_RUNNING else None,
        )
        try:
            answer = await self._client.poll(extended)
        except BadRequest:
            answer = await self._client.poll(poll)
            logger.info("the AFM speaks plain protocol 1")
            self._plain_since = time.monotonic()
            return Polled(answer, is_extended=False)
        self._plain_since = None
        return Polled(answer, is_extended=True)

    async def deliver(self, reports: Sequence[Report]) -> list[TaskAnswer]:
        """Report results, and return what is said of the first of them, at least one.

        Raises what another try may mend.
        """
        if len(reports) > 1 and not self.is_plain:
            try:
                answers = await self._client.report_many(reports)
                if len(answers) == len(reports):
                    return answers
            except (BadRequest, NotFound, TooLarge, InvalidAnswer) as problem:
                logger.debug("results are reported one by one: %s", problem)
        report = reports[0]
        try:
            await self._client.report(replace(report, agent_id=None) if self.is_plain else report)
        except ApiError as problem:
            # What is no AFM, such as the gate of a network, cannot know whether a result is wanted.
            is_known = problem.is_of_afm or self.is_plain or problem.status == 413
            if problem.status not in FINAL or not is_known:
                raise
            return [TaskAnswer(problem.status, str(report.task_id), problem.detail, problem.field)]
        return [TaskAnswer(200, str(report.task_id))]

    async def give_up(self, task_id: str) -> None:
        """Report that a task was not finished, to an AFM that cannot be told otherwise."""
        await self._client.report(Report(task_id, task_error="the agent was stopped before the task ended"))
