"""The requests that an AFM answers, one function each, and how their answers are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from operator import index
from typing import Any, Generic, Optional, Protocol, TypeVar
from urllib.parse import quote, urlencode

from . import _json, fleet, tasks
from ._decode import decode
from ._times import parse_time_or_none, write_time
from .errors import ApiError, InvalidAnswer, error_of_status
from .filters import AgentFilters, EventFilters, TaskFilters
from .new_task import Id, NewTask
from .polling import Poll, PollAnswer, Report

T = TypeVar("T")

LONGEST_RETRY_AFTER = 1e8
"""No wait is longer, in seconds: those that a system can sleep have an end."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    """By their names in small letters."""
    body: bytes

    def json(self) -> Any:
        """Read the body as JSON."""
        try:
            return _json.read_json(self.body)
        except ValueError as problem:
            raise InvalidAnswer(f"the answer is no JSON: {problem}") from None

    @property
    def date(self) -> Optional[datetime]:
        """What time it was by the AFM's clock."""
        try:
            date = parsedate_to_datetime(self.headers.get("date", ""))
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        return date if date.tzinfo else None

    def error(self) -> ApiError:
        """Return what a status that is not 200 says."""
        try:
            problem = _json.read_json(self.body)
        except ValueError:
            problem = None
        said: dict[str, Any] = problem if isinstance(problem, dict) else {}

        def text(name: str, default: str) -> str:
            return said[name] if isinstance(said.get(name), str) else default

        detail = text("detail", "no reason is given")
        if 300 <= self.status < 400:
            detail = f"is a redirect to {self.headers.get('location', 'nowhere')}: correct the URL of the AFM"
        return error_of_status(self.status)(
            self.status,
            detail,
            title=text("title", ""),
            field=text("field", "") or None,
            type=text("type", "about:blank"),
            retry_after=self._retry_after(),
            is_of_afm=self.headers.get("content-type", "").startswith("application/problem+json"),
        )

    def _retry_after(self) -> Optional[float]:
        value = self.headers.get("retry-after", "").strip()
        if value.isascii() and value.isdigit():
            return min(float(value), LONGEST_RETRY_AFTER)
        try:
            until = parsedate_to_datetime(value)
            return max((until - (self.date or datetime.now(until.tzinfo))).total_seconds(), 0.0)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request, and how its answer is read."""

    method: str
    path: str
    """From the AFM's root on, encoded, with its parameters."""
    read: Callable[[Answer], T]
    body: Optional[bytes] = None
    headers: Mapping[str, str] = field(default_factory=dict)
    wait: float = 0.0
    """How many seconds the AFM may take because it was asked to wait."""
    is_repeatable: bool = True
    """Whether sending it again does no harm where nobody knows whether it has arrived."""


def _reads(cls: type[T]) -> Callable[[Answer], T]:
    return lambda answer: decode(cls, answer.json())


def _nothing(answer: Answer) -> None:
    # An AFM says nothing; the page of something in its place would be no sign that anything is stored.
    if answer.body.strip():
        answer.json()


def _anything(_: Answer) -> None:
    return None


