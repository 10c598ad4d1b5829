"""Reads and writes JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Union


def write_json(value: object) -> bytes:
    """Write a value; TypeError or ValueError says where JSON has nothing for it (an object, NaN)."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        return text.encode()
    except UnicodeEncodeError:
        # Half a surrogate pair: the AFM says which field it is in.
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except (TypeError, ValueError) as problem:
        place = _misfit(value)
        raise type(problem)(f"{place}: {problem}" if place else str(problem)) from None


def _misfit(value: object) -> str:
    """Return where the first thing is that JSON has nothing for, such as `task_data.a[3]`."""
    place = ""
    # Not where there is no end: what has itself in it is so in every place.
    for _ in range(100):
        found = next((member for member in _members(value) if not _fits(member[1])), None)
        if found is None:
            return place
        place, value = f"{place}{found[0]}" if place else found[0].removeprefix("."), found[1]
    return ""


def _members(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        yield from ((f".{name}", member) for name, member in value.items())
    elif isinstance(value, (list, tuple)):
        yield from ((f"[{index}]", member) for index, member in enumerate(value))


def _fits(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def read_json(text: bytes) -> Any:
    """Read a value; ValueError where it is no JSON."""
    try:
        return json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except ValueError:
        # Since Python 3.11, int refuses more than 4,300 digits, which JSON does not.
        return json.loads(text, parse_int=_whole)


def _whole(digits: str) -> Union[int, Decimal]:
    try:
        return int(digits)
    except ValueError:
        return Decimal(digits)
