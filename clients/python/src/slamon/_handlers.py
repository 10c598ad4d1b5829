"""What an agent executes tasks with, and what is made of the outcome."""

from __future__ import annotations

import dataclasses
import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ._json import write_json
from .context import Context, Failure
from .polling import HandedOut

logger = logging.getLogger("slamon.agent")

LONGEST_ERROR = 65_536
"""Characters of an error; what is beyond them is left out."""


@dataclass(frozen=True)
class Outcome:
    """The result of a task, or its error."""

    task_data: Optional[Mapping[str, Any]] = None
    task_error: Optional[str] = None


@dataclass(frozen=True)
class Handler:
    """A function that executes tasks of a type and version."""

    version: int
    function: Callable[..., Any]
    takes_context: bool
    is_async: bool = False

    @staticmethod
    def of(version: int, function: Callable[..., Any]) -> Handler:
        """Make a handler of a function of the data, or of the data and the context."""
        is_async = is_coroutine_function(function)
        try:
            parameters = inspect.signature(function).parameters.values()
        except ValueError:
            # One that is written in C and does not tell.
            return Handler(version, function, takes_context=False, is_async=is_async)
        positional = [
            each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
        ]
        needed = [each for each in positional if each.default is each.empty]
        takes_any = any(each.kind is each.VAR_POSITIONAL for each in parameters)
        if len(needed) > 2 or not (positional or takes_any):
            raise TypeError("a handler takes the data of a task, or its data and a Context")
        takes_context = len(needed) == 2 or (takes_any and len(positional) < 2)
        return Handler(version, function, takes_context, is_async)

    def call(self, task: HandedOut, context: Context) -> Any:
        """Call the function."""
        return self.function(task.task_data, context) if self.takes_context else self.function(task.task_data)


def is_coroutine_function(function: Callable[..., Any]) -> bool:
    """Return whether calling it makes a coroutine: an async function, or an object that acts as one."""
    called = getattr(function, "__call__", None)  # noqa: B004, what it is, not whether
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)


def outcome_of(value: object) -> Outcome:
    """Make an outcome of what a handler returned."""
    if value is None:
        value = {}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if not isinstance(value, Mapping):
        return Outcome(task_error=f"the handler returned a {type(value).__name__}, and not a dict")
    data = dict(value)
    try:
        write_json(data)
    except (TypeError, ValueError) as problem:
        return Outcome(task_error=f"the handler returned what JSON cannot hold: {problem}")
    return Outcome(task_data=data)


def outcome_of_error(problem: BaseException, task: HandedOut) -> Outcome:
    """Make an outcome of what a handler raised."""
    try:
        text = str(problem)
    except Exception:
        # Its own code fails, too.
        text = ""
    if isinstance(problem, Failure):
        text = text or "the handler gave no reason"
    else:
        logger.error("task %s: the handler of %r failed", task.task_id, task.task_type, exc_info=problem)
        text = f"{type(problem).__name__}: {text}" if text else type(problem).__name__
    return Outcome(task_error=text if len(text) <= LONGEST_ERROR else text[:LONGEST_ERROR] + "…")
