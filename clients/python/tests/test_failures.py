"""Both clients on a bad day: the AFM is away or busy, answers are lost, something else answers."""

from __future__ import annotations

import logging
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Optional
from uuid import uuid4

import pytest
from conftest import MakeClient
from servers import Afm, Fault, Relay, Seen

from slamon import (
    ApiError,
    BadRequest,
    Client,
    ConnectionFailed,
    InvalidAnswer,
    Missed,
    NewTask,
    NotAllowed,
    NotFound,
    Poll,
    TaskChanged,
    Unavailable,
    WaitTimeout,
)
from slamon import _flows as flows
from slamon._calls import Answer
from slamon._stream import Lines

BUSY = Fault(503, {"Retry-After": "1", "Content-Type": "application/problem+json"}, b'{"detail": "busy"}')


def test_what_could_not_be_answered_is_sent_again_no_sooner_than_asked(
    relay: Relay, make_client: MakeClient, task_type: str
) -> None:
    client = make_client(relay.url)
    relay.faults += [BUSY, Fault(502), Fault(loses_request=True)]
    began = time.monotonic()
    task_id = client.post(NewTask(task_type))
    assert time.monotonic() - began >= 1
    assert len({seen.body for seen in relay.paths("/task")}) == 1
    assert len(relay.paths("/task")) == 4
    assert client.get(task_id).state == "pending"


@pytest.mark.parametrize("what", ["post", "retry", "forget", "cancel"])
def test_a_request_whose_answer_was_lost_does_its_work_once(
    relay: Relay, make_client: MakeClient, task_type: str, what: str
) -> None:
    client = make_client(relay.url)
    lost = Fault(loses_answer=True)
    if what == "post":
        relay.faults.append(lost)
        client.post(NewTask(task_type))
        assert len(list(client.tasks(task_type=task_type))) == 1
    elif what == "forget":
        agent_id = str(uuid4())
        client.poll(Poll(agent_id, "", {task_type: 1}, 0))
        relay.faults.append(lost)
        client.forget_agent(agent_id)
        with pytest.raises(NotFound):
            client.forget_agent(agent_id)
    else:
        ids = [client.post(NewTask(task_type)) for _ in range(2)]
        client.cancel(ids[0])
        relay.faults.append(lost)
        if what == "cancel":
            assert client.cancel(ids[1]).task_end == "cancelled"
        else:
            new = client.retry(ids[0])
            assert [task.task_id for task in client.tasks(task_type=task_type)] == [new, *reversed(ids)]
            relay.faults.append(lost)
            assert client.retry_all(task_type=task_type).changed == 1
            relay.faults += [Fault(), lost]
            with pytest.raises(InvalidAnswer):
                client.retry_many([ids[0]])
            assert len(list(client.tasks(task_type=task_type))) == 4


def test_a_poll_is_not_sent_again(relay: Relay, make_client: MakeClient, task_type: str) -> None:
    client = make_client(relay.url)
    relay.faults.append(BUSY)
    with pytest.raises(Unavailable, match="busy"):
        client.poll(Poll(uuid4(), "", {task_type: 1}, 1))
    assert len(relay.paths("/tasks")) == 1


def test_repeats_end(relay: Relay, make_client: MakeClient, task_type: str) -> None:
    relay.decide = lambda _: BUSY
    with pytest.raises(Unavailable) as busy:
        make_client(relay.url, retry_for=0).status()
    assert (busy.value.status, busy.value.detail, busy.value.retry_after) == (503, "busy", 1.0)
    assert len(relay.paths("/status")) == 1
    began = time.monotonic()
    with pytest.raises(Unavailable):
        make_client(relay.url, retry_for=2.5).status()
    assert 2 <= time.monotonic() - began < 10
    assert len(relay.paths("/status")) == 4

    # An hour is more than anybody wants to wait: whoever called hears at once.
    relay.decide = lambda _: Fault(429, {"Retry-After": "3600"})
    with pytest.raises(Unavailable) as busy:
        make_client(relay.url).status()
    assert busy.value.retry_after == 3600

    relay.decide = lambda _: BUSY
    with pytest.raises(WaitTimeout) as late:
        make_client(relay.url).wait(uuid4(), timeout=0.2)
    assert isinstance(late.value.__cause__, Unavailable)
    with pytest.raises(Unavailable):
        make_client(relay.url).run(task_type, timeout=0.2)


