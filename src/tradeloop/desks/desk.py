"""What makes a desk: pure functions from an event's data to facts, a verdict and an action."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any  # JSON: what a checkpoint keeps

from tradeloop.domain.actions import Action
from tradeloop.domain.decisions import Decision
from tradeloop.gate.allowed import Allowed
from tradeloop.gate.lattice import Lattice
from tradeloop.gate.policy_file import PolicyFile

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Policy's own answer, which stands alone when there is no model."""

    decision: Decision
    """Without an action."""
    ambiguous: tuple[str, ...] = ()
    """Outcomes, less cautious than the decision, that policy leaves to the agents here; empty: policy is sure."""
    asks: bool = False
    """Whether agents are asked at all; they may always be more cautious."""
    quoted: Mapping[str, str] = field(default_factory=dict)
    """Free text from outside by name: agents see it as quoted data; no action is ever made of it."""


@dataclass(frozen=True, slots=True)
class Specialist:
    """An agent that looks at one side of an ambiguous case."""

    name: str
    instructions: str
    """What it is to judge; ours, never from outside. Part of the graph's version."""
    tool: Callable[[Json, Json, Path], Json]
    """Header, facts and reference root to further facts: `{"findings": [{"id": ...}, ...]}`; pure, no network."""


@dataclass(frozen=True, slots=True)
class Desk:
    """A desk, as `desks.graph.build` makes a graph of it."""

    name: str
    event_type: str
    policy: PolicyFile
    lattice: Lattice
    load: Callable[[Json, Path], Json]
    """Event data and reference root to the header: what identifies the case, small and typed.

    Raises ReferenceInvalid or DecisionInvalid, naming line and field.
    """
    facts: Callable[[Json, Path], Json]
    """The same to all that the checks found, JSON: at least `{"findings": [{"id": ..., "sentence": ...}, ...]}`."""
    judge: Callable[[Json, Json], Verdict]
    """Header and facts to policy's answer."""
    action: Callable[[Json, Json, str], Action | None]
    """Header, facts and the outcome that stands to the action; of typed facts alone."""
    allowed: tuple[Allowed, ...]
    specialists: tuple[Specialist, ...] = ()
    asks: Callable[[Json, Json, str], Action | None] | None = None
    """The same to what a person may do about an outcome for which there is no action: it is put before people."""
    warm: Callable[[], object] | None = None
