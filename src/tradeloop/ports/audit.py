"""What the sealer of the audit needs from the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Unsealed:
    """A record that waits for its seal."""

    id: int
    entry: bytes
    """Stream, number and hash: 52 bytes."""
    at: datetime


@dataclass(frozen=True, slots=True)
class NewSeal:
    """A seal that is to be written."""

    seal: int
    prev: bytes
    """Hash of the seal before it."""
    header: str
    """The canonical JSON that was hashed and signed."""
    hash: bytes
    key_id: str
    signature: bytes | None
    leaves: bytes
    """The entries of its records."""
    ids: Sequence[int]
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Head:
    """The newest seal; number 0 and a hash of zeros when there is none."""

    seal: int
    hash: bytes
    header: str = ""


class SealStore(Protocol):
    """Records that wait for a seal, and the chain of seals."""

    async def head(self) -> Head:
        """The newest seal."""
        ...

    async def unsealed(self, limit: int) -> list[Unsealed]:
        """Committed records that no seal holds, in the order of their ids."""
        ...

    async def pruned_since(self, seal: int) -> list[str]:
        """Headers of the seals after that one whose records retention removed, in order."""
        ...

    async def append(self, seal: NewSeal) -> bool:
        """Write the seal, and let its records wait no more; False when another sealer was faster."""
        ...
