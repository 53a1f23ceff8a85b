"""Files that an event refers to: below the worker's reference root, bound by size and digest."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any, Final  # Any: JSON from outside
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field

from tradeloop.errors import ReferenceInvalid

MAX_BATCH_BYTES: Final = 64 * 1024 * 1024
"""The largest referenced file that is read: about 500,000 bars. More would let one event fill a worker's memory."""


class Reference(BaseModel):
    """A file below the worker's reference root, bound by its digest."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    uri: str = Field(min_length=1, max_length=2000)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(ge=0)


def read_object(reference: Reference, root: Path) -> dict[str, Any]:
    """The JSON object in a referenced file.

    Raises:
        ReferenceInvalid: not a plain file below `root`, altered, or no JSON object.
    """
    return json_object(read_reference(reference, root), reference.uri)


def read_reference(reference: Reference, root: Path) -> bytes:
    """The bytes of a referenced file, once size and sha256 were found to be right.

    Raises:
        ReferenceInvalid: not a plain file below `root`, or altered.
    """
    parts = urlsplit(reference.uri)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise ReferenceInvalid(
            f"{reference.uri!r:.200} is not taken; a file:// address below {root} is expected",
            hint="load the batch below TRADELOOP_REFERENCE_ROOT",
        )
    try:
        base, path = root.resolve(), Path(unquote(parts.path)).resolve(strict=True)
        if not path.is_relative_to(base) or not path.is_file():
            raise ReferenceInvalid(
                f"{path} is no file below {base}", hint="TRADELOOP_REFERENCE_ROOT names the only folder that is read"
            )
        size_bytes = path.stat().st_size
        if size_bytes != reference.size_bytes or size_bytes > MAX_BATCH_BYTES:
            raise ReferenceInvalid(
                f"{path} has {size_bytes:,} bytes; the event says {reference.size_bytes:,}, "
                f"at most {MAX_BATCH_BYTES:,} are read"
            )
        raw = path.read_bytes()
    except (OSError, ValueError, RuntimeError) as problem:  # RuntimeError: a loop of links
        raise ReferenceInvalid(f"{reference.uri!r:.200} cannot be read: {problem}") from problem
    found = sha256(raw).hexdigest()
    if found != reference.sha256:
        raise ReferenceInvalid(f"{path} was altered: its sha256 is {found}, the event says {reference.sha256}")
    return raw


def json_object(raw: bytes, where: str) -> dict[str, Any]:
    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON number")

    try:
        value = json.loads(raw, parse_constant=refuse)
    except (ValueError, RecursionError) as problem:
        raise ReferenceInvalid(f"{where} is not JSON: {problem}") from problem
    if not isinstance(value, dict):
        raise ReferenceInvalid(f"{where} holds a JSON {type(value).__name__}; an object is expected")
    return value
