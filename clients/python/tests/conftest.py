"""What tests share: servers, and clients of both kinds behind one face."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Union, cast

import pytest
from servers import Afm, OriginalAfm, Relay

from slamon import Agent, AsyncAgent, AsyncClient, Client

# A proxy of the environment is for the world outside.
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"

MakeClient = Callable[..., Client]
RunAgent = Callable[[Union[Agent, AsyncAgent]], threading.Thread]


SETTINGS = {"AGENT_RETURN_TIME": "1"}
"""Agents that cannot have their polls held open come back soon."""


@pytest.fixture(scope="session")
def memory_afm() -> Iterator[Afm]:
    """Our server, in memory. Tests share it, so each uses types and ids of its own."""
    server = Afm(settings=SETTINGS)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def file_afm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Afm]:
    """Our server, on a file."""
    server = Afm(f"sqlite:///{tmp_path_factory.mktemp('afm') / 'afm.db'}", settings=SETTINGS)
    yield server
    server.stop()


@pytest.fixture(params=["memory", "file"])
def afm(request: pytest.FixtureRequest, memory_afm: Afm, file_afm: Afm) -> Afm:
    """Our server, in memory and on a file."""
    return memory_afm if request.param == "memory" else file_afm


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OriginalAfm]:
    server = OriginalAfm(tmp_path_factory.mktemp("original"), return_time=2)
    yield server
    server.stop()


@pytest.fixture
def relay(memory_afm: Afm) -> Iterator[Relay]:
    relay = Relay(memory_afm.url)
    yield relay
    relay.close()


class Blocking:
    """An AsyncClient that is used like a Client."""

    def __init__(self, client: AsyncClient, loop: asyncio.AbstractEventLoop) -> None:
        self._client, self._loop = client, loop

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*arguments: Any, **named: Any) -> Any:
            answer = method(*arguments, **named)
            if inspect.isawaitable(answer):
                return self._loop.run_until_complete(answer)
            return self._iterate(answer)

        return call

    def _iterate(self, items: Any) -> Iterator[Any]:
        try:
            while True:
                try:
                    yield self._loop.run_until_complete(items.__anext__())
                except StopAsyncIteration:
                    return
        finally:
            self._loop.run_until_complete(items.aclose())


@pytest.fixture(params=["sync", "async"])
def make_client(request: pytest.FixtureRequest) -> Iterator[MakeClient]:
    """Make a client of either kind for a URL."""
    with contextlib.ExitStack() as cleanup:
        loop = asyncio.new_event_loop()
        cleanup.callback(loop.close)
        cleanup.callback(lambda: loop.run_until_complete(loop.shutdown_asyncgens()))

        def make(url: str, **options: Any) -> Client:
            if request.param == "sync":
                return cleanup.enter_context(Client(url, **options))
            client = AsyncClient(url, **options)
            cleanup.callback(lambda: loop.run_until_complete(client.aclose()))
            return cast(Client, Blocking(client, loop))

        yield make


@pytest.fixture
def client(afm: Afm, make_client: MakeClient) -> Client:
    return make_client(afm.url)


@pytest.fixture
def run_agent() -> Iterator[RunAgent]:
    """Run agents in threads until the test ends."""
    running: list[tuple[Union[Agent, AsyncAgent], threading.Thread]] = []
    problems: list[BaseException] = []

    def run(agent: Union[Agent, AsyncAgent]) -> threading.Thread:
        def work() -> None:
            try:
                if isinstance(agent, Agent):
                    agent.run()
                else:
                    asyncio.run(agent.run())
            except BaseException as problem:
                problems.append(problem)

        thread = threading.Thread(target=work)
        running.append((agent, thread))
        thread.start()
        return thread

    yield run
    for agent, thread in running:
        agent.stop()
        agent.stop()
        thread.join(30)
        assert not thread.is_alive(), "the agent does not stop"
    assert not problems, problems


@pytest.fixture
def task_type(request: pytest.FixtureRequest) -> str:
    """Return a type that no other test uses."""
    return f"{Path(str(request.node.path)).stem}.{request.node.name}"[:200]
