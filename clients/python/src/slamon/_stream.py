"""Reads a stream of server-sent events, and knows where to read on after the connection was lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

from . import _json
from ._backoff import Retries
from ._calls import can_be_sent, watch
from ._decode import decode
from ._flows import Send
from .errors import ApiError, ConnectionFailed, InvalidAnswer, SlamonError
from .events import Changes, Event, Missed, TaskChanged
from .filters import EventFilters

SILENCE = 45.0
"""Seconds after which a stream counts as broken: an AFM sends a comment every 15."""
LONGEST_LINE = 16 << 20


class Lines:
    """Cuts bytes into lines that end in CR, LF or both, and in nothing else."""

    def __init__(self) -> None:
        self._rest = b""
        self._after_cr = False

    def feed(self, part: bytes) -> list[str]:
        """Return the lines that are complete now."""
        if self._after_cr and part.startswith(b"\n"):
            part = part[1:]
        if part:
            self._after_cr = part.endswith(b"\r")
        text = (self._rest + part).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, self._rest = text.split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            raise InvalidAnswer(f"a line of the stream has more than {LONGEST_LINE} bytes")
        return [line.decode("utf-8", "replace") for line in lines]


class Watch:
    """A stream of events over any number of connections."""

    def __init__(
        self, filters: EventFilters, last_event_id: Optional[str], retry_for: Optional[float]
    ) -> None:
        self._filters = filters
        self._last_id = last_event_id or ""
        self._retries = Retries(retry_for)
        self._least_wait = 0.0
        self._begin()

    def _begin(self) -> None:
        self._lines = Lines()
        self._kind = ""
        self._data: list[str] = []
        self._id = self._last_id

    def next_request(self) -> Send:
        """Return the request of the next connection."""
        self._begin()
        call = watch(self._filters, self._last_id)
        return Send(call, SILENCE)

    def feed(self, part: bytes) -> list[Event]:
        """Return the events that are complete now."""
        events: list[Event] = []
        self._retries.answered()
        for line in self._lines.feed(part):
            if line:
                self._field(line)
                continue
            event = self._dispatched()
            if event is not None:
                events.append(event)
                self._retries.succeeded()
        return events

    def pause_after(self, problem: SlamonError) -> float:
        """Return how long to wait before the next connection; raises the problem where that is no use."""
        if isinstance(problem, (ApiError, ConnectionFailed)) and problem.is_passing:
            pause = self._retries.pause(max(problem.retry_after or 0.0, self._least_wait))
            if pause is not None:
                return pause
        raise problem

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if name == "event":
            self._kind = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and can_be_sent(value):
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self._least_wait = min(int(value[:9]) / 1000, 60.0)

    def _dispatched(self) -> Optional[Event]:
        kind, data = self._kind, "\n".join(self._data)
        self._kind, self._data = "", []
        event = _event(kind, data, self._id) if data else None
        # What was read counts as seen, and only that.
        self._last_id = self._id
        return event


def _event(kind: str, data: str, event_id: str) -> Optional[Event]:
    if kind not in ("task", "missed", "changes"):
        # Of a later version.
        return None
    try:
        value = _json.read_json(data.encode())
    except ValueError as problem:
        raise InvalidAnswer(f"the data of an event is no JSON: {problem}") from None
    if kind == "task":
        return replace(decode(TaskChanged, value), event_id=event_id)
    count = value.get(kind) if isinstance(value, dict) else None
    if count is not None and not isinstance(count, int):
        raise InvalidAnswer(f"{kind} must be an integer")
    return Missed(count, event_id) if kind == "missed" else Changes(count, event_id)
