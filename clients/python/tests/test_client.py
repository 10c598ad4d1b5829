"""Both clients against the real server."""

from __future__ import annotations

import json
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest
from conftest import MakeClient, RunAgent
from servers import Afm

from slamon import (
    Agent,
    AgentFilter,
    BadRequest,
    Changes,
    Client,
    Conflict,
    Context,
    Failure,
    Location,
    NewTask,
    NotFound,
    Poll,
    Report,
    TaskCancelled,
    TaskChanged,
    TaskExpired,
    TaskFailed,
    WaitTimeout,
)


def claim(client: Client, task_type: str, agent_id: str, most: int = 1) -> list[str]:
    """Take tasks as an agent."""
    poll = Poll(agent_id, "by hand", {task_type: 1}, most, agent_location=Location("FI", "18", 60.2, 24.9))
    return [task.task_id for task in client.poll(poll).tasks]


def test_run_posts_a_task_and_returns_its_result(
    afm: Afm, client: Client, run_agent: RunAgent, task_type: str
) -> None:
    agent = Agent(afm.url)

    @agent.handler(task_type, version=3)
    def add(data: dict[str, int]) -> dict[str, int]:
        return {"sum": data["a"] + data["b"]}

    run_agent(agent)
    assert client.run(task_type, {"a": 1, "b": 2}, task_version=3, timeout=30) == {"sum": 3}


def test_a_task_that_ends_without_a_result_is_an_error(
    afm: Afm, client: Client, run_agent: RunAgent, task_type: str
) -> None:
    agent = Agent(afm.url)

    @agent.handler(task_type)
    def fail(data: dict[str, str], context: Context) -> None:
        raise Failure(f"attempt {context.attempt} found nothing")

    run_agent(agent)
    with pytest.raises(TaskFailed, match="attempt 2 found nothing") as failed:
        client.run(task_type, task_max_attempts=2, task_retry_errors=True, timeout=30)
    task = failed.value.task
    assert task.state == "failed"
    assert [attempt.reason for attempt in task.attempts] == ["attempt 1 found nothing"]

    with pytest.raises(TaskExpired):
        client.run(task_type + ".nobody", task_ttl=0.1, timeout=30)

    task_id = client.post(NewTask(task_type + ".nobody"))
    client.cancel(task_id)
    with pytest.raises(TaskCancelled):
        _ = client.wait(task_id, timeout=30).result


def test_a_wait_that_takes_too_long_says_why_and_cancels_if_asked(client: Client, task_type: str) -> None:
    began = time.monotonic()
    with pytest.raises(
        WaitTimeout, match=f"it is pending, no agent offers {task_type.split('[', maxsplit=1)[0]}"
    ) as late:
        client.run(task_type, timeout=0.5)
    assert 0.5 <= time.monotonic() - began < 10
    assert isinstance(late.value, TimeoutError)
    assert client.get(late.value.task_id).state == "pending"

    with pytest.raises(WaitTimeout) as late:
        client.run(task_type, timeout=0.2, cancel_on_timeout=True)
    assert client.get(late.value.task_id).state == "cancelled"

    with pytest.raises(WaitTimeout):
        client.run(task_type, timeout=0)


def test_the_same_post_again_posts_nothing(client: Client, task_type: str) -> None:
    task_id = uuid4()
    task = NewTask(task_type, {"a": [1, 2.5, None]}, task_id=str(task_id).upper(), task_ttl=600)
    assert UUID(client.post(task)) == task_id
    assert UUID(client.post(task)) == task_id
    with pytest.raises(BadRequest, match="differs in task_type") as refused:
        client.post(
            NewTask(task_type + "!", task.task_data, task_id=task_id, test_id=task.test_id, task_ttl=600)
        )
    assert (refused.value.status, refused.value.field) == (400, "task_id")
    assert len(list(client.tasks(task_type=task_type))) == 1


def test_all_terms_are_passed_on(client: Client, task_type: str) -> None:
    agent_id = str(uuid4())
    task = NewTask(
        task_type,
        {"a": 1},
        task_version=-7,
        task_ttl=600.5,
        task_timeout=60,
        task_max_attempts=4,
        task_retry_errors=True,
        task_retry_delay=2,
        task_priority=-5,
        task_delay=100,
        agent_filter=AgentFilter("FI", "18", "Ä", agent_id),
    )
    shown = client.show(client.post(task))
    for name, value in task.to_json().items():
        assert getattr(shown, name) == value, name
    assert shown.task_state == "delayed"
    assert shown.task_waiting is not None
    assert shown.task_waiting.code == "delayed"
    assert shown.task_available is not None
    assert shown.task_available - shown.task_created == timedelta(seconds=100)
    assert shown.attempts == []


