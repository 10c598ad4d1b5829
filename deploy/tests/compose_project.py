"""Compose files as podman-compose and Docker Compose run them, and who posts, polls and watches meanwhile."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

from conftest import ROOT, get, is_healthy, logs, podman, post_task_once, until

OURS = ROOT / "deploy/compose.yaml"
# Those that compose.Dockerfile makes. There is no Grafana among them, so services are named where the profile has it.
IMAGES = {
    "POSTGRES_IMAGE": "slamon-test-postgres",
    "HAPROXY_IMAGE": "slamon-test-haproxy",
    "PROMETHEUS_IMAGE": "slamon-test-prometheus",
    "ALERTMANAGER_IMAGE": "slamon-test-alertmanager",
}
PORTS = ["SLAMON_PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT", "GRAFANA_PORT"]


def free_ports() -> list[str]:
    """As many as our file publishes."""
    with ExitStack() as listeners:
        sockets = [listeners.enter_context(socket.socket()) for _ in PORTS]
        for listener in sockets:
            listener.bind(("127.0.0.1", 0))
        return [str(listener.getsockname()[1]) for listener in sockets]


class Project:
    """A compose file as podman-compose runs it, on free ports."""

    command: ClassVar = ["podman-compose"]
    separator = "_"

    def __init__(self, file: Path, name: str, *profiles: str, **environment: str) -> None:
        named = [argument for profile in profiles for argument in ("--profile", profile)]
        self.name = name
        self.arguments = [*self.command, "--file", str(file), "--project-name", name, *named]
        self.ports = dict(zip(PORTS, free_ports(), strict=True))
        self.environment = {**os.environ, **IMAGES, **self.ports, **environment}
        self.afm = f"http://127.0.0.1:{self.ports['SLAMON_PORT']}"

    def try_compose(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*self.arguments, *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, check=False, text=True, timeout=200)

    def compose(self, *arguments: str) -> None:
        done = self.try_compose(*arguments)
        assert done.returncode == 0, f"{arguments} ended with {done.returncode}:\n{done.stdout}{done.stderr}"

    def container(self, service: str) -> str:
        return self.separator.join([self.name, service, "1"])

    def logs(self, service: str) -> str:
        return logs(self.container(service))

    def inspect(self, service: str) -> dict[str, Any]:
        about: dict[str, Any] = json.loads(podman("inspect", self.container(service)))[0]
        return about

    def is_healthy(self, service: str) -> bool:
        return is_healthy(self.container(service))

    def prometheus(self, path: str, **parameters: str) -> Any:
        """What Prometheus answers; nothing while it does not."""
        asked = urllib.parse.urlencode(parameters)
        status, body = get(f"http://127.0.0.1:{self.ports['PROMETHEUS_PORT']}/api/v1/{path}?{asked}")
        assert status in (0, 200), f"{path} {parameters}: {body}"
        return json.loads(body)["data"] if status == 200 else {}

    def scraped(self) -> set[str]:
        """The AFMs that Prometheus has found and that answer it."""
        targets = self.prometheus("targets").get("activeTargets", [])
        return {target["labels"]["instance"] for target in targets if target["health"] == "up"}

    def alert(self, name: str) -> dict[str, str] | None:
        """The labels of an alert that has arrived at Alertmanager."""
        status, body = get(f"http://127.0.0.1:{self.ports['ALERTMANAGER_PORT']}/api/v2/alerts")
        labels: list[dict[str, str]] = [alert["labels"] for alert in json.loads(body)] if status == 200 else []
        return next((found for found in labels if found["alertname"] == name), None)


class DockerProject(Project):
    """A compose file as Docker Compose runs it, with podman as its engine."""

    command: ClassVar = ["docker-compose"]
    separator = "-"


@contextmanager
def docker_engine() -> Iterator[None]:
    """podman as what Docker Compose takes for Docker. It has systemd ask services for their health, which is not everywhere."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as checks:
        url = f"unix://{folder}/socket"
        engine = subprocess.Popen(["podman", "system", "service", "--time=0", url], stderr=subprocess.DEVNULL)
        ended = threading.Event()
        os.environ["DOCKER_HOST"] = url
        try:
            until("the engine", Path(folder, "socket").exists)
            checking = checks.submit(check_health, ended)
            yield
            ended.set()
            # Where nobody asks for it any more, services would only not get healthy.
            checking.result()
        finally:
            ended.set()
            del os.environ["DOCKER_HOST"]
            engine.terminate()
            engine.wait()


