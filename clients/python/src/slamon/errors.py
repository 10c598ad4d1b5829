"""What can go wrong. All that the package raises by itself, but for wrong arguments, is a SlamonError."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from .tasks import Task


class SlamonError(Exception):
    """Something went wrong between this program and the AFM."""

    retry_after: Optional[float] = None
    """How many seconds the AFM asks to wait before another try."""

    @property
    def is_passing(self) -> bool:
        """Whether another try may succeed."""
        return False


class ConnectionFailed(SlamonError):
    """There was no answer: the AFM is away, does not answer in time, or the connection broke."""

    is_final = False
    """Whether another try would fail, too: the certificate of the AFM is not valid."""

    @property
    def is_passing(self) -> bool:
        return not self.is_final


class InvalidAnswer(SlamonError):
    """The answer is none of an AFM's."""


class ApiError(SlamonError):
    """The AFM, or a proxy before it, refused a request. Made of its problem details (RFC 9457)."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        title: str = "",
        field: Optional[str] = None,
        type: str = "about:blank",  # noqa: A002, its name in problem details
        retry_after: Optional[float] = None,
        is_of_afm: bool = False,
    ) -> None:
        super().__init__(status, detail)
        self.status = status
        """The HTTP status."""
        self.detail = detail
        """What is wrong, in a sentence."""
        self.title = title
        """The name of the status."""
        self.field = field
        """The field or the parameter that is wrong, such as `agent_filter.country`."""
        self.type = type
        """The kind of problem, as a URI; `about:blank`: the status says it."""
        self.retry_after = retry_after
        self.is_of_afm = is_of_afm
        """Whether it is an AFM that has said so; False with one of version 1.1.0, which cannot be told."""
        self.was_repeated = False
        """Whether the same request was sent before, and nobody knows what came of that."""

    def __str__(self) -> str:
        return f"status {self.status}: {self.detail}"

    @property
    def is_passing(self) -> bool:
        return self.status >= 500 or self.status in (408, 425, 429)


class BadRequest(ApiError):
    """400: a field is wrong; `field` names it."""


class NotAllowed(ApiError):
    """401 or 403: the user or the token is missing or wrong, or may not do this."""


class NotFound(ApiError):
    """404: no such task, agent or test; or an AFM that does not know the path."""


class Conflict(ApiError):
    """409: what is asked for does not go together with the state."""


class TooLarge(ApiError):
    """413: the body has more bytes than the AFM takes."""


class Unavailable(ApiError):
    """5xx, or 429: try again later. The client has done so for as long as it was told to."""


class TaskEnded(SlamonError):
    """A task ended without a result."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.task = task
        """The task, with `task_error`."""

    def __str__(self) -> str:
        return f"task {self.task.task_id} {self.task.state}: {self.task.task_error}"


class TaskFailed(TaskEnded):
    """The task failed: its agent reported an error, was lost or took too long."""


class TaskExpired(TaskEnded):
    """The task was not finished within its `task_ttl`."""


class TaskCancelled(TaskEnded):
    """Somebody cancelled the task."""


class WaitTimeout(SlamonError, TimeoutError):
    """The task has not ended in the time that the caller wanted to wait. It goes on."""

    def __init__(self, task_id: str, task: Optional[Task]) -> None:
        super().__init__(task_id, task)
        self.task_id = task_id
        """The id of the task, to go on waiting for."""
        self.task = task
        """The task as it was last seen, if it was."""

    def __str__(self) -> str:
        known = []
        if self.task is not None:
            waiting = self.task.task_waiting
            known.append(f"it is {self.task.state}{f', {waiting.reason}' if waiting else ''}")
        if self.__cause__ is not None:
            known.append(str(self.__cause__))
        return ": ".join([f"task {self.task_id} has not ended in time", *known])


_BY_STATUS = {
    400: BadRequest,
    401: NotAllowed,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    429: Unavailable,
}


def error_of_status(status: int) -> type[ApiError]:
    """Return the class for a status."""
    return Unavailable if status >= 500 else _BY_STATUS.get(status, ApiError)