def test_the_time_of_repeats_begins_when_something_fails(
    relay: Relay, make_client: MakeClient, task_type: str
) -> None:
    client = make_client(relay.url, retry_for=1)
    task_id = client.post(NewTask(task_type))
    client.cancel(task_id)

    def decide(_: Seen) -> Optional[Fault]:
        relay.decide = lambda _: None
        # As an AFM that dies while it holds the request open.
        relay.closing.wait(1.5)
        return Fault(loses_request=True)

    relay.decide = decide
    assert client.wait(task_id).state == "cancelled"


def test_a_timeout_is_no_reason_for_more_repeats(make_client: MakeClient, task_type: str) -> None:
    client = make_client("http://127.0.0.1:1", retry_for=0)
    began = time.monotonic()
    with pytest.raises(ConnectionFailed):
        client.run(task_type, timeout=60)
    with pytest.raises(ConnectionFailed):
        client.wait(uuid4(), timeout=60)
    with pytest.raises(WaitTimeout, match=r"has not ended in time: GET .*: Connection refused"):
        make_client("http://127.0.0.1:1").wait(uuid4(), timeout=0.5)
    assert time.monotonic() - began < 30


def test_a_date_in_retry_after_is_by_the_clock_of_the_answer() -> None:
    def retry_after(**headers: str) -> object:
        return (
            Answer(503, {name.replace("_", "-"): value for name, value in headers.items()}, b"")
            .error()
            .retry_after
        )

    date = "Sun, 22 Nov 2020 19:23:01 GMT"
    assert retry_after(date=date, retry_after="Sun, 22 Nov 2020 19:23:31 GMT") == 30
    assert retry_after(date=date, retry_after="Sun, 22 Nov 2020 19:23:00 GMT") == 0
    assert retry_after(retry_after="7") == 7
    assert retry_after(retry_after="9" * 999) == 1e8
    for wrong in ("", "soon", "-1", "1.5", "²", "Sun, 99 Nov 2020"):
        assert retry_after(retry_after=wrong) is None, wrong


