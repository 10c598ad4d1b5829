"""What the tests of images and packages share: podman, HTTP, and waiting for what is to become true."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
AFM = "slamon/afm:stable"
AGENT = "slamon/agent:stable"


def pytest_configure() -> None:
    # Ended from outside, the tests remove their containers as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def run(*command: str, check: bool = True, **options: Any) -> str:
    """Runs a command and gives what it printed; what went wrong is shown with all that it said."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, **options)
    if check and done.returncode != 0:
        pytest.fail(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def podman(*arguments: str, check: bool = True) -> str:
    return run("podman", *arguments, check=check)


def logs(container: str) -> str:
    """All that a container has said."""
    done = subprocess.run(["podman", "logs", container], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
    return done.stdout


def is_healthy(container: str) -> bool:
    """Whether a container runs, and is well by what it says itself."""
    check = ["podman", "healthcheck", "run", container]
    return subprocess.run(check, capture_output=True, check=False, timeout=60).returncode == 0


def until(what: str, is_true: Callable[[], Any], seconds: float = 60) -> Any:
    """Waits until something is true, and gives it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := is_true():
            return found
        time.sleep(0.1)
    pytest.fail(f"{what}: not within {seconds} s")


def get(url: str) -> tuple[int, str]:
    """The status and the body of an answer; 0 where there is none."""
    try:
        with urllib.request.urlopen(url, timeout=40) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.read().decode()
    except OSError:
        return 0, ""


def is_ready(url: str) -> bool:
    return get(f"{url}/readyz")[0] == 200


def post_task_once(url: str, task_type: str, data: dict[str, Any]) -> str:
    """Posts a task; what is not answered by 200 is an error."""
    task_id = str(uuid.uuid4())
    task = {"task_id": task_id, "test_id": str(uuid.uuid4()), "task_type": task_type, "task_version": 1, "task_data": data}
    request = urllib.request.Request(f"{url}/task", json.dumps(task).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=40) as answer:
        assert answer.status == 200
    return task_id


def post_task(url: str, task_type: str, data: dict[str, Any]) -> str:
    """Posts a task, and another one where the answer is 503, after which clients try again."""

    def taken() -> str | None:
        try:
            return post_task_once(url, task_type, data)
        except urllib.error.HTTPError as answer:
            if answer.code != 503:
                raise
            return None

    task: str = until("a task that is taken", taken)
    return task


def result_of(url: str, task_id: str) -> dict[str, Any]:
    """The result of a task, once it has one."""

    def ended() -> dict[str, Any] | None:
        status, body = get(f"{url}/task/{task_id}?wait=30")
        task: dict[str, Any] = json.loads(body) if status == 200 else {}
        assert "task_error" not in task, f"task {task_id} ended with {task['task_error']}"
        return task if "task_completed" in task else None

    task: dict[str, Any] = until(f"the end of task {task_id}", ended, 90)["task_result"]
    return task


class Containers:
    """Starts containers, and removes them with their volumes when the test is over."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def start(self, *arguments: str) -> str:
        name = f"slamon-test-{uuid.uuid4().hex[:12]}"
        self.names.append(name)
        podman("run", "--detach", "--name", name, *arguments)
        return name

    def url(self, name: str, port: int = 8080) -> str:
        """Where a port of a container is reached from outside."""
        return f"http://{podman('port', name, str(port)).splitlines()[0]}"

    def remove(self) -> None:
        for name in reversed(self.names):
            podman("rm", "--force", "--volumes", "--time", "0", name, check=False)


@pytest.fixture
def containers() -> Iterator[Containers]:
    started = Containers()
    yield started
    started.remove()


@pytest.fixture(scope="session", autouse=True)
def containers_conf() -> None:
    assert os.environ.get("CONTAINERS_CONF"), "run these by scripts/test-deployment, which sets containers up"
