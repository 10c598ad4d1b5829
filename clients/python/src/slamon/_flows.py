"""What calls do beyond one request: they are sent again, they wait, they are cut into parts.

A flow is a generator that asks for requests and pauses, and is told what came of them. So a flow is the same
for the client that blocks and the one that does not.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional, TypeVar, Union
from uuid import uuid4

from . import _calls
from ._backoff import FIRST_WAIT, Backoff, Retries
from ._calls import Answer, Call
from .errors import ApiError, BadRequest, Conflict, NotFound, SlamonError, TooLarge, WaitTimeout
from .filters import TaskFilters
from .new_task import Id, NewTask
from .tasks import ChangedTask, Counted, Done, Task, TaskAnswer, WholeTask

T = TypeVar("T")

MOST_AT_ONCE = 1_000
"""An AFM takes so many tasks in one request."""
MOST_BYTES_AT_ONCE = 900_000
"""A little less than an AFM takes, unless it is told otherwise."""
SOON = 5.0
"""Seconds for which a task is tried to be cancelled that nobody waits for any more."""
LONGEST_LOOK = 5.0
"""Seconds between two looks at a task, where the AFM cannot wait for its end."""


@dataclass(frozen=True)
class Send:
    """Asks for a request to be sent, and to be told the Answer; or the ConnectionFailed, by an exception."""

    call: Call[Any]
    timeout: float


@dataclass(frozen=True)
class Pause:
    """Asks to be told nothing for so many seconds."""

    seconds: float


Flow = Generator[Union[Send, Pause], Any, T]


class Holds:
    """How many requests of a client are held open: with many connections, its pool becomes slow."""

    def __init__(self, most: int = 100) -> None:
        self._free = most
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take a place; False if there is none."""
        with self._lock:
            if self._free == 0:
                return False
            self._free -= 1
            return True

    def give(self) -> None:
        """Give a place back."""
        with self._lock:
            self._free += 1


@dataclass(frozen=True)
class TimeLimits:
    """How long a call may take."""

    timeout: float
    """Seconds for an answer."""
    retry_for: Optional[float]
    """Seconds for which a request that fails is sent again; None: without end."""
    longest_wait: float
    """Seconds for which the AFM may hold a request open."""
    deadline: Optional[float] = None
    """When a call is to end, by time.monotonic(); None: at no certain time."""
    holds: Holds = field(default_factory=Holds)
    """The requests that it holds open."""

    @staticmethod
    def of(timeout: float, retry_for: Optional[float], longest_wait: float) -> TimeLimits:
        """Check what a user has said."""
        _check_seconds("timeout", timeout)
        if retry_for is not None:
            _check_seconds("retry_for", retry_for)
        _check_seconds("longest_wait", longest_wait)
        return TimeLimits(timeout, retry_for, min(longest_wait, 300.0))

    def retries(self) -> Retries:
        """Return the further tries that a request may have."""
        return Retries(self.retry_for, self.deadline)


def _check_seconds(name: str, value: float) -> None:
    try:
        fits = value >= 0
    except TypeError:
        fits = False
    if not fits:
        raise ValueError(f"{name}: must be a number of seconds, 0 or more, is {value!r}")


def deadline_of(timeout: Optional[float]) -> Optional[float]:
    """Return when a timeout is over that begins now."""
    if timeout is None:
        return None
    # Of a longer time, less than nothing may be left.
    _check_seconds("timeout", abs(timeout) if isinstance(timeout, (int, float)) else timeout)
    return time.monotonic() + timeout


def exchange(call: Call[T], limits: TimeLimits, retries: Optional[Retries] = None) -> Flow[T]:
    """Send a call until it is answered otherwise than by "try again", or its time is over.

    An answer is waited for not much longer than until the deadline.
    """
    retries = retries or limits.retries()
    was_repeated = False
    while True:
        timeout = limits.timeout
        if limits.deadline is not None:
            timeout = min(timeout, max(limits.deadline - time.monotonic() - call.wait, 0.0) + 1.0)
        error: SlamonError
        try:
            answer: Answer = yield Send(call, call.wait + timeout)
        except SlamonError as problem:
            error = problem
        else:
            if 200 <= answer.status < 300:
                retries.succeeded()
                return call.read(answer)
            error = answer.error()
        if isinstance(error, ApiError):
            error.was_repeated = was_repeated
        if not (call.is_repeatable and error.is_passing):
            raise error
        pause = retries.pause(error.retry_after)
        if pause is None:
            raise error
        yield Pause(pause)
        was_repeated = True


