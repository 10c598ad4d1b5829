"""Agents: they poll an AFM for tasks that their handlers can execute, and report what came out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Optional, TypeVar, Union
from uuid import uuid4

import httpx

from ._delivery import Delivery
from ._endpoint import Endpoint
from ._executor import Executor
from ._handlers import Handler, is_coroutine_function, logger
from ._identity import Identity
from ._link import Link
from ._run import Run, Stop
from .async_client import AsyncClient
from .new_task import Id
from .polling import Location, Poll

F = TypeVar("F", bound=Callable[..., Any])


class _AgentBase:
    _takes_coroutines: bool

    def __init__(
        self,
        url: str,
        *,
        name: str = "slamon-agent",
        location: Optional[Location] = None,
        executors: int = 2,
        id_file: Union[str, os.PathLike[str], None] = None,
        agent_id: Optional[Id] = None,
        user: Optional[tuple[str, str]] = None,
        token: Optional[str] = None,
        default_wait: float = 60.0,
        longest_poll: float = 50.0,
        shutdown_limit: float = 30.0,
        verify: Union[bool, ssl.SSLContext] = True,
        proxy: Optional[str] = None,
        http_client: Optional[httpx.AsyncClient] = None,
    ) -> None:
        """Make an agent of the AFM at `url`.

        name: what people know it by.
        location: where it is; tasks may ask for a place.
        executors: how many tasks are executed at the same time.
        id_file: keeps the agent's id, so that a restarted agent is the same agent; a second agent with the
            same file does not start. Without it, and without agent_id, each run has a new id.
        user, token: who calls: a name and a password, which may also stand in the URL, or a bearer token.
        default_wait: seconds until the next poll where the AFM does not say, and at most after a problem.
        longest_poll: seconds, at most 300, for which a poll may wait for tasks at an AFM that can hold it;
            proxies in between must allow a little more. 0: the agent polls when the AFM tells it to.
        shutdown_limit: seconds for which tasks may go on, and results be delivered, once it is asked to stop.
        verify, proxy, http_client: as with a Client.
        """
        Endpoint.parse(url, user, token)
        if executors < 1:
            raise ValueError("executors: must be 1 or more")
        if id_file is not None and agent_id is not None:
            raise ValueError("agent_id: must not be given together with id_file")
        self._url, self._user, self._token = url, user, token
        self._name, self._location, self._executors = name, location, executors
        self._id_file = None if id_file is None else Path(id_file)
        self._agent_id = agent_id
        self._default_wait = default_wait
        self._longest_poll = min(max(longest_poll, 0.0), 300.0)
        self._shutdown_limit = shutdown_limit
        self._verify, self._proxy, self._http_client = verify, proxy, http_client
        self._handlers: dict[str, Handler] = {}
        self._lock = threading.Lock()
        self._stops = 0
        self._running: Optional[tuple[asyncio.AbstractEventLoop, Stop]] = None

    def handler(self, task_type: str, version: int = 1) -> Callable[[F], F]:
        """Decorate the function that executes tasks of a type and version.

        It is given the data of a task and, if it takes two arguments, a Context. What it returns, a dict or a
        dataclass, is the result. What it raises is the error: the text of a Failure, the kind and text of
        anything else.
        """

        if not isinstance(task_type, str):
            raise TypeError('task_type: must be a string, as in @agent.handler("add")')
        if not isinstance(version, int):
            raise TypeError("version: must be an integer")

        def register(function: F) -> F:
            if is_coroutine_function(function) != self._takes_coroutines:
                wanted = "async functions" if self._takes_coroutines else "functions that are not async"
                other = "Agent" if self._takes_coroutines else "AsyncAgent"
                raise TypeError(f"the handlers of {type(self).__name__} are {wanted}; there is {other}, too")
            if task_type in self._handlers:
                raise ValueError(
                    f"there is a handler of {task_type!r}: an agent can offer one version of a type"
                )
            self._handlers[task_type] = Handler.of(version, function)
            return function

        return register

    def stop(self) -> None:
        """Ask the agent to stop, from any thread, when its tasks are over; the second time, at once."""
        with self._lock:
            self._stops += 1
            if self._running is not None:
                loop, stop = self._running
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(stop.ask)

    async def _run(self, handle_signals: bool) -> None:
        if not self._handlers:
            raise ValueError("the agent has no handlers: there is nothing that it could be handed")
        stop = Stop()
        with self._lock:
            if self._running is not None:
                raise RuntimeError("the agent runs already")
            self._running = asyncio.get_running_loop(), stop
            for _ in range(self._stops):
                stop.ask()
        try:
            await self._run_until(stop, handle_signals)
        finally:
            with self._lock:
                self._running, self._stops = None, 0

    async def _run_until(self, stop: Stop, handle_signals: bool) -> None:
        with contextlib.ExitStack() as cleanup:
            agent_id: Id = self._agent_id or str(uuid4())
            if self._id_file is not None:
                identity = Identity(self._id_file)
                cleanup.callback(identity.close)
                agent_id = identity.id
            if handle_signals:
                cleanup.enter_context(_signals(stop))
            capabilities = {task_type: handler.version for task_type, handler in self._handlers.items()}
            poll = Poll(agent_id, self._name, capabilities, 0, agent_location=self._location)
            # What goes wrong is tried again here, at the agent's own pace.
            async with AsyncClient(
                self._url,
                user=self._user,
                token=self._token,
                retry_for=0,
                verify=self._verify,
                proxy=self._proxy,
                http_client=self._http_client,
            ) as client:
                delivery = Delivery(agent_id)
                run = Run(
                    Link(client, poll, self._longest_poll),
                    Executor(self._executors, self._handlers, delivery.add),
                    delivery,
                    default_wait=self._default_wait,
                    longest_poll=self._longest_poll,
                    shutdown_limit=self._shutdown_limit,
                )
                offers = ", ".join(f"{task_type} {version}" for task_type, version in capabilities.items())
                logger.info("agent %s, %s, has begun; it offers %s", agent_id, self._name, offers)
                await run.until(stop)


class Agent(_AgentBase):
    """An agent whose handlers are functions, each executed in a thread.

    A function cannot be stopped from outside: one that takes long looks at `Context.is_cancelled`.
    """

    _takes_coroutines = False

    def run(self) -> None:
        """Run until SIGTERM or SIGINT, or until stop() is called; signals reach the main thread only."""
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            raise TypeError("an event loop runs in this thread already: use AsyncAgent")
        asyncio.run(self._run(threading.current_thread() is threading.main_thread()))


class AsyncAgent(_AgentBase):
    """An agent whose handlers are async functions; one that nobody waits for any more is cancelled."""

    _takes_coroutines = True

    async def run(self, *, handle_signals: bool = True) -> None:
        """Run until SIGTERM or SIGINT, if these are to be handled, or until stop() is called."""
        await self._run(handle_signals and threading.current_thread() is threading.main_thread())


@contextlib.contextmanager
def _signals(stop: Stop) -> Iterator[None]:
    """Have SIGTERM and SIGINT ask the agent to stop."""
    loop = asyncio.get_running_loop()
    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        # Windows has none.
        with contextlib.suppress(NotImplementedError):
            for number in previous:
                loop.add_signal_handler(number, stop.ask)
        yield
    finally:
        for number, handler in previous.items():
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
