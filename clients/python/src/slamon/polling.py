"""What an agent and an AFM say to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Optional

from .new_task import Id


@dataclass(frozen=True)
class Location:
    """Where an agent is."""

    country: str
    """2 characters."""
    region: str
    """2 to 4 characters."""
    latitude: Optional[float] = None
    longitude: Optional[float] = None

    def to_json(self) -> dict[str, Any]:
        """Return it as the AFM takes it."""
        members = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in members.items() if value is not None}


@dataclass(frozen=True)
class Poll:
    """What an agent says when it asks for tasks."""

    agent_id: Id
    agent_name: str
    agent_capabilities: Mapping[str, int]
    """The version that it offers of each type."""
    max_tasks: int
    agent_time: str = ""
    agent_location: Optional[Location] = None
    max_wait: Optional[float] = None
    """Seconds for which the answer may wait for a task. AFMs of version 1.1.0 do not know it."""
    agent_running: Optional[Sequence[Id]] = None
    """What it executes, by the ids it got it under. AFMs of version 1.1.0 do not know it."""

    def to_json(self) -> dict[str, Any]:
        """Return it as the AFM takes it."""
        body: dict[str, Any] = {
            "protocol": 1,
            "agent_id": str(self.agent_id),
            "agent_name": self.agent_name,
            "agent_time": self.agent_time,
            "agent_capabilities": {
                task_type: {"version": version} for task_type, version in self.agent_capabilities.items()
            },
            "max_tasks": self.max_tasks,
        }
        if self.agent_location is not None:
            body["agent_location"] = self.agent_location.to_json()
        if self.max_wait is not None:
            body["max_wait"] = self.max_wait
        if self.agent_running is not None:
            body["agent_running"] = [str(task_id) for task_id in self.agent_running]
        return body


@dataclass(frozen=True)
class HandedOut:
    """A task that an agent was handed."""

    task_id: str
    task_type: str
    task_version: int
    task_data: dict[str, Any] = field(default_factory=dict)
    task_attempt: int = 1
    task_deadline: Optional[datetime] = None
    """From when on a result is too late."""


@dataclass(frozen=True)
class PollAnswer:
    """What an agent is told."""

    tasks: list[HandedOut] = field(default_factory=list)
    return_time: Optional[datetime] = None
    """When to poll next, by the AFM's clock."""
    cancelled: list[str] = field(default_factory=list)
    """Tasks of this agent that were cancelled or expired, by the ids it got them under."""
    date: Optional[datetime] = field(default=None, metadata={"local": True})
    """What time it was by the AFM's clock."""


@dataclass(frozen=True)
class Report:
    """The result of an attempt: `task_data`, or `task_error`."""

    task_id: Id
    """The id under which the task was handed out."""
    task_data: Optional[Mapping[str, Any]] = None
    task_error: Optional[str] = None
    agent_id: Optional[Id] = None
    """Who answers: then only the agent that holds the attempt may. AFMs of version 1.1.0 do not know it."""

    def to_json(self) -> dict[str, Any]:
        """Return it as the AFM takes it."""
        body: dict[str, Any] = {"protocol": 1, "task_id": str(self.task_id)}
        if self.task_data is not None:
            body["task_data"] = self.task_data
        if self.task_error is not None:
            body["task_error"] = self.task_error
        if self.agent_id is not None:
            body["agent_id"] = str(self.agent_id)
        return body
