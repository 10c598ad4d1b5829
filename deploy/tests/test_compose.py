"""Docker Compose: the snippet of the original's page, and our own file, as podman-compose runs them."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import ROOT, get, is_ready, post_task, result_of, run, until

# The services of the original's page under `services:`, which today's tools ask for, and a port for the test to come in.
ORIGINAL = """
services:
  afm:
    image: slamon/afm:stable
    ports: ["127.0.0.1:{port}:8080"]
  agent:
    image: {agent}
    environment:
      AFM: "http://slamon-afm:8080"
      HANDLERS: "slamon_agent.handlers"
      EXTRA_FLAGS: "-v"
    links:
     - afm:slamon-afm
"""


@contextmanager
def compose(file: Path, project: str, *profiles: str, **environment: str) -> Iterator[None]:
    """A compose file that runs until the test is over."""
    named = [argument for profile in profiles for argument in ("--profile", profile)]
    command = ["podman-compose", "--file", str(file), "--project-name", project, *named]
    surroundings = {**os.environ, **environment}
    try:
        run(*command, "up", "--detach", env=surroundings)
        yield
    finally:
        down = [*command, "down", "--volumes", "--timeout", "5"]
        subprocess.run(down, env=surroundings, capture_output=True, timeout=120)


@pytest.fixture
def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def executes_a_task(url: str) -> None:
    """An AFM answers at the URL, and an agent executes what is posted there."""
    until("an AFM that is ready", lambda: is_ready(url))
    task = post_task(url, "url_http_status", {"url": "http://slamon-afm:8080/status"})
    assert result_of(url, task) == {"status": 200}


@pytest.mark.parametrize("agent", ["slamon/agent:stable", "slamon-test-original-agent"])
def test_the_snippet_of_the_original(agent: str, free_port: int, tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(ORIGINAL.format(port=free_port, agent=agent))
    with compose(file, "slamon-test-original"):
        executes_a_task(f"http://127.0.0.1:{free_port}")


def test_our_file_in_memory(free_port: int) -> None:
    file = ROOT / "deploy/compose.yaml"
    with compose(file, "slamon-test-memory", "memory", SLAMON_PORT=str(free_port)):
        executes_a_task(f"http://127.0.0.1:{free_port}")
        assert get(f"http://127.0.0.1:{free_port}/dashboard/")[0] == 200