def check_health(ended: threading.Event) -> None:
    """Has each container asked once a second, as long as Docker Compose may wait for it."""
    while not ended.wait(1):
        # It fails where a container goes while it looks; the next time, that is gone.
        for container in podman("ps", "--quiet", "--filter", "label=com.docker.compose.container-number", check=False).split():
            podman("healthcheck", "run", container, check=False)


@contextmanager
def running(project: Project, *arguments: str) -> Iterator[Project]:
    """A project that runs until the test is over."""
    try:
        project.compose("up", "--detach", *arguments)
        yield project
    finally:
        project.try_compose("down", "--volumes", "--timeout", "0")


def in_a_hurry(folder: Path) -> Path:
    """Our file with all that it mounts, where Prometheus looks every second and alerts fire after one."""
    copy = folder / "deploy"
    for name in ["compose", "prometheus", "grafana"]:
        shutil.copytree(ROOT / "deploy" / name, copy / name)
    shutil.copy(OURS, copy)
    changes = {"compose/prometheus.yml": r"(?<=_interval: )15s", "*/*.rules.yml": r"(?<=for: )\d+m"}
    for pattern, duration in changes.items():
        for file in copy.glob(pattern):
            text, count = re.subn(duration, "1s", file.read_text())
            assert count > 0, f"no {duration} in {file}"
            file.write_text(text)
    return copy / "compose.yaml"


class Watching:
    """A poll that finds nothing and a stream of events, both open for a minute."""

    MINUTE = 60

    def __init__(self, url: str) -> None:
        self.url = url
        self.events: list[str] = []
        self.broken: Exception | None = None
        self.began = time.monotonic()
        # How long the poll took, the status, and the tasks.
        self.poll: Future[tuple[float, int, Any]] = Future()
        for open_request in [self._watch, self._poll]:
            threading.Thread(target=open_request, daemon=True).start()

    def _poll(self) -> None:
        agent = {
            "protocol": 1,
            "agent_id": str(uuid.uuid4()),
            "agent_name": "patient",
            "agent_time": "",
            "agent_capabilities": {"what_nobody_posts": {"version": 1}},
            "max_tasks": 1,
            "max_wait": self.MINUTE,
        }
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/tasks", json.dumps(agent).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=self.MINUTE + 30) as answer:
                tasks = json.load(answer)["tasks"]
                self.poll.set_result((time.monotonic() - self.began, answer.status, tasks))
        except (OSError, http.client.HTTPException) as error:
            self.poll.set_exception(error)

    def _watch(self) -> None:
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/events", timeout=self.MINUTE + 30) as answer:
                self.events.extend(line.decode() for line in answer)
        except (OSError, http.client.HTTPException) as error:
            self.broken = error

    def has_seen(self, text: str) -> bool:
        assert self.broken is None, f"the stream of events broke: {self.broken}"
        return any(text in line for line in self.events)


class Posting:
    """Posts tasks one after the other until it is left; a post that fails is kept with its reason."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.tasks: list[str] = []
        self.failed: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        for number in itertools.count():
            if self._stop.is_set():
                return
            try:
                # Not an AFM, which may be away while the task is executed.
                data = {"url": "http://alertmanager:9093/-/healthy", "number": number}
                self.tasks.append(post_task_once(self.url, "url_http_status", data))
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.failed.append(f"post {number}: {error}")
            # Some 50 a second, which the agent keeps up with.
            self._stop.wait(0.02)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def more(self, count: int) -> Any:
        """Whether so many have been posted since it was asked first."""
        goal = len(self.tasks) + count
        return lambda: len(self.tasks) + len(self.failed) >= goal
