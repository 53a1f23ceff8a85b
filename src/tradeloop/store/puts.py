"""One call of a saver as encoded rows, and a batch of them as the arguments of `put_checkpoints`."""

from __future__ import annotations

import json
import math
import struct
from asyncio import Future
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple  # Any: the values of a state
from uuid import UUID

import orjson
from langgraph.checkpoint.base import WRITES_IDX_MAP

TEXT, INTEGER, JSONB, BYTES, UUIDS = 25, 23, 3802, 17, 2950
"""Types by their numbers in pg_type.dat."""
ARRAY_OF: Final = {TEXT: 1009, INTEGER: 1007, JSONB: 3807, BYTES: 1001, UUIDS: 2951}
FENCES: Final = (UUIDS, UUIDS, INTEGER)
CHECKPOINTS: Final = (TEXT, TEXT, TEXT, TEXT, JSONB, JSONB)
BLOBS: Final = (TEXT, TEXT, TEXT, TEXT, TEXT, BYTES)
WRITES: Final = (TEXT, TEXT, TEXT, TEXT, TEXT, INTEGER, TEXT, TEXT, BYTES)
ARGUMENTS: Final = (*FENCES, *CHECKPOINTS, *BLOBS, *WRITES, *WRITES)
ARGUMENT_TYPES: Final = tuple(ARRAY_OF[kind] for kind in ARGUMENTS)

NULL: Final = b"\xff\xff\xff\xff"
_length: Final = struct.Struct("!i").pack
_array_header: Final = struct.Struct("!5i").pack
_integer: Final = struct.Struct("!2i").pack
_EMPTY: Final = {kind: struct.pack("!3i", 0, 0, kind) for kind in ARRAY_OF}
_ORJSON_OPTIONS: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME

Columns = tuple[bytes, ...]
"""Rows by columns; a column is its elements in PostgreSQL's binary form, one after the other."""


class Fence(NamedTuple):
    """Who may write a thread: the run's owner and the number of its claim."""

    run_id: UUID
    owner: UUID
    fence: int


@dataclass(slots=True, eq=False)
class Put:
    """One call of the saver. Its future ends when its rows are committed, or tells why they never will be."""

    thread: str
    place: tuple[str, str, str]
    """Thread, namespace and id of the checkpoint, or of the one that the writes belong to."""
    fence: Fence | None
    done: Future[None]
    checkpoint: Columns = ()
    blobs: Columns = ()
    blob_count: int = 0
    writes: Columns = ()
    upserts: Columns = ()
    write_count: int = 0
    supersedes: tuple[str, str, str] | None = None
    """The place whose spare writes this checkpoint contains."""
    is_spare: bool = False
    """Task writes that nobody needs once their step's checkpoint is there."""
    keys: tuple[tuple[str, ...], ...] = ()
    """What ON CONFLICT DO UPDATE may meet only once in a statement."""
    size_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        columns = (*self.checkpoint, *self.blobs, *self.writes, *self.upserts)
        self.size_bytes = sum(map(len, columns))


@lru_cache(maxsize=4096)
def name(text: str) -> bytes:
    """A text that comes again and again, as an element: a channel, a type."""
    data = text.encode()
    return _length(len(data)) + data


def element(data: bytes) -> bytes:
    """A value in its binary form, as an element of an array."""
    return _length(len(data)) + data


def json_element(value: Any, *, is_plain: bool) -> bytes:
    """A value of type jsonb, as the stock saver means it."""
    data = b"\x01" + to_json(value, is_plain=is_plain)
    return _length(len(data)) + data


def to_json(value: Any, *, is_plain: bool) -> bytes:
    """JSON that PostgreSQL reads as it reads the stock saver's, where that is an error, too.

    orjson makes null of NaN and refuses integers over 64 bits and keys that are no strings: then the standard
    library's encoder, the stock saver's, has the word. `is_plain`: what `is_finite` says of it.
    """
    if is_plain:
        try:
            return orjson.dumps(value, option=_ORJSON_OPTIONS)
        except orjson.JSONEncodeError:
            pass
    return json.dumps(value).encode()


def is_finite(value: Any) -> bool:
    """Whether no float in it is NaN or infinite, and every value is of JSON's own types."""
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return True
    if kind is dict:
        return all(map(is_finite, value.values()))
    if kind is list or kind is tuple:
        return all(map(is_finite, value))
    return kind is float and math.isfinite(value)


