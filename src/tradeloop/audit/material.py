"""What an evidence bundle is made of: records with their proofs, seals, events, keys."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final  # Any: JSON of records
from uuid import UUID

from tradeloop.audit import merkle
from tradeloop.audit.record import Part, Record, entries_in
from tradeloop.audit.seal import Seal, read_header

END_KINDS: Final = frozenset({"run_done", "run_failed", "run_cancelled", "run_expired", "run_unhandled"})
"""Kinds of the records that end a run."""


@dataclass(frozen=True, slots=True)
class Proven:
    """A record and the proof that a seal lists it."""

    record: Record
    seal: int
    place: int
    path: tuple[bytes, ...]
    """The hashes beside the way from the record to the seal's root."""


@dataclass(frozen=True, slots=True)
class Material:
    """Everything that a bundle shows, and nothing that is not proven or derived from it."""

    run_id: UUID
    records: tuple[Proven, ...]
    """The run's own, by number; then those of other streams that name the run, by id."""
    seals: Mapping[int, Seal]
    """Without their lists; the newest is the head as of which this was made."""
    events: Mapping[str, bytes] = field(default_factory=dict)
    """The original bytes of events that are still there, by event id."""
    public_keys: str = ""
    """PEM of the keys that signed these seals."""

    @property
    def own(self) -> list[Record]:
        """The records of the run's own stream."""
        return [one.record for one in self.records if one.record.stream_id == self.run_id]

    @property
    def end(self) -> dict[str, Any]:
        """The body of the newest record that ended the run; empty when there is none."""
        found = [record for record in self.own if record.kind in END_KINDS]
        return body_of(found[-1]) if found else {}

    @property
    def evidence(self) -> dict[str, Any]:
        """Decision, effect and error of that record in full; empty when they were erased."""
        found = self.end.get("evidence")
        return found if isinstance(found, dict) and "$redacted" not in found else {}

    @property
    def action(self) -> dict[str, Any] | None:
        """The action of the decision, as its digest is of it; None: there is none, or it was erased."""
        decision = self.evidence.get("decision")
        action = decision.get("action") if isinstance(decision, dict) else None
        return action if isinstance(action, dict) else None

    @property
    def head(self) -> tuple[int, Seal] | None:
        """The newest seal."""
        number = max(self.seals, default=0)
        return (number, self.seals[number]) if number else None


def prove(record: Record, number: int, seal: Seal) -> Proven:
    """The record with its inclusion proof.

    Raises:
        ValueError: the seal does not list it.
    """
    entries = entries_in(seal.leaves or b"")
    place = entries.index(record.entry)
    return Proven(record, number, place, tuple(merkle.path(entries, place)))


def leads_to(one: Proven, seal: Seal) -> bool:
    """Whether the proof leads from the record's content to the root that the seal's header says."""
    header = read_header(seal.header)
    entry = one.record.stream_id.bytes + one.record.n.to_bytes(4) + sha256(one.record.hashed).digest()
    return merkle.root_from(entry, one.place, header.records, one.path) == header.root


def body_of(record: Record) -> dict[str, Any]:
    """The body with the texts that were not erased."""
    body: dict[str, Any] = json.loads(record.body)
    return body | {part.key: value_of(part) for part in record.parts}


def value_of(part: Part) -> Any:
    """The value of an erasable text."""
    try:
        return json.loads(part.text)
    except ValueError:
        return part.text


def without_lists(seals: Mapping[int, Seal]) -> dict[int, Seal]:
    """The seals as a bundle has them."""
    return {number: Seal(seal.header, seal.hash, seal.signature, None) for number, seal in sorted(seals.items())}


def in_order(run_id: UUID, records: Sequence[Proven]) -> tuple[Proven, ...]:
    """The run's own records by number, then the others by id."""
    own = sorted((one for one in records if one.record.stream_id == run_id), key=lambda one: one.record.n)
    beside = sorted((one for one in records if one.record.stream_id != run_id), key=lambda one: one.record.id)
    return (*own, *beside)
