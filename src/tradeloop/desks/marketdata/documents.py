"""Files that an event refers to: below the worker's reference root, bound by size and digest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final  # Any: JSON from outside

from pydantic import ConfigDict

from tradeloop.desks import references
from tradeloop.errors import ReferenceInvalid

MAX_BATCH_BYTES: Final = 64 * 1024 * 1024
"""The largest referenced file that is read: about 500,000 bars. More would let one event fill a worker's memory."""


class Reference(references.Reference):
    """A file below the worker's reference root, bound by its digest; what else stands beside it is not looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore")


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
    return references.read_reference(reference, root, most_bytes=MAX_BATCH_BYTES)


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
