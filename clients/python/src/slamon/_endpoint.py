"""Where an AFM is, how it is spoken to, and what is made of connections that fail."""

from __future__ import annotations

import base64
import os
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional, Union
from urllib.parse import unquote, urlsplit

import httpx

from ._calls import Answer
from ._flows import Send
from .errors import ConnectionFailed, InvalidAnswer, SlamonError

CONNECT_TIMEOUT = 10.0
"""Seconds for a connection to be made."""
MOST_BYTES = 256 << 20
"""No answer of an AFM is larger: it hands out 8 MiB at a time, and a task of any size by itself."""
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=30.0)
"""Of connections: each request that is held open takes one."""


@dataclass(frozen=True)
class Endpoint:
    """An AFM."""

    base: str
    """Its root, with a slash at the end, without user and password."""
    headers: Mapping[str, str]

    @staticmethod
    def parse(url: str, user: Optional[tuple[str, str]], token: Optional[str]) -> Endpoint:
        """Check a URL; the user may be in it. ValueError says what is wrong, without any password."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ValueError("url: is no URL") from None
        if parts.scheme not in ("http", "https") or not host:
            raise ValueError("url: must begin with http:// or https:// and name a host")
        if parts.query or parts.fragment:
            raise ValueError("url: must end with the path: no ? and no #")
        if parts.username is not None:
            if user is not None:
                raise ValueError("user: there is one in the url, too")
            user = unquote(parts.username), unquote(parts.password or "")
        if user is not None and token is not None:
            raise ValueError("token: must not be given together with a user")
        host = f"[{host}]" if ":" in host else host
        place = host if port is None else f"{host}:{port}"
        base = f"{parts.scheme}://{place}{parts.path.rstrip('/')}/"
        try:
            httpx.URL(base)
        except httpx.InvalidURL:
            raise ValueError("url: is no URL") from None
        return Endpoint(base, _headers(user, token))

    def request(self, http: Union[httpx.Client, httpx.AsyncClient], send: Send) -> httpx.Request:
        """Make the request of a call."""
        call = send.call
        headers = {**self.headers, **call.headers}
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        timeout = httpx.Timeout(send.timeout, connect=connect_timeout(send))
        return http.build_request(
            call.method, self.base + call.path, content=call.body, headers=headers, timeout=timeout
        )

    def failed(self, send: Send, problem: httpx.RequestError) -> SlamonError:
        """Return what is raised where a request could not be sent, or has no answer."""
        call = send.call
        what = f"{call.method} {self.base}{call.path.partition('?')[0]}"
        if isinstance(problem, httpx.ConnectTimeout):
            return ConnectionFailed(f"{what}: no connection within {connect_timeout(send):.3g} s")
        if isinstance(problem, httpx.TimeoutException):
            return ConnectionFailed(f"{what}: no answer within {send.timeout:.3g} s")
        if isinstance(problem, httpx.DecodingError):
            return InvalidAnswer(f"{what}: could not read the answer: {problem}")
        causes = _causes(problem)
        # What the system says comes last.
        said = next((text for text in map(_text, reversed(causes)) if text), type(problem).__name__)
        failed = ConnectionFailed(f"{what}: {said}")
        failed.is_final = any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes)
        return failed


class Reading:
    """An answer that is being read: not for longer than its time, and not without end."""

    def __init__(self, endpoint: Endpoint, send: Send, response: httpx.Response) -> None:
        self._endpoint, self._send, self._response = endpoint, send, response
        self._until = time.monotonic() + send.timeout
        self._body = bytearray()

    def feed(self, part: bytes) -> None:
        """Take a part of the body."""
        self._body += part
        if len(self._body) > MOST_BYTES:
            what = f"{self._send.call.method} {self._endpoint.base}"
            raise InvalidAnswer(f"{what}: the answer has more than {MOST_BYTES} bytes")
        if time.monotonic() > self._until:
            raise httpx.ReadTimeout("", request=self._response.request)

    def answer(self) -> Answer:
        """Return the whole of it."""
        headers = {name.lower(): value for name, value in self._response.headers.items()}
        return Answer(self._response.status_code, headers, bytes(self._body))


def connect_timeout(send: Send) -> float:
    """Return how many seconds making a connection may take."""
    return min(CONNECT_TIMEOUT, send.timeout)


def _headers(user: Optional[tuple[str, str]], token: Optional[str]) -> dict[str, str]:
    headers = {"Accept": "application/json", "User-Agent": "slamon-python/2"}
    if user is not None:
        if ":" in user[0]:
            raise ValueError("user: must not have a colon in it")
        encoded = base64.b64encode(f"{user[0]}:{user[1]}".encode()).decode()
        headers["Authorization"] = f"Basic {encoded}"
    if token is not None:
        if not token or not all("!" <= character <= "~" for character in token):
            raise ValueError("token: has characters that cannot be sent")
        headers["Authorization"] = f"Bearer {token}"
    return headers


def _causes(problem: BaseException) -> list[BaseException]:
    causes: list[BaseException] = []
    cause: Optional[BaseException] = problem
    while cause is not None and len(causes) < 20:
        causes.append(cause)
        # Where several addresses were tried, there is a group.
        several = getattr(cause, "exceptions", None)
        cause = several[0] if several else cause.__cause__ or cause.__context__
    return causes


def _text(problem: BaseException) -> str:
    if isinstance(problem, OSError) and not isinstance(problem, ssl.SSLError) and (problem.errno or 0) > 0:
        return os.strerror(problem.errno or 0)
    return str(problem) if isinstance(problem, (OSError, httpx.RequestError)) else ""
