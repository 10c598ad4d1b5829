"""Agents, task types and figures of the fleet, as the management API shows them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Optional


@dataclass(frozen=True)
class LastHour:
    """How attempts or tasks ended in the last hour."""

    completed: int
    failed: int
    error_share: Optional[float] = None


@dataclass(frozen=True)
class FleetAgent:
    """An agent, as an AFM knows it."""

    agent_id: str
    agent_name: str
    state: str
    """`active`, `lost` or `paused`."""
    last_seen: datetime
    poll_held: bool
    max_tasks: int
    tasks_running: int
    last_hour: LastHour
    agent_capabilities: Optional[dict[str, Any]] = None
    agent_capabilities_bytes: Optional[int] = None
    agent_location: Optional[dict[str, Any]] = None
    next_poll_due: Optional[datetime] = None
    paused_since: Optional[datetime] = None


@dataclass(frozen=True)
class RunningTask:
    """A task that an agent executes."""

    task_id: str
    test_id: str
    task_type: str
    task_version: int
    task_created: datetime
    task_claimed: datetime
    task_attempt: int
    task_deadline: Optional[datetime] = None


@dataclass(frozen=True)
class _AgentTasks:
    tasks: list[RunningTask]
    """What it executes, the oldest first, at most 100."""
    more_tasks: bool


@dataclass(frozen=True)
class FleetAgentWithTasks(FleetAgent, _AgentTasks):
    """An agent, with the tasks that it executes."""


@dataclass(frozen=True)
class AgentList:
    """A part of the list of agents; there may be none in it although others follow."""

    agents: list[FleetAgent]
    next_cursor: Optional[str] = None


@dataclass(frozen=True)
class AgentPause:
    """Whether an agent is paused."""

    agent_id: str
    paused_since: Optional[datetime] = None


@dataclass(frozen=True)
class OfferingAgents:
    """The agents that offer a type."""

    active: int
    silent: int
    is_complete: bool
    counted_at: Optional[datetime] = None


@dataclass(frozen=True)
class OpenTasks:
    """How many tasks have not ended."""

    delayed: int
    waiting: int
    running: int


@dataclass(frozen=True)
class TypeInVersion:
    """A task type in one version, or, with `task_version` None, one that is paused in all."""

    task_type: str
    offered: bool
    agents: OfferingAgents
    task_version: Optional[int] = None
    tasks: Optional[OpenTasks] = None
    last_hour: Optional[LastHour] = None
    paused_since: Optional[datetime] = None


@dataclass(frozen=True)
class TypeList:
    """A part of the list of types; there may be none in it although others follow."""

    types: list[TypeInVersion]
    next_cursor: Optional[str] = None


@dataclass(frozen=True)
class TypePause:
    """Whether a type is paused, in one version or, with None, in all."""

    task_type: str
    task_version: Optional[int] = None
    paused_since: Optional[datetime] = None


@dataclass(frozen=True)
class AgentCounts:
    """How many agents there are."""

    active: int
    lost: int
    paused: int
    is_complete: bool
    counted_at: Optional[datetime] = None


@dataclass(frozen=True)
class Happened:
    """What happened to tasks in some time."""

    posted: int
    claimed: int
    finished: int
    completed: int
    failed: int
    expired: int
    cancelled: int
    retried: int


@dataclass(frozen=True)
class _Minute:
    minute: datetime


@dataclass(frozen=True)
class Minute(Happened, _Minute):
    """What happened in a minute."""


@dataclass(frozen=True)
class Percentiles:
    """How long something took, in seconds."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class TypeOverview(Happened):
    """What happened to the tasks of a type; `task_type` None: of all that have no figures of their own."""

    task_type: Optional[str] = None
    task_version: Optional[int] = None
    queue_seconds: Optional[Percentiles] = None
    run_seconds: Optional[Percentiles] = None


@dataclass(frozen=True)
class Overview:
    """What waits and runs now, and what happened in the last hour, at all AFMs on the database."""

    at: datetime
    agents: AgentCounts
    minutes: list[Minute]
    types: list[TypeOverview]
    tasks: Optional[OpenTasks] = None


@dataclass(frozen=True)
class AgentsByState:
    """How many agents there are."""

    active: int
    lost: int
    paused: int


@dataclass(frozen=True)
class _Where:
    country: str
    region: str


@dataclass(frozen=True)
class Place(AgentsByState, _Where):
    """How many agents there are in a country and region."""


@dataclass(frozen=True)
class Places:
    """How many agents there are in each place; all None while they are counted for the first time."""

    is_complete: bool
    at: Optional[datetime] = None
    locations: Optional[list[Place]] = None
    others: Optional[AgentsByState] = None
    """Agents in places that are not listed."""
    elsewhere: Optional[AgentsByState] = None
    """Agents that do not say where they are."""


@dataclass(frozen=True)
class StatusCounts:
    """How many agents are active, and how many tasks wait."""

    agents: int
    tasks_waiting: int


@dataclass(frozen=True)
class StatusTask:
    """A task in the lists of `GET /dashboard/status`."""

    task_id: str
    test_id: str
    task_type: str
    task_version: int
    task_completed: Optional[datetime] = None
    task_failed: Optional[datetime] = None
    task_result: Optional[str] = None
    """The result as a text of JSON."""
    task_result_bytes: Optional[int] = None
    task_error: Optional[str] = None
    task_error_bytes: Optional[int] = None


@dataclass(frozen=True)
class StatusAgent:
    """An agent in the lists of `GET /dashboard/status`, with its newest tasks."""

    agent_id: str
    agent_name: str
    last_seen: datetime
    tasks: list[StatusTask]
    tasks_truncated: bool = False
    """Whether it has more."""


@dataclass(frozen=True)
class StatusLists:
    """The newest tasks that wait, and the agents that were seen last."""

    tasks: list[StatusTask]
    agents: list[StatusAgent]
    limit: Optional[int] = None
    """How many entries each list has at most; None with an AFM of version 1.1.0, which lists all."""
    tasks_total: Optional[int] = None
    agents_total: Optional[int] = None
