"""What may be said of the tasks, agents and events that are asked for."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict, Union

from .new_task import Id


class AgentFilters(TypedDict, total=False):
    """Which agents are listed; all of them without it."""

    state: str
    """`active`, `lost` or `paused`."""
    task_type: str
    """Only agents that offer the type."""
    task_version: int
    country: str
    region: str
    q: str
    """An id, or a part of a name."""


class TaskFilters(TypedDict, total=False):
    """Which tasks are listed; all of them without it."""

    state: str
    """`delayed`, `pending`, `claimed`, `completed`, `failed`, `lost`, `timed_out`, `expired`, `cancelled`."""
    task_type: str
    task_version: int
    test_id: Id
    task_id: Id
    agent_id: Id
    """That this agent executes, or executed last."""
    country: str
    """Posted for agents in this country."""
    from_: Union[datetime, str]
    """Posted then or later."""
    to: Union[datetime, str]
    """Posted before."""
    q: str
    """Whose error has this text in it."""


class EventFilters(TypedDict, total=False):
    """Which events are sent; all of them without it."""

    task_id: Id
    test_id: Id
    task_type: str
    agent_id: Id
    """Of tasks that this agent executes, or did until then."""
    every: int
    """Only how many there were, at most once in so many seconds."""
