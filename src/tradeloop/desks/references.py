"""Files that an event refers to: below the worker's reference root, bound by size and digest."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field

from tradeloop.errors import ReferenceInvalid


class Reference(BaseModel):
    """A file below the worker's reference root, bound by its digest."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    uri: str = Field(min_length=1, max_length=2000)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(ge=0)


def read_reference(reference: Reference, root: Path, *, most_bytes: int) -> bytes:
    """The bytes of a referenced file, once size and sha256 were found to be right.

    Raises:
        ReferenceInvalid: not a plain file below `root`, larger than `most_bytes`, or altered.
    """
    parts = urlsplit(reference.uri)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise ReferenceInvalid(
            f"{reference.uri!r:.200} is not taken; a file:// address below {root} is expected",
            hint="store the file below TRADELOOP_REFERENCE_ROOT",
        )
    try:
        base, path = root.resolve(), Path(unquote(parts.path)).resolve(strict=True)
        if not path.is_relative_to(base) or not path.is_file():
            raise ReferenceInvalid(
                f"{path} is no file below {base}", hint="TRADELOOP_REFERENCE_ROOT names the only folder that is read"
            )
        size_bytes = path.stat().st_size
        if size_bytes != reference.size_bytes or size_bytes > most_bytes:
            raise ReferenceInvalid(
                f"{path} has {size_bytes:,} bytes; the event says {reference.size_bytes:,}, "
                f"at most {most_bytes:,} are read"
            )
        raw = path.read_bytes()
    except (OSError, ValueError, RuntimeError) as problem:  # RuntimeError: a loop of links
        raise ReferenceInvalid(f"{reference.uri!r:.200} cannot be read: {problem}") from problem
    found = sha256(raw).hexdigest()
    if found != reference.sha256:
        raise ReferenceInvalid(f"{path} was altered: its sha256 is {found}, the event says {reference.sha256}")
    return raw
