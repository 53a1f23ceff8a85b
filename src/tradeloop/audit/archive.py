"""An export of the audit: JSON lines with seals, records and public keys, which verifies without a database."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final  # Any: JSON
from uuid import UUID

from tradeloop.audit.contents import Contents, check_links
from tradeloop.audit.findings import Kind, Report
from tradeloop.audit.keys import PublicKey
from tradeloop.audit.record import Part, Record
from tradeloop.audit.seal import Seal
from tradeloop.audit.sealed import Seals
from tradeloop.domain.canonical import canonical_json, utc_text
from tradeloop.errors import UsageInvalid

FORM: Final = "tradeloop.audit.export.v1"
STEP: Final = 10_000


def seal_json(number: int, seal: Seal) -> dict[str, Any]:
    """A seal for a file."""
    return {
        "seal": number,
        "header": seal.header,
        "hash": seal.hash.hex(),
        "signature": seal.signature.hex() if seal.signature is not None else None,
        "leaves": b64encode(seal.leaves).decode() if seal.leaves is not None else None,
    }


def seal_of(line: Mapping[str, Any]) -> Seal:
    """The seal of a file's JSON.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    return Seal(
        header=str(line["header"]),
        hash=bytes.fromhex(line["hash"]),
        signature=bytes.fromhex(line["signature"]) if line["signature"] is not None else None,
        leaves=b64decode(line["leaves"], validate=True) if line["leaves"] is not None else None,
    )


def record_json(record: Record) -> dict[str, Any]:
    """A record for a file; its body is the text that was hashed, not JSON in JSON."""
    return {
        "stream_id": str(record.stream_id),
        "n": record.n,
        "id": record.id,
        "kind": record.kind,
        "at": utc_text(record.at),
        "body": record.body,
        "prev": record.prev.hex(),
        "hash": record.hash.hex(),
        "clear": {part.key: {"salt": part.salt.hex(), "text": part.text} for part in record.parts},
    }


def record_of(line: Mapping[str, Any]) -> Record:
    """The record of a file's JSON.

    Raises:
        ValueError, KeyError, TypeError, OverflowError: it is none.
    """
    return Record(
        stream_id=UUID(line["stream_id"]),
        n=int(line["n"]),
        id=int(line["id"]),
        kind=str(line["kind"]),
        at=datetime.fromisoformat(line["at"]),
        body=str(line["body"]),
        prev=bytes.fromhex(line["prev"]),
        hash=bytes.fromhex(line["hash"]),
        parts=tuple(
            Part(key, bytes.fromhex(part["salt"]), str(part["text"])) for key, part in sorted(line["clear"].items())
        ),
    )


def lines(
    seals: Iterable[tuple[int, Seal, Iterable[Record]]],
    keys: Mapping[str, PublicKey],
    *,
    instance: str,
    made_at: datetime,
) -> Iterator[str]:
    """The lines of an export: a head, each seal with its records behind it, and an end with the counts."""
    head = {"form": FORM, "instance": instance, "made_at": utc_text(made_at)}
    yield canonical_json(head | {"keys": {name: key.pem for name, key in keys.items()}})
    count, newest, total = 0, "", 0
    for number, seal, records in seals:
        count, newest = count + 1, seal.hash.hex()
        yield canonical_json({"type": "seal"} | seal_json(number, seal))
        for record in records:
            total += 1
            yield canonical_json({"type": "record"} | record_json(record))
    yield canonical_json({"type": "end", "seals": count, "records": total, "head": newest})


def is_archive(file: Path) -> bool:
    """Whether the file begins as an export does."""
    with file.open("rb") as read:
        return FORM.encode() in read.read(65_536).split(b"\n", 1)[0]


def verify_archive(
    file: Path, keys: Mapping[str, PublicKey], *, head: str = "", progress: Callable[[int], None] = lambda _: None
) -> Report:
    """Check an export by itself. The keys in the file prove nothing: whoever made the file chose them.

    Raises:
        UsageInvalid: the file is no export.
    """
    if not is_archive(file):
        raise UsageInvalid(f"{file} is no export of the audit.", hint="tradeloop audit export -o FILE makes one")
    report = Report()
    reading = _Reading(report, keys)
    with file.open(encoding="utf-8", errors="surrogateescape") as read:
        next(read)
        for number, text in enumerate(read, 2):
            try:
                reading.take(json.loads(text))
            except (ValueError, KeyError, TypeError, OverflowError, AttributeError) as problem:
                report.add(Kind.FORM, f"line {number} cannot be read: {type(problem).__name__}: {problem}")
            if number % STEP == 0:
                progress(report.records)
    reading.end(head)
    return report


class _Reading:
    """Takes the lines of a file."""

    def __init__(self, report: Report, keys: Mapping[str, PublicKey]) -> None:
        self._report = report
        self._seals = Seals(report, keys, must_begin=False)
        self._contents = Contents(report, keep_links=True)
        self._emptied: list[int] = []
        self._first = 0
        self._end: dict[str, Any] | None = None

    def take(self, line: dict[str, Any]) -> None:
        """One line."""
        if self._end is not None:
            raise ValueError("it stands behind the end")
        match line["type"]:
            case "seal":
                self._contents.settle()
                self._take_seal(int(line["seal"]), seal_of(line))
            case "record":
                self._take_record(record_of(line))
            case "end":
                self._end = line
            case other:
                raise ValueError(f"no line is of type {other!r}")

    def end(self, head: str) -> None:
        """No line is left."""
        report = self._report
        self._contents.end(self._seals.pruned_to)
        for number in self._emptied:
            if number > self._seals.pruned_to:
                report.add(Kind.MISSING, "its list is gone, and no seal says that retention removed it", seal=number)
        if self._end is None:
            report.add(Kind.TRUNCATED, "the file has no end")
        elif (self._end.get("seals"), self._end.get("records"), self._end.get("head")) != (
            report.seals,
            report.records,
            report.head,
        ):
            report.add(Kind.TRUNCATED, "the file's end tells other counts or another head than the file has")
        self._seals.end(head)
        whole = self._first == 1 and self._seals.pruned_to == 0
        check_links(report, sorted(self._contents.links or ()), whole=whole)
        if report.unsigned:
            report.notes.append(f"{report.unsigned:,} of {report.seals:,} seals are not signed: no key was set")
        if report.unchecked:
            report.notes.append(f"{report.unchecked:,} signatures were not checked: no public key was given (--key)")
        if self._first > 1:
            report.notes.append(f"begins with seal {self._first}: what was before is not in the file")

    def _take_seal(self, number: int, seal: Seal) -> None:
        self._first = self._first or number
        header = self._seals.take(number, seal)
        if header is not None:
            if seal.leaves is None:
                self._emptied.append(number)
            self._contents.expect(number, header.last_id, seal.leaves or b"")

    def _take_record(self, record: Record) -> None:
        hashed = record.hashed
        key = self._contents.take(hashed, record.hash)
        for part in record.parts or (None,):
            self._contents.take_part(key, hashed, part)
