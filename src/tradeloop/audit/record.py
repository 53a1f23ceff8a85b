"""One audit record, and the bytes that its hash is of."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID

from tradeloop.domain.runs import derive_id

ZERO: Final = bytes(32)
"""What the first record of a stream, and the first seal, follow."""
TAG: Final = b"tla1"
"""Begins what is hashed for a record: the form's name and version."""
EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""Of PostgreSQL's own binary form of a time, which is what is hashed."""
ENTRY_BYTES: Final = 52
MARK: Final = b'": {"$redacted": {"sha256": "'
"""Stands between a key and the hash of its text; inside of a string every quote would have a backslash before it."""
AUDIT_STREAM: Final = derive_id("audit_stream", "audit")
"""Audit stream of what is done to the audit itself: erasures."""
ERASED: Final = "audit_erased"


@dataclass(frozen=True, slots=True)
class Part:
    """A text of a record that can be erased: the record holds only `sha256(salt + text)`."""

    key: str
    salt: bytes
    text: str
    """The JSON of the value."""

    @property
    def digest(self) -> str:
        """What stands in the record."""
        return part_digest(self.salt, self.text)


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it is stored."""

    stream_id: UUID
    n: int
    id: int
    kind: str
    at: datetime
    body: str
    """The very text that PostgreSQL writes for the stored JSON: its bytes are hashed."""
    prev: bytes
    hash: bytes
    parts: tuple[Part, ...] = field(default=())

    @property
    def hashed(self) -> bytes:
        """The bytes that `hash` must be of."""
        kind = self.kind.encode()
        micros = (self.at - EPOCH) // timedelta(microseconds=1)
        return b"".join(
            (
                TAG,
                self.stream_id.bytes,
                self.n.to_bytes(4),
                self.id.to_bytes(8),
                micros.to_bytes(8, signed=True),
                len(kind).to_bytes(4),
                kind,
                self.prev,
                self.body.encode(),
            )
        )

    @property
    def entry(self) -> bytes:
        """What a seal holds of the record: 52 bytes."""
        return entry_of(self.stream_id, self.n, self.hash)


def part_digest(salt: bytes, text: str) -> str:
    """The salted hash that stands for a text: without the salt nobody can try words until one fits."""
    return sha256(salt + text.encode()).hexdigest()


def entry_of(stream_id: UUID, n: int, record_hash: bytes) -> bytes:
    """Stream, number and hash of a record, 52 bytes."""
    return stream_id.bytes + n.to_bytes(4) + record_hash


def entries_in(leaves: bytes) -> list[bytes]:
    """The entries of a seal, 52 bytes each.

    Raises:
        ValueError: the length fits no number of entries.
    """
    if len(leaves) % ENTRY_BYTES:
        raise ValueError(f"{len(leaves)} bytes are no list of entries of {ENTRY_BYTES}")
    return [leaves[at : at + ENTRY_BYTES] for at in range(0, len(leaves), ENTRY_BYTES)]


def marks_in(body: bytes) -> dict[str, str]:
    """The salted hashes that stand for texts, by key."""
    if MARK not in body:
        return {}
    pieces = body.split(MARK)
    keys = (piece[piece.rfind(b'"') + 1 :].decode() for piece in pieces[:-1])
    return dict(zip(keys, (piece[:64].decode("ascii", "replace") for piece in pieces[1:]), strict=True))
