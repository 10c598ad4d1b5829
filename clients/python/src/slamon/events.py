"""What an AFM tells of tasks as it happens."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Optional, Union


@dataclass(frozen=True)
class TaskChanged:
    """The state of a task has changed."""

    task_id: str
    test_id: str
    task_type: str
    task_version: int
    to: str
    """`delayed`, `pending`, `claimed`, `completed`, `failed`, `lost`, `timed_out`, `expired`, `cancelled`."""
    at: datetime
    from_: Optional[str] = field(default=None, metadata={"name": "from"})
    """The state before; None: it was posted."""
    agent_id: Optional[str] = None
    attempt_ended: Optional[str] = None
    """How an attempt ended that has not finished the task."""
    event_id: str = field(default="", metadata={"local": True})
    """Where this event is in the stream; to watch on from it, pass it as `last_event_id`."""


@dataclass(frozen=True)
class Missed:
    """Changes were missed: this client was too slow, or came back too late, or to another AFM."""

    count: Optional[int] = None
    """How many; None: nobody knows."""
    event_id: str = ""


@dataclass(frozen=True)
class Changes:
    """How many tasks have changed since the last event, where `every` asked for that."""

    count: Optional[int] = None
    """None: some were missed."""
    event_id: str = ""


Event = Union[TaskChanged, Missed, Changes]
