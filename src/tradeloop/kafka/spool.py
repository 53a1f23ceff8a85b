"""An outbox in a file: what could not be published yet, for programs outside Airflow and without a database."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from tradeloop.domain.records import Record
from tradeloop.errors import OutboxUnusable

BUSY_MS: Final = 1000
"""How long one process waits while another writes, which takes milliseconds; the caller of `publish` waits with it."""
MAX_BATCH_BYTES: Final = 16_000_000
"""What is read at a time: rows of a megabyte each would fill the memory by count alone."""


class Spool(Protocol):
    """Where a producer keeps what it could not publish."""

    def keep(self, records: Sequence[Record]) -> None:
        """Store the records durably, in order, all of them or none.

        Raises:
            OutboxUnusable: nothing was stored.
        """
        ...

    def oldest(self, limit: int) -> list[tuple[int, Record]]:
        """The oldest records with their numbers, in order."""
        ...

    def remove(self, numbers: Sequence[int]) -> None:
        """Forget records that were published."""
        ...

    def count(self) -> int:
        """How many records wait."""
        ...

    def holds(self, key: bytes) -> bool:
        """Whether a record of this key waits: a later one of the key must then wait behind it."""
        ...


class FileSpool:
    """A spool in one SQLite file; several processes may share it.

    Raises:
        OutboxUnusable: by every method, when the file cannot be used; it says why, and no record is lost by it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mutex = threading.Lock()
        with self._used():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000
            )
            try:
                self._prepare()
            except BaseException:
                self._database.close()
                raise

    def keep(self, records: Sequence[Record]) -> None:
        """Store the records durably, in order, all of them or none."""
        rows = [
            (r.topic, r.key, r.value, json.dumps([[n, v.decode("latin-1")] for n, v in r.headers])) for r in records
        ]
        with self._writing():
            self._database.executemany("INSERT INTO outbox (topic, key, value, headers) VALUES (?, ?, ?, ?)", rows)

    def oldest(self, limit: int) -> list[tuple[int, Record]]:
        """The oldest records with their numbers, in order; fewer than `limit` when they are large."""
        found: list[tuple[int, Record]] = []
        size_bytes = 0
        with self._used():
            cursor = self._database.execute(
                "SELECT number, topic, key, value, headers FROM outbox ORDER BY number LIMIT ?", (limit,)
            )
            for number, topic, key, value, headers in cursor:
                pairs = tuple((name, text.encode("latin-1")) for name, text in json.loads(headers))
                found.append((number, Record(topic, key, value, pairs)))
                size_bytes += len(value)
                if size_bytes > MAX_BATCH_BYTES:
                    break
            cursor.close()  # or the read stays open, and the write-ahead log grows behind it
        return found

    def remove(self, numbers: Sequence[int]) -> None:
        """Forget records that were published."""
        with self._writing():
            self._database.executemany("DELETE FROM outbox WHERE number = ?", [(number,) for number in numbers])

    def count(self) -> int:
        """How many records wait; counts them, so not for every event."""
        with self._used():
            return int(self._database.execute("SELECT count(*) FROM outbox").fetchone()[0])

    def holds(self, key: bytes) -> bool:
        """Whether a record of this key waits."""
        with self._used():
            return self._database.execute("SELECT 1 FROM outbox WHERE key = ? LIMIT 1", (key,)).fetchone() is not None

    def close(self) -> None:
        """Close the file."""
        with self._used():
            self._database.close()

    def _prepare(self) -> None:
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")  # kept means kept, also when the power fails
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS outbox (number INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, "
            "key BLOB NOT NULL, value BLOB NOT NULL, headers TEXT NOT NULL)"
        )
        self._database.execute("CREATE INDEX IF NOT EXISTS outbox_key ON outbox (key)")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._used():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:  # a full disk ends some transactions by itself
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _used(self) -> Iterator[None]:
        with self._mutex:
            try:
                yield
            except (sqlite3.Error, OSError) as problem:
                raise OutboxUnusable(
                    f"the outbox {self.path} cannot be used: {problem}",
                    hint="make room, or name a file that this account may write; move a damaged one away: "
                    "sqlite3 FILE .recover reads what it still holds",
                ) from problem