def test_json_comes_back_as_it_was_sent(client: Client, task_type: str) -> None:
    deep: object = {}
    for _ in range(400):
        deep = [deep]
    data = {
        "text": 'ä 𝄞 \u2028 \x85 "\\/ \t',
        "numbers": [0, -1, 10**40, 1.0, 1e300, 0.1, -0.0],
        "nothing": None,
        "": {"a": {}, "b": []},
        "deep": deep,
    }
    agent_id = str(uuid4())
    task_id = client.post(NewTask(task_type, data))
    assert client.get(task_id).task_data == data
    assert claim(client, task_type, agent_id) == [task_id]
    client.report(Report(task_id, task_data=data, agent_id=agent_id))
    assert json.dumps(client.wait(task_id).result) == json.dumps(data)

    with pytest.raises(ValueError, match=r"JSON: task_data\.a\[1\]\.b: "):
        client.post(NewTask(task_type, {"a": [1, {"b": float("nan")}]}))
    with pytest.raises(TypeError, match=r"JSON: task_data\.a: .*object"):
        client.post(NewTask(task_type, {"a": object()}))
    with pytest.raises(TypeError, match="JSON: task_data: keys must be"):
        client.post(NewTask(task_type, {(1, 2): 3}))  # type: ignore[dict-item]
    round_: dict[str, Any] = {}
    round_["a"] = round_
    with pytest.raises(ValueError, match="JSON: Circular"):
        client.post(NewTask(task_type, round_))
    half = client.post(NewTask(task_type, {"a": "\0 and \ud800"}))
    assert client.get(half).task_data == {"a": "\0 and \ud800"}
    for _ in range(200):
        deep = [deep]
    with pytest.raises(BadRequest, match="task_data: is nested deeper than 500 levels"):
        client.post(NewTask(task_type, {"a": deep}))
    with pytest.raises(BadRequest, match="task_type: is not valid Unicode"):
        client.post(NewTask("\ud800"))


def test_errors_say_what_the_afm_said(client: Client, task_type: str) -> None:
    with pytest.raises(BadRequest) as wrong:
        client.post(NewTask(task_type, agent_filter={"county": "FI"}))
    assert wrong.value.field == "agent_filter.county"
    assert wrong.value.detail.startswith("agent_filter.county: is not a known field")
    assert wrong.value.title == "Bad Request"
    with pytest.raises(NotFound):
        client.get(uuid4())
    for no_id in ("..", "a/b", "x?wait=1", "../status"):
        with pytest.raises(NotFound):
            client.show(no_id)
    with pytest.raises(ValueError, match="task_id: must not be empty"):
        client.show("")
    with pytest.raises(NotFound):
        client.test(uuid4())
    with pytest.raises(BadRequest) as wrong:
        client.list_tasks(state="done")
    assert wrong.value.field == "state"
    no_version: Any = "1"
    with pytest.raises(ValueError, match="task_version: must be an integer, is '1'"):
        client.type(task_type, no_version)
    for call in (
        lambda: client.post(NewTask(task_type), traceparent="00-1\n"),
        lambda: client.post_many([NewTask(task_type)], traceparent="ä"),
        lambda: next(client.events(last_event_id="8c-1\r")),
    ):
        with pytest.raises(ValueError, match="cannot be sent"):
            call()
    task_id = client.post(NewTask(task_type))
    with pytest.raises(Conflict):
        client.retry(task_id)
    assert client.delete(task_id).state == "cancelled"
    assert client.cancel(task_id).task_end == "cancelled"


def test_many_tasks_are_posted_with_an_answer_each(client: Client, task_type: str) -> None:
    tasks = [NewTask(task_type, {"number": number, "fill": "x" * 1_000}) for number in range(1_500)]
    tasks[700] = NewTask(task_type, task_priority=1_000)
    tasks[1_400] = NewTask(task_type, {"fill": "x" * 2_000_000})
    answers = client.post_many(tasks)
    assert [answer.task_id for answer in answers] == [task.task_id for task in tasks]
    refused = {index: answer for index, answer in enumerate(answers) if not answer.is_stored}
    assert {index: answer.status for index, answer in refused.items()} == {700: 400, 1_400: 413}
    assert refused[700].field == "task_priority"
    listed = list(client.tasks(task_type=task_type, order="oldest"))
    assert [task.task_id for task in listed] == [
        task.task_id for index, task in enumerate(tasks) if index not in refused
    ]
    assert client.post_many([]) == []


