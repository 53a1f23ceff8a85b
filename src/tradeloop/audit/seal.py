"""A seal: the Merkle root of records, chained to the seal before it, and signed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final

from tradeloop.audit import merkle
from tradeloop.audit.keys import SigningKey
from tradeloop.audit.record import ENTRY_BYTES, ZERO, entries_in
from tradeloop.domain.canonical import canonical_json, utc_text
from tradeloop.ports.audit import Head, NewSeal, Unsealed

FORM: Final = "tradeloop.audit.seal.v1"
FIELDS: Final = {
    "form": str,
    "seal": int,
    "at": str,
    "records": int,
    "first_id": int,
    "last_id": int,
    "last_at": str,
    "root": str,
    "prev": str,
    "pruned_to": int,
    "key_id": str,
}


@dataclass(frozen=True, slots=True)
class Header:
    """What a seal says; its canonical JSON is hashed and signed."""

    seal: int
    """1, 2, 3 ..."""
    at: datetime
    """When it was made, by the clock of the machine that signed."""
    records: int
    first_id: int
    last_id: int
    last_at: datetime
    """The newest time of its records."""
    root: bytes
    prev: bytes
    """Hash of the seal before it."""
    pruned_to: int
    """Up to this seal retention has removed records; 0: none."""
    key_id: str
    """Of the key that signs; empty: nobody does."""

    @property
    def text(self) -> str:
        """The canonical JSON."""
        return canonical_json(
            {
                "form": FORM,
                "seal": self.seal,
                "at": utc_text(self.at),
                "records": self.records,
                "first_id": self.first_id,
                "last_id": self.last_id,
                "last_at": utc_text(self.last_at),
                "root": self.root.hex(),
                "prev": self.prev.hex(),
                "pruned_to": self.pruned_to,
                "key_id": self.key_id,
            }
        )


@dataclass(frozen=True, slots=True)
class Seal:
    """A seal as it is stored."""

    header: str
    """The canonical JSON, as it was signed."""
    hash: bytes
    signature: bytes | None
    leaves: bytes | None
    """52 bytes a record: stream, number, hash; None once all its records are over."""
    pruned_at: datetime | None = None


def make_seal(
    records: Sequence[Unsealed], last: Head, *, at: datetime, pruned_to: int, key: SigningKey | None
) -> NewSeal:
    """Seal records, in the order of their ids, after the seal `last`; without a key it is not signed."""
    entries = [record.entry for record in records]
    header = Header(
        seal=last.seal + 1,
        at=at,
        records=len(entries),
        first_id=records[0].id if records else 0,
        last_id=records[-1].id if records else 0,
        last_at=max((record.at for record in records), default=at),
        root=merkle.root(entries),
        prev=last.hash,
        pruned_to=pruned_to,
        key_id=key.public.id if key else "",
    )
    text = header.text
    return NewSeal(
        seal=header.seal,
        prev=last.hash,
        header=text,
        hash=sha256(text.encode()).digest(),
        key_id=header.key_id,
        signature=key.sign(text) if key else None,
        leaves=b"".join(entries),
        ids=[record.id for record in records],
        last_at=header.last_at,
    )


def read_header(text: str) -> Header:
    """The header of a canonical JSON text.

    Raises:
        ValueError: it is none; the message says what does not fit.
    """
    fields = json.loads(text)
    if not isinstance(fields, dict) or set(fields) != set(FIELDS):
        raise ValueError("not the fields of a seal")
    for name, kind in FIELDS.items():
        if type(fields[name]) is not kind:
            raise ValueError(f"{name} is {fields[name]!r}")
    if fields.pop("form") != FORM:
        raise ValueError("another form than this release knows")
    for name in ("at", "last_at"):
        fields[name] = datetime.fromisoformat(fields[name])
    for name in ("root", "prev"):
        fields[name] = bytes.fromhex(fields[name])
    header = Header(**fields)
    if len(header.root) != len(ZERO) or len(header.prev) != len(ZERO) or header.text != text:
        raise ValueError("not the canonical spelling")
    return header


def root_of(leaves: bytes) -> bytes | None:
    """Root over the entries; None when these are no entries."""
    return merkle.root(entries_in(leaves)) if len(leaves) % ENTRY_BYTES == 0 else None
