"""The client against docs/openapi.json: it reaches all that an AFM answers, and reads all of it."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Optional
from urllib.parse import parse_qsl

import httpx
import pytest

from slamon import (
    AgentFilter,
    ApiError,
    Changes,
    Client,
    Counted,
    Done,
    Location,
    Missed,
    NewTask,
    Poll,
    PollAnswer,
    Report,
    TaskChanged,
    fleet,
    tasks,
)
from slamon._decode import decode, member_name

DOCUMENT = json.loads((Path(__file__).parents[3] / "docs/openapi.json").read_text())
SCHEMAS = DOCUMENT["components"]["schemas"]
ID = "de305d54-75b4-431b-adb2-eb6b9e546013"
TIME = "2026-11-22T19:23:01.621614+00:00"

READ_AS: dict[str, type[Any]] = {
    "AgentList": fleet.AgentList,
    "Agent": fleet.FleetAgent,
    "AgentWithTasks": fleet.FleetAgentWithTasks,
    "AgentPause": fleet.AgentPause,
    "Agents": fleet.AgentCounts,
    "Changed": tasks.Changed,
    "ChangedTask": tasks.ChangedTask,
    "Counted": tasks.Counted,
    "Done": tasks.Done,
    "EndedAttempt": tasks.EndedAttempt,
    "HandedOut": __import__("slamon").HandedOut,
    "Happened": fleet.Happened,
    "LastHour": fleet.LastHour,
    "ListedTask": tasks.ListedTask,
    "Minute": fleet.Minute,
    "OfferingAgents": fleet.OfferingAgents,
    "Overview": fleet.Overview,
    "AgentsByState": fleet.AgentsByState,
    "Location": fleet.Place,
    "Locations": fleet.Places,
    "Percentiles": fleet.Percentiles,
    "PollAnswer": PollAnswer,
    "Retried": tasks.Retried,
    "Running": fleet.RunningTask,
    "StatusCounts": fleet.StatusCounts,
    "StatusAgent": fleet.StatusAgent,
    "StatusLists": fleet.StatusLists,
    "StatusTask": fleet.StatusTask,
    "TaskAnswer": tasks.TaskAnswer,
    "TaskAnswers": tasks.TaskAnswers,
    "TaskAttempt": tasks.TaskAttempt,
    "TaskChanged": TaskChanged,
    "TaskList": tasks.TaskList,
    "TaskView": tasks.Task,
    "Tasks": fleet.OpenTasks,
    "Test": tasks.Test,
    "TypeInVersion": fleet.TypeInVersion,
    "TypeList": fleet.TypeList,
    "TypeOverview": fleet.TypeOverview,
    "TypePause": fleet.TypePause,
    "Waiting": tasks.Waiting,
    "WaitingReason": tasks.Waiting,
    "WholeTask": tasks.WholeTask,
}
"""What each schema of an answer is read as."""
WRITTEN = {
    "AgentFilter",
    "AgentLocation",
    "Completed",
    "Failed",
    "NewTask",
    "NewTasks",
    "Offer",
    "OfferedVersion",
    "Poll",
    "RetryAs",
    "SeveralResults",
    "TaskResult",
    "TasksToChange",
}
"""The schemas of requests."""


def resolve(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema with its references followed, and its parts put together."""
    if "$ref" in schema:
        return resolve(SCHEMAS[schema["$ref"].rpartition("/")[2]])
    if "allOf" in schema:
        parts = [resolve(part) for part in schema["allOf"]]
        properties: dict[str, Any] = {}
        for part in parts:
            properties.update(part.get("properties", {}))
        required = [name for part in parts for name in part.get("required", [])]
        return {"type": "object", "properties": properties, "required": required}
    return schema


def sample(schema: dict[str, Any], is_full: bool) -> Any:
    """Make a value that fits: with all members, or with those that are required."""
    schema = resolve(schema)
    if "oneOf" in schema:
        return sample(next(each for each in schema["oneOf"] if each.get("type") != "null"), is_full)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next(each for each in kind if each != "null")
    if kind == "object":
        properties = schema.get("properties", {})
        names = properties if is_full else schema.get("required", [])
        return {name: sample(properties[name], is_full) for name in names}
    if kind == "array":
        return [sample(schema["items"], is_full)] if is_full else []
    values = {
        "string": ID if schema.get("format") == "uuid" else TIME,
        "integer": 7,
        "number": 1,
        "boolean": False,
    }
    return values[str(kind)]


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def template_of(method: str, path: str) -> str:
    """Return the path of the document that a path is one of."""
    found = [
        template
        for other, template, _ in operations()
        if other == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path)
    ]
    assert found, f"{method} {path} is in no path of the document"
    return min(found, key=lambda template: template.count("{"))


