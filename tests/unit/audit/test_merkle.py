"""Merkle trees: the shape of RFC 6962, and proofs that prove one leaf in one place."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradeloop.audit import merkle

# RFC 6962's own test data, as in the reference implementation's test vectors.
LEAVES = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657",
                                           "606162636465666768696a6b6c6d6e6f")]  # fmt: skip
ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


@pytest.mark.parametrize("size", ROOTS)
def test_roots_are_those_of_the_published_test_vectors(size: int) -> None:
    assert merkle.root(LEAVES[:size]).hex() == ROOTS[size]


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert merkle.root([]) == sha256(b"").digest()


@given(st.integers(1, 70), st.data())
def test_a_proof_leads_to_the_root_and_to_no_other_place(size: int, data: st.DataObject) -> None:
    leaves = [bytes([number]) for number in range(size)]
    place = data.draw(st.integers(0, size - 1))
    root, path = merkle.root(leaves), merkle.path(leaves, place)
    assert merkle.root_from(leaves[place], place, size, path) == root
    for other in {(place + 1) % size, size - 1 - place} - {place}:
        with suppress(ValueError):
            assert merkle.root_from(leaves[place], other, size, path) != root


def test_a_proof_of_another_length_or_place_is_refused() -> None:
    path = merkle.path(LEAVES, 2)
    with pytest.raises(ValueError, match="too short"):
        merkle.root_from(LEAVES[2], 2, 8, path[:-1])
    with pytest.raises(ValueError, match="too long"):
        merkle.root_from(LEAVES[2], 2, 8, [*path, path[0]])
    with pytest.raises(ValueError, match="no leaf 8 of 8"):
        merkle.root_from(LEAVES[2], 8, 8, path)
    with pytest.raises(IndexError):
        merkle.path(LEAVES, 8)


def test_a_node_cannot_be_passed_off_as_a_leaf() -> None:
    inner = merkle.leaf(LEAVES[0]) + merkle.leaf(LEAVES[1])
    assert merkle.root([inner]) != merkle.root(LEAVES[:2])