def post(task: NewTask, limits: TimeLimits, traceparent: Optional[str] = None) -> Flow[None]:
    """Post a task."""
    try:
        yield from exchange(_calls.post_task(task, traceparent), limits)
    except BadRequest as error:
        # The AFM of version 1.1.0 refuses a task that it has already: also one whose answer was lost.
        if not error.was_repeated or error.field is not None:
            raise
        try:
            stored = yield from exchange(_calls.get_task(task.task_id), limits)
        except NotFound:
            raise error from None
        same = (stored.test_id, stored.task_type, stored.task_version, stored.task_data or {})
        if same != (str(task.test_id).lower(), task.task_type, task.task_version, task.task_data or {}):
            raise


def wait(task_id: Id, limits: TimeLimits, timeout: Optional[float]) -> Flow[Task]:
    """Wait for the end of a task; WaitTimeout if that does not come in time."""
    return (yield from _wait_until(task_id, replace(limits, deadline=deadline_of(timeout))))


def _wait_until(task_id: Id, limits: TimeLimits) -> Flow[Task]:
    deadline = limits.deadline
    retries = limits.retries()
    backoff = Backoff(FIRST_WAIT * 2, LONGEST_LOOK)
    seen: Optional[Task] = None
    while True:
        began = time.monotonic()
        left = float("inf") if deadline is None else max(deadline - began, 0.0)
        # Where too many are held open already, this one looks now and then.
        is_held = limits.holds.take()
        hold = min(limits.longest_wait, left) if is_held else 0.0
        call = _calls.get_task(task_id, hold)
        try:
            seen = yield from exchange(call, limits, retries)
        except SlamonError as error:
            if not retries.is_late:
                raise
            raise WaitTimeout(str(task_id), seen) from error
        finally:
            if is_held:
                limits.holds.give()
        if seen.has_ended:
            return seen
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            raise WaitTimeout(str(task_id), seen)
        if not is_held or now - began < max(hold * 0.9, FIRST_WAIT):
            # It could not wait: it is of version 1.1.0, holds too many requests, or is stopping.
            pause = backoff.wait()
            yield Pause(pause if deadline is None else min(pause, deadline - now))
        else:
            backoff.reset()


def run(
    task: NewTask,
    limits: TimeLimits,
    timeout: Optional[float],
    cancel_on_timeout: bool,
    traceparent: Optional[str],
) -> Flow[dict[str, Any]]:
    """Post a task, wait for its end and return its result."""
    limits = replace(limits, deadline=deadline_of(timeout))
    yield from post(task, limits, traceparent)
    try:
        ended = yield from _wait_until(task.task_id, limits)
    except WaitTimeout as late:
        if not cancel_on_timeout:
            raise
        soon = replace(limits, deadline=deadline_of(SOON))
        try:
            yield from exchange(_calls.delete_task(task.task_id), soon)
        except Conflict:
            # It has ended meanwhile.
            ended = yield from exchange(_calls.get_task(task.task_id), soon)
        except SlamonError as error:
            raise late from error
        else:
            raise
    return ended.result


def post_many(
    tasks: Sequence[NewTask], limits: TimeLimits, traceparent: Optional[str] = None
) -> Flow[list[TaskAnswer]]:
    """Post tasks, and return the answer to each, in their order."""
    bodies = [_calls.post_task(task).body or b"" for task in tasks]
    answers: list[TaskAnswer] = []
    start = 0
    while start < len(tasks):
        end, size = start + 1, len(bodies[start])
        while (
            end < len(tasks) and end - start < MOST_AT_ONCE and size + len(bodies[end]) < MOST_BYTES_AT_ONCE
        ):
            size += len(bodies[end]) + 1
            end += 1
        answers += yield from _post_part(tasks[start:end], bodies[start:end], limits, traceparent)
        start = end
    return answers


