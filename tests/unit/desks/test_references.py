"""Files by reference: the root, stores that fsspec reads, and what neither may give."""

from __future__ import annotations

import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tradeloop.desks import references
from tradeloop.desks.references import Reference, read_reference
from tradeloop.errors import ReferenceInvalid, ReferenceUnreachable
from tradeloop.settings import Settings

BATCH = b"date,close\n2026-01-12,100.0\n"
MOST = 1_000


class _Slow(MemoryFileSystem):  # type: ignore[misc] # fsspec is untyped
    protocol = "slow"

    def info(self, path: str, **_: object) -> dict[str, Any]:
        time.sleep(5)
        return {"size": len(BATCH), "name": path}


class _Gone(MemoryFileSystem):  # type: ignore[misc]
    protocol = "gone"

    def info(self, path: str, **_: object) -> dict[str, Any]:
        raise ConnectionError(f"nobody answers for {path}")


class _Silent(MemoryFileSystem):  # type: ignore[misc]
    """A server that does not say how large a file is, and never stops sending."""

    protocol = "silent"
    taken = 0

    def info(self, path: str, **_: object) -> dict[str, Any]:
        return {"size": None, "name": path}

    def open(self, path: str, mode: str = "rb", **_: object) -> Any:  # noqa: ARG002
        return self

    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *_: object) -> None: ...

    def read(self, most: int) -> bytes:
        _Silent.taken = most
        return b"x" * most


@pytest.fixture(autouse=True)
def _stores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for kind in (_Slow, _Gone, _Silent):
        fsspec.register_implementation(kind.protocol, kind, clobber=True)
    stores = "memory://firm/eod/,slow://firm,gone://firm/,silent://firm/,nobody://firm/"
    settings = Settings(_env_file=None, reference_stores=stores, reference_timeout_s=0.5)
    monkeypatch.setattr(references, "load_settings", lambda: settings)
    memory = fsspec.filesystem("memory")
    for path in ("/firm/eod/batch.csv", "/firm/secret.csv", "/firm/eod-else/batch.csv"):
        memory.pipe(path, BATCH)
    yield
    memory.store.clear()


def reference(uri: str, raw: bytes = BATCH, size_bytes: int | None = None) -> Reference:
    return Reference(uri=uri, sha256=sha256(raw).hexdigest(), size_bytes=len(raw) if size_bytes is None else size_bytes)


def test_a_named_store_is_read(tmp_path: Path) -> None:
    assert read_reference(reference("memory://firm/eod/batch.csv"), tmp_path, most_bytes=MOST) == BATCH


def test_a_file_below_the_root_is_read(tmp_path: Path) -> None:
    (tmp_path / "a b.csv").write_bytes(BATCH)
    assert read_reference(reference((tmp_path / "a b.csv").as_uri()), tmp_path, most_bytes=MOST) == BATCH


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("memory://firm/secret.csv", "is not taken"),
        ("memory://firm/eod-else/batch.csv", "is not taken"),
        ("memory://firm/eod/", "is not taken"),
        ("memory://firm/eod/../secret.csv", "is not taken"),
        ("memory://firm/eod/%2e%2e/secret.csv", "is not taken"),
        ("memory://firm/eod/*.csv", "is not taken"),
        ("memory://firm/eod/a.zip::file:///etc/passwd", "is not taken"),
        ("zip://batch.csv::memory://firm/eod/a.zip", "is not taken"),
        ("http://169.254.169.254/latest", "is not taken"),
        ("batch.csv", "is not taken"),
        ("file://elsewhere/etc/passwd", "names no other machine"),
        ("file:///etc/hostname", "is no file below"),
        ("memory://firm/eod/absent.csv", "is not there"),
        ("nobody://firm/batch.csv", "cannot be read"),
    ],
)
def test_what_is_not_named_is_never_read(uri: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ReferenceInvalid, match=told) as refused:
        read_reference(reference(uri), tmp_path, most_bytes=MOST)
    assert not refused.value.retriable


def test_what_was_altered_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReferenceInvalid, match="was altered"):
        read_reference(reference("memory://firm/eod/batch.csv", b"x" * len(BATCH)), tmp_path, most_bytes=MOST)
    with pytest.raises(ReferenceInvalid, match="the event says 5"):
        read_reference(reference("memory://firm/eod/batch.csv", b"other"), tmp_path, most_bytes=MOST)
    (tmp_path / "batch.csv").write_bytes(BATCH)
    with pytest.raises(ReferenceInvalid, match="the event says 5"):
        read_reference(reference((tmp_path / "batch.csv").as_uri(), b"other"), tmp_path, most_bytes=MOST)


def test_too_much_is_not_even_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ReferenceInvalid, match="at most 1,000 are read"):
        read_reference(reference("gone://firm/batch.csv", size_bytes=1_001), tmp_path, most_bytes=MOST)


def test_a_server_that_never_stops_sending_is_read_no_further_than_the_event_says(tmp_path: Path) -> None:
    with pytest.raises(ReferenceInvalid, match="has not the"):
        read_reference(reference("silent://firm/batch.csv"), tmp_path, most_bytes=MOST)
    assert _Silent.taken == len(BATCH) + 1


def test_a_slow_store_is_left_and_tried_again_later(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(ReferenceUnreachable, match=r"within 0\.5 s") as late:
        read_reference(reference("slow://firm/batch.csv"), tmp_path, most_bytes=MOST)
    assert time.monotonic() - begun < 4
    assert late.value.retriable


def test_a_store_that_does_not_answer_is_tried_again_later(tmp_path: Path) -> None:
    with pytest.raises(ReferenceUnreachable, match="nobody answers"):
        read_reference(reference("gone://firm/batch.csv"), tmp_path, most_bytes=MOST)


@pytest.mark.parametrize("store", ["s3", "bucket/folder", "file:///etc/", "s3://", "s3://b?x=1", "a://b::file:///"])
def test_a_store_that_is_no_address_is_refused(store: str) -> None:
    with pytest.raises(ValueError, match="an address such as"):
        Settings(_env_file=None, reference_stores=store)
