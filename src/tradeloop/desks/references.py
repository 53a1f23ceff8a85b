"""Files that an event refers to: below the worker's reference root or in a named store, bound by size and digest."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from hashlib import sha256
from pathlib import Path
from threading import Thread
from typing import Final
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field

from tradeloop.errors import ReferenceInvalid, ReferenceUnreachable
from tradeloop.settings import load_settings

BLOCK_BYTES: Final = 1024 * 1024


class Reference(BaseModel):
    """A file below the worker's reference root or in a named store, bound by its digest."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    uri: str = Field(min_length=1, max_length=2000)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(ge=0)


def read_reference(reference: Reference, root: Path, *, most_bytes: int) -> bytes:
    """The bytes of a referenced file, once size and sha256 were found to be right.

    `file://` is read below `root`; any other address through fsspec, where TRADELOOP_REFERENCE_STORES names what it
    begins with, within TRADELOOP_REFERENCE_TIMEOUT_S.

    Raises:
        ReferenceInvalid: not below `root` or a named store, larger than `most_bytes`, or altered.
        ReferenceUnreachable: the store does not answer in time; worth another try.
    """
    if reference.size_bytes > most_bytes:
        raise ReferenceInvalid(
            f"{reference.uri!r:.200} has {reference.size_bytes:,} bytes; at most {most_bytes:,} are read"
        )
    parts = urlsplit(reference.uri)
    if parts.scheme != "file":
        raw = _from_store(reference)
    elif parts.netloc not in ("", "localhost"):
        raise ReferenceInvalid(f"{reference.uri!r:.200} is not taken; a file:// address names no other machine")
    else:
        raw = _from_root(reference, unquote(parts.path), root)
    found = sha256(raw).hexdigest()
    if found != reference.sha256:
        raise ReferenceInvalid(
            f"{reference.uri!r:.200} was altered: its sha256 is {found}, the event says {reference.sha256}"
        )
    return raw


def _from_root(reference: Reference, named: str, root: Path) -> bytes:
    try:
        base, path = root.resolve(), Path(named).resolve(strict=True)
        if not path.is_relative_to(base) or not path.is_file():
            raise ReferenceInvalid(
                f"{path} is no file below {base}", hint="TRADELOOP_REFERENCE_ROOT names the only folder that is read"
            )
        size_bytes = path.stat().st_size
        if size_bytes != reference.size_bytes:
            raise ReferenceInvalid(f"{path} has {size_bytes:,} bytes; the event says {reference.size_bytes:,}")
        return path.read_bytes()
    except (OSError, ValueError, RuntimeError) as problem:  # RuntimeError: a loop of links
        raise ReferenceInvalid(f"{reference.uri!r:.200} cannot be read: {problem}") from problem


def _from_store(reference: Reference) -> bytes:
    settings = load_settings()
    if not any(_is_below(reference.uri, store) for store in settings.reference_stores):
        raise ReferenceInvalid(
            f"{reference.uri!r:.200} is not taken; a file:// address below TRADELOOP_REFERENCE_ROOT is expected, "
            "or one that begins as TRADELOOP_REFERENCE_STORES says",
            hint="store the file there, or name its store: s3://bucket/folder/",
        )
    return _in_time(lambda: _fetched(reference), settings.reference_timeout_s, reference)


def _is_below(uri: str, store: str) -> bool:
    """Whether an address lies in a named store; nothing in it may lead out again or mean something else there."""
    tail = uri.removeprefix(store.rstrip("/") + "/")
    odd = ("::", "?", "#", "*", "%", "\\", "[", "{")  # chains of file systems, queries, patterns, hidden separators
    return tail not in ("", uri) and ".." not in tail.split("/") and not any(mark in tail for mark in odd)


def _fetched(reference: Reference) -> bytes:
    import fsspec

    try:
        filesystem, path = fsspec.core.url_to_fs(reference.uri)
        size_bytes = filesystem.info(path).get("size")  # None: the server does not say
        if size_bytes is not None and size_bytes != reference.size_bytes:
            raise ReferenceInvalid(
                f"{reference.uri!r:.200} has {size_bytes:,} bytes; the event says {reference.size_bytes:,}"
            )
        with filesystem.open(path, "rb", block_size=BLOCK_BYTES) as source:
            raw = bytes(source.read(reference.size_bytes + 1))
    except ImportError as problem:
        raise ReferenceInvalid(
            f"{reference.uri!r:.200} cannot be read: {problem}", hint="install fsspec's package: s3fs, gcsfs or adlfs"
        ) from problem
    except FileNotFoundError as problem:
        raise ReferenceInvalid(f"{reference.uri!r:.200} is not there") from problem
    except ValueError as problem:
        raise ReferenceInvalid(f"{reference.uri!r:.200} cannot be read: {problem}") from problem
    except (OSError, RuntimeError) as problem:
        raise ReferenceUnreachable(f"{reference.uri!r:.200} cannot be read now: {problem}") from problem
    if len(raw) != reference.size_bytes:
        raise ReferenceInvalid(f"{reference.uri!r:.200} has not the {reference.size_bytes:,} bytes that the event says")
    return raw


def _in_time(read: Callable[[], bytes], within_s: float, reference: Reference) -> bytes:
    """What a thread of its own reads; one that is late is left behind, as nothing ends a library's call."""
    done: Future[bytes] = Future()

    def work() -> None:
        try:
            done.set_result(read())
        except BaseException as problem:  # noqa: BLE001 - handed to who waits
            done.set_exception(problem)

    Thread(target=work, name="reference", daemon=True).start()
    try:
        return done.result(within_s)
    except TimeoutError as problem:
        raise ReferenceUnreachable(
            f"{reference.uri!r:.200} was not read within {within_s:g} s",
            hint="TRADELOOP_REFERENCE_TIMEOUT_S allows more",
        ) from problem
