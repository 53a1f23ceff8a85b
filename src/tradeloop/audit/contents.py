"""Records held against the seals that list them, and against each other."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final
from uuid import UUID

from tradeloop.audit.findings import Kind, Report
from tradeloop.audit.record import AUDIT_STREAM, ENTRY_BYTES, ERASED, ZERO, Part, marks_in

KEY: Final = slice(4, 24)
"""Stream and number in what is hashed for a record; the id follows."""
KIND_AT: Final = 40


@dataclass(slots=True)
class Listed:
    """The records of one seal that have not come yet."""

    seal: int
    last_id: int
    left: dict[bytes, bytes]
    """Hash by stream and number (20 bytes)."""
    may_be_gone: bool
    hashes: set[bytes] | None = field(default=None)


class Contents:
    """Takes records in the order of their ids, after the seals that list them."""

    def __init__(self, report: Report, *, waiting: Collection[int] = (), keep_links: bool = False) -> None:
        """`waiting`: ids that wait for a seal; `keep_links`: remember what `check_links` needs, 100 bytes a record."""
        self._report = report
        self._waiting = waiting
        self._open: list[Listed] = []
        self._gone: list[tuple[int, bytes]] = []
        self._seen: tuple[bytes, dict[str, str]] = (b"", {})
        self._texts: dict[tuple[bytes, str], str] = {}
        self.links: list[bytes] | None = [] if keep_links else None
        self.erased: set[tuple[UUID, int, str]] = set()
        """Texts that the audit says were erased."""

    def expect(self, seal: int, last_id: int, leaves: bytes, *, may_be_gone: bool = False) -> None:
        """From now on records of this seal may come."""
        left = {leaves[at : at + 20]: leaves[at + 20 : at + ENTRY_BYTES] for at in range(0, len(leaves), ENTRY_BYTES)}
        self._open.append(Listed(seal, last_id, left, may_be_gone))

    def take(self, hashed: bytes, stored: bytes) -> bytes:
        """One record: the bytes that its hash is of, and the hash that stands with it; returns its key."""
        report = self._report
        key = hashed[KEY]
        digest = sha256(hashed).digest()
        report.records += 1
        if self.links is not None:
            self.links.append(key + hashed[self._prev_at(hashed) :][:32] + digest)
        if key[:16] == AUDIT_STREAM.bytes and hashed[KIND_AT + 4 : self._prev_at(hashed)] == ERASED.encode():
            self._note_erasure(hashed)
        for listed in self._open:
            expected = listed.left.pop(key, None)
            if expected is None:
                continue
            if expected != digest:
                self._differs(listed, key, expected, stored, digest)
            elif stored != digest:
                self._tell(Kind.CHANGED, "the hash that stands with it was changed", key)
            return key
        if int.from_bytes(hashed[24:32], signed=True) in self._waiting:
            report.unsealed += 1
            if stored != digest:
                self._tell(Kind.CHANGED, "its content is not what its hash is of; it waits for a seal", key)
        else:
            self._tell(Kind.INSERTED, "no seal lists it", key)
        return key

    def take_part(self, key: bytes, hashed: bytes, part: Part | None) -> None:
        """A text of the record that just came, or that there is none; once for each text, before the next record."""
        if self._seen[0] != key:
            self.end_parts()
            self._seen = (key, marks_in(hashed[self._prev_at(hashed) + 32 :]))
        if part is None:
            return
        expected = self._seen[1].pop(part.key, None)
        if expected is None:
            self._tell(Kind.INSERTED, f"a text {part.key!r} that the record does not have", key)
        elif expected != part.digest:
            self._tell(Kind.CHANGED, f"the text {part.key!r} is not what was recorded", key)

    def end_parts(self) -> None:
        """The texts of the last record are all there: those that it names beside are gone."""
        key, left = self._seen
        for name in left:
            self._texts[key, name] = ""
        self._seen = (b"", {})

    def settle(self, before_id: int | None = None) -> None:
        """What seals list below this id, and did not come, does not come any more; None: of all seals."""
        still = []
        for listed in self._open:
            if before_id is not None and listed.last_id >= before_id:
                still.append(listed)
            elif not listed.may_be_gone:
                self._gone += [(listed.seal, key) for key in listed.left]
        self._open = still

    def end(self, pruned_to: int = 0) -> None:
        """No more records come; up to the seal `pruned_to` they may be gone."""
        self.settle()
        for seal, key in self._gone:
            if seal > pruned_to:
                self._tell(Kind.MISSING, f"seal {seal} lists it", key)
        self._settle_texts()

    def _settle_texts(self) -> None:
        self.end_parts()
        for key, name in self._texts:
            stream, n = UUID(bytes=key[:16]), int.from_bytes(key[16:])
            if (stream, n, name) in self.erased:
                self._report.erased += 1
            else:
                words = f"the text {name!r} is gone, and no erasure of it is recorded"
                self._report.add(Kind.MISSING, words, stream_id=stream, n=n)

    def _differs(self, listed: Listed, key: bytes, expected: bytes, stored: bytes, digest: bytes) -> None:
        if listed.hashes is None:
            listed.hashes = set(listed.left.values()) | {expected}
        if (stored != expected and stored in listed.hashes) or digest in listed.hashes:
            self._tell(Kind.REORDERED, f"another record of seal {listed.seal} stands here", key)
        else:
            self._tell(Kind.CHANGED, f"its content is not what seal {listed.seal} lists", key)

    def _tell(self, kind: Kind, words: str, key: bytes) -> None:
        self._report.add(kind, words, stream_id=UUID(bytes=key[:16]), n=int.from_bytes(key[16:]))

    def _note_erasure(self, hashed: bytes) -> None:
        with suppress(ValueError, KeyError, TypeError):  # of a record that was tampered with, which its hash shows
            body = json.loads(hashed[self._prev_at(hashed) + 32 :])
            self.erased |= {(UUID(body["stream_id"]), n, name) for n, name in body["parts"]}

    @staticmethod
    def _prev_at(hashed: bytes) -> int:
        return KIND_AT + 4 + int.from_bytes(hashed[KIND_AT : KIND_AT + 4])


def check_links(report: Report, links: Iterable[bytes], *, whole: bool) -> None:
    """Records in the order of stream and number: 20 bytes of both, then prev and hash, 32 each.

    `whole`: every stream must be here from its number 1; otherwise beginnings may be gone or in another file.
    """
    stream, last_n, last_hash = b"", 0, ZERO
    for data in links:
        key, prev = data[:20], data[20:52]
        n = int.from_bytes(key[16:])
        if key[:16] != stream:
            stream, last_n, last_hash = key[:16], 0, ZERO
            if n > 1 and not whole:
                last_n, last_hash = n - 1, prev
        if n != last_n + 1:
            for gone in range(last_n + 1, min(n, last_n + 101)):
                report.add(Kind.MISSING, f"record {n} follows it", stream_id=UUID(bytes=stream), n=gone)
        elif prev != last_hash:
            report.add(Kind.REORDERED, "it does not follow the record before it", stream_id=UUID(bytes=stream), n=n)
        last_n, last_hash = n, data[52:]
