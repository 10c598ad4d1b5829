"""Reads and writes times as an AFM does."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Optional, Union

_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:(Z|z)|([+-])(\d\d):?(\d\d))?", re.ASCII
)


def parse_time(text: str) -> datetime:
    """Read a time: RFC 3339, or as protocol 1 writes it, without a zone, which is UTC.

    Raises ValueError for anything else.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:60]!r} is no time")
    year, month, day, hour, minute, second = (int(group) for group in match.groups()[:6])
    fraction, _, sign, zone_hours, zone_minutes = match.groups()[6:]
    microsecond = int((fraction or "0")[:6].ljust(6, "0"))
    time = datetime(year, month, day, hour, minute, second, microsecond, tzinfo=timezone.utc)
    if sign is not None:
        offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes))
        time = time - offset if sign == "+" else time + offset
    return time


def parse_time_or_none(text: object) -> Optional[datetime]:
    """Read a time; None for what is none."""
    try:
        return parse_time(text) if isinstance(text, str) else None
    except (ValueError, OverflowError):
        return None


def write_time(name: str, time: Union[datetime, str]) -> str:
    """Write a time of the parameter `name` as RFC 3339; a string is passed on as it is."""
    if isinstance(time, str):
        return time
    if time.tzinfo is None:
        raise ValueError(f"{name}: give a time with a zone, such as datetime.now(timezone.utc)")
    return time.astimezone(timezone.utc).isoformat(timespec="microseconds")
