"""Seals held against each other: numbers, hashes, roots and signatures."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from tradeloop.audit.findings import Kind, Report
from tradeloop.audit.keys import PublicKey
from tradeloop.audit.record import ENTRY_BYTES, ZERO
from tradeloop.audit.seal import Header, Seal, read_header, root_of


class Seals:
    """Takes seals in their order; what does not fit is in the report."""

    def __init__(self, report: Report, keys: Mapping[str, PublicKey], *, must_begin: bool = True) -> None:
        """`must_begin`: the first seal that comes must be number 1; otherwise the chain may begin anywhere."""
        self._report = report
        self._keys = keys
        self._last: tuple[int, bytes] | None = (0, ZERO) if must_begin else None
        self._any_signed = False
        self.pruned_to = 0
        """Up to this seal the newest signed word says that records were removed."""
        self.hashes: set[str] = set()
        report.keys = sorted(keys)

    def take(self, number: int, seal: Seal) -> Header | None:
        """Check one seal; `number` is what it is stored under. Returns its header, None when that cannot be read."""
        report = self._report
        report.seals += 1
        try:
            header = read_header(seal.header)
        except (ValueError, TypeError) as problem:
            report.add(Kind.ROOT, f"the header cannot be read: {problem}", seal=number)
            self._last = (number, seal.hash)
            return None
        digest = sha256(seal.header.encode()).digest()
        if digest != seal.hash:
            report.add(Kind.ROOT, "the header is not what its hash is of", seal=number)
        if header.seal != number:
            report.add(Kind.ROOT, f"it is stored as number {number} and says {header.seal}", seal=number)
        self._follow(number, header)
        self._last = (number, digest)
        self._signature(number, header, seal)
        self._root(number, header, seal)
        self.pruned_to = max(self.pruned_to, header.pruned_to)
        report.pruned += seal.leaves is None or seal.pruned_at is not None
        report.head, report.head_seal = digest.hex(), number
        self.hashes.add(report.head)
        return header

    def end(self, head: str = "") -> None:
        """All seals were taken; `head` is the hash of one that is known to be there."""
        if head and head.lower() not in self.hashes:
            self._report.add(
                Kind.TRUNCATED,
                f"no seal has the known head {head[:16]}…: the newest seals are gone or were written anew",
                seal=self._report.head_seal + 1,
            )
        if self._keys and self._report.seals and not self._any_signed:
            self._report.add(Kind.SIGNATURE, "no seal is signed, and a key was given", seal=self._report.head_seal)

    def _follow(self, number: int, header: Header) -> None:
        if self._last is None:
            return
        last, digest = self._last
        for gone in range(last + 1, min(number, last + 101)):
            self._report.add(Kind.MISSING, "the seal is not there", seal=gone)
        if number == last + 1 and header.prev != digest:
            self._report.add(Kind.ROOT, "it does not follow the seal before it", seal=number)

    def _signature(self, number: int, header: Header, seal: Seal) -> None:
        report = self._report
        if seal.signature is None or not header.key_id:
            report.unsigned += 1
            if self._any_signed or header.key_id or seal.signature is not None:
                report.add(Kind.SIGNATURE, "it is not signed, and seals before it are", seal=number)
        elif not self._keys:
            self._any_signed = True
            report.unchecked += 1
        elif header.key_id not in self._keys:
            self._any_signed = True
            report.add(Kind.SIGNATURE, f"signed with key {header.key_id}, which is none of the given", seal=number)
        elif self._keys[header.key_id].signed(seal.header, seal.signature):
            self._any_signed = True
            report.signed += 1
        else:
            self._any_signed = True
            report.add(Kind.SIGNATURE, f"the signature is not by key {header.key_id}", seal=number)

    def _root(self, number: int, header: Header, seal: Seal) -> None:
        if seal.leaves is None:
            return
        if len(seal.leaves) != header.records * ENTRY_BYTES or root_of(seal.leaves) != header.root:
            self._report.add(Kind.ROOT, "its list of records is not what its root is of", seal=number)