class Recorder:
    """Answers every request by the document, and keeps what was asked."""

    def __init__(self, is_full: bool) -> None:
        self.is_full = is_full
        self.asked: dict[tuple[str, str], set[str]] = {}
        self.members: dict[tuple[str, str], set[str]] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        method, path = request.method, request.url.raw_path.decode().partition("?")[0]
        template = template_of(method, path)
        key = method, template
        names = [name for name, _ in parse_qsl(request.url.query.decode(), keep_blank_values=True)]
        self.asked.setdefault(key, set()).update(names)
        if "last-event-id" in request.headers:
            self.asked[key].add("Last-Event-ID")
        if request.content:
            assert request.headers["content-type"] == "application/json"
            self.members.setdefault(key, set()).update(json.loads(request.content))
        content = DOCUMENT["paths"][template][method.lower()]["responses"]["200"].get("content")
        if content is None:
            return httpx.Response(200)
        ((media, described),) = content.items()
        if media == "text/event-stream":
            return httpx.Response(200, headers={"content-type": media}, content=self.events())
        if not media.endswith("json"):
            return httpx.Response(200, headers={"content-type": media}, content=b"a text")
        return httpx.Response(200, json=self.answer(described["schema"], request))

    def answer(self, schema: dict[str, Any], request: httpx.Request) -> Any:
        body = json.loads(request.content) if request.content else {}
        name = schema.get("$ref", "").rpartition("/")[2]
        if name == "TasksChanged":
            chosen = "Changed" if "task_ids" in body else "Done" if "token" in body else "Counted"
            value = sample(SCHEMAS[chosen], self.is_full)
            if chosen == "Changed":
                value["results"] = [sample(SCHEMAS["ChangedTask"], self.is_full) for _ in body["task_ids"]]
            return value
        value = sample(schema, self.is_full)
        if name == "TaskAnswers":
            several = body.get("tasks", body.get("results", []))
            value["results"] = [
                {**sample(SCHEMAS["TaskAnswer"], self.is_full), "status": 200} for _ in several
            ]
        return value

    def events(self) -> bytes:
        changed = json.dumps(sample(SCHEMAS["TaskChanged"], self.is_full))
        return (
            "retry: 1\nid: 8c-0\n\n: comment\n\nevent: later\ndata: {}\n\n"
            f"event: task\nid: 8c-1\ndata: {changed}\n\n"
            'event: missed\nid: 8c-2\ndata: {"missed":null}\n\n'
            'event: changes\r\nid: 8c-3\r\ndata: {"changes":12}\r\n\r\n'
        ).encode()


def call_everything(client: Client) -> None:
    """Call every method, with all that can be said."""
    terms: dict[str, Any] = {
        "test_id": ID,
        "task_ttl": 1.0,
        "task_timeout": 1.0,
        "task_max_attempts": 2,
        "task_retry_errors": True,
        "task_retry_delay": 1.0,
        "task_priority": 1,
        "task_delay": 1.0,
    }
    task = NewTask("a", {}, agent_filter=AgentFilter("FI", "18", "name", ID), **terms)
    filters: dict[str, Any] = {
        "state": "failed",
        "task_type": "a",
        "task_version": 1,
        "test_id": ID,
        "task_id": ID,
        "agent_id": ID,
        "country": "FI",
        "from_": TIME,
        "to": TIME,
        "q": "x",
    }
    client.post(task)
    client.get(ID)
    client.delete(ID)
    client.status()
    client.poll(Poll(ID, "name", {"a": 1}, 1, "now", Location("FI", "18", 1.0, 2.0), 1.0, [ID]))
    client.report(Report(ID, task_data={}, agent_id=ID))
    client.report(Report(ID, task_error="", agent_id=ID))
    client.report_many([Report(ID, task_data={})])
    client.post_many([task, task])
    client.list_tasks(**filters, order="newest", limit=1, cursor="c")
    client.show(ID)
    client.cancel(ID)
    client.retry(ID)
    client.cancel_many([ID])
    client.retry_many([ID])
    for counted in (client.count_to_cancel(**filters), client.count_to_retry(**filters)):
        assert set(counted.filter) == {name.rstrip("_") for name in filters}
        client.cancel_counted(counted)
        client.retry_counted(counted)
    client.cancel_all(**filters)
    client.retry_all(**filters)
    client.test(ID, limit=1, cursor="c")
    client.list_agents(
        state="lost", task_type="a", task_version=1, country="FI", region="18", q="x", limit=1, cursor="c"
    )
    client.agent(ID)
    client.pause_agent(ID)
    client.resume_agent(ID)
    client.forget_agent(ID)
    client.list_types(limit=1, cursor="c")
    client.type("a", 1)
    client.pause_type("a")
    client.pause_type("a", 1)
    client.resume_type("a")
    client.resume_type("a", 1)
    client.places()
    client.overview()
    client.dashboard_status()
    client.check_health()
    client.check_ready()
    client.metrics()
    events = client.events(task_id=ID, test_id=ID, task_type="a", agent_id=ID, every=1, last_event_id="8c-0")
    first = next(events)
    assert isinstance(first, TaskChanged)
    assert first.event_id == "8c-1"
    assert next(events) == Missed(None, "8c-2")
    assert next(events) == Changes(12, "8c-3")