def test_tasks_are_listed_by_every_filter(client: Client, task_type: str) -> None:
    agent_id, test_id = str(uuid4()), uuid4()
    before = datetime.now(timezone.utc) - timedelta(seconds=5)
    task_id = client.post(NewTask(task_type, test_id=test_id, agent_filter={"country": "FI"}))
    other = client.post(NewTask(task_type, task_version=2))
    assert claim(client, task_type, agent_id) == [task_id]
    client.report(Report(task_id, task_error="100 % wrong"))

    def found(**filters: Any) -> list[str]:
        return [task.task_id for task in client.tasks(**filters, task_type=task_type)]

    assert found() == [other, task_id]
    assert found(order="oldest") == [task_id, other]
    for filters in (
        {"state": "failed"},
        {"task_version": 1},
        {"test_id": test_id},
        {"task_id": task_id.upper()},
        {"agent_id": agent_id},
        {"country": "FI"},
        {"q": "100 % W"},
    ):
        assert found(**filters) == [task_id], filters
    after = datetime.now(timezone(timedelta(hours=5))) + timedelta(seconds=5)
    assert found(from_=before, to=after) == [other, task_id]
    assert found(to=before) == []
    assert found(from_=after.isoformat()) == []
    with pytest.raises(ValueError, match="from: give a time with a zone"):
        found(from_=datetime(2026, 11, 22))
    page = client.list_tasks(task_type=task_type, limit=1)
    assert page.next_cursor is not None
    following = client.list_tasks(task_type=task_type, limit=1, cursor=page.next_cursor)
    assert [task.task_id for task in page.tasks + following.tasks] == [other, task_id]

    test = client.test(test_id, limit=10)
    assert (test.verdict, test.counts, test.has_more) == ("failed", {**test.counts, "failed": 1}, False)
    assert client.show(task_id).attempts[0].outcome == "error"


def test_agents_are_listed_paused_and_forgotten(client: Client, task_type: str) -> None:
    agent_id = str(uuid4())
    task_id = client.post(NewTask(task_type))
    assert claim(client, task_type, agent_id) == [task_id]
    agents = list(client.agents(task_type=task_type, task_version=1, country="FI", region="18", q=agent_id))
    assert [agent.agent_id for agent in agents] == [agent_id]
    assert agents[0].agent_capabilities == {task_type: {"version": 1}}
    assert agents[0].agent_location is not None
    assert agents[0].agent_location["latitude"] == 60.2
    agent = client.agent(agent_id)
    assert [task.task_id for task in agent.tasks] == [task_id]
    assert client.pause_agent(agent_id).paused_since is not None
    assert [each.state for each in client.agents(state="paused", task_type=task_type)] == ["paused"]
    waiting = client.post(NewTask(task_type))
    assert claim(client, task_type, agent_id) == []
    assert client.resume_agent(agent_id).paused_since is None
    assert claim(client, task_type, agent_id) == [waiting]
    with pytest.raises(Conflict):
        client.forget_agent(agent_id)
    answers = client.report_many(
        [Report(task_id, {}, agent_id=agent_id), Report(waiting, task_error="x"), Report(uuid4(), {})]
    )
    assert [answer.status for answer in answers] == [200, 200, 400]
    client.forget_agent(agent_id)
    with pytest.raises(NotFound):
        client.agent(agent_id)
    with pytest.raises(NotFound):
        client.forget_agent(agent_id)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "ä b?c#d", "%2F", "+", "\u2028"])
def test_types_of_any_name_are_paused(client: Client, name: str) -> None:
    client.resume_type(name)
    assert client.pause_type(name, -3).task_version == -3
    shown = client.type(name, -3)
    assert (shown.task_type, shown.task_version, shown.offered) == (name, -3, False)
    assert shown.paused_since is not None
    assert client.pause_type(name).paused_since is not None
    assert (name, None) in [(each.task_type, each.task_version) for each in client.types()]
    with pytest.raises(Conflict):
        client.resume_type(name, -3)
    assert client.resume_type(name).paused_since is None
    assert client.type(name, -3).paused_since is None


def test_many_tasks_are_cancelled_and_tried_again(client: Client, task_type: str) -> None:
    tasks = [NewTask(task_type) for _ in range(1_200)]
    assert all(answer.is_stored for answer in client.post_many(tasks))
    ids = [task.task_id for task in tasks]
    unknown = uuid4()
    cancelled = client.cancel_many([*ids[:1_050], unknown])
    assert [each.status for each in cancelled] == [200] * 1_050 + [404]
    retried = client.retry_many(ids[:2])
    assert [each.status for each in retried] == [200, 200]
    assert [client.get(each.new_task_id or "").state for each in retried] == ["pending", "pending"]
    new = uuid4()
    assert UUID(client.retry(ids[2], new_task_id=new)) == new
    assert UUID(client.retry(ids[2], new_task_id=new)) == new

    assert client.count_to_cancel(task_type=task_type).count == 153
    done = client.cancel_all(task_type=task_type, state="pending")
    assert (done.changed, done.refused) == (153, 0)
    counted = client.count_to_retry(task_type=task_type)
    assert counted.count == 1_203
    done = client.retry_counted(counted)
    assert (done.more, done.refused) == (True, 0)
    first = done.changed
    done = client.retry_counted(done)
    assert (first + done.changed, done.more) == (1_203, False)
    assert client.retry_all(task_type=task_type, to="2020-01-01T00:00:00Z").changed == 0
    assert client.cancel_counted(client.count_to_cancel(task_type=task_type)).changed > 0
    with pytest.raises(ValueError, match="name a filter"):
        client.cancel_all()
    nothing: Any = None
    for change in (client.cancel_all, client.retry_all, client.count_to_cancel):
        with pytest.raises(ValueError, match="test_id: is None"):
            change(task_type=task_type, test_id=nothing)
    assert next(client.tasks(task_type=task_type, test_id=nothing)).task_type == task_type


