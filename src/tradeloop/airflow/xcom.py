"""XCom that hands on what it was given: equal and of the same type, or the task fails and says which value it was.

Airflow's own serializer makes a float of a Decimal and needs pyarrow for a data frame. Switched on for a whole
deployment by `[core] xcom_backend = tradeloop.airflow.xcom.ExactXCom`; without it `exact` wraps single values.
The standard library and Airflow alone, until a data frame comes by.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any, ClassVar  # Any: what tasks return
from zoneinfo import ZoneInfo

from airflow.sdk.bases.xcom import BaseXCom

MAX_INTEGER_BITS = 63
"""A wider integer does not pass between a task and Airflow's supervisor, which is told each argument of a task."""


class XComRefused(TypeError):
    """A value cannot be handed on as it is: says where, what and what to do."""

    def __init__(self, where: str, what: str, then: str) -> None:
        super().__init__(f"XCom: {where} {what}; {then}")


@dataclass(frozen=True, slots=True)
class Exact:
    """A value in JSON's own types, with the name of the kind that it was; Airflow turns it back when it is read."""

    __version__: ClassVar[int] = 1
    """What Airflow stores beside it, so that a later form can be told from this one."""
    kind: str
    data: Any

    def serialize(self) -> dict[str, Any]:
        """For Airflow's serializer: shown on its pages as `Exact(decimal='1.10')`."""
        return {self.kind: list(self.data) if isinstance(self.data, tuple) else self.data}

    @staticmethod
    def deserialize(data: dict[str, Any], version: int) -> Any:  # noqa: ARG004 - Airflow's signature
        """The value as it was given."""
        ((kind, value),) = data.items()
        if kind not in _READERS:
            raise XComRefused("a value", f"is of the kind {kind!r}, which this tradeloop does not know", "update it")
        return _READERS[kind](value)


def exact(value: Any, where: str = "value") -> Any:
    """The value with all that Airflow would change inside it wrapped; the next task gets it equal and unwrapped.

    For deployments whose XCom backend is another one. `[core] allowed_deserialization_classes` must name
    `tradeloop.airflow.xcom.*` then. `where` begins the path that errors name.

    Raises:
        XComRefused: a value that could not come back equal.
    """
    for known, pack in _PACKERS.items():
        if type(value) is known:
            return pack(value, where)
    if isinstance(value, bool | None | Exact):
        return value
    if isinstance(value, dict):
        return _mapping(value, where)
    if isinstance(value, list | tuple | set | frozenset):
        return _collection(value, where)
    frame = _frame(value, where)
    if frame is not None:
        return frame
    _check_return(value, where)
    return value


class ExactXCom(BaseXCom):
    """The XCom backend: every value that a task pushes goes through `exact`."""

    @staticmethod
    def serialize_value(value: Any, *, key: str | None = None, task_id: str | None = None, **rest: Any) -> Any:
        """What Airflow stores.

        Raises:
            XComRefused: a value that could not come back equal; the task fails.
        """
        from airflow.sdk.serde import allow_class

        allow_class(Exact)
        stored = BaseXCom.serialize_value(exact(value, key or "value"), key=key, task_id=task_id, **rest)
        return _carried(stored, key or "value")

    @staticmethod
    def deserialize_value(result: Any) -> Any:
        """What the task pushed."""
        from airflow.sdk.serde import allow_class

        allow_class(Exact)
        return BaseXCom.deserialize_value(result)


def _collection(value: Any, where: str) -> Any:
    items = [exact(item, f"{where}[{index}]") for index, item in enumerate(value)]
    # Airflow takes a named tuple for a tuple, and so does this.
    kind = next(known for known in (list, tuple, set, frozenset) if isinstance(value, known))
    return kind(items)


def _mapping(value: dict[Any, Any], where: str) -> Any:
    items = {key: exact(item, f"{where}.{key}") for key, item in value.items()}
    # Airflow makes texts of all keys, and takes keys with two underscores for its own.
    if all(type(key) is str and not key.startswith("__") and _is_plain(key) for key in items):
        return items
    return Exact("mapping", [[exact(key, f"a key of {where}"), item] for key, item in items.items()])


def _integer(value: int, where: str) -> Any:
    if value.bit_length() > MAX_INTEGER_BITS:
        raise XComRefused(where, "is an integer of more than 64 bits, which no task takes", "give a Decimal or a text")
    return value


def _float(value: float, where: str) -> Any:  # noqa: ARG001 - one signature for all
    return value if math.isfinite(value) else Exact("float", repr(value))


