"""The client that blocks until there is an answer."""

from __future__ import annotations

import ssl
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Optional, TypeVar, Union

import httpx

from . import _calls, _flows
from ._calls import Answer, Call, Pages
from ._endpoint import LIMITS, Endpoint, Reading
from ._flows import Flow, Send, TimeLimits
from ._stream import Watch
from .errors import ConnectionFailed, SlamonError
from .events import Event
from .filters import AgentFilters, EventFilters, TaskFilters
from .fleet import (
    AgentList,
    AgentPause,
    FleetAgent,
    FleetAgentWithTasks,
    Overview,
    Places,
    StatusCounts,
    StatusLists,
    TypeInVersion,
    TypeList,
    TypePause,
)
from .new_task import Id, NewTask, Terms
from .polling import Poll, PollAnswer, Report
from .tasks import ChangedTask, Counted, Done, ListedTask, Task, TaskAnswer, TaskList, Test, WholeTask

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")


class Client:
    """A client of an AFM, for any number of threads.

    Every request is sent again while the AFM is away or answers "try again" (5xx), for `retry_for` seconds,
    with pauses that grow and are at least what the AFM asks for (`Retry-After`). That does no harm: the ids
    of tasks are chosen here, so that the same post again posts nothing.
    """

    def __init__(
        self,
        url: str,
        *,
        user: Optional[tuple[str, str]] = None,
        token: Optional[str] = None,
        timeout: float = 30.0,
        retry_for: Optional[float] = 60.0,
        longest_wait: float = 50.0,
        verify: Union[bool, ssl.SSLContext] = True,
        proxy: Optional[str] = None,
        http_client: Optional[httpx.Client] = None,
    ) -> None:
        """Make a client of the AFM at `url`.

        user, token: who calls: a name and a password, which may also stand in the URL, or a bearer token.
        timeout: seconds for an answer, beside what a call asks the AFM to wait.
        retry_for: seconds, from the first failure on, for which a request is sent again; 0: not at all; None:
            until the timeout of the call, or without end.
        longest_wait: seconds, at most 300, for which the AFM may hold a request that waits for the end of a
            task; proxies in between must allow a little more.
        verify: how TLS is checked: by the authorities of certifi, or by a context with others or a
            certificate.
        proxy: the URL of a proxy; without it, as the environment says (HTTP_PROXY and others).
        http_client: one of your own, instead of verify and proxy; it is not closed with this one.
        """
        self._endpoint = Endpoint.parse(url, user, token)
        self._limits = TimeLimits.of(timeout, retry_for, longest_wait)
        self._owns_http = http_client is None
        self._http = http_client or httpx.Client(verify=verify, proxy=proxy, limits=LIMITS)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        problem: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        if self._owns_http:
            self._http.close()

    def run(
        self,
        task_type: str,
        task_data: Optional[Mapping[str, Any]] = None,
        *,
        timeout: Optional[float] = None,
        cancel_on_timeout: bool = False,
        traceparent: Optional[str] = None,
        **terms: Unpack[Terms],
    ) -> dict[str, Any]:
        """Post a task, wait until it ends, and return its result.

        Raises TaskFailed, TaskExpired or TaskCancelled if it ends without one, and WaitTimeout if it has not
        ended after `timeout` seconds: it then goes on, unless `cancel_on_timeout` cancels it.
        """
        task = NewTask(task_type, task_data, **terms)
        return self._drive(_flows.run(task, self._limits, timeout, cancel_on_timeout, traceparent))

    def post(self, task: NewTask, *, traceparent: Optional[str] = None) -> str:
        """Post a task and return its id. The same post again posts nothing."""
        self._drive(_flows.post(task, self._limits, traceparent))
        return str(task.task_id).lower()

    def post_many(self, tasks: Iterable[NewTask], *, traceparent: Optional[str] = None) -> list[TaskAnswer]:
        """Post any number of tasks; the answers, in their order, say of each whether it is stored."""
        return self._drive(_flows.post_many(list(tasks), self._limits, traceparent))

    def get(self, task_id: Id) -> Task:
        """Return a task as protocol 1 shows it."""
        return self._call(_calls.get_task(task_id))

    def wait(self, task_id: Id, *, timeout: Optional[float] = None) -> Task:
        """Wait until a task ends, and return it; WaitTimeout if that takes longer than `timeout` seconds.

        `result` of what is returned is the result, or raises what the task ended with.
        """
        return self._drive(_flows.wait(task_id, self._limits, timeout))

    def show(self, task_id: Id) -> WholeTask:
        """Return a task with its terms and all its attempts."""
        return self._call(_calls.show_task(task_id))

    def cancel(self, task_id: Id) -> WholeTask:
        """Cancel a task; Conflict if it has ended otherwise."""
        return self._call(_calls.cancel_task(task_id))

    def delete(self, task_id: Id) -> Task:
        """Cancel a task by protocol 1; Conflict if it has ended otherwise."""
        return self._call(_calls.delete_task(task_id))

    def cancel_many(self, task_ids: Iterable[Id]) -> list[ChangedTask]:
        """Cancel tasks; the answers, in their order, say what came of each."""
        return self._drive(_flows.change_many("cancel", list(task_ids), self._limits))

    def cancel_all(self, **filters: Unpack[TaskFilters]) -> Done:
        """Cancel all tasks of a filter that have not ended."""
        return self._drive(_flows.change_all("cancel", filters, self._limits))

    def retry(self, task_id: Id, *, new_task_id: Optional[Id] = None) -> str:
        """Post a task again that ended without a result, and return the id of the new one."""
        return self._drive(_flows.retry(task_id, new_task_id, self._limits))

    def retry_many(self, task_ids: Iterable[Id]) -> list[ChangedTask]:
        """Post tasks again; the answers, in their order, have the ids of the new ones."""
        return self._drive(_flows.change_many("retry", list(task_ids), self._limits))

    def retry_all(self, **filters: Unpack[TaskFilters]) -> Done:
        """Post all tasks of a filter again that ended without a result."""
        return self._drive(_flows.change_all("retry", filters, self._limits))

    def count_to_cancel(self, **filters: Unpack[TaskFilters]) -> Counted:
        """Count the tasks of a filter that can be cancelled."""
        return self._call(_calls.count_tasks("cancel", _calls.filter_json(filters)))

    def count_to_retry(self, **filters: Unpack[TaskFilters]) -> Counted:
        """Count the tasks of a filter that can be posted again."""
        return self._call(_calls.count_tasks("retry", _calls.filter_json(filters)))

    def cancel_counted(self, counted: Union[Counted, Done]) -> Done:
        """Cancel some 1,000 of the tasks that were counted; if there are more, pass what is returned."""
        return self._call(_calls.change_counted("cancel", counted.filter, counted.token or ""))

    def retry_counted(self, counted: Union[Counted, Done]) -> Done:
        """Post some 1,000 of the tasks again that were counted; if there are more, pass what is returned."""
        return self._call(_calls.change_counted("retry", counted.filter, counted.token or ""))

    def tasks(
        self, *, order: Optional[str] = None, **filters: Unpack[TaskFilters]
    ) -> Generator[ListedTask, None, None]:
        """List tasks, `newest` or `oldest` first, page after page as they are asked for."""
        pages = Pages()
        while pages.has_more:
            page = pages.read(self.list_tasks(order=order, limit=1000, cursor=pages.cursor, **filters))
            yield from page.tasks

    def list_tasks(
        self,
        *,
        order: Optional[str] = None,
        limit: Optional[int] = None,
        cursor: Optional[str] = None,
        **filters: Unpack[TaskFilters],
    ) -> TaskList:
        """Return a page of a list of tasks."""
        return self._call(_calls.list_tasks(filters, order, limit, cursor))

    def test(self, test_id: Id, *, limit: Optional[int] = None, cursor: Optional[str] = None) -> Test:
        """Return the tasks of a test, the oldest first, and what they say; with a cursor, a further part."""
        return self._call(_calls.show_test(test_id, limit, cursor))

    def agents(self, **filters: Unpack[AgentFilters]) -> Generator[FleetAgent, None, None]:
        """List agents, page after page as they are asked for."""
        pages = Pages()
        while pages.has_more:
            page = pages.read(self.list_agents(limit=1000, cursor=pages.cursor, **filters))
            yield from page.agents

    def list_agents(
        self, *, limit: Optional[int] = None, cursor: Optional[str] = None, **filters: Unpack[AgentFilters]
    ) -> AgentList:
        """Return a page of the list of agents."""
        return self._call(_calls.list_agents(filters, limit, cursor))

    def agent(self, agent_id: Id) -> FleetAgentWithTasks:
        """Return an agent with the tasks that it executes."""
        return self._call(_calls.show_agent(agent_id))

    def pause_agent(self, agent_id: Id) -> AgentPause:
        """Hand an agent no more tasks until it is resumed."""
        return self._call(_calls.change_agent(agent_id, "pause"))

    def resume_agent(self, agent_id: Id) -> AgentPause:
        """End the pause of an agent."""
        return self._call(_calls.change_agent(agent_id, "resume"))

    def forget_agent(self, agent_id: Id) -> None:
        """Forget an agent, with its pause; Conflict while it executes tasks."""
        self._drive(_flows.forget(agent_id, self._limits))

    def types(self) -> Generator[TypeInVersion, None, None]:
        """List task types, page after page as they are asked for."""
        pages = Pages()
        while pages.has_more:
            page = pages.read(self.list_types(limit=1000, cursor=pages.cursor))
            yield from page.types

    def list_types(self, *, limit: Optional[int] = None, cursor: Optional[str] = None) -> TypeList:
        """Return a page of the list of types."""
        return self._call(_calls.list_types(limit, cursor))

    def type(self, task_type: str, task_version: int = 1) -> TypeInVersion:
        """Return a type in one version, which need not be known."""
        return self._call(_calls.show_type(task_type, task_version))

    def pause_type(self, task_type: str, task_version: Optional[int] = None) -> TypePause:
        """Hand tasks of a type to nobody, in one version or in all, until it is resumed."""
        return self._call(_calls.change_type(task_type, task_version, "pause"))

    def resume_type(self, task_type: str, task_version: Optional[int] = None) -> TypePause:
        """End the pause of a type in one version, or all its pauses."""
        return self._call(_calls.change_type(task_type, task_version, "resume"))

    def places(self) -> Places:
        """Count the agents of each country and region."""
        return self._call(_calls.places())

    def overview(self) -> Overview:
        """Return what waits and runs now, and what happened in the last hour."""
        return self._call(_calls.overview())

    def status(self) -> StatusCounts:
        """Count the active agents and the waiting tasks."""
        return self._call(_calls.status())

    def dashboard_status(self) -> StatusLists:
        """Return the newest tasks that wait, and the agents that were seen last with theirs."""
        return self._call(_calls.dashboard_status())

    def check_health(self) -> None:
        """Return if the AFM is alive; like any request, this is sent again for a while before it raises."""
        self._call(_calls.check("healthz"))

    def check_ready(self) -> None:
        """Return once the database takes writes; Unavailable if it does not for as long as is tried."""
        self._call(_calls.check("readyz"))

    def metrics(self) -> str:
        """Return the metrics, as Prometheus reads them."""
        return self._call(_calls.metrics())

    def events(
        self, *, last_event_id: Optional[str] = None, **filters: Unpack[EventFilters]
    ) -> Generator[Event, None, None]:
        """Watch the changes of tasks as they happen, without end.

        After the connection was lost, the stream goes on behind the last event; an event Missed says where it
        could not. With `every`, there are only events Changes, at most one in so many seconds.
        """
        watch = Watch(filters, last_event_id, self._limits.retry_for)
        while True:
            send = watch.next_request()
            problem: SlamonError
            try:
                response = self._open(send)
                try:
                    if response.status_code != 200:
                        raise self._answer(send, response).error()
                    for part in response.iter_bytes():
                        yield from watch.feed(part)
                finally:
                    response.close()
                problem = ConnectionFailed(f"{self._endpoint.base}: the stream of events ended")
            except httpx.RequestError as error:
                problem = self._endpoint.failed(send, error)
            except SlamonError as error:
                problem = error
            time.sleep(watch.pause_after(problem))

    def poll(self, poll: Poll) -> PollAnswer:
        """Ask for tasks, as an agent. It is not sent again: what a lost answer brought is lost."""
        return self._call(_calls.poll(poll))

    def report(self, report: Report) -> None:
        """Report the result of an attempt, as an agent; BadRequest if nobody wants it any more."""
        self._call(_calls.report(report))

    def report_many(self, reports: Sequence[Report]) -> list[TaskAnswer]:
        """Report 1 to 1,000 results, as an agent; the answers are in their order."""
        return self._call(_calls.report_many(reports)).results

    def _call(self, call: Call[T]) -> T:
        return self._drive(_flows.exchange(call, self._limits))

    def _drive(self, flow: Flow[T]) -> T:
        try:
            asked = next(flow)
            while True:
                if isinstance(asked, Send):
                    try:
                        answer = self._send(asked)
                    except SlamonError as problem:
                        asked = flow.throw(problem)
                    else:
                        asked = flow.send(answer)
                else:
                    time.sleep(asked.seconds)
                    asked = next(flow)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()

    def _send(self, send: Send) -> Answer:
        try:
            response = self._open(send)
            try:
                return self._answer(send, response)
            finally:
                response.close()
        except httpx.RequestError as problem:
            raise self._endpoint.failed(send, problem) from problem

    def _open(self, send: Send) -> httpx.Response:
        request = self._endpoint.request(self._http, send)
        return self._http.send(request, stream=True, follow_redirects=False)

    def _answer(self, send: Send, response: httpx.Response) -> Answer:
        reading = Reading(self._endpoint, send, response)
        for part in response.iter_bytes():
            reading.feed(part)
        return reading.answer()
