"""Merkle trees as in RFC 6962, section 2.1: leaves and nodes are hashed with different first bytes."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256


def leaf(data: bytes) -> bytes:
    """Hash of one leaf."""
    return sha256(b"\x00" + data).digest()


def node(left: bytes, right: bytes) -> bytes:
    """Hash of two subtrees."""
    return sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Root over leaf data; of none it is the hash of nothing."""
    if not leaves:
        return sha256(b"").digest()
    level = [leaf(data) for data in leaves]
    while len(level) > 1:
        above = [node(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            above.append(level[-1])
        level = above
    return level[0]


def path(leaves: Sequence[bytes], place: int) -> list[bytes]:
    """The inclusion proof of the leaf at `place`: the hashes beside the way to the root, the lowest first.

    Raises:
        IndexError: there is no such leaf.
    """
    if not 0 <= place < len(leaves):
        raise IndexError(place)
    level = [leaf(data) for data in leaves]
    found = []
    while len(level) > 1:
        beside = place ^ 1
        if beside < len(level):
            found.append(level[beside])
        above = [node(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            above.append(level[-1])
        level, place = above, place // 2
    return found


def root_from(data: bytes, place: int, size: int, beside: Sequence[bytes]) -> bytes:
    """The root that an inclusion proof leads to; RFC 9162, section 2.1.3.2.

    Raises:
        ValueError: place, size and length of the proof do not fit together.
    """
    if not 0 <= place < size:
        raise ValueError(f"there is no leaf {place} of {size}")
    here, at, last = leaf(data), place, size - 1
    for other in beside:
        if last == 0:
            raise ValueError("the proof is too long")
        if at % 2 or at == last:
            here = node(other, here)
            while at % 2 == 0 and at:
                at, last = at >> 1, last >> 1
        else:
            here = node(here, other)
        at, last = at >> 1, last >> 1
    if last:
        raise ValueError("the proof is too short")
    return here
