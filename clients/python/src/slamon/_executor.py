"""Executes tasks, as many at a time as the agent has executors."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Optional

from ._handlers import Handler, Outcome, logger, outcome_of, outcome_of_error
from ._pace import seconds_from
from .context import Context
from .polling import HandedOut


class _Job:
    """A task that is being executed."""

    def __init__(self, task: HandedOut, context: Context) -> None:
        self.task = task
        self.context = context
        self.began = time.monotonic()
        self.is_unwanted = False
        self.handling: Optional[asyncio.Task[Outcome]] = None

    def end(self) -> None:
        """Stop it: a coroutine at once, a thread when it looks."""
        self.context._end()
        if self.handling is not None:
            self.handling.cancel()


class Executor:
    """The tasks that are being executed."""

    def __init__(
        self, executors: int, handlers: Mapping[str, Handler], done: Callable[[str, Outcome], None]
    ) -> None:
        """Make one; `done` is given what came out of a task, before that counts as over."""
        self._executors = executors
        self._handlers = handlers
        self._done = done
        self._jobs: dict[str, _Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.freed: Callable[[], None] = lambda: None
        """Called whenever a task is over."""

    def free(self) -> int:
        """Return how many more tasks can be executed at the moment."""
        return max(self._executors - len(self._jobs), 0)

    def ids(self) -> list[str]:
        """Return what is being executed."""
        return list(self._jobs)

    def start(self, task: HandedOut, date: Optional[datetime]) -> bool:
        """Begin to execute a task; False if it is being executed already."""
        if task.task_id in self._jobs:
            logger.warning("was handed task %s again, which it is executing", task.task_id)
            return False
        left = None if task.task_deadline is None else max(seconds_from(date, task.task_deadline), 0.0)
        deadline = None if left is None else time.monotonic() + left
        context = Context(task.task_id, task.task_type, task.task_version, task.task_attempt, deadline)
        job = self._jobs[task.task_id] = _Job(task, context)
        timer = None if left is None else asyncio.get_running_loop().call_later(left, job.end)
        running = asyncio.ensure_future(self._run(job, timer))
        self._tasks.add(running)
        running.add_done_callback(self._tasks.discard)
        return True

    def cancel(self, task_id: str) -> None:
        """Stop a task that nobody waits for."""
        job = self._jobs.get(task_id)
        if job is not None:
            job.is_unwanted = True
            job.end()

    def cancel_all(self) -> list[str]:
        """Stop all tasks, and return their ids."""
        stopped = self.ids()
        for task_id in stopped:
            self.cancel(task_id)
        return stopped

    async def finished(self) -> None:
        """Wait until no task is being executed."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _run(self, job: _Job, timer: Optional[asyncio.TimerHandle]) -> None:
        task = job.task
        try:
            outcome = await self._execute(job)
            took = time.monotonic() - job.began
            if job.is_unwanted:
                logger.info("task %s, of %r, was cancelled after %.3f s", task.task_id, task.task_type, took)
            elif outcome is None:
                logger.warning(
                    "task %s, of %r, was too late after %.3f s", task.task_id, task.task_type, took
                )
            else:
                # Quoted: what tasks and handlers say may have line breaks in it.
                error = outcome.task_error
                how = "executed" if error is None else f"failed: {error[:200]!r}"
                logger.info("task %s, of %r, took %.3f s, %s", task.task_id, task.task_type, took, how)
                self._done(task.task_id, outcome)
        finally:
            if timer is not None:
                timer.cancel()
            del self._jobs[task.task_id]
            self.freed()

    async def _execute(self, job: _Job) -> Optional[Outcome]:
        """Return what came out; None if the handler was stopped."""
        task = job.task
        handler = self._handlers.get(task.task_type)
        if handler is None or handler.version != task.task_version:
            sentence = f"this agent has no handler for {task.task_type!r} version {task.task_version}"
            return Outcome(task_error=sentence)
        if not handler.is_async:
            return await _in_thread(handler, task, job.context)
        job.handling = asyncio.ensure_future(_handle(handler, task, job.context))
        try:
            await asyncio.wait({job.handling})
        except asyncio.CancelledError:
            job.end()
            raise
        if not job.handling.cancelled():
            return job.handling.result()
        return None if job.context.is_cancelled else Outcome(task_error="the handler was cancelled")


async def _handle(handler: Handler, task: HandedOut, context: Context) -> Outcome:
    try:
        return outcome_of(await handler.call(task, context))
    except (asyncio.CancelledError, KeyboardInterrupt):
        raise
    except BaseException as problem:
        return outcome_of_error(problem, task)


def _in_thread(handler: Handler, task: HandedOut, context: Context) -> asyncio.Future[Outcome]:
    """Execute a task in a thread of its own, which does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Outcome] = loop.create_future()

    def finish(outcome: Outcome) -> None:
        if not future.done():
            future.set_result(outcome)

    def work() -> None:
        try:
            outcome = outcome_of(handler.call(task, context))
        except BaseException as problem:
            outcome = outcome_of_error(problem, task)
        # The loop is closed where the agent has ended without this task.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(finish, outcome)

    try:
        threading.Thread(target=work, name=f"task {task.task_id}", daemon=True).start()
    except RuntimeError as problem:
        # The system has no more threads.
        finish(Outcome(task_error=f"the agent could not begin: {problem}"))
    return future