@pytest.mark.parametrize("is_full", [True, False])
def test_every_path_and_parameter_is_reached_and_every_answer_read(is_full: bool) -> None:
    recorder = Recorder(is_full)
    with httpx.Client(transport=httpx.MockTransport(recorder)) as http:
        client = Client("http://afm/behind/", http_client=http)
        with pytest.raises(AssertionError):
            client.status()
        client = Client("http://afm", http_client=http)
        # `wait` is said by waiting, which ends with a task that has ended.
        recorder.is_full = True
        client.wait(ID)
        recorder.is_full = is_full
        call_everything(client)
    for method, path, operation in operations():
        key = method, path
        assert key in recorder.asked, f"nothing calls {method} {path}"
        parameters = {each["name"] for each in operation.get("parameters", []) if each["in"] != "path"}
        assert recorder.asked[key] == parameters, f"{method} {path}"
        body = operation.get("requestBody")
        if body is None:
            assert key not in recorder.members
            continue
        schema = resolve(body["content"]["application/json"]["schema"])
        members: set[str] = set()
        for each in schema.get("oneOf", [schema]):
            members |= set(resolve(each).get("properties", {}))
        if path.endswith("/cancel"):
            # The schema is that of retry, too.
            members.discard("new_task_ids")
        assert recorder.members[key] == members, f"{method} {path}"


def test_every_method_of_the_client_is_called_or_made_of_those() -> None:
    made_of_others = {"run", "wait", "close", "tasks", "agents", "types"}
    public = {name for name in vars(Client) if not name.startswith("_")} - made_of_others
    called = set(re.findall(r"client\.(\w+)\(", Path(__file__).read_text()))
    assert public <= called, public - called


def test_every_schema_is_known() -> None:
    assert set(READ_AS) | WRITTEN | {"Problem", "TasksChanged"} == set(SCHEMAS)


@pytest.mark.parametrize("name", sorted(READ_AS))
def test_every_member_of_an_answer_is_a_field(name: str) -> None:
    schema, kind = resolve(SCHEMAS[name]), READ_AS[name]
    fields = {
        member_name(field): field for field in dataclasses.fields(kind) if not field.metadata.get("local")
    }
    assert set(fields) == set(schema["properties"])
    needed = {
        member
        for member, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    assert needed <= set(schema.get("required", [])), "what may be missing has a default"
    full = decode(kind, sample(schema, True))
    assert all(getattr(full, field.name) is not None for field in fields.values())
    decode(kind, {**sample(schema, False), "of_a_later_version": 1})
    nulls = {
        member: None
        for member, described in schema["properties"].items()
        if "null" in described.get("type", []) or {"type": "null"} in described.get("oneOf", [])
    }
    decode(kind, {**sample(schema, False), **nulls})


def test_a_new_task_has_all_members() -> None:
    task = NewTask("a", {}, 1, ID, ID, 1, 1, 1, True, 1, 1, 1, AgentFilter("FI", "18", "a", ID))
    assert set(task.to_json()) == set(SCHEMAS["NewTask"]["properties"])
    assert set(task.to_json()["agent_filter"]) == set(SCHEMAS["AgentFilter"]["properties"])
    assert set(Location("FI", "18", 1, 1).to_json()) == set(SCHEMAS["AgentLocation"]["properties"])


def test_problem_details_are_read() -> None:
    body = sample(SCHEMAS["Problem"], True)
    error = raised(lambda client: client.get(ID), httpx.Response(418, json={**body, "detail": "is a teapot"}))
    assert {name for name in body if hasattr(error, name)} == set(SCHEMAS["Problem"]["properties"])
    assert (str(error), error.field, error.title) == ("status 418: is a teapot", TIME, TIME)
    assert raised(lambda client: client.get(ID), httpx.Response(403, json=[1])).detail == "no reason is given"


def raised(call: Callable[[Client], object], response: httpx.Response) -> ApiError:
    with httpx.Client(transport=httpx.MockTransport(lambda _: response)) as http:
        with pytest.raises(ApiError) as error:
            call(Client("http://afm", http_client=http))
        return error.value


def test_counted_and_done_go_on_with_their_filter() -> None:
    seen: list[Optional[str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        seen.append(body.get("token"))
        assert body["filter"] == {"state": "pending"}
        if "token" not in body:
            return httpx.Response(200, json={"count": 3, "more": False, "token": "1"})
        more = body["token"] == "1"
        return httpx.Response(
            200, json={"changed": 2, "refused": 1, "more": more, "token": "2" if more else None}
        )

    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        client = Client("http://afm", http_client=http)
        done = client.cancel_all(state="pending")
        assert (done.changed, done.refused, done.more) == (4, 2, False)
        counted = client.count_to_cancel(state="pending")
        assert isinstance(counted, Counted)
        step = client.cancel_counted(client.cancel_counted(counted))
        assert isinstance(step, Done)
    assert seen == [None, "1", "2", None, "1", "2"]
