"""The package: its README, its types, and that both clients are the same."""

from __future__ import annotations

import asyncio
import importlib.metadata
import inspect
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import Afm

import slamon
from slamon import Agent, AsyncAgent, AsyncClient, Client

README = (Path(__file__).parents[1] / "README.md").read_text()


def python_blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def examples() -> list[str]:
    return python_blocks(README)


def test_the_examples_work_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    afm = Afm()
    monkeypatch.chdir(tmp_path)
    agents: list[threading.Thread] = []
    made: list[Any] = []
    names: dict[str, Any] = {}
    wanted = [
        ("agent.run()", None),
        ("asyncio.run(agent.run())", None),
        ("{'sum': 6}", "{'sum': 6}\n"),
        ("except TaskFailed", "TypeError: unsupported operand type"),
        ("post_many", "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n"),
        ("gather", "[{'sum': 1}, {'sum': 2}"),
        ("retry_all", "tasks are tried again|are tried again\nHelsinki"),
        ("afm.events", " pending\n"),
    ]
    try:
        found = examples()
        assert len(found) == len(wanted)
        for example, (words, printed) in zip(found, wanted):
            assert words in example
            assert "http://127.0.0.1:8080" in example
            code = example.replace("http://127.0.0.1:8080", afm.url)
            if "executors=100" in code:
                assert "async def connect" in code
            if printed is None:
                run = "agent.run()" if words == "agent.run()" else "asyncio.run(agent.run())"
                assert run in code
                exec(code.replace(run, ""), names)
                made.append(names["agent"])
                target = (
                    made[-1].run
                    if words == "agent.run()"
                    else lambda agent=made[-1]: asyncio.run(agent.run())
                )
                agents.append(threading.Thread(target=target))
                agents[-1].start()
                continue
            if words == "afm.events":
                poster = threading.Thread(target=post_until, args=(afm.url, done := threading.Event()))
                poster.start()
                try:
                    exec(code.replace("event.to)\n", "event.to)\n            break\n"), names)
                finally:
                    done.set()
                    poster.join(30)
            else:
                exec(code, names)
            said = capsys.readouterr().out
            assert re.search(printed if "|" in printed else re.escape(printed), said), (words, said)
        # The second agent, too.
        with Client(afm.url) as client:
            host, _, port = afm.url.rpartition("/")[2].partition(":")
            place = {"country": "FI"}
            result = client.run(
                "connect", {"host": host, "port": int(port)}, task_version=2, agent_filter=place, timeout=30
            )
            assert result["connect_ms"] >= 0
            with pytest.raises(slamon.TaskFailed, match=r"could not connect to 127\.0\.0\.1:1: "):
                client.run("connect", {"host": host, "port": 1}, task_version=2, timeout=30)
        assert (tmp_path / "agent-id").read_text().strip()
    finally:
        for agent in made:
            agent.stop()
        for thread in agents:
            thread.join(30)
        afm.stop()


def test_the_examples_of_the_quick_start_work(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parents[3] / "docs/quick-start.md").read_text()
    client, agent = python_blocks(text)
    afm = Afm()
    names: dict[str, Any] = {}
    try:
        exec(agent.replace("http://127.0.0.1:8080", afm.url).replace("agent.run()", ""), names)
        names["agent"].handler("url_http_status")(lambda _: {"status": 200})
        thread = threading.Thread(target=names["agent"].run)
        thread.start()
        exec(client.replace("http://127.0.0.1:8080", afm.url))
        assert capsys.readouterr().out == "{'status': 200}\n"
        with Client(afm.url) as other:
            assert other.run("add", {"terms": [1, 2]}, timeout=30) == {"sum": 3}
        names["agent"].stop()
        thread.join(30)
    finally:
        afm.stop()


def post_until(url: str, done: threading.Event) -> None:
    with Client(url) as client:
        while not done.wait(0.1):
            client.post(slamon.NewTask("add", {"terms": []}))


def test_every_name_of_the_readme_is_there() -> None:
    methods = {name for name in vars(Client) if not name.startswith("_")} - {"close"}
    tables = "\n".join(line for line in README.splitlines() if line.startswith("| "))
    assert methods <= set(re.findall(r"`(\w+)`", tables)), methods
    for name in re.findall(r"`([A-Z]\w+)`", README):
        assert hasattr(slamon, name) or hasattr(__builtins__, name) or name in ("TimeoutError",), name


def signatures(kind: type[Any]) -> Iterator[tuple[str, str]]:
    for name, member in vars(kind).items():
        if not name.startswith("_") or name == "__init__":
            text = str(inspect.signature(member)).replace("Async", "")
            yield name, text.replace(", None, None]", ", None]")


def test_both_clients_have_the_same_methods() -> None:
    blocking, other = dict(signatures(Client)), dict(signatures(AsyncClient))
    other["close"] = other.pop("aclose")
    assert blocking == other
    for name in blocking:
        twin = "aclose" if name == "close" else name
        assert getattr(Client, name).__doc__ == getattr(AsyncClient, twin).__doc__, name
    assert set(dir(Agent)) == set(dir(AsyncAgent))


def test_it_is_typed_and_needs_nothing_but_httpx() -> None:
    assert (Path(slamon.__file__).parent / "py.typed").exists()
    undocumented = {name for name in slamon.__all__ if not getattr(slamon, name).__doc__}
    assert undocumented <= {"Event", "Id"}
    assert "src" not in Path(slamon.__file__).parts, (
        "it is tested as it is installed: run scripts/test-python"
    )
    needed = importlib.metadata.metadata("slamon").get_all("Requires-Dist") or []
    assert [re.match(r"\w+", each)[0] for each in needed] == ["httpx"]  # type: ignore[index]
