"""Arguments in PostgreSQL's binary form: what psycopg makes of Python lists costs ten times as much.

Forms: array_recv, uuid_recv, jsonb_recv and timestamptz_recv of PostgreSQL's source; type numbers of pg_type.dat.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple
from uuid import UUID

_length: Final = struct.Struct("!i").pack
_header: Final = struct.Struct("!5i").pack
_int4: Final = struct.Struct("!i")
_int8: Final = struct.Struct("!q").pack
_NULL: Final = b"\xff\xff\xff\xff"
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""PostgreSQL counts from here."""


class Argument(NamedTuple):
    """A value and its type's number."""

    oid: int
    data: bytes


class Kind(NamedTuple):
    """A type: its number, that of its array, and how a value is written."""

    oid: int
    array_oid: int


TEXT: Final = Kind(25, 1009)
INTEGER: Final = Kind(23, 1007)
BIGINT: Final = Kind(20, 1016)
JSONB: Final = Kind(3802, 3807)
BYTES: Final = Kind(17, 1001)
UUIDS: Final = Kind(2950, 2951)
MOMENTS: Final = Kind(1184, 1185)


def uuid(value: UUID) -> Argument:
    """One uuid."""
    return Argument(UUIDS.oid, value.bytes)


def text(value: str) -> Argument:
    """One text."""
    return Argument(TEXT.oid, value.encode())


def integer(value: int) -> Argument:
    """One integer."""
    return Argument(INTEGER.oid, _int4.pack(value))


def uuids(values: Sequence[UUID | None]) -> Argument:
    """An array of uuid."""
    return _array(UUIDS, values, lambda value: value.bytes)


def texts(values: Sequence[str]) -> Argument:
    """An array of text."""
    return _array(TEXT, values, str.encode)


def integers(values: Sequence[int]) -> Argument:
    """An array of integer."""
    return _array(INTEGER, values, _int4.pack)


def bigints(values: Sequence[int]) -> Argument:
    """An array of bigint."""
    return _array(BIGINT, values, _int8)


def blobs(values: Sequence[bytes | None]) -> Argument:
    """An array of bytea."""
    return _array(BYTES, values, bytes)


def documents(values: Sequence[str | bytes | None]) -> Argument:
    """An array of jsonb, of JSON texts."""
    return _array(JSONB, values, lambda value: b"\x01" + (value.encode() if isinstance(value, str) else value))


def moments(values: Sequence[datetime]) -> Argument:
    """An array of timestamptz."""
    return _array(MOMENTS, values, _moment)


def _moment(value: datetime) -> bytes:
    passed = value - _EPOCH
    return _int8((passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds)


def _array(kind: Kind, values: Sequence[object], written: Callable[..., bytes]) -> Argument:
    if not values:
        return Argument(kind.array_oid, struct.pack("!3i", 0, 0, kind.oid))
    return Argument(kind.array_oid, b"".join((_header(1, 1, kind.oid, len(values), 1), *_elements(values, written))))


def _elements(values: Iterable[object], written: Callable[..., bytes]) -> Iterable[bytes]:
    for value in values:
        if value is None:
            yield _NULL
        else:
            data = written(value)
            yield _length(len(data))
            yield data


def read_uuid(data: bytes) -> UUID:
    """A uuid of an answer."""
    return UUID(bytes=data)


def read_integer(data: bytes) -> int:
    """An integer of an answer."""
    return int(_int4.unpack(data)[0])


def read_uuids(data: bytes) -> list[UUID]:
    """An array of uuid of an answer, without NULLs."""
    if _int4.unpack_from(data)[0] == 0:
        return []
    count = _int4.unpack_from(data, 12)[0]
    return [UUID(bytes=data[place : place + 16]) for place in range(24, 24 + 20 * count, 20)]