def checkpoint_columns(place: tuple[str, str, str], parent: str | None, checkpoint: Any, metadata: Any) -> Columns:
    """The row of a checkpoint."""
    thread, space, checkpoint_id = place
    return (
        element(thread.encode()),
        name(space),
        element(checkpoint_id.encode()),
        NULL if parent is None else element(parent.encode()),
        # Of a checkpoint, the values alone are a user's: the rest is LangGraph's ids and versions.
        json_element(checkpoint, is_plain=is_finite(checkpoint["channel_values"])),
        json_element(metadata, is_plain=is_finite(metadata)),
    )


def blob_columns(place: tuple[str, str, str], blobs: Sequence[tuple[str, str, str, bytes | None]]) -> Columns:
    """Rows of channels, versions, types and values."""
    count = len(blobs)
    return (
        element(place[0].encode()) * count,
        name(place[1]) * count,
        b"".join([name(channel) for channel, _, _, _ in blobs]),
        b"".join([element(str(version).encode()) for _, version, _, _ in blobs]),
        b"".join([name(kind) for _, _, kind, _ in blobs]),
        b"".join([NULL if data is None else element(data) for _, _, _, data in blobs]),
    )


def write_columns(
    place: tuple[str, str, str], task: str, path: str, writes: Sequence[tuple[int, str, str, bytes]]
) -> Columns:
    """Rows of a task's writes: index, channel, type, value."""
    count = len(writes)
    return (
        element(place[0].encode()) * count,
        name(place[1]) * count,
        element(place[2].encode()) * count,
        element(task.encode()) * count,
        element(path.encode()) * count,
        b"".join([_integer(4, index) for index, _, _, _ in writes]),
        b"".join([name(channel) for _, channel, _, _ in writes]),
        b"".join([name(kind) for _, _, kind, _ in writes]),
        b"".join([element(data) for _, _, _, data in writes]),
    )


def are_special(writes: Sequence[tuple[str, Any]]) -> bool:
    """Whether these are an error, an interrupt, a resume: what a second attempt overwrites, unlike other writes."""
    return all(channel in WRITES_IDX_MAP for channel, _ in writes)


def without_superseded(batch: Sequence[Put]) -> Sequence[Put]:
    """The batch without task writes whose step's outcome is in the batch, too."""
    superseded = {put.supersedes for put in batch if put.supersedes}
    if not superseded:
        return batch
    return [put for put in batch if not put.is_spare or put.place not in superseded]


def arguments(batch: Sequence[Put]) -> list[bytes]:
    """The batch as binary arguments of `put_checkpoints`."""
    fences = list({put.fence for put in batch if put.fence is not None})
    checkpoints = [put.checkpoint for put in batch if put.checkpoint]
    blobs = [put for put in batch if put.blob_count]
    writes = [put for put in batch if put.writes]
    upserts = [put for put in batch if put.upserts]
    return [
        _array(UUIDS, len(fences), (element(fence.run_id.bytes) for fence in fences)),
        _array(UUIDS, len(fences), (element(fence.owner.bytes) for fence in fences)),
        _array(INTEGER, len(fences), (_integer(4, fence.fence) for fence in fences)),
        *_arrays(CHECKPOINTS, len(checkpoints), checkpoints),
        *_arrays(BLOBS, sum(put.blob_count for put in blobs), [put.blobs for put in blobs]),
        *_arrays(WRITES, sum(put.write_count for put in writes), [put.writes for put in writes]),
        *_arrays(WRITES, sum(put.write_count for put in upserts), [put.upserts for put in upserts]),
    ]


def _arrays(kinds: Sequence[int], count: int, rows: Sequence[Columns]) -> Iterable[bytes]:
    if not count:
        return [_EMPTY[kind] for kind in kinds]
    return [_array(kind, count, column) for kind, column in zip(kinds, zip(*rows, strict=True), strict=True)]


def _array(kind: int, count: int, elements: Iterable[bytes]) -> bytes:
    # array_recv: dimensions, a flag for NULLs (which it does not trust), type, length, lower bound.
    return b"".join((_array_header(1, 1, kind, count, 1), *elements)) if count else _EMPTY[kind]
