"""An outbox in a file: what could not be published yet, for programs outside Airflow and without a database."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from tradeloop.domain.records import Record

BUSY_MS: Final = 5000
"""How long one process waits while another writes; a shorter wait would fail under two writers."""


class Spool(Protocol):
    """Where a producer keeps what it could not publish."""

    def keep(self, records: Sequence[Record]) -> None:
        """Store the records durably, in order."""
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
    """A spool in one SQLite file; several processes may share it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._mutex = threading.Lock()
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")  # kept means kept, also when the power fails
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS outbox (number INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, "
            "key BLOB NOT NULL, value BLOB NOT NULL, headers TEXT NOT NULL)"
        )
        self._database.execute("CREATE INDEX IF NOT EXISTS outbox_key ON outbox (key)")

    def keep(self, records: Sequence[Record]) -> None:
        """Store the records durably, in order."""
        rows = [
            (r.topic, r.key, r.value, json.dumps([[n, v.decode("latin-1")] for n, v in r.headers])) for r in records
        ]
        with self._mutex:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("INSERT INTO outbox (topic, key, value, headers) VALUES (?, ?, ?, ?)", rows)
            self._database.execute("COMMIT")

    def oldest(self, limit: int) -> list[tuple[int, Record]]:
        """The oldest records with their numbers, in order."""
        with self._mutex:
            rows = self._database.execute(
                "SELECT number, topic, key, value, headers FROM outbox ORDER BY number LIMIT ?", (limit,)
            ).fetchall()
        return [
            (number, Record(topic, key, value, tuple((n, v.encode("latin-1")) for n, v in json.loads(headers))))
            for number, topic, key, value, headers in rows
        ]

    def remove(self, numbers: Sequence[int]) -> None:
        """Forget records that were published."""
        with self._mutex:
            self._database.executemany("DELETE FROM outbox WHERE number = ?", [(number,) for number in numbers])

    def count(self) -> int:
        """How many records wait."""
        with self._mutex:
            return int(self._database.execute("SELECT count(*) FROM outbox").fetchone()[0])

    def holds(self, key: bytes) -> bool:
        """Whether a record of this key waits."""
        with self._mutex:
            return self._database.execute("SELECT 1 FROM outbox WHERE key = ? LIMIT 1", (key,)).fetchone() is not None

    def close(self) -> None:
        """Close the file."""
        with self._mutex:
            self._database.close()