def _post_part(
    tasks: Sequence[NewTask], bodies: Sequence[bytes], limits: TimeLimits, traceparent: Optional[str]
) -> Flow[list[TaskAnswer]]:
    answers: list[Optional[TaskAnswer]] = [None] * len(tasks)
    waiting = list(range(len(tasks)))
    retries = limits.retries()
    while waiting:
        try:
            call = _calls.post_tasks([bodies[index] for index in waiting], traceparent)
            answered = (yield from exchange(call, limits)).results
        except TooLarge as error:
            if len(waiting) == 1:
                answers[waiting[0]] = _refused(tasks[waiting[0]], error)
                break
            # The AFM takes less than is usual.
            half = len(waiting) // 2
            for part in (waiting[:half], waiting[half:]):
                several = [tasks[index] for index in part], [bodies[index] for index in part]
                for index, answer in zip(part, (yield from _post_part(*several, limits, traceparent))):
                    answers[index] = answer
            break
        except NotFound:
            # An AFM of version 1.1.0 takes one at a time.
            for index in waiting:
                try:
                    yield from post(tasks[index], limits, traceparent)
                    answers[index] = TaskAnswer(200, str(tasks[index].task_id).lower())
                except ApiError as refusal:
                    answers[index] = _refused(tasks[index], refusal)
            break
        for index, answer in zip(waiting, answered):
            answers[index] = answer
        waiting = [index for index in waiting if _is_passing(answers[index])]
        pause = retries.pause() if waiting else None
        if pause is None:
            break
        yield Pause(pause)
    return [answer or TaskAnswer(503, detail="the AFM gave no answer for it") for answer in answers]


def _refused(task: NewTask, error: ApiError) -> TaskAnswer:
    return TaskAnswer(error.status, str(task.task_id).lower(), error.detail, error.field)


def _is_passing(answer: Union[TaskAnswer, ChangedTask, None]) -> bool:
    return answer is None or answer.status >= 500


def change_many(what: str, task_ids: Sequence[Id], limits: TimeLimits) -> Flow[list[ChangedTask]]:
    """Cancel tasks, or post them again, and return what came of each, in their order."""
    new_ids = [str(uuid4()) for _ in task_ids] if what == "retry" else None
    changed: list[Optional[ChangedTask]] = [None] * len(task_ids)
    waiting = list(range(len(task_ids)))
    retries = limits.retries()
    while waiting:
        for start in range(0, len(waiting), MOST_AT_ONCE):
            part = waiting[start : start + MOST_AT_ONCE]
            ids = [task_ids[index] for index in part]
            named = None if new_ids is None else [new_ids[index] for index in part]
            answered = yield from exchange(_calls.change_tasks(what, ids, named), limits)
            for index, answer in zip(part, answered.results):
                changed[index] = answer
        waiting = [index for index in waiting if _is_passing(changed[index])]
        pause = retries.pause() if waiting else None
        if pause is None:
            break
        yield Pause(pause)
    return [
        answer or ChangedTask(str(task_id), 503, "the AFM gave no answer for it")
        for task_id, answer in zip(task_ids, changed)
    ]


def change_all(what: str, filters: TaskFilters, limits: TimeLimits) -> Flow[Done]:
    """Cancel all tasks of a filter, or post them again."""
    filter_ = _calls.filter_json(filters)
    if not filter_:
        raise ValueError("name a filter: without one, it would be all tasks that there are")
    counted: Counted = yield from exchange(_calls.count_tasks(what, filter_), limits)
    token: Optional[str] = counted.token
    changed = refused = 0
    while token is not None:
        done = yield from exchange(_calls.change_counted(what, filter_, token), limits)
        changed, refused = changed + done.changed, refused + done.refused
        token = done.token if done.more else None
    return Done(changed, refused, more=False, filter=filter_)


def cancel(task_id: Id, limits: TimeLimits) -> Flow[WholeTask]:
    """Cancel a task."""
    return (yield from exchange(_calls.cancel_task(task_id), limits))


def retry(task_id: Id, new_task_id: Optional[Id], limits: TimeLimits) -> Flow[str]:
    """Post a task again, and return the id of the new one, which is chosen here: no try posts another."""
    call = _calls.retry_task(task_id, new_task_id or str(uuid4()))
    return (yield from exchange(call, limits)).task_id


def forget(agent_id: Id, limits: TimeLimits) -> Flow[None]:
    """Forget an agent."""
    try:
        yield from exchange(_calls.forget_agent(agent_id), limits)
    except NotFound as error:
        # The try before has forgotten it.
        if not error.was_repeated:
            raise