def test_figures_are_read(client: Client) -> None:
    overview = client.overview()
    assert overview.at.tzinfo is not None
    assert len(overview.minutes) == 60
    assert client.status().tasks_waiting >= 0
    client.check_health()
    client.check_ready()
    assert "# HELP " in client.metrics()
    lists = client.dashboard_status()
    assert lists.limit == 100
    assert len(lists.tasks) <= 100


def test_events_come_as_they_happen(afm: Afm, client: Client, task_type: str) -> None:
    test_id = str(uuid4())
    began = threading.Event()

    def post() -> None:
        began.wait(30)
        with Client(afm.url) as other:
            for _ in range(100):
                task_id = other.post(NewTask(task_type, {"a": "\u2028"}, test_id=test_id))
                other.cancel(task_id)
                if done.wait(0.1):
                    return

    done = threading.Event()
    poster = threading.Thread(target=post)
    poster.start()
    try:
        events = client.events(test_id=test_id, task_type=task_type)
        began.set()
        seen = [next(events), next(events)]
        assert all(isinstance(event, TaskChanged) for event in seen)
        changed = [event for event in seen if isinstance(event, TaskChanged)]
        assert {(event.from_, event.to) for event in changed} <= {(None, "pending"), ("pending", "cancelled")}
        assert changed[0].test_id == test_id
        events.close()
        # From an event on, as after a restart of this program.
        again = client.events(test_id=test_id, last_event_id=changed[0].event_id)
        assert next(again) == changed[1]
        again.close()
        counts = client.events(task_type=task_type, every=1)
        assert isinstance(next(counts), Changes)
        counts.close()
    finally:
        done.set()
        poster.join(30)
    with pytest.raises(BadRequest, match="every"):
        next(client.events(every=0))


def test_a_wait_ends_when_the_task_does(client: Client, afm: Afm, task_type: str) -> None:
    task_id = client.post(NewTask(task_type))

    def finish() -> None:
        with Client(afm.url) as other:
            agent_id = str(uuid4())
            assert claim(other, task_type, agent_id) == [task_id]
            other.report(Report(task_id, {"done": True}))

    timer = threading.Timer(0.3, finish)
    timer.start()
    began = time.monotonic()
    assert client.wait(task_id).result == {"done": True}
    assert time.monotonic() - began < 10
    timer.join()


def test_numbers_of_seconds_are_checked(make_client: MakeClient, task_type: str) -> None:
    url = "http://127.0.0.1:1"
    client = make_client(url, retry_for=0)
    no_numbers: list[Any] = ["3", float("nan"), []]
    for wrong in no_numbers:
        for name in ("timeout", "retry_for", "longest_wait"):
            with pytest.raises(ValueError, match=f"{name}: must be a number of seconds, "):
                make_client(url, **{name: wrong})
        for wait in (client.run, client.wait):
            with pytest.raises(ValueError, match="timeout: must be a number"):
                wait(task_type, timeout=wrong)
    with pytest.raises(ValueError, match="timeout: must be a number of seconds, 0 or more, is -1"):
        make_client(url, timeout=-1)


def test_urls_and_users_are_checked(make_client: MakeClient) -> None:
    for url in (
        "afm:8080",
        "",
        "ftp://u:secret@afm",
        "http://u:secret@afm/?x=1",
        "http://u:secret@",
        "http://a:b:c",
    ):
        with pytest.raises(ValueError, match="url: ") as wrong:
            make_client(url)
        assert "secret" not in str(wrong.value)
    for options in (
        {"token": "a b"},
        {"token": ""},
        {"token": "a\r\nX: y"},
        {"token": "ä"},
        {"token": "a", "user": ("b", "c")},
        {"user": ("a:b", "c")},
    ):
        with pytest.raises(ValueError, match=r"token: |user: "):
            make_client("http://127.0.0.1:1", **options)
