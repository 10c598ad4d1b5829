"""Tasks as an AFM shows them. Names and meanings are those of protocol 1 and of the management API."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Optional

from .errors import TaskCancelled, TaskEnded, TaskExpired, TaskFailed


@dataclass(frozen=True)
class Waiting:
    """Why a task waits."""

    code: str
    """A word for programs: `delayed`, `paused`, `no_agent`, `busy` and others."""
    reason: str
    """A sentence for people."""


@dataclass(frozen=True)
class EndedAttempt:
    """An attempt that ended without finishing its task, as protocol 1 shows it."""

    attempt: int
    code: str
    reason: str
    claimed: datetime
    ended: datetime
    agent_id: str
    agent_name: str
    reason_bytes: Optional[int] = None
    late: Optional[datetime] = None
    late_result: Optional[dict[str, Any]] = None
    late_result_bytes: Optional[int] = None
    late_error: Optional[str] = None
    late_error_bytes: Optional[int] = None


@dataclass(frozen=True)
class Task:
    """A task as `GET /task/{task_id}` shows it."""

    task_id: str
    test_id: str
    task_type: str
    task_version: int
    task_state: Optional[str] = None
    """None with an AFM of version 1.1.0, which does not say it; see `state`."""
    task_created: Optional[datetime] = None
    task_data: Optional[dict[str, Any]] = None
    task_completed: Optional[datetime] = None
    task_result: Optional[dict[str, Any]] = None
    task_failed: Optional[datetime] = None
    task_error: Optional[str] = None
    task_attempt: Optional[int] = None
    task_claimed: Optional[datetime] = None
    task_waiting: Optional[Waiting] = None
    agent_id: Optional[str] = None
    agent_name: Optional[str] = None
    attempts: list[EndedAttempt] = field(default_factory=list)

    @property
    def state(self) -> str:
        """`delayed`, `pending`, `claimed`, `completed`, `failed`, `expired` or `cancelled`."""
        if self.task_state is not None:
            return self.task_state
        if self.task_failed is not None:
            return "failed"
        return "pending" if self.task_completed is None else "completed"

    @property
    def has_ended(self) -> bool:
        """Whether it will not change any more."""
        return self.task_completed is not None or self.task_failed is not None

    @property
    def result(self) -> dict[str, Any]:
        """The result; raises a TaskEnded if the task ended without one, ValueError if it has not ended."""
        if self.task_completed is not None:
            return self.task_result or {}
        if self.task_failed is None:
            raise ValueError(f"task {self.task_id} has not ended: it is {self.state}")
        errors: dict[str, type[TaskEnded]] = {"expired": TaskExpired, "cancelled": TaskCancelled}
        raise errors.get(self.state, TaskFailed)(self)


@dataclass(frozen=True)
class TaskAttempt:
    """An attempt, the running one too, as the management API shows it."""

    attempt: int
    outcome: str
    """`running`, `completed`, `error`, `lost`, `abandoned`, `timed_out`, `expired` or `cancelled`."""
    agent_id: str
    agent_name: str
    claimed: datetime
    deadline: Optional[datetime] = None
    ended: Optional[datetime] = None
    reason: Optional[str] = None
    reason_bytes: Optional[int] = None
    late: Optional[datetime] = None
    late_result: Optional[dict[str, Any]] = None
    late_result_bytes: Optional[int] = None
    late_error: Optional[str] = None
    late_error_bytes: Optional[int] = None


@dataclass(frozen=True)
class WholeTask:
    """A task with its terms and all its attempts, as the management API shows it."""

    task_id: str
    test_id: str
    task_type: str
    task_version: int
    task_state: str
    task_created: datetime
    task_max_attempts: int
    task_retry_errors: bool
    task_retry_delay: float
    task_priority: int
    task_delay: float
    agent_filter: dict[str, Any]
    attempts: list[TaskAttempt]
    task_end: Optional[str] = None
    """How it ended: `completed`, `failed`, `lost`, `timed_out`, `expired` or `cancelled`."""
    task_data: Optional[dict[str, Any]] = None
    task_ttl: Optional[float] = None
    task_timeout: Optional[float] = None
    task_expires: Optional[datetime] = None
    task_available: Optional[datetime] = None
    task_claimed: Optional[datetime] = None
    task_completed: Optional[datetime] = None
    task_result: Optional[dict[str, Any]] = None
    task_failed: Optional[datetime] = None
    task_error: Optional[str] = None
    task_waiting: Optional[Waiting] = None
    agent_id: Optional[str] = None
    agent_name: Optional[str] = None


@dataclass(frozen=True)
class ListedTask:
    """A task in a list: without its data, and with the beginning of a long error."""

    task_id: str
    test_id: str
    task_type: str
    task_version: int
    task_state: str
    task_priority: int
    task_created: datetime
    task_attempt: int
    task_end: Optional[str] = None
    task_claimed: Optional[datetime] = None
    task_completed: Optional[datetime] = None
    task_result: Optional[dict[str, Any]] = None
    task_result_bytes: Optional[int] = None
    task_failed: Optional[datetime] = None
    task_error: Optional[str] = None
    task_error_bytes: Optional[int] = None
    agent_id: Optional[str] = None
    agent_name: Optional[str] = None


@dataclass(frozen=True)
class TaskList:
    """A page of a list of tasks. There may be fewer than asked for, even none, although others follow."""

    tasks: list[ListedTask]
    next_cursor: Optional[str] = None
    """The cursor of the next page; None at the end of the list."""


@dataclass(frozen=True)
class Test:
    """A part of the tasks of a test, the oldest first, and what they say."""

    __test__ = False  # pytest would take it for one of its own

    test_id: str
    verdict: str
    """`failed`, `running` or `completed`."""
    counts: dict[str, int]
    has_more: bool
    tasks: list[ListedTask]
    next_cursor: Optional[str] = None


@dataclass(frozen=True)
class TaskAnswer:
    """What the AFM says of one of many tasks or results, as it would have said it of that one alone."""

    status: int
    """200: it is stored, now or before."""
    task_id: Optional[str] = None
    detail: Optional[str] = None
    field: Optional[str] = None

    @property
    def is_stored(self) -> bool:
        """Whether it is stored."""
        return self.status == 200


@dataclass(frozen=True)
class TaskAnswers:
    """The answers to many tasks or results, in their order."""

    results: list[TaskAnswer]


@dataclass(frozen=True)
class ChangedTask:
    """What came of cancelling one of many tasks, or of posting it again."""

    task_id: str
    status: int
    """200: it is done, now or before."""
    detail: Optional[str] = None
    new_task_id: Optional[str] = None
    """Of a task that was posted again, the id of the new one."""


@dataclass(frozen=True)
class Changed:
    """What came of changing many tasks, in their order."""

    results: list[ChangedTask]


@dataclass(frozen=True)
class Counted:
    """How many tasks of a filter can be changed, and the token to change them with, good for ten minutes."""

    count: int
    more: bool
    """Whether there are more than were counted."""
    token: str
    filter: dict[str, str] = field(default_factory=dict, metadata={"local": True})
    """The filter that was counted."""


@dataclass(frozen=True)
class Done:
    """What changing the tasks of a filter has done so far."""

    changed: int
    refused: int
    """How many had come to another state by then."""
    more: bool
    token: Optional[str] = None
    """The token to go on with."""
    filter: dict[str, str] = field(default_factory=dict, metadata={"local": True})
    """The filter whose tasks they are."""


@dataclass(frozen=True)
class Retried:
    """The id of the new task, under which an old one was posted again."""

    task_id: str
