"""Servers that tests run against: ours, the original one, and a relay with faults before either."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Optional, Union
from urllib.parse import urlsplit

START = 60.0


def needed(name: str, why: str) -> str:
    """Return an environment variable that scripts/test-python sets."""
    value = os.environ.get(name)
    assert value, f"{name} is not set ({why}): run scripts/test-python"
    return value


class Process:
    """A program whose lines are read, and which is ended with the test."""

    def __init__(self, *command: Union[str, Path], env: Optional[dict[str, str]] = None) -> None:
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
        )
        self._lines: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self._lines.append(re.sub(r"\x1b\[[0-9;]*m", "", line.decode(errors="replace").rstrip()))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def find(self, pattern: str, timeout: float = START) -> re.Match[str]:
        """Wait for a line that has the pattern in it."""

        def found() -> Optional[re.Match[str]]:
            return next(
                (match for match in (re.search(pattern, line) for line in self._lines) if match), None
            )

        with self._changed:
            self._changed.wait_for(lambda: found() or self._ended, timeout)
            match = found()
            assert match, f"no line has {pattern!r} in it:\n" + "\n".join(self._lines)
            return match

    def text(self) -> str:
        """Return all that it has printed."""
        with self._changed:
            return "\n".join(self._lines)

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self, timeout: float = START) -> int:
        """Wait for its end, and return its exit status."""
        status = self._process.wait(timeout)
        self._reader.join(timeout)
        return status

    def stop(self) -> None:
        """End it."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(START)
        self._reader.join(START)
        assert self._process.stdout is not None
        self._process.stdout.close()


class Afm(Process):
    """Our server."""

    def __init__(
        self, database: str = "sqlite://", port: int = 0, settings: Optional[dict[str, str]] = None
    ) -> None:
        binary = needed("SLAMON_AFM", "the path of the server")
        command = (binary, "--database-uri", database, "run", "127.0.0.1", str(port))
        super().__init__(*command, env=settings)
        self.url = "http://" + self.find(r"listening addr=(\S+)")[1]


class OriginalAfm(Process):
    """slamon-afm 1.1.0."""

    def __init__(self, folder: Path, return_time: int) -> None:
        program = (
            Path(needed("SLAMON_ORIGINALS", "the environment of the original")) / "afm-1.1.0/bin/slamon-afm"
        )
        assert program.exists(), f"{program} is missing: run `make setup`"
        config = folder / "original.cfg"
        config.write_text(f"AGENT_RETURN_TIME = {return_time}\n")
        database = f"sqlite:///{folder / 'original.db'}"
        super().__init__(program, "--database-uri", database, "--config", config, "run", "127.0.0.1", "0")
        self.url = self.find(r"Running on (http://[^/]+)/")[1]


def agent_process(code: str, *arguments: str) -> Process:
    """Run a program of Python."""
    return Process(sys.executable, "-c", code, *arguments)


@dataclass
class Seen:
    """A request that a relay has seen."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Fault:
    """What a relay does with a request instead of passing it on and its answer back."""

    status: Optional[int] = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    loses_request: bool = False
    loses_answer: bool = False
    is_silent: bool = False
    drips: bool = False


class Relay:
    """Stands before a server, and does what a network or a proxy does on a bad day."""

    def __init__(self, target: str, context: Optional[ssl.SSLContext] = None) -> None:
        self.target = target
        self.seen: list[Seen] = []
        self.faults: deque[Fault] = deque()
        self.decide: Callable[[Seen], Optional[Fault]] = lambda _: None
        self.change_answer: Callable[[dict[str, str], bytes], bytes] = lambda _, body: body
        self.changed = threading.Condition()
        self._sockets: set[socket.socket] = set()
        self.closing = threading.Event()
        relay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                relay.handle(self)

            do_POST = do_DELETE = do_GET  # noqa: N815, what the base class looks for

            def log_message(self, *_: object) -> None:
                pass

            def setup(self) -> None:
                super().setup()
                relay._sockets.add(self.connection)

            def finish(self) -> None:
                relay._sockets.discard(self.connection)
                super().finish()

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_: object) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        scheme = "http"
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            scheme = "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def paths(self, path: str) -> list[Seen]:
        """Return the requests of a path, whatever its parameters."""
        with self.changed:
            return [seen for seen in self.seen if seen.path.partition("?")[0] == path]

    def wait_for(self, condition: Callable[[], bool], timeout: float = START) -> None:
        """Wait until what the relay has seen fulfils a condition."""
        with self.changed:
            assert self.changed.wait_for(condition, timeout), [f"{s.method} {s.path}" for s in self.seen]

    def cut(self) -> None:
        """Break all connections."""
        for connection in list(self._sockets):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self.cut()
        self._server.server_close()
        self._thread.join(START)

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        length = int(request.headers.get("Content-Length", "0"))
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen = Seen(request.command, request.path, headers, request.rfile.read(length))
        with self.changed:
            self.seen.append(seen)
            fault = self.faults.popleft() if self.faults else self.decide(seen)
            self.changed.notify_all()
        if fault is None:
            self._pass_on(request, seen)
            return
        if fault.loses_answer:
            connection, response = self._exchange(seen)
            response.read()
            connection.close()
        if fault.is_silent:
            self.closing.wait(START)
        if fault.loses_request or fault.loses_answer or fault.is_silent:
            request.close_connection = True
            return
        request.send_response(fault.status or 200)
        for name, value in fault.headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(fault.body)))
        request.end_headers()
        step = 1 if fault.drips else max(len(fault.body), 1)
        for start in range(0, len(fault.body), step):
            request.wfile.write(fault.body[start : start + step])
            if fault.drips and self.closing.wait(0.05):
                return

    def _exchange(self, seen: Seen) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        target = urlsplit(self.target)
        connection = http.client.HTTPConnection(target.netloc, timeout=START)
        headers = {name: value for name, value in seen.headers.items() if name not in ("host", "connection")}
        connection.request(seen.method, seen.path, seen.body or None, headers)
        return connection, connection.getresponse()

    def _pass_on(self, request: BaseHTTPRequestHandler, seen: Seen) -> None:
        try:
            connection, response = self._exchange(seen)
        except OSError:
            request.close_connection = True
            return
        try:
            headers = {name.lower(): value for name, value in response.getheaders()}
            headers.pop("transfer-encoding", None)
            headers.pop("connection", None)
            is_stream = headers.get("content-type", "").startswith("text/event-stream")
            body = b"" if is_stream else self.change_answer(headers, response.read())
            request.send_response_only(response.status)
            if is_stream:
                headers["connection"] = "close"
            else:
                headers["content-length"] = str(len(body))
            for name, value in headers.items():
                request.send_header(name, value)
            request.end_headers()
            request.wfile.write(body)
            while is_stream:
                part = response.read1(65_536)
                if not part:
                    request.close_connection = True
                    return
                request.wfile.write(part)
        except OSError:
            request.close_connection = True
        finally:
            connection.close()