def _with(path: str, **parameters: object) -> str:
    given = {name: _text(name, value) for name, value in parameters.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def _text(name: str, value: object) -> str:
    return write_time(name, value) if isinstance(value, datetime) else str(value)


def _segment(text: str) -> str:
    # Dots are encoded as well: `..` would be taken for the folder above.
    return quote(text, safe="", errors="surrogatepass").replace(".", "%2E")


def _id(name: str, value: Id) -> str:
    # Without an id, the path would be that of something else.
    if not str(value):
        raise ValueError(f"{name}: must not be empty")
    return _segment(str(value))


def _version(value: int) -> int:
    try:
        return index(value)
    except TypeError:
        raise ValueError(f"task_version: must be an integer, is {value!r}") from None


def can_be_sent(value: str) -> bool:
    """Return whether a header can have this value."""
    return value.isascii() and value.isprintable()


def _header(name: str, value: Optional[str]) -> dict[str, str]:
    if value is None:
        return {}
    if not can_be_sent(value):
        raise ValueError(f"{name}: has characters that cannot be sent")
    return {name: value}


def _body(value: object) -> bytes:
    try:
        return _json.write_json(value)
    except (TypeError, ValueError) as problem:
        raise type(problem)(f"cannot be written as JSON: {problem}") from None


def _filters(filters: Mapping[str, object]) -> dict[str, object]:
    return {name.rstrip("_"): value for name, value in filters.items()}


def filter_json(filters: TaskFilters) -> dict[str, str]:
    """Return a filter as requests that change many tasks take it."""
    named = _filters(filters)
    missing = [name for name, value in named.items() if value is None]
    if missing:
        # Left out, it would change more tasks than were meant.
        raise ValueError(f"{missing[0]}: is None; leave it out if it says nothing")
    return {name: _text(name, value) for name, value in named.items()}


# Protocol 1, for those who post tasks.


def post_task(task: NewTask, traceparent: Optional[str] = None) -> Call[None]:
    headers = _header("traceparent", traceparent)
    return Call("POST", "task", _nothing, body=_body(task.to_json()), headers=headers)


def get_task(task_id: Id, wait: float = 0.0) -> Call[tasks.Task]:
    # Not in exponential notation, whatever the float.
    path = _with(f"task/{_id('task_id', task_id)}", wait=f"{wait:.6f}" if wait > 0 else None)
    return Call("GET", path, _reads(tasks.Task), wait=wait)


def delete_task(task_id: Id) -> Call[tasks.Task]:
    return Call("DELETE", f"task/{_id('task_id', task_id)}", _reads(tasks.Task))


def status() -> Call[fleet.StatusCounts]:
    return Call("GET", "status", _reads(fleet.StatusCounts))


def dashboard_status() -> Call[fleet.StatusLists]:
    return Call("GET", "dashboard/status", _reads(fleet.StatusLists))


def check(what: str) -> Call[None]:
    """Ask whether the AFM is healthy or ready (`what` is `healthz` or `readyz`)."""
    return Call("GET", what, _anything)


def metrics() -> Call[str]:
    return Call(
        "GET", "metrics", lambda answer: answer.body.decode("utf-8", "replace"), headers={"Accept": "*/*"}
    )


# Protocol 1, for agents.


def poll(request: Poll) -> Call[PollAnswer]:
    def read(answer: Answer) -> PollAnswer:
        value = answer.json()
        if isinstance(value, dict):
            # A time that cannot be read is no reason to lose tasks.
            return_time = parse_time_or_none(value.pop("return_time", None))
            handed = value.get("tasks")
            for task in handed if isinstance(handed, list) else ():
                if isinstance(task, dict) and parse_time_or_none(task.get("task_deadline")) is None:
                    task.pop("task_deadline", None)
            return replace(decode(PollAnswer, value), return_time=return_time, date=answer.date)
        return decode(PollAnswer, value)

    body = _body(request.to_json())
    return Call("POST", "tasks", read, body=body, wait=request.max_wait or 0.0, is_repeatable=False)


def report(result: Report) -> Call[None]:
    return Call("POST", "tasks/response", _nothing, body=_body(result.to_json()))


def report_many(results: Sequence[Report]) -> Call[tasks.TaskAnswers]:
    body = _body({"results": [result.to_json() for result in results]})
    return Call("POST", "tasks/response", _reads(tasks.TaskAnswers), body=body)


# The management API.


def post_tasks(bodies: Sequence[bytes], traceparent: Optional[str] = None) -> Call[tasks.TaskAnswers]:
    headers = _header("traceparent", traceparent)
    body = b'{"tasks":[' + b",".join(bodies) + b"]}"
    return Call("POST", "api/v1/tasks", _reads(tasks.TaskAnswers), body=body, headers=headers)


def list_tasks(
    filters: TaskFilters,
    order: Optional[str] = None,
    limit: Optional[int] = None,
    cursor: Optional[str] = None,
) -> Call[tasks.TaskList]:
    path = _with("api/v1/tasks", **_filters(filters), order=order, limit=limit, cursor=cursor)
    return Call("GET", path, _reads(tasks.TaskList))


def show_task(task_id: Id) -> Call[tasks.WholeTask]:
    return Call("GET", f"api/v1/tasks/{_id('task_id', task_id)}", _reads(tasks.WholeTask))


def cancel_task(task_id: Id) -> Call[tasks.WholeTask]:
    return Call("POST", f"api/v1/tasks/{_id('task_id', task_id)}/cancel", _reads(tasks.WholeTask))


def retry_task(task_id: Id, new_task_id: Id) -> Call[tasks.Retried]:
    path = f"api/v1/tasks/{_id('task_id', task_id)}/retry"
    return Call("POST", path, _reads(tasks.Retried), body=_body({"task_id": str(new_task_id)}))


def change_tasks(
    what: str, task_ids: Sequence[Id], new_task_ids: Optional[Sequence[Id]] = None
) -> Call[tasks.Changed]:
    """Cancel or post again (`what` is `cancel` or `retry`) the tasks that are named."""
    body: dict[str, Any] = {"task_ids": [str(task_id) for task_id in task_ids]}
    if new_task_ids is not None:
        body["new_task_ids"] = [str(task_id) for task_id in new_task_ids]
    return Call("POST", f"api/v1/tasks/{what}", _reads(tasks.Changed), body=_body(body))


def count_tasks(what: str, filter_: Mapping[str, str]) -> Call[tasks.Counted]:
    """Count the tasks of a filter that can be cancelled or posted again."""

    def read(answer: Answer) -> tasks.Counted:
        return replace(decode(tasks.Counted, answer.json()), filter=dict(filter_))

    return Call("POST", f"api/v1/tasks/{what}", read, body=_body({"filter": filter_}))


def change_counted(what: str, filter_: Mapping[str, str], token: str) -> Call[tasks.Done]:
    """Cancel or post again some of the tasks of a filter that were counted."""

    def read(answer: Answer) -> tasks.Done:
        return replace(decode(tasks.Done, answer.json()), filter=dict(filter_))

    return Call("POST", f"api/v1/tasks/{what}", read, body=_body({"filter": filter_, "token": token}))


def show_test(test_id: Id, limit: Optional[int] = None, cursor: Optional[str] = None) -> Call[tasks.Test]:
    path = _with(f"api/v1/tests/{_id('test_id', test_id)}", limit=limit, cursor=cursor)
    return Call("GET", path, _reads(tasks.Test))


def list_agents(
    filters: AgentFilters, limit: Optional[int] = None, cursor: Optional[str] = None
) -> Call[fleet.AgentList]:
    path = _with("api/v1/agents", **filters, limit=limit, cursor=cursor)
    return Call("GET", path, _reads(fleet.AgentList))


def show_agent(agent_id: Id) -> Call[fleet.FleetAgentWithTasks]:
    return Call("GET", f"api/v1/agents/{_id('agent_id', agent_id)}", _reads(fleet.FleetAgentWithTasks))


def change_agent(agent_id: Id, what: str) -> Call[fleet.AgentPause]:
    """Pause or resume an agent (`what` is `pause` or `resume`)."""
    return Call("POST", f"api/v1/agents/{_id('agent_id', agent_id)}/{what}", _reads(fleet.AgentPause))


def forget_agent(agent_id: Id) -> Call[fleet.AgentPause]:
    return Call("DELETE", f"api/v1/agents/{_id('agent_id', agent_id)}", _reads(fleet.AgentPause))


def list_types(limit: Optional[int] = None, cursor: Optional[str] = None) -> Call[fleet.TypeList]:
    return Call("GET", _with("api/v1/types", limit=limit, cursor=cursor), _reads(fleet.TypeList))


def show_type(task_type: str, task_version: int) -> Call[fleet.TypeInVersion]:
    path = f"api/v1/types/{_segment(task_type)}/{_version(task_version)}"
    return Call("GET", path, _reads(fleet.TypeInVersion))


def change_type(task_type: str, task_version: Optional[int], what: str) -> Call[fleet.TypePause]:
    """Pause or resume a type, in a version or in all (`what` is `pause` or `resume`)."""
    version = "" if task_version is None else f"/{_version(task_version)}"
    return Call("POST", f"api/v1/types/{_segment(task_type)}{version}/{what}", _reads(fleet.TypePause))


def places() -> Call[fleet.Places]:
    return Call("GET", "api/v1/locations", _reads(fleet.Places))


def overview() -> Call[fleet.Overview]:
    return Call("GET", "api/v1/overview", _reads(fleet.Overview))


def watch(filters: EventFilters, last_event_id: str) -> Call[None]:
    """Ask for the stream of events."""
    path = _with("api/v1/events", **filters)
    headers = {"Accept": "text/event-stream", **_header("Last-Event-ID", last_event_id or None)}
    return Call("GET", path, _anything, headers=headers)


class Page(Protocol):
    """A part of a list."""

    @property
    def next_cursor(self) -> Optional[str]:
        """The cursor of the next page; None at the end of the list."""


P = TypeVar("P", bound=Page)


class Pages:
    """How far a list has been read."""

    def __init__(self) -> None:
        self.cursor: Optional[str] = None
        """The cursor of the page to ask for."""
        self.has_more = True

    def read(self, page: P) -> P:
        """Go on behind a page; a list that stays where it is would never end."""
        if page.next_cursor is not None and page.next_cursor == self.cursor:
            raise InvalidAnswer("next_cursor is the cursor of the same page")
        self.cursor = page.next_cursor
        self.has_more = page.next_cursor is not None
        return page
