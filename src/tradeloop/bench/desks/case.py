"""A labelled case: what a desk is given, and what it may answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol  # Any: an event's data

import numpy as np

from tradeloop.desks.desk import Desk
from tradeloop.domain.decisions import Decision

Difficulty = Literal["clean", "control", "single", "compound", "adversarial"]
"""`control`: looks bad and is right."""
Split = Literal["tuning", "test"]


@dataclass(frozen=True)
class Case:
    """One case of the benchmark; made from the seed alone, so the same seed is the same case."""

    case_id: str
    desk: str
    kind: str
    """What was injected, for example `spike` or `RB04`; the unit of the tables."""
    difficulty: Difficulty
    data: dict[str, Any]
    """The event's payload data."""
    acceptable: frozenset[str]
    """Outcomes that are right."""
    preferred: str
    unsafe: frozenset[str]
    """Outcomes that act by themselves where that is wrong: an unsafe automatic action."""
    labels: Mapping[str, Any] = field(default_factory=dict)
    """The truth in the desk's own terms (classes, rows, figures), for `score`."""


class Bench(Protocol):
    """A desk's part of the benchmark."""

    @property
    def desk(self) -> Desk:
        """The desk, under the policy that ships."""
        ...

    def cases(self, seed: int, count: int, split: Split, data: Path | None) -> Iterator[Case]:
        """Labelled cases: 25 % clean, 10 % controls, 45 % single, 20 % compound and adversarial, spread over the kinds.

        `data`: a folder of price files and fills to take as base where the desk can; None: synthetic base.
        """
        ...

    def score(self, case: Case, facts: dict[str, Any], decision: Decision) -> Mapping[str, float]:
        """Further figures of one answered case, each 0 to 1, as means by name (for example `class_named`)."""
        ...


def generator(seed: int, desk: str, kind: str, number: int, split: Split) -> np.random.Generator:
    """Random numbers of one case, independent of all others: a new kind does not reshuffle the old ones."""
    words = [seed, *f"{split}/{desk}/{kind}".encode(), number]
    return np.random.default_rng(np.random.SeedSequence(words))
