"""Tasks that are to be posted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Optional, TypedDict, Union
from uuid import UUID, uuid4

Id = Union[str, UUID]
"""An id; the AFM takes any letter case, and answers with small letters."""


@dataclass(frozen=True)
class AgentFilter:
    """Which agents may have a task: those that match all that is said."""

    country: Optional[str] = None
    region: Optional[str] = None
    agent_name: Optional[str] = None
    agent_id: Optional[Id] = None

    def to_json(self) -> dict[str, str]:
        """Return it as the AFM takes it."""
        members = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: str(value) for name, value in members.items() if value is not None}


class Terms(TypedDict, total=False):
    """What may be said of a task beside its type and data. Names and meanings are those of protocol 1."""

    task_id: Id
    """The id; a new one without it. With an id of your own, the same post again posts nothing."""
    test_id: Id
    """Groups tasks; a new one without it."""
    task_version: int
    """The version of the type that an agent must offer; 1 without it."""
    task_ttl: float
    """Seconds from posting until the task must be finished, else it ends as expired."""
    task_timeout: float
    """Seconds from claim to result, for each attempt."""
    task_max_attempts: int
    """How often the task may be handed out in all, 1 to 20."""
    task_retry_errors: bool
    """Whether an error that an agent reports may be followed by another attempt."""
    task_retry_delay: float
    """Seconds before the second attempt; doubles with each further one."""
    task_priority: int
    """-100 to 100, higher first."""
    task_delay: float
    """Seconds from posting until the task may be handed out."""
    agent_filter: Union[AgentFilter, Mapping[str, str]]
    """Which agents may have it."""


def _new_id() -> str:
    return str(uuid4())


@dataclass(frozen=True)
class NewTask:
    """A task to be posted; the fields are those of `Terms`."""

    task_type: str
    task_data: Optional[Mapping[str, Any]] = None
    task_version: int = 1
    task_id: Id = field(default_factory=_new_id)
    test_id: Id = field(default_factory=_new_id)
    task_ttl: Optional[float] = None
    task_timeout: Optional[float] = None
    task_max_attempts: Optional[int] = None
    task_retry_errors: Optional[bool] = None
    task_retry_delay: Optional[float] = None
    task_priority: Optional[int] = None
    task_delay: Optional[float] = None
    agent_filter: Optional[Union[AgentFilter, Mapping[str, str]]] = None

    def to_json(self) -> dict[str, Any]:
        """Return it as the AFM takes it: what is not said is left out."""
        members = {each.name: getattr(self, each.name) for each in fields(self)}
        body = {name: value for name, value in members.items() if value is not None}
        body["task_id"], body["test_id"] = str(self.task_id), str(self.test_id)
        if isinstance(self.agent_filter, AgentFilter):
            body["agent_filter"] = self.agent_filter.to_json()
        return body