def test_nobody_and_silence_are_told_apart(relay: Relay, make_client: MakeClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    with pytest.raises(ConnectionFailed, match=rf"GET {url}/status: .*refused") as refused:
        make_client(url, retry_for=0).status()
    assert refused.value.is_passing
    relay.decide = lambda _: Fault(is_silent=True)
    began = time.monotonic()
    with pytest.raises(ConnectionFailed, match=r"no answer within 0\.3 s"):
        make_client(relay.url, retry_for=0, timeout=0.3).status()
    with pytest.raises(WaitTimeout):
        make_client(relay.url).wait(uuid4(), timeout=0.3)
    assert time.monotonic() - began < 10
    relay.decide = lambda _: Fault(body=b" " * 10_000, drips=True)
    with pytest.raises(ConnectionFailed, match="no answer within"):
        make_client(relay.url, retry_for=0, timeout=0.5).status()


def test_answers_of_something_else_are_no_answers(relay: Relay, make_client: MakeClient) -> None:
    client = make_client(relay.url)
    relay.faults.append(Fault(200, {"Content-Type": "text/html"}, b"<html>Please log in</html>"))
    with pytest.raises(InvalidAnswer):
        client.post(NewTask("a"))
    for body in (
        b"<html>",
        b"",
        b"[]",
        b'{"agents": "1", "tasks_waiting": 0}',
        b'{"agents": 1}',
        b"\xff",
        b"[" * 99_999,
    ):
        relay.faults.append(Fault(200, {"Content-Type": "text/html"}, body))
        with pytest.raises(InvalidAnswer):
            client.status()
    relay.faults.append(Fault(302, {"Location": "https://login.example.org/"}))
    with pytest.raises(ApiError, match=r"redirect to https://login\.example\.org/"):
        client.status()
    relay.faults.append(Fault(403, body=b"<html>"))
    with pytest.raises(NotAllowed, match="no reason is given"):
        client.status()
    relay.faults.append(Fault(200, {"Content-Encoding": "gzip"}, b"not gzip"))
    with pytest.raises(InvalidAnswer):
        client.status()
    relay.decide = lambda _: Fault(body=b'{"tasks": [], "next_cursor": "same"}')
    with pytest.raises(InvalidAnswer, match="next_cursor"):
        list(client.tasks())


def test_integers_have_any_number_of_digits(relay: Relay, make_client: MakeClient) -> None:
    digits = "7" * 5_000
    body = f'{{"task_id":"a","test_id":"b","task_type":"c","task_version":1,"task_data":{{"n":{digits}}}}}'
    relay.faults.append(Fault(body=body.encode()))
    data = make_client(relay.url).get(uuid4()).task_data
    assert data is not None
    assert f"{data['n']:f}" == digits if not isinstance(data["n"], int) else data["n"] % 10 == 7


def test_users_and_tokens_are_sent_and_not_shown(
    relay: Relay, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with_user = relay.url.replace("http://", "http://%C3%A4:sec%3Aret@")
    for client in (make_client(relay.url, user=("ä", "sec:ret")), make_client(with_user)):
        client.status()
        assert relay.seen[-1].headers["authorization"] == "Basic w6Q6c2VjOnJldA=="
        relay.faults.append(Fault(500, body=b"{}"))
    make_client(relay.url, token="s-e-c-r-e-t").status()
    assert relay.seen[-1].headers["authorization"] == "Bearer s-e-c-r-e-t"
    with pytest.raises(ConnectionFailed) as failed:
        make_client("http://a:sec%3Aret@127.0.0.1:1/x", retry_for=0).status()
    for text in (str(failed.value), caplog.text):
        for secret in ("sec%3Aret", "sec:ret", "s-e-c-r-e-t", "w6Q6"):
            assert secret not in text


def test_paths_follow_the_url_that_is_given(relay: Relay, make_client: MakeClient) -> None:
    relay.decide = lambda _: Fault(body=b'{"agents": 1, "tasks_waiting": 2}')
    for url in (relay.url + "/behind/a", relay.url + "/behind/a/"):
        assert make_client(url).status().tasks_waiting == 2
        assert relay.seen[-1].path == "/behind/a/status"


def test_certificates_are_checked(memory_afm: Afm, make_client: MakeClient, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=afm -addext subjectAltName=IP:127.0.0.1"
        f" -keyout {key} -out {certificate}",
        shell=True,
        check=True,
        capture_output=True,
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    relay = Relay(memory_afm.url, server)
    try:
        trusting = ssl.create_default_context(cafile=str(certificate))
        assert make_client(relay.url, verify=trusting).status().tasks_waiting >= 0
        began = time.monotonic()
        with pytest.raises(ConnectionFailed, match=r"(?i)certificate") as failed:
            make_client(relay.url).status()
        # It is no use to try that again.
        assert not failed.value.is_passing
        assert time.monotonic() - began < 30
    finally:
        relay.close()


def test_a_wait_goes_on_while_the_afm_is_restarted(
    tmp_path: Path, make_client: MakeClient, task_type: str
) -> None:
    database = f"sqlite:///{tmp_path / 'afm.db'}"
    afm = Afm(database)
    port = int(afm.url.rpartition(":")[2])
    client = make_client(afm.url)
    task_id = client.post(NewTask(task_type))

    def restart() -> None:
        afm.stop()
        servers.append(Afm(database, port))
        with Client(servers[0].url) as other:
            other.cancel(task_id)

    servers: list[Afm] = []
    timer = threading.Timer(0.3, restart)
    timer.start()
    try:
        assert client.wait(task_id).state == "cancelled"
        timer.join()
        servers[0].stop()
        with pytest.raises(ConnectionFailed):
            make_client(afm.url, retry_for=0.5).wait(task_id)
    finally:
        timer.join()
        for server in (afm, *servers):
            server.stop()


def test_a_wait_that_the_afm_cuts_short_does_not_ask_all_the_time(
    relay: Relay, make_client: MakeClient, task_type: str
) -> None:
    client = make_client(relay.url)
    task_id = client.post(NewTask(task_type))
    unfinished = b'{"task_id":"a","test_id":"b","task_type":"c","task_version":1}'
    relay.decide = lambda _: Fault(body=unfinished)
    with pytest.raises(WaitTimeout):
        client.wait(task_id, timeout=2)
    assert 3 <= len(relay.paths(f"/task/{task_id}")) <= 8
    impatient = make_client(relay.url, longest_wait=0)
    before = len(relay.seen)
    with pytest.raises(WaitTimeout):
        impatient.wait(task_id, timeout=2)
    assert len(relay.seen) - before <= 8


def test_events_go_on_after_a_lost_connection(relay: Relay, make_client: MakeClient, task_type: str) -> None:
    client = make_client(relay.url)
    direct = make_client(relay.target)
    events = client.events(task_type=task_type)
    posted = [uuid4() for _ in range(4)]
    first = NewTask(task_type, task_id=posted[0])

    def post() -> None:
        relay.wait_for(lambda: any("/events" in seen.path for seen in relay.seen))
        with Client(relay.target) as other:
            # Only what comes after the stream has begun is told.
            for _ in range(300):
                other.post(NewTask(task_type + ".0"))
                other.post(first)
                if told.wait(0.05):
                    break
                other.cancel_all(task_type=task_type)

    told = threading.Event()
    poster = threading.Thread(target=post)
    poster.start()
    seen = [next(events)]
    told.set()
    poster.join(60)
    relay.cut()
    relay.faults.append(Fault(loses_request=True))
    for task_id in posted[1:]:
        direct.post(NewTask(task_type, task_id=task_id))
    while not (isinstance(seen[-1], TaskChanged) and seen[-1].task_id == str(posted[3])):
        seen.append(next(events))
    assert not any(isinstance(event, Missed) for event in seen)
    changed = [event.task_id for event in seen if isinstance(event, TaskChanged) and event.to == "pending"]
    assert changed[-3:] == [str(task_id) for task_id in posted[1:]]
    ids = [event.event_id for event in seen]
    assert len(ids) == len(set(ids)), "no event comes twice"
    events.close()
    streams = [each for each in relay.seen if "/events" in each.path]
    assert streams[-1].headers["last-event-id"] == ids[0] if len(ids) == 4 else True

    elsewhere = client.events(task_type=task_type, last_event_id="0-1")
    assert isinstance(next(elsewhere), Missed)
    elsewhere.close()
    relay.decide = lambda _: BUSY
    with pytest.raises(Unavailable):
        next(make_client(relay.url, retry_for=0.5).events())


def test_lines_end_in_three_ways_however_they_are_cut() -> None:
    text = "a\r\nb\rc\n\r\n\u2028\x85d\r\r\ne\n".encode()
    whole = ["a", "b", "c", "", "\u2028\x85d", "", "e"]
    for size in range(1, len(text) + 1):
        lines = Lines()
        got = [line for start in range(0, len(text), size) for line in lines.feed(text[start : start + size])]
        assert got == whole, size


def test_a_task_that_ends_while_it_is_cancelled_has_its_result() -> None:
    limits = flows.TimeLimits(1, 1, 1)
    task = NewTask("a")
    flow = flows.run(task, limits, 0, True, None)
    same = f'"task_id":"{task.task_id}","test_id":"{task.test_id}","task_type":"a","task_version":1'

    def told(asked: Any, method: str, status: int, body: str) -> Any:
        assert asked.call.method == method
        return flow.send(Answer(status, {}, body.encode()))

    asked = told(next(flow), "POST", 200, "")
    asked = told(asked, "GET", 200, f"{{{same}}}")
    asked = told(asked, "DELETE", 409, '{"detail": "it has ended"}')
    with pytest.raises(StopIteration) as end:
        told(asked, "GET", 200, f'{{{same},"task_completed":"2026-11-22 19:23:01","task_result":{{"b":1}}}}')
    assert end.value.value == {"b": 1}


def test_many_posts_that_are_not_stored_yet_are_sent_again(
    relay: Relay, make_client: MakeClient, task_type: str
) -> None:
    client = make_client(relay.url)
    tasks = [NewTask(task_type, {"n": number}) for number in range(4)]
    partly = ",".join(
        f'{{"task_id":"{task.task_id}","status":{status}}}'
        for task, status in zip(tasks, (200, 503, 200, 503))
    )
    relay.faults += [Fault(body=f'{{"results":[{partly}]}}'.encode()), Fault(413)]
    assert [answer.status for answer in client.post_many(tasks)] == [200] * 4
    numbers = [
        [task["task_data"]["n"] for task in seen.json()["tasks"]] for seen in relay.paths("/api/v1/tasks")
    ]
    assert numbers == [[0, 1, 2, 3], [1, 3], [1], [3]]
    relay.faults.append(Fault(400, body=b'{"detail": "x", "field": "tasks"}'))
    with pytest.raises(BadRequest):
        client.post_many(tasks)


def test_of_many_waits_some_are_held_open(relay: Relay, task_type: str) -> None:
    with Client(relay.url) as client:
        holds = client._limits.holds
        while holds.take():
            pass
        holds.give()
        task_ids = [client.post(NewTask(task_type)) for _ in range(2)]
        ended: list[str] = []
        waits = [
            threading.Thread(
                target=lambda task_id=task_id: ended.append(client.wait(task_id, timeout=60).state)
            )
            for task_id in task_ids
        ]
        for wait in waits:
            wait.start()
        relay.wait_for(lambda: sum("/task/" in seen.path for seen in relay.seen) >= 4, 30)
        assert sum("?wait=" in seen.path for seen in relay.seen) == 1
        client.cancel_many(task_ids)
        for wait in waits:
            wait.join(60)
        assert ended == ["cancelled"] * 2
        assert holds.take(), "the place is free again"