def _text(value: str, where: str) -> Any:  # noqa: ARG001
    return value if _is_plain(value) else Exact("text", json.dumps(value))


def _is_plain(text: str) -> bool:
    """Whether a database stores it: no U+0000, no half of a surrogate pair."""
    return "\x00" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _moment(value: datetime | time, where: str) -> Any:
    kind = "datetime" if isinstance(value, datetime) else "time"
    zone = value.tzinfo
    if isinstance(zone, ZoneInfo) and zone.key:
        return Exact(kind, (value.replace(tzinfo=None, fold=0).isoformat(), zone.key, value.fold))
    if zone is not None and type(zone) is not timezone:
        _check_return(value, where)
        return value
    return Exact(kind, (value.replace(fold=0).isoformat(), "", value.fold))


def _moment_of(kind: str) -> Callable[[tuple[str, str, int]], datetime | time]:
    def read(data: tuple[str, str, int]) -> datetime | time:
        text, key, fold = data
        made = datetime.fromisoformat(text) if kind == "datetime" else time.fromisoformat(text)
        zone: tzinfo | None = ZoneInfo(key) if key else made.tzinfo
        return made.replace(tzinfo=zone, fold=fold)

    return read


def _frame(value: Any, where: str) -> Exact | None:
    """A data frame; None when it is none. A process that has not imported pandas holds none."""
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(value, getattr(pandas, "DataFrame", ())):
        return None
    from tradeloop.airflow.frames import is_same, pack

    packed = Exact("frame", pack(value, where))
    if not is_same(_way_through(packed), value):
        raise XComRefused(where, "is a data frame that would not come back equal", "write a file and hand on its path")
    return packed


def _read_frame(data: dict[str, Any]) -> Any:
    from tradeloop.airflow.frames import unpack

    return unpack(data)


def _check_return(value: Any, where: str) -> None:
    """Do with the value what its way through Airflow will do, and refuse it if it changes."""
    try:
        back = _way_through(value)
    except (TypeError, ValueError, ImportError, AttributeError) as problem:
        told = " ".join(str(problem).split())[:300]
        raise XComRefused(
            where, f"is {type(value).__name__}, which Airflow cannot hand on ({told})", _THEN
        ) from problem
    is_builtin = isinstance(value, int | float | str)  # of a subclass: it comes as what it is a subclass of
    if type(back) is not type(value) and not is_builtin:
        raise XComRefused(where, f"is {type(value).__name__} and would come as {type(back).__name__}", _THEN)
    has_equality = getattr(type(value), "__eq__", None) is not object.__eq__
    if has_equality and not _equal(back, value):
        raise XComRefused(where, f"is {type(value).__name__} and would not come back equal", _THEN)


def _way_through(value: Any) -> Any:
    from airflow.sdk.serde import allow_class, deserialize, serialize

    allow_class(Exact)
    return deserialize(serialize(value))


_THEN = "return model_dump_json(), plain mappings and lists, or a reference to a file"


def _equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other) or (one != one and other != other)  # noqa: PLR0124 - so is a NaN
    except (TypeError, ValueError):  # of arrays: no single answer
        return True


def _carried(stored: Any, where: str) -> Any:
    """What Airflow has made of foreign objects, with what JSON cannot carry wrapped, too."""
    if isinstance(stored, dict):
        return {key: _carried(item, f"{where}.{key}") for key, item in stored.items()}
    if isinstance(stored, list):
        return [_carried(item, where) for item in stored]
    packed = exact(stored, where)
    if not isinstance(packed, Exact):
        return stored
    from airflow.sdk.serde import serialize

    return serialize(packed)


_PACKERS: dict[type, Callable[[Any, str], Any]] = {
    str: _text,
    int: _integer,
    float: _float,
    Decimal: lambda value, _: Exact("decimal", str(value)),
    datetime: _moment,
    time: _moment,
    date: lambda value, _: Exact("date", value.isoformat()),
    timedelta: lambda value, _: Exact("timedelta", (value.days, value.seconds, value.microseconds)),
}
_READERS: dict[str, Callable[[Any], Any]] = {
    "text": json.loads,
    "float": float,
    "decimal": Decimal,
    "datetime": _moment_of("datetime"),
    "time": _moment_of("time"),
    "date": date.fromisoformat,
    "timedelta": lambda data: timedelta(*data),
    "mapping": dict,
    "frame": _read_frame,
}
