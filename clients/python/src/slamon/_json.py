"""Reads and writes JSON."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Union


def write_json(value: object) -> bytes:
    """Write a value; TypeError or ValueError where JSON has nothing for it (an object, NaN)."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        return text.encode()
    except UnicodeEncodeError:
        # Half a surrogate pair: the AFM says which field it is in.
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
    except RecursionError:
        raise ValueError("is nested too deeply") from None


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
