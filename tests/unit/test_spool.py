"""The outbox in a file."""

from __future__ import annotations

import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tradeloop.domain.records import Record
from tradeloop.errors import OutboxUnusable
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


def test_a_batch_is_kept_whole_or_not_at_all_by_a_process_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite3"
    program = (
        "import sys; from pathlib import Path; from tradeloop.kafka.spool import FileSpool\n"
        "from tradeloop.domain.records import Record\n"
        "spool = FileSpool(Path(sys.argv[1]))\n"
        "while True:\n"
        "    spool.keep([Record('events', b'k', b'x' * 50_000)] * 10)\n"
        "    print(flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        for _ in range(5):
            assert writer.stdout.readline()
        writer.kill()  # most likely in the middle of a write
        confirmed = 5 + len(writer.stdout.readlines())
    spool = FileSpool(path)
    assert spool.count() in {10 * confirmed, 10 * confirmed + 10}
    spool.keep([record("a")])
    spool.close()


@pytest.fixture
def full_disk() -> Iterator[Callable[[bool], None]]:
    """Lets no file of this process grow beyond 100 kB while it is on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda is_full: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000 if is_full else soft, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_told_keeps_nothing_by_halves_and_passes(
    tmp_path: Path, full_disk: Callable[[bool], None]
) -> None:
    spool = FileSpool(tmp_path / "outbox.sqlite3")
    spool.keep([record("a")])
    full_disk(True)
    with pytest.raises(OutboxUnusable, match=r"outbox\.sqlite3 cannot be used: "):
        spool.keep([record("b"), record("c", "x" * 200_000)])
    full_disk(False)
    spool.keep([record("d")])
    assert [found.key for _, found in spool.oldest(10)] == [b"a", b"d"]


def test_a_file_that_is_no_outbox_is_named(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite3"
    path.write_bytes(b"no database at all " * 500)
    with pytest.raises(OutboxUnusable, match=f"{path} cannot be used: file is not a database"):
        FileSpool(path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutboxUnusable, match=r"file/outbox\.sqlite3 cannot be used"):
        FileSpool(tmp_path / "file" / "outbox.sqlite3")


def test_a_writer_that_never_ends_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    spool = FileSpool(tmp_path / "outbox.sqlite3")
    other = sqlite3.connect(spool.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(OutboxUnusable, match="database is locked"):
        spool.keep([record("a")])
    other.execute("ROLLBACK")
    other.close()
    spool.keep([record("a")])
    assert spool.count() == 1


@pytest.mark.timeout(120)
def test_a_hundred_thousand_records_are_handed_out_and_forgotten_in_order(tmp_path: Path) -> None:
    spool = FileSpool(tmp_path / "outbox.sqlite3")
    spool.keep([record(f"k{n}", str(n)) for n in range(100_000)])
    found: list[bytes] = []
    while rows := spool.oldest(5000):
        found += [kept.value for _, kept in rows]
        spool.remove([number for number, _ in rows])
    assert found == [str(n).encode() for n in range(100_000)]
    assert not spool.holds(b"k99999")


def test_large_records_are_handed_out_a_few_at_a_time(tmp_path: Path) -> None:
    spool = FileSpool(tmp_path / "outbox.sqlite3")
    spool.keep([record(f"k{n}", "x" * 1_000_000) for n in range(20)])
    assert len(spool.oldest(500)) == 17
