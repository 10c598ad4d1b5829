"""The client for asyncio."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
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

MOST_AT_ONCE = 50
"""So many requests that are not held open are under way at a time: with more, httpx becomes slow."""


class AsyncClient:
    """A client of an AFM, for any number of asyncio tasks of one loop.

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
        http_client: Optional[httpx.AsyncClient] = None,
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
        # Made in the loop where it is used.
        self._at_once: Optional[asyncio.Semaphore] = None
        self._owns_http = http_client is None
        self._http = http_client or httpx.AsyncClient(verify=verify, proxy=proxy, limits=LIMITS)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        problem: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        if self._owns_http:
            await self._http.aclose()

    async def run(
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
        return await self._drive(_flows.run(task, self._limits, timeout, cancel_on_timeout, traceparent))

    async def post(self, task: NewTask, *, traceparent: Optional[str] = None) -> str:
        """Post a task and return its id. The same post again posts nothing."""
        await self._drive(_flows.post(task, self._limits, traceparent))
        return str(task.task_id).lower()

    async def post_many(
        self, tasks: Iterable[NewTask], *, traceparent: Optional[str] = None
    ) -> list[TaskAnswer]:
        """Post any number of tasks; the answers, in their order, say of each whether it is stored."""
        return await self._drive(_flows.post_many(list(tasks), self._limits, traceparent))

    async def get(self, task_id: Id) -> Task:
        """Return a task as protocol 1 shows it."""
        return await self._call(_calls.get_task(task_id))

    async def wait(self, task_id: Id, *, timeout: Optional[float] = None) -> Task:
        """Wait until a task ends, and return it; WaitTimeout if that takes longer than `timeout` seconds.

        `result` of what is returned is the result, or raises what the task ended with.
        """
        return await self._drive(_flows.wait(task_id, self._limits, timeout))

    async def show(self, task_id: Id) -> WholeTask:
        """Return a task with its terms and all its attempts."""
        return await self._call(_calls.show_task(task_id))

    async def cancel(self, task_id: Id) -> WholeTask:
        """Cancel a task; Conflict if it has ended otherwise."""
        return await self._call(_calls.cancel_task(task_id))

    async def delete(self, task_id: Id) -> Task:
        """Cancel a task by protocol 1; Conflict if it has ended otherwise."""
        return await self._call(_calls.delete_task(task_id))

    async def cancel_many(self, task_ids: Iterable[Id]) -> list[ChangedTask]:
        """Cancel tasks; the answers, in their order, say what came of each."""
        return await self._drive(_flows.change_many("cancel", list(task_ids), self._limits))

    async def cancel_all(self, **filters: Unpack[TaskFilters]) -> Done:
        """Cancel all tasks of a filter that have not ended."""
        return await self._drive(_flows.change_all("cancel", filters, self._limits))

    async def retry(self, task_id: Id, *, new_task_id: Optional[Id] = None) -> str:
        """Post a task again that ended without a result, and return the id of the new one."""
        return await self._drive(_flows.retry(task_id, new_task_id, self._limits))

    async def retry_many(self, task_ids: Iterable[Id]) -> list[ChangedTask]:
        """Post tasks again; the answers, in their order, have the ids of the new ones."""
        return await self._drive(_flows.change_many("retry", list(task_ids), self._limits))

    async def retry_all(self, **filters: Unpack[TaskFilters]) -> Done:
        """Post all tasks of a filter again that ended without a result."""
        return await self._drive(_flows.change_all("retry", filters, self._limits))

    async def count_to_cancel(self, **filters: Unpack[TaskFilters]) -> Counted:
        """Count the tasks of a filter that can be cancelled."""
        return await self._call(_calls.count_tasks("cancel", _calls.filter_json(filters)))

    async def count_to_retry(self, **filters: Unpack[TaskFilters]) -> Counted:
        """Count the tasks of a filter that can be posted again."""
        return await self._call(_calls.count_tasks("retry", _calls.filter_json(filters)))

    async def cancel_counted(self, counted: Union[Counted, Done]) -> Done:
        """Cancel some 1,000 of the tasks that were counted; if there are more, pass what is returned."""
        return await self._call(_calls.change_counted("cancel", counted.filter, counted.token or ""))

    async def retry_counted(self, counted: Union[Counted, Done]) -> Done:
        """Post some 1,000 of the tasks again that were counted; if there are more, pass what is returned."""
        return await self._call(_calls.change_counted("retry", counted.filter, counted.token or ""))

    async def tasks(
        self, *, order: Optional[str] = None, **filters: Unpack[TaskFilters]
    ) -> AsyncGenerator[ListedTask, None]:
        """List tasks, `newest` or `oldest` first, page after page as they are asked for."""
        pages = Pages()
        while pages.has_more:
            page = pages.read(await self.list_tasks(order=order, limit=1000, cursor=pages.cursor, **filters))
            for each in page.tasks:
                yield each

    async def list_tasks(
        self,
        *,
        order: Optional[str] = None,
        limit: Optional[int] = None,
        cursor: Optional[str] = None,
        **filters: Unpack[TaskFilters],
    ) -> TaskList:
        """Return a page of a list of tasks."""
        return await self._call(_calls.list_tasks(filters, order, limit, cursor))

    async def test(self, test_id: Id, *, limit: Optional[int] = None, cursor: Optional[str] = None) -> Test:
        """Return the tasks of a test, the oldest first, and what they say; with a cursor, a further part."""
        return await self._call(_calls.show_test(test_id, limit, cursor))

    async def agents(self, **filters: Unpack[AgentFilters]) -> AsyncGenerator[FleetAgent, None]:
        """List agents, page after page as they are asked for."""
        pages = Pages()
        while pages.has_more:
            page = pages.read(await self.list_agents(limit=1000, cursor=pages.cursor, **filters))
            for each in page.agents:
                yield each

    async def list_agents(
        self, *, limit: Optional[int] = None, cursor: Optional[str] = None, **filters: Unpack[AgentFilters]
    ) -> AgentList:
        """Return a page of the list of agents."""
        return await self._call(_calls.list_agents(filters, limit, cursor))

    async def agent(self, agent_id: Id) -> FleetAgentWithTasks:
        """Return an agent with the tasks that it executes."""
        return await self._call(_calls.show_agent(agent_id))

    async def pause_agent(self, agent_id: Id) -> AgentPause:
        """Hand an agent no more tasks until it is resumed."""
        return await self._call(_calls.change_agent(agent_id, "pause"))

    async def resume_agent(self, agent_id: Id) -> AgentPause:
        """End the pause of an agent."""
        return await self._call(_calls.change_agent(agent_id, "resume"))

    async def forget_agent(self, agent_id: Id) -> None:
        """Forget an agent, with its pause; Conflict while it executes tasks."""
        await self._drive(_flows.forget(agent_id, self._limits))

    async def types(self) -> AsyncGenerator[TypeInVersion, None]:
        """List task types, page after page as they are asked for."""
        pages = Pages()
        while pages.has_more:
            page = pages.read(await self.list_types(limit=1000, cursor=pages.cursor))
            for each in page.types:
                yield each

    async def list_types(self, *, limit: Optional[int] = None, cursor: Optional[str] = None) -> TypeList:
        """Return a page of the list of types."""
        return await self._call(_calls.list_types(limit, cursor))

    async def type(self, task_type: str, task_version: int = 1) -> TypeInVersion:
        """Return a type in one version, which need not be known."""
        return await self._call(_calls.show_type(task_type, task_version))

    async def pause_type(self, task_type: str, task_version: Optional[int] = None) -> TypePause:
        """Hand tasks of a type to nobody, in one version or in all, until it is resumed."""
        return await self._call(_calls.change_type(task_type, task_version, "pause"))

    async def resume_type(self, task_type: str, task_version: Optional[int] = None) -> TypePause:
        """End the pause of a type in one version, or all its pauses."""
        return await self._call(_calls.change_type(task_type, task_version, "resume"))

    async def places(self) -> Places:
        """Count the agents of each country and region."""
        return await self._call(_calls.places())

    async def overview(self) -> Overview:
        """Return what waits and runs now, and what happened in the last hour."""
        return await self._call(_calls.overview())

    async def status(self) -> StatusCounts:
        """Count the active agents and the waiting tasks."""
        return await self._call(_calls.status())

    async def dashboard_status(self) -> StatusLists:
        """Return the newest tasks that wait, and the agents that were seen last with theirs."""
        return await self._call(_calls.dashboard_status())

    async def check_health(self) -> None:
        """Return if the AFM is alive; like any request, this is sent again for a while before it raises."""
        await self._call(_calls.check("healthz"))

    async def check_ready(self) -> None:
        """Return once the database takes writes; Unavailable if it does not for as long as is tried."""
        await self._call(_calls.check("readyz"))

    async def metrics(self) -> str:
        """Return the metrics, as Prometheus reads them."""
        return await self._call(_calls.metrics())

    async def events(
        self, *, last_event_id: Optional[str] = None, **filters: Unpack[EventFilters]
    ) -> AsyncGenerator[Event, None]:
        """Watch the changes of tasks as they happen, without end.

        After the connection was lost, the stream goes on behind the last event; an event Missed says where it
        could not. With `every`, there are only events Changes, at most one in so many seconds.
        """
        watch = Watch(filters, last_event_id, self._limits.retry_for)
        while True:
            send = watch.next_request()
            problem: SlamonError
            try:
                response = await self._open(send)
                try:
                    if response.status_code != 200:
                        raise (await self._answer(send, response)).error()
                    async for part in response.aiter_bytes():
                        for event in watch.feed(part):
                            yield event
                finally:
                    await response.aclose()
                problem = ConnectionFailed(f"{self._endpoint.base}: the stream of events ended")
            except httpx.RequestError as error:
                problem = self._endpoint.failed(send, error)
            except SlamonError as error:
                problem = error
            await asyncio.sleep(watch.pause_after(problem))

    async def poll(self, poll: Poll) -> PollAnswer:
        """Ask for tasks, as an agent. It is not sent again: what a lost answer brought is lost."""
        return await self._call(_calls.poll(poll))

    async def report(self, report: Report) -> None:
        """Report the result of an attempt, as an agent; BadRequest if nobody wants it any more."""
        await self._call(_calls.report(report))

    async def report_many(self, reports: Sequence[Report]) -> list[TaskAnswer]:
        """Report 1 to 1,000 results, as an agent; the answers are in their order."""
        return (await self._call(_calls.report_many(reports))).results

    async def _call(self, call: Call[T]) -> T:
        return await self._drive(_flows.exchange(call, self._limits))

    async def _drive(self, flow: Flow[T]) -> T:
        try:
            asked = next(flow)
            while True:
                if isinstance(asked, Send):
                    try:
                        answer = await self._send(asked)
                    except SlamonError as problem:
                        asked = flow.throw(problem)
                    else:
                        asked = flow.send(answer)
                else:
                    await asyncio.sleep(asked.seconds)
                    asked = next(flow)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()

    async def _send(self, send: Send) -> Answer:
        if send.call.wait > 0:
            return await self._exchange(send)
        if self._at_once is None:
            self._at_once = asyncio.Semaphore(MOST_AT_ONCE)
        async with self._at_once:
            return await self._exchange(send)

    async def _exchange(self, send: Send) -> Answer:
        try:
            response = await self._open(send)
            try:
                return await self._answer(send, response)
            finally:
                await response.aclose()
        except httpx.RequestError as problem:
            raise self._endpoint.failed(send, problem) from problem

    async def _open(self, send: Send) -> httpx.Response:
        request = self._endpoint.request(self._http, send)
        return await self._http.send(request, stream=True, follow_redirects=False)

    async def _answer(self, send: Send, response: httpx.Response) -> Answer:
        reading = Reading(self._endpoint, send, response)
        async for part in response.aiter_bytes():
            reading.feed(part)
        return reading.answer()
