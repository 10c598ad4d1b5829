"""Makes dataclasses of what an AFM answers. What an AFM of a later version adds is passed over."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from ._times import parse_time
from .errors import InvalidAnswer

T = TypeVar("T")
Reader = Callable[[Any, str], Any]


def decode(cls: type[T], value: object) -> T:
    """Make a dataclass of a JSON object; InvalidAnswer names the member that does not fit."""
    kind: Any = cls
    return _reader(kind)(value, "")  # type: ignore[no-any-return]


def member_name(field: dataclasses.Field[Any]) -> str:
    """Return what JSON calls a field: `from` cannot be the name of one in Python."""
    return str(field.metadata.get("name", field.name))


@cache
def _reader(kind: Any) -> Reader:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _dataclass_reader(kind)
    origin = get_origin(kind)
    if origin is Union:
        inner = _reader(next(arg for arg in get_args(kind) if arg is not type(None)))
        return lambda value, where: None if value is None else inner(value, where)
    if origin is list:
        return _list_reader(_reader(get_args(kind)[0]))
    if kind is datetime:
        return _read_time
    return _plain_reader(origin or kind)


def _dataclass_reader(cls: type[Any]) -> Reader:
    hints = get_type_hints(cls)
    members: list[tuple[str, str, Reader, bool]] = []
    for field in dataclasses.fields(cls):
        if field.metadata.get("local"):
            continue
        has_default = not (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        members.append((member_name(field), field.name, _reader(hints[field.name]), has_default))

    def read(value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            raise InvalidAnswer(f"{where or 'the answer'} must be an object, is {_shown(value)}")
        fields: dict[str, Any] = {}
        for name, attribute, reader, has_default in members:
            path = f"{where}.{name}" if where else name
            if name not in value or (value[name] is None and has_default):
                if not has_default:
                    raise InvalidAnswer(f"{path} is missing in the answer")
                continue
            fields[attribute] = reader(value[name], path)
        return cls(**fields)

    return read


def _list_reader(inner: Reader) -> Reader:
    def read(value: Any, where: str) -> Any:
        if not isinstance(value, list):
            raise InvalidAnswer(f"{where} must be an array, is {_shown(value)}")
        return [inner(item, f"{where}[{index}]") for index, item in enumerate(value)]

    return read


def _read_time(value: Any, where: str) -> datetime:
    try:
        return parse_time(value)
    except (ValueError, TypeError, OverflowError):
        raise InvalidAnswer(f"{where} must be a time, is {_shown(value)}") from None


def _plain_reader(kind: Any) -> Reader:
    kinds = {float: (int, float), Any: (object,)}.get(kind, (kind,))

    def read(value: Any, where: str) -> Any:
        if not isinstance(value, kinds) or (isinstance(value, bool) and kind in (int, float)):
            raise InvalidAnswer(f"{where} must be {kind.__name__}, is {_shown(value)}")
        return value

    return read


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"
