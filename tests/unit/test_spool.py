"""The outbox in a file."""

from __future__ import annotations

from pathlib import Path

from tradeloop.domain.records import Record
from tradeloop.kafka.spool import FileSpool


def record(key: str, value: str = "{}") -> Record:
    return Record("events", key.encode(), value.encode(), (("ce_id", b"\xff\x00id"),))


def test_records_come_back_in_order_and_unchanged(tmp_path: Path) -> None:
    spool = FileSpool(tmp_path / "outbox.sqlite3")
    kept = [record("a", "1"), record("b", "2"), record("a", "3")]
    spool.keep(kept)
    assert [found for _, found in spool.oldest(10)] == kept


def test_what_was_kept_survives_the_process(tmp_path: Path) -> None:
    first = FileSpool(tmp_path / "outbox.sqlite3")
    first.keep([record("a")])
    first.close()
    assert FileSpool(tmp_path / "outbox.sqlite3").count() == 1


def test_a_removed_record_is_gone_and_its_key_free(tmp_path: Path) -> None:
    spool = FileSpool(tmp_path / "outbox.sqlite3")
    spool.keep([record("a"), record("b")])
    spool.remove([number for number, found in spool.oldest(10) if found.key == b"a"])
    assert (spool.count(), spool.holds(b"a"), spool.holds(b"b")) == (1, False, True)


def test_two_writers_share_one_file(tmp_path: Path) -> None:
    one, other = FileSpool(tmp_path / "outbox.sqlite3"), FileSpool(tmp_path / "outbox.sqlite3")
    for _ in range(20):
        one.keep([record("a")])
        other.keep([record("b")])
    assert one.count() == other.count() == 40
