"""What a verification found."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final  # Any: JSON
from uuid import UUID

SHOWN: Final = 1000
"""Findings that are kept one by one; the rest is counted."""


class Kind(StrEnum):
    """What is wrong."""

    CHANGED = "changed"
    """A record is not what was recorded."""
    MISSING = "missing"
    """A record that was sealed, or that another one follows, is not there."""
    INSERTED = "inserted"
    """A record that no seal knows and that waits for none."""
    REORDERED = "reordered"
    """A record stands in another one's place."""
    TRUNCATED = "truncated"
    """The known head is not in the chain: the newest seals are gone."""
    ROOT = "root_broken"
    """A seal does not fit its records, its own hash or the seal before it."""
    SIGNATURE = "signature_wrong"
    """A seal is signed by nobody who may, or by nobody at all."""
    FORM = "unreadable"
    """Something cannot be read as what it should be."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and where."""

    kind: Kind
    words: str
    stream_id: UUID | None = None
    n: int | None = None
    seal: int | None = None

    @property
    def place(self) -> str:
        """Stream and number, or the seal."""
        if self.stream_id is not None:
            return f"{self.stream_id} {self.n}"
        return f"seal {self.seal}" if self.seal is not None else ""

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "kind": self.kind.value,
            "stream_id": str(self.stream_id) if self.stream_id else None,
            "n": self.n,
            "seal": self.seal,
            "words": self.words,
        }


@dataclass
class Report:
    """A verification's result."""

    records: int = 0
    seals: int = 0
    signed: int = 0
    """Seals whose signature was checked and right."""
    unsigned: int = 0
    unchecked: int = 0
    """Signed seals, while no public key was given."""
    unsealed: int = 0
    """Records that wait for their seal."""
    pruned: int = 0
    """Seals whose records retention removed; the chain says so."""
    erased: int = 0
    """Texts that were erased; the audit says so."""
    head: str = ""
    """Hash of the newest seal: keep it elsewhere, and the next verification proves that nothing was cut off."""
    head_seal: int = 0
    keys: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    found: int = 0
    _known: set[tuple[object, ...]] = field(default_factory=set, repr=False)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        return self.found == 0

    def add(
        self, kind: Kind, words: str, *, stream_id: UUID | None = None, n: int | None = None, seal: int | None = None
    ) -> None:
        """Note what is wrong; the same kind at the same place is one finding."""
        place = (kind, stream_id, n, "" if kind is Kind.MISSING else words) if stream_id else (kind, seal, words)
        if place in self._known:
            return
        self.found += 1
        if len(self.findings) < SHOWN:
            self._known.add(place)
            self.findings.append(Finding(kind, words, stream_id, n, seal))

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "whole": self.is_whole,
            "records": self.records,
            "seals": self.seals,
            "signed": self.signed,
            "unsigned": self.unsigned,
            "unchecked": self.unchecked,
            "unsealed": self.unsealed,
            "pruned": self.pruned,
            "erased": self.erased,
            "head": self.head,
            "head_seal": self.head_seal,
            "keys": self.keys,
            "notes": self.notes,
            "found": self.found,
            "findings": [finding.as_json() for finding in self.findings],
        }
