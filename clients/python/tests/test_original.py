"""Client and agent with the original AFM, slamon-afm 1.1.0."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, Optional
from uuid import uuid4

import pytest
from conftest import MakeClient, RunAgent
from servers import Fault, OriginalAfm, Relay, Seen

from slamon import Agent, ApiError, AsyncAgent, BadRequest, Context, Failure, NewTask, TaskFailed, WaitTimeout


@pytest.fixture
def original_relay(original: OriginalAfm) -> Iterator[Relay]:
    relay = Relay(original.url)
    yield relay
    relay.close()


def test_tasks_are_run_by_an_agent(
    original_relay: Relay, make_client: MakeClient, run_agent: RunAgent, task_type: str
) -> None:
    agent = AsyncAgent(original_relay.url, executors=3)

    @agent.handler(task_type)
    async def check(data: dict[str, Any], context: Context) -> dict[str, Any]:
        if "wrong" in data:
            raise Failure("it is wrong")
        return {"attempt": context.attempt, "got": data}

    run_agent(agent)
    client = make_client(original_relay.url)
    assert client.run(task_type, {"a": "ä"}, timeout=60) == {"attempt": 1, "got": {"a": "ä"}}
    with pytest.raises(TaskFailed, match="it is wrong") as failed:
        client.run(task_type, {"wrong": True}, timeout=60)
    assert failed.value.task.state == "failed"
    answers = client.post_many([NewTask(task_type, {}), NewTask(task_type, task_priority=1)])
    assert [answer.status for answer in answers] == [200, 400]
    assert client.wait(answers[0].task_id or "", timeout=60).result == {"attempt": 1, "got": {}}
    assert client.status().agents >= 1
    assert task_type in [task.task_type for agent in client.dashboard_status().agents for task in agent.tasks]

    polls = [seen.json() for seen in original_relay.paths("/tasks")]
    assert "max_wait" in polls[0], "it is asked once whether it knows more than protocol 1"
    assert not any("max_wait" in poll or "agent_running" in poll for poll in polls[1:])
    reports = [seen.json() for seen in original_relay.paths("/tasks/response")]
    assert not any("agent_id" in report or "results" in report for report in reports)
    times = [seen.at for seen in original_relay.paths("/tasks")][1:]
    # Every 2 s, by a Date that knows whole seconds; sooner only where all executors had been given work.
    assert times[-1] - times[0] >= 0.9 * (len(times) - 1), times


def test_a_post_whose_answer_was_lost_is_known_again(
    original_relay: Relay, make_client: MakeClient, task_type: str
) -> None:
    client = make_client(original_relay.url)
    task = NewTask(task_type, {"a": [1]})
    original_relay.faults.append(Fault(loses_answer=True))
    assert client.post(task) == task.task_id
    assert client.get(task.task_id).task_data == {"a": [1]}
    with pytest.raises(BadRequest):
        client.post(task)
    original_relay.faults.append(Fault(loses_answer=True))
    with pytest.raises(BadRequest):
        client.post(NewTask(task_type, {"a": [2]}, task_id=task.task_id))


def test_a_wait_looks_now_and_then(original_relay: Relay, make_client: MakeClient, task_type: str) -> None:
    client = make_client(original_relay.url)
    with pytest.raises(WaitTimeout, match="it is pending"):
        client.run(task_type, {}, timeout=2, cancel_on_timeout=True)
    assert 3 <= sum("/task/" in seen.path and seen.method == "GET" for seen in original_relay.seen) <= 8
    with pytest.raises(ApiError) as unknown:
        client.cancel(uuid4())
    assert unknown.value.status in (404, 405)


def test_results_are_delivered_one_by_one(
    original_relay: Relay, make_client: MakeClient, run_agent: RunAgent, task_type: str
) -> None:
    client = make_client(original_relay.url)
    tasks = [NewTask(task_type, {"n": number}) for number in range(3)]
    client.post_many(tasks)
    is_away = threading.Event()
    is_away.set()

    def decide(seen: Seen) -> Optional[Fault]:
        return Fault(502) if seen.path == "/tasks/response" and is_away.is_set() else None

    original_relay.decide = decide
    agent = Agent(original_relay.url, executors=3)
    agent.handler(task_type)(lambda data: data)
    run_agent(agent)
    original_relay.wait_for(lambda: len(original_relay.paths("/tasks/response")) >= 2, 30)
    is_away.clear()
    for task in tasks:
        assert client.wait(task.task_id, timeout=60).result == task.task_data


def test_a_task_that_the_agent_does_not_finish_fails(
    original_relay: Relay, make_client: MakeClient, task_type: str
) -> None:
    client = make_client(original_relay.url)
    task_id = client.post(NewTask(task_type, {}))
    agent = Agent(original_relay.url, shutdown_limit=0.2)
    began = threading.Event()

    @agent.handler(task_type)
    def work(_: dict[str, Any], context: Context) -> None:
        began.set()
        context.wait_cancelled(30)

    thread = threading.Thread(target=agent.run)
    thread.start()
    assert began.wait(30)
    agent.stop()
    thread.join(30)
    assert not thread.is_alive()
    assert client.get(task_id).task_error == "the agent was stopped before the task ended"
