"""Agents of both kinds against the real server."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import queue
import re
import signal
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import Any, Optional, Union
from uuid import UUID, uuid4

import pytest
from conftest import RunAgent
from servers import Afm, Fault, Relay, Seen, agent_process

from slamon import (
    Agent,
    AsyncAgent,
    AsyncClient,
    Client,
    Context,
    Failure,
    IdentityError,
    Location,
    NewTask,
    Poll,
    TaskFailed,
)

AnyAgent = Union[Agent, AsyncAgent]
MakeAgent = Callable[..., AnyAgent]


ONE_KIND = pytest.mark.parametrize("make_agent", [AsyncAgent], indirect=True)
"""For what both kinds do by the same code, which takes its time."""


@pytest.fixture
def afm_client(memory_afm: Afm) -> Any:
    with Client(memory_afm.url) as client:
        yield client


@pytest.fixture(params=[Agent, AsyncAgent])
def make_agent(request: pytest.FixtureRequest) -> MakeAgent:
    """Make an agent of either kind, with a handler."""

    def make(url: str, task_type: str, function: Callable[..., Any], **options: Any) -> AnyAgent:
        kind: type[AnyAgent] = request.param
        agent = kind(url, **options)
        if kind is AsyncAgent:

            async def handle(data: dict[str, Any], context: Context) -> Any:
                return function(data, context)

            agent.handler(task_type)(handle)
        else:
            agent.handler(task_type)(function)
        return agent

    return make


def test_tasks_are_executed_as_they_come(
    afm: Afm, run_agent: RunAgent, make_agent: MakeAgent, task_type: str
) -> None:
    agent_id = uuid4()
    place = Location("FI", "18", 60.17, 24.94)
    agent = make_agent(
        afm.url,
        task_type,
        lambda data, context: {"got": data, "attempt": context.attempt, "type": context.task_type},
        name="Helsinki 3",
        location=place,
        agent_id=agent_id,
    )
    run_agent(agent)
    with Client(afm.url) as client:
        for number in range(20):
            task_id = client.post(NewTask(task_type, {"n": number}, agent_filter={"country": "FI"}))
            task = client.wait(task_id, timeout=30)
            assert task.result == {"got": {"n": number}, "attempt": 1, "type": task_type}
            assert (task.agent_id, task.agent_name) == (str(agent_id), "Helsinki 3")
        assert client.run(task_type, timeout=30) == {"got": {}, "attempt": 1, "type": task_type}
        known = client.agent(agent_id)
    assert known.agent_location == {"country": "FI", "region": "18", "latitude": 60.17, "longitude": 24.94}


def test_many_tasks_are_executed_at_the_same_time(
    memory_afm: Afm, afm_client: Client, run_agent: RunAgent, task_type: str
) -> None:
    agent = Agent(memory_afm.url, executors=8)
    together = threading.Barrier(8)

    @agent.handler(task_type)
    def meet(_: dict[str, Any]) -> None:
        together.wait(30)

    run_agent(agent)
    tasks = [NewTask(task_type) for _ in range(64)]
    assert all(answer.is_stored for answer in afm_client.post_many(tasks))
    assert [afm_client.wait(task.task_id, timeout=60).result for task in tasks] == [{}] * 64


@dataclasses.dataclass
class Found:
    number: int


class Odd(Exception):
    pass


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class Outcome(BaseException):
    """As those of pytest, which are no Exception."""


def _raise(problem: BaseException) -> None:
    raise problem


OUTCOMES: dict[str, tuple[Callable[[], object], Union[dict[str, Any], str]]] = {
    "nothing": (lambda: None, {}),
    "dataclass": (lambda: Found(3), {"number": 3}),
    "text": (lambda: {"ä": "\u2028 \0 𝄞"}, {"ä": "\u2028 \0 𝄞"}),
    "list": (lambda: [1], "the handler returned a list, and not a dict"),
    "class": (lambda: Found, "the handler returned a type, and not a dict"),
    "object": (
        lambda: {"a": [object()]},
        r"the handler returned what JSON cannot hold: a\[0\]: .* object .*",
    ),
    "nan": (lambda: {"a": float("inf")}, "the handler returned what JSON cannot hold: a: .*"),
    "failure": (lambda: _raise(Failure("no answer\0 within 3 s")), "no answer\0 within 3 s"),
    "no reason": (lambda: _raise(Failure()), "the handler gave no reason"),
    "error": (lambda: _raise(Odd("very")), "Odd: very"),
    "bare": (lambda: _raise(Odd()), "Odd"),
    "unprintable": (lambda: _raise(Unprintable()), "Unprintable"),
    "no exception": (lambda: _raise(Outcome("skipped")), "Outcome: skipped"),
    "closed": (lambda: _raise(GeneratorExit()), "GeneratorExit"),
    "exit": (lambda: _raise(SystemExit(3)), "SystemExit: 3"),
    "stop": (lambda: _raise(StopIteration()), ".*StopIteration.*"),
    "long": (lambda: _raise(Failure("x" * 100_000)), "x{65536}…"),
    "large": (lambda: {"a": "x" * 2_000_000}, "the AFM refused the result: .*"),
    "deep": (lambda: json.loads('{"a":' * 600 + "1" + "}" * 600), "the AFM refused the result: .*nested.*"),
}


def test_every_outcome_ends_the_task(
    memory_afm: Afm, afm_client: Client, run_agent: RunAgent, make_agent: MakeAgent, task_type: str
) -> None:
    def answer(data: dict[str, Any], _: Context) -> object:
        return OUTCOMES[data["name"]][0]()

    run_agent(make_agent(memory_afm.url, task_type, answer, executors=20))
    tasks = {name: NewTask(task_type, {"name": name}) for name in OUTCOMES}
    afm_client.post_many(list(tasks.values()))
    for name, (_, expected) in OUTCOMES.items():
        ended = afm_client.wait(tasks[name].task_id, timeout=30)
        if isinstance(expected, dict):
            assert ended.result == expected, name
        else:
            assert re.fullmatch(expected, ended.task_error or "", re.DOTALL), (name, ended.task_error)


@ONE_KIND
def test_an_idle_agent_waits_at_the_afm(
    relay: Relay, afm_client: Client, run_agent: RunAgent, make_agent: MakeAgent, task_type: str
) -> None:
    run_agent(make_agent(relay.url, task_type, lambda *_: {}, longest_poll=3, executors=4))
    relay.wait_for(lambda: len(relay.seen) >= 1)
    began = time.monotonic()
    relay.wait_for(lambda: len(relay.paths("/tasks")) >= 3)
    assert time.monotonic() - began >= 5, "each poll was held open"
    assert relay.seen[0].json()["max_wait"] == 3
    began = time.monotonic()
    afm_client.run(task_type, timeout=30)
    assert time.monotonic() - began < 2
    body = relay.paths("/tasks/response")[0].json()
    assert body["agent_id"] == relay.seen[0].json()["agent_id"]
    # What was brought is named until its result is stored.
    assert relay.seen[0].json()["agent_running"] == []


@pytest.mark.parametrize("hours", [-30, 5])
def test_clocks_that_are_hours_apart_change_nothing(
    relay: Relay, run_agent: RunAgent, task_type: str, hours: int
) -> None:
    def shift(headers: dict[str, str], body: bytes) -> bytes:
        by = timedelta(hours=hours)
        headers["date"] = format_datetime(parsedate_to_datetime(headers["date"]) + by, usegmt=True)
        answer = json.loads(body)
        answer["return_time"] = (datetime.fromisoformat(answer["return_time"]) + by).isoformat()
        return json.dumps(answer).encode()

    relay.change_answer = shift
    agent = Agent(relay.url, longest_poll=0, default_wait=600)
    agent.handler(task_type)(lambda _: None)
    run_agent(agent)
    relay.wait_for(lambda: len(relay.seen) >= 4, 30)
    assert relay.seen[3].at - relay.seen[0].at >= 2.5, "it polls once a second, as it is told"


@ONE_KIND
def test_a_poll_that_is_cut_short_is_not_repeated_all_the_time(
    relay: Relay, run_agent: RunAgent, make_agent: MakeAgent, task_type: str
) -> None:
    """An AFM that holds too many polls answers at once; whatever else it says, the agent takes its time."""
    handed = {"task_id": str(uuid4()), "task_type": task_type, "task_version": 1}
    answers = (
        {"tasks": [], "return_time": "2020-01-01T00:00:00+00:00"},
        {"tasks": [], "return_time": "soon", "cancelled": [str(uuid4())]},
        {"tasks": [handed, handed], "return_time": "2020-01-01T00:00:00+00:00"},
    )
    relay.decide = lambda _: Fault(body=json.dumps(answers[len(relay.seen) % 2]).encode())
    ended = threading.Event()
    run_agent(
        make_agent(
            relay.url,
            task_type,
            lambda *_: ended.wait(4) and None,
            executors=3,
            longest_poll=5,
            default_wait=1,
        )
    )
    relay.wait_for(lambda: len(relay.paths("/tasks")) >= 4, 30)
    assert relay.seen[3].at - relay.seen[0].at >= 2.9
    relay.decide = lambda _: Fault(body=json.dumps(answers[2]).encode())
    before = len(relay.seen)
    ended.wait(3)
    assert len(relay.paths("/tasks")) - before <= 6
    ended.set()


@ONE_KIND
def test_an_afm_that_is_away_is_tried_less_and_less_often(
    relay: Relay, afm_client: Client, run_agent: RunAgent, make_agent: MakeAgent, task_type: str
) -> None:
    relay.decide = lambda _: Fault(loses_request=True)
    run_agent(make_agent(relay.url, task_type, lambda *_: {}))
    relay.wait_for(lambda: len(relay.seen) >= 4, 30)
    gaps = [after.at - before.at for before, after in zip(relay.seen, relay.seen[1:])]
    for gap, longest in zip(gaps, (1, 2, 4)):
        assert longest / 2 <= gap, gaps
    relay.decide = lambda _: None
    afm_client.run(task_type, timeout=60)


@ONE_KIND
def test_retry_after_is_obeyed(
    relay: Relay, run_agent: RunAgent, make_agent: MakeAgent, task_type: str
) -> None:
    relay.faults.append(Fault(503, {"Retry-After": "3"}))
    run_agent(make_agent(relay.url, task_type, lambda *_: {}))
    relay.wait_for(lambda: len(relay.seen) >= 2, 30)
    assert relay.seen[1].at - relay.seen[0].at >= 3


@ONE_KIND
def test_results_are_delivered_after_an_outage_in_their_order(
    relay: Relay, afm_client: Client, run_agent: RunAgent, make_agent: MakeAgent, task_type: str
) -> None:
    def decide(seen: Seen) -> Optional[Fault]:
        return Fault(503) if seen.path == "/tasks/response" and is_away.is_set() else None

    is_away = threading.Event()
    is_away.set()
    relay.decide = decide
    order: list[int] = []
    run_agent(make_agent(relay.url, task_type, lambda data, _: order.append(data["n"]), executors=1))
    tasks = [NewTask(task_type, {"n": number}) for number in range(5)]
    afm_client.post_many(tasks)
    relay.wait_for(lambda: len(order) == 5 and len(relay.paths("/tasks/response")) >= 2)
    named = relay.paths("/tasks")[-1].json()["agent_running"]
    assert set(named) <= {task.task_id for task in tasks}
    is_away.clear()
    for task in tasks:
        assert afm_client.wait(task.task_id, timeout=60).state == "completed"
    ids = [task.task_id for task in tasks]
    several = [seen.json() for seen in relay.paths("/tasks/response")][-1]
    assert [each["task_id"] for each in several["results"]] == ids[-len(several["results"]) :]
    assert order == [0, 1, 2, 3, 4]
    completed = [afm_client.get(task_id).task_completed for task_id in ids]
    assert completed == sorted(completed, key=str)


@ONE_KIND
def test_a_result_whose_answer_was_lost_is_reported_once(
    relay: Relay, afm_client: Client, run_agent: RunAgent, make_agent: MakeAgent, task_type: str
) -> None:
    lost: list[Seen] = []

    def decide(seen: Seen) -> Optional[Fault]:
        if seen.path == "/tasks/response" and not lost:
            lost.append(seen)
            return Fault(loses_answer=True)
        return None

    relay.decide = decide
    run_agent(make_agent(relay.url, task_type, lambda *_: {"a": 1}))
    assert afm_client.run(task_type, timeout=30) == {"a": 1}
    relay.wait_for(lambda: len(relay.paths("/tasks/response")) == 2, 30)
    assert lost[0].json() == relay.paths("/tasks/response")[1].json()


@ONE_KIND
def test_what_is_no_afm_neither_takes_nor_refuses_a_result(
    relay: Relay, afm_client: Client, run_agent: RunAgent, make_agent: MakeAgent, task_type: str
) -> None:
    """The pages of a proxy, or of the gate of a network, have these statuses, too."""
    page = {"Content-Type": "text/html"}, b"<html>Please log in</html>"
    faults = [Fault(200, *page), Fault(400, *page)]
    relay.decide = lambda seen: faults.pop() if seen.path == "/tasks/response" and faults else None
    run_agent(make_agent(relay.url, task_type, lambda *_: {"a": 1}))
    assert afm_client.run(task_type, timeout=30) == {"a": 1}
    assert not faults


def test_no_task_is_taken_while_large_results_wait(
    relay: Relay, afm_client: Client, run_agent: RunAgent, task_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slamon._delivery.MOST_BYTES_WAITING", 1_000)
    monkeypatch.setattr("slamon._run.BUSY", 1.0)
    is_away = threading.Event()
    is_away.set()
    relay.decide = lambda seen: Fault(503) if seen.path == "/tasks/response" and is_away.is_set() else None
    agent = Agent(relay.url, executors=1)
    agent.handler(task_type)(lambda data: {"a": "x" * 900})
    run_agent(agent)
    tasks = [NewTask(task_type) for _ in range(4)]
    afm_client.post_many(tasks)
    relay.wait_for(lambda: len(relay.paths("/tasks")) >= 3)
    asked = [seen.json()["max_tasks"] for seen in relay.paths("/tasks")]
    assert asked == [1] + [0] * (len(asked) - 1)
    assert [afm_client.get(task.task_id).state for task in tasks] == ["claimed"] + ["pending"] * 3
    monkeypatch.setattr("slamon._run.BUSY", 600.0)
    relay.wait_for(lambda: len(relay.paths("/tasks")) > len(asked))
    is_away.clear()
    for task in tasks:
        assert afm_client.wait(task.task_id, timeout=40).state == "completed"


@ONE_KIND
def test_an_agent_without_rights_keeps_its_results(
    relay: Relay, afm_client: Client, run_agent: RunAgent, make_agent: MakeAgent, task_type: str
) -> None:
    def decide(seen: Seen) -> Optional[Fault]:
        is_allowed = seen.headers.get("authorization") == "Bearer abc" and not revoked.is_set()
        return None if is_allowed or seen.path == "/tasks" else Fault(401)

    revoked = threading.Event()
    revoked.set()
    relay.decide = decide
    run_agent(make_agent(relay.url, task_type, lambda *_: {"a": 1}, token="abc"))
    task_id = afm_client.post(NewTask(task_type))
    relay.wait_for(lambda: len(relay.paths("/tasks/response")) >= 2, 30)
    revoked.clear()
    assert afm_client.wait(task_id, timeout=30).result == {"a": 1}


def test_a_cancelled_task_is_stopped(
    relay: Relay, afm_client: Client, run_agent: RunAgent, task_type: str
) -> None:
    began, ended = threading.Event(), threading.Event()
    agent = Agent(relay.url, executors=1)

    @agent.handler(task_type)
    def wait(data: dict[str, Any], context: Context) -> dict[str, Any]:
        began.set()
        if data.get("waits") and context.wait_cancelled(30):
            ended.set()
            context.raise_if_cancelled()
        return {}

    run_agent(agent)
    task_id = afm_client.post(NewTask(task_type, {"waits": True}))
    assert began.wait(30)
    afm_client.cancel(task_id)
    assert ended.wait(30)
    following = str(uuid4())
    assert afm_client.run(task_type, task_id=following, timeout=30) == {}
    reported = [seen.json()["task_id"] for seen in relay.paths("/tasks/response")]
    assert reported == [following], "nothing is reported of what was cancelled"


def test_a_busy_agent_hears_soon_of_what_is_cancelled(
    relay: Relay, afm_client: Client, run_agent: RunAgent, task_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def return_late(headers: dict[str, str], body: bytes) -> bytes:
        if b"return_time" not in body:
            return body
        late = parsedate_to_datetime(headers["date"]) + timedelta(hours=1)
        return json.dumps({**json.loads(body), "return_time": late.isoformat()}).encode()

    monkeypatch.setattr("slamon._run.BUSY", 1.0)
    relay.change_answer = return_late
    began, ended = threading.Event(), threading.Event()
    agent = Agent(relay.url, executors=1)

    @agent.handler(task_type)
    def wait(_: dict[str, Any], context: Context) -> None:
        began.set()
        if context.wait_cancelled(60):
            ended.set()

    run_agent(agent)
    task_id = afm_client.post(NewTask(task_type))
    assert began.wait(30)
    afm_client.cancel(task_id)
    assert ended.wait(30)


def test_a_cancelled_coroutine_is_cancelled(
    memory_afm: Afm, afm_client: Client, run_agent: RunAgent, task_type: str
) -> None:
    began, ended = threading.Event(), threading.Event()
    agent = AsyncAgent(memory_afm.url, executors=1)

    @agent.handler(task_type)
    async def wait(_: dict[str, Any]) -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.set()
            raise

    run_agent(agent)
    task_id = afm_client.post(NewTask(task_type))
    assert began.wait(30)
    afm_client.cancel(task_id)
    assert ended.wait(30)
    # Its executor is free again.
    began.clear()
    ended.clear()
    task_id = afm_client.post(NewTask(task_type, task_timeout=1))
    assert began.wait(30)
    assert ended.wait(30), "its time is over"
    assert afm_client.wait(task_id, timeout=30).task_error is not None


def test_a_handler_knows_how_much_time_is_left(
    relay: Relay, afm_client: Client, run_agent: RunAgent, make_agent: MakeAgent, task_type: str
) -> None:
    def shift(headers: dict[str, str], body: bytes) -> bytes:
        if "date" in headers and b"return_time" in body:
            by = timedelta(hours=7)
            headers["date"] = format_datetime(parsedate_to_datetime(headers["date"]) + by, usegmt=True)
            answer = json.loads(body)
            for task in answer["tasks"]:
                if "task_deadline" in task:
                    task["task_deadline"] = (datetime.fromisoformat(task["task_deadline"]) + by).isoformat()
            body = json.dumps(answer).encode()
        return body

    relay.change_answer = shift
    run_agent(make_agent(relay.url, task_type, lambda _, context: {"left": context.time_left(60)}))
    assert afm_client.run(task_type, timeout=30) == {"left": 60}
    left = afm_client.run(task_type, timeout=30, task_timeout=20)["left"]
    assert 10 < left <= 21


def test_handlers_are_checked_when_they_are_made(memory_afm: Afm, task_type: str) -> None:
    agent = Agent(memory_afm.url)
    with pytest.raises(ValueError, match="no handlers"):
        agent.run()
    agent.handler("a", version=2)(lambda data, context: None)
    with pytest.raises(ValueError, match="one version"):
        agent.handler("a", version=3)(lambda data: None)
    for wrong in ({"task_type": lambda data: None}, {"task_type": "b", "version": "1"}):
        with pytest.raises(TypeError, match=r"task_type: |version: "):
            agent.handler(**wrong)
    for function in (lambda: None, lambda a, b, c: None, lambda *, a: None):
        with pytest.raises(TypeError, match="a handler takes"):
            agent.handler("b")(function)

    async def coroutine(data: dict[str, Any]) -> None:
        pass

    with pytest.raises(TypeError, match="there is AsyncAgent"):
        agent.handler("b")(coroutine)
    with pytest.raises(TypeError, match="there is Agent"):
        AsyncAgent(memory_afm.url).handler("b")(lambda data: None)
    with pytest.raises(ValueError, match="executors"):
        Agent(memory_afm.url, executors=0)
    with pytest.raises(ValueError, match="url: "):
        Agent("afm:8080")
    with pytest.raises(ValueError, match="agent_id"):
        Agent(memory_afm.url, id_file="a", agent_id=uuid4())


def test_handlers_take_data_and_context_as_they_like(
    memory_afm: Afm, afm_client: Client, run_agent: RunAgent, task_type: str
) -> None:
    class Methods:
        def one(self, data: dict[str, Any]) -> dict[str, Any]:
            return data

        def __call__(self, data: dict[str, Any], context: Context) -> dict[str, Any]:
            return {"id": context.task_id}

    agent = Agent(memory_afm.url)
    agent.handler(task_type + "1")(Methods().one)
    agent.handler(task_type + "2")(Methods())
    agent.handler(task_type + "3")(lambda *arguments: {"n": len(arguments)})
    agent.handler(task_type + "4")(lambda data, more=1: {"more": more})
    agent.handler(task_type + "5")(dict)
    run_agent(agent)
    assert afm_client.run(task_type + "1", {"a": 1}, timeout=30) == {"a": 1}
    task_id = str(uuid4())
    assert afm_client.run(task_type + "2", task_id=task_id, timeout=30) == {"id": task_id}
    assert afm_client.run(task_type + "3", timeout=30) == {"n": 2}
    assert afm_client.run(task_type + "4", timeout=30) == {"more": 1}
    assert afm_client.run(task_type + "5", {"b": 2}, timeout=30) == {"b": 2}


AGENT = """
import logging, signal, sys, time
from slamon import Agent
logging.basicConfig(level=logging.INFO, format="%(name)s %(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)
agent = Agent(sys.argv[1], id_file=sys.argv[3], executors=1, shutdown_limit=float(sys.argv[4]))
@agent.handler(sys.argv[2])
def work(data, context):
    print("begins", data.get("n"), flush=True)
    time.sleep(data["seconds"] if context.attempt == 1 else 0)
    return {"n": data.get("n")}
agent.run()
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
print("ended well", flush=True)
"""


def test_sigterm_lets_tasks_finish(afm: Afm, tmp_path: Path, task_type: str) -> None:
    agent = agent_process(AGENT, afm.url, task_type, str(tmp_path / "state/id"), "30")
    try:
        with Client(afm.url) as client:
            tasks = [NewTask(task_type, {"n": number, "seconds": 1}) for number in (1, 2)]
            client.post_many(tasks)
            agent.find("begins 1")
            agent.send_signal(signal.SIGTERM)
            assert agent.wait() == 0
            agent.find("ended well")
            assert client.wait(tasks[0].task_id, timeout=30).result == {"n": 1}
            assert client.get(tasks[1].task_id).state == "pending", "no more is taken"
    finally:
        agent.stop()


def test_an_idle_agent_ends_at_once(afm: Afm, tmp_path: Path, task_type: str) -> None:
    agent = agent_process(AGENT, afm.url, task_type, str(tmp_path / "id"), "30")
    try:
        with Client(afm.url) as client:
            client.run(task_type, {"seconds": 0}, timeout=30)
            began = time.monotonic()
            agent.send_signal(signal.SIGINT)
            assert agent.wait() == 0
            assert time.monotonic() - began < 10
            # What comes now is for others: the poll that was held open takes nothing any more.
            task_id = client.post(NewTask(task_type, {"seconds": 0}))
            assert client.get(task_id).state == "pending"
    finally:
        agent.stop()


@pytest.mark.parametrize("how", ["limit", "second signal"])
def test_what_does_not_finish_is_handed_back(afm: Afm, tmp_path: Path, task_type: str, how: str) -> None:
    agent = agent_process(AGENT, afm.url, task_type, str(tmp_path / "id"), "0.5" if how == "limit" else "60")
    try:
        with Client(afm.url) as client:
            task_id = client.post(NewTask(task_type, {"n": 1, "seconds": 120}, task_max_attempts=2))
            agent.find("begins 1")
            agent.send_signal(signal.SIGTERM)
            if how != "limit":
                agent.find("is stopping")
                agent.send_signal(signal.SIGTERM)
            assert agent.wait() == 0
            task = client.get(task_id)
            assert (task.state, [attempt.code for attempt in task.attempts]) == ("pending", ["abandoned"])
    finally:
        agent.stop()


def test_an_agent_that_crashed_has_its_tasks_tried_again(afm: Afm, tmp_path: Path, task_type: str) -> None:
    id_file = tmp_path / "id"
    first = agent_process(AGENT, afm.url, task_type, str(id_file), "30")
    second = None
    try:
        with Client(afm.url) as client:
            task_id = client.post(NewTask(task_type, {"n": 1, "seconds": 120}, task_max_attempts=2))
            first.find("begins 1")
            blocked = agent_process(AGENT, afm.url, task_type, str(id_file), "30")
            assert blocked.wait() == 1
            assert "another agent runs with the id file" in blocked.text()
            blocked.stop()
            first.send_signal(signal.SIGKILL)
            first.wait()
            agent_id = UUID(id_file.read_text().strip())
            second = agent_process(AGENT, afm.url, task_type, str(id_file), "30")
            task = client.wait(task_id, timeout=60)
            assert task.result == {"n": 1}
            assert [attempt.code for attempt in task.attempts] == ["abandoned"]
            assert UUID(task.agent_id or "") == agent_id
    finally:
        for agent in (first, second):
            if agent is not None:
                agent.stop()


def test_an_id_file_with_something_else_is_left_alone(memory_afm: Afm, tmp_path: Path) -> None:
    path = tmp_path / "id"
    for text in ("my agent\n", "{" + str(uuid4()) + "}", uuid4().hex, "\xff"):
        path.write_text(text)
        agent = Agent(memory_afm.url, id_file=path)
        agent.handler("a")(lambda data: None)
        with pytest.raises(IdentityError, match="holds no UUID"):
            agent.run()
        assert path.read_text() == text
    agent = Agent(memory_afm.url, id_file=tmp_path)
    agent.handler("a")(lambda data: None)
    with pytest.raises(IdentityError, match="could not open the id file"):
        agent.run()


def test_an_agent_can_run_again_and_be_stopped_before(memory_afm: Afm, task_type: str) -> None:
    agent = Agent(memory_afm.url)
    agent.handler(task_type)(lambda data: None)
    for _ in range(2):
        agent.stop()
        agent.run()

    async def within_a_loop() -> None:
        agent.run()

    with pytest.raises(TypeError, match="use AsyncAgent"):
        asyncio.run(within_a_loop())


def test_an_agent_that_is_cancelled_hands_its_tasks_back(
    memory_afm: Afm, afm_client: Client, task_type: str
) -> None:
    agent = AsyncAgent(memory_afm.url, default_wait=1)
    task_id = afm_client.post(NewTask(task_type, task_max_attempts=2))

    async def main() -> None:
        began = asyncio.Event()

        @agent.handler(task_type)
        async def wait(_: dict[str, Any]) -> None:
            began.set()
            await asyncio.sleep(60)

        running = asyncio.ensure_future(agent.run(handle_signals=False))
        await asyncio.wait_for(began.wait(), 30)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())
    assert [attempt.code for attempt in afm_client.get(task_id).attempts] == ["abandoned"]


def test_what_is_handed_out_at_the_moment_of_the_stop_is_executed(
    relay: Relay, afm_client: Client, run_agent: RunAgent, task_type: str
) -> None:
    """The answer that brings a task is on its way while the agent is asked to stop."""
    held = threading.Event()
    agent = Agent(relay.url)
    agent.handler(task_type)(lambda data: {"done": True})

    def delay(headers: dict[str, str], body: bytes) -> bytes:
        if task_type.encode() in body:
            agent.stop()
            held.wait(0.5)
        return body

    relay.change_answer = delay
    thread = run_agent(agent)
    assert afm_client.run(task_type, timeout=30) == {"done": True}
    thread.join(30)
    assert not thread.is_alive()


@ONE_KIND
def test_an_agent_that_waits_for_its_afm_ends_at_once(
    relay: Relay, run_agent: RunAgent, make_agent: MakeAgent, task_type: str
) -> None:
    relay.decide = lambda _: Fault(503, {"Retry-After": "600"})
    agent = make_agent(relay.url, task_type, lambda *_: {}, default_wait=600)
    thread = run_agent(agent)
    relay.wait_for(lambda: len(relay.seen) >= 1, 30)
    began = time.monotonic()
    agent.stop()
    thread.join(30)
    assert time.monotonic() - began < 10
    assert len(relay.seen) <= 2


def test_an_afm_that_becomes_a_newer_one_is_asked_to_hold_polls(
    relay: Relay, run_agent: RunAgent, task_type: str
) -> None:
    def decide(seen: Seen) -> Optional[Fault]:
        if away.is_set():
            return Fault(loses_request=True)
        return Fault(400) if is_old.is_set() and "max_wait" in seen.json() else None

    is_old, away = threading.Event(), threading.Event()
    is_old.set()
    relay.decide = decide
    agent = Agent(relay.url)
    agent.handler(task_type)(lambda data: data)
    run_agent(agent)
    relay.wait_for(lambda: len(relay.seen) >= 3, 30)
    assert ["max_wait" in seen.json() for seen in relay.seen[:3]] == [True, False, False]
    is_old.clear()
    away.set()
    before = len(relay.seen)
    relay.wait_for(lambda: len(relay.seen) > before, 30)
    away.clear()
    relay.wait_for(lambda: "max_wait" in relay.seen[-1].json(), 30)


@ONE_KIND
def test_a_task_of_another_version_is_refused(
    relay: Relay, run_agent: RunAgent, make_agent: MakeAgent, task_type: str
) -> None:
    handed = {"task_id": str(uuid4()), "task_type": task_type, "task_version": 2, "task_deadline": "soon"}
    soon = (datetime.now(timezone.utc) + timedelta(hours=1)).isoformat()
    relay.faults.append(Fault(body=json.dumps({"tasks": [handed], "return_time": soon}).encode()))
    run_agent(make_agent(relay.url, task_type, lambda *_: {}, executors=1))
    relay.wait_for(lambda: len(relay.paths("/tasks/response")) >= 1, 30)
    assert "has no handler" in relay.paths("/tasks/response")[0].json()["task_error"]


def test_a_coroutine_may_be_an_object(
    memory_afm: Afm, afm_client: Client, run_agent: RunAgent, task_type: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Adder:
        async def __call__(self, data: dict[str, Any], context: Context) -> dict[str, Any]:
            if not data:
                raise Failure("nothing\nto add")
            return {"sum": sum(data.values())}

    caplog.set_level(logging.INFO, "slamon")
    agent = AsyncAgent(memory_afm.url)
    agent.handler(task_type)(Adder())
    run_agent(agent)
    assert afm_client.run(task_type, {"a": 1, "b": 2}, timeout=30) == {"sum": 3}
    with pytest.raises(TaskFailed, match="nothing\nto add"):
        afm_client.run(task_type, timeout=30)
    assert "nothing\\nto add" in caplog.text
    with pytest.raises(TypeError, match="there is AsyncAgent"):
        Agent(memory_afm.url).handler(task_type)(Adder())


def test_a_failed_task_tells_its_client(memory_afm: Afm, afm_client: Client, task_type: str) -> None:
    agent_id = uuid4()
    task_id = afm_client.post(NewTask(task_type))
    (task,) = afm_client.poll(Poll(agent_id, "", {task_type: 1}, 5)).tasks
    assert (task.task_id, task.task_data, task.task_attempt, task.task_deadline) == (task_id, {}, 1, None)
    afm_client.poll(Poll(agent_id, "", {task_type: 1}, 0, agent_running=[]))
    with pytest.raises(TaskFailed):
        _ = afm_client.wait(task_id, timeout=30).result


def test_hundreds_of_runs_at_the_same_time(memory_afm: Afm, run_agent: RunAgent, task_type: str) -> None:
    agent = AsyncAgent(memory_afm.url, executors=50)

    @agent.handler(task_type)
    async def add(data: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return {"n": data["n"] + 1}

    run_agent(agent)

    async def main() -> list[dict[str, Any]]:
        async with AsyncClient(memory_afm.url) as client:
            runs = [client.run(task_type, {"n": number}, timeout=120) for number in range(300)]
            return await asyncio.gather(*runs)

    assert asyncio.run(main()) == [{"n": number + 1} for number in range(300)]


def test_no_result_is_lost_when_the_afm_is_killed(
    tmp_path: Path, run_agent: RunAgent, task_type: str
) -> None:
    database = f"sqlite:///{tmp_path / 'afm.db'}"
    settings = {"AGENT_RETURN_TIME": "1"}
    afm = Afm(database, settings=settings)
    port = int(afm.url.rpartition(":")[2])
    executed: queue.Queue[int] = queue.Queue()
    seen: set[int] = set()
    agent = Agent(afm.url, executors=8)

    @agent.handler(task_type)
    def work(data: dict[str, int]) -> dict[str, int]:
        time.sleep(0.05)
        executed.put(data["n"])
        return data

    try:
        with Client(afm.url) as client:
            tasks = [NewTask(task_type, {"n": number}, task_max_attempts=5) for number in range(200)]
            client.post_many(tasks)
            run_agent(agent)
            for some in (20, 60, 100):
                while len(seen) < some:
                    seen.add(executed.get(timeout=60))
                # As by `kill -9`, with results on their way.
                afm.stop()
                afm = Afm(database, port, settings)
            for number, task in enumerate(tasks):
                ended = client.wait(task.task_id, timeout=60)
                assert ended.result == {"n": number}
                assert all(attempt.late is None for attempt in ended.attempts), "none came twice"
        while len(seen) < 200:
            seen.add(executed.get(timeout=60))
    finally:
        agent.stop()
        afm.stop()
