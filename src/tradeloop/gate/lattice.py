"""The guard: a decision is never less cautious than policy allows, whoever proposes it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from tradeloop.domain.decisions import Decision


@dataclass(frozen=True, slots=True)
class Lattice:
    """A desk's outcomes in the order of caution.

    Example:
        >>> Lattice(("ACCEPT", "REFETCH", "ESCALATE")).most_cautious(["REFETCH", "ACCEPT"])
        'REFETCH'
    """

    outcomes: tuple[str, ...]
    """From least to most cautious."""

    def caution(self, outcome: str) -> int:
        """The outcome's place; higher is more cautious.

        Raises:
            ValueError: the desk has no such outcome.
        """
        return self.outcomes.index(outcome)

    def most_cautious(self, outcomes: Iterable[str], default: str = "") -> str:
        """The most cautious of these; of none, `default` or the least cautious there is."""
        return max(outcomes, key=self.caution, default=default or self.outcomes[0])


def guarded(
    lattice: Lattice,
    own: Decision,
    proposed: Decision | None,
    *,
    ambiguous: Collection[str] = (),
    facts: Collection[str] = (),
) -> Decision:
    """What stands of a proposal, without an action: that is the desk's to add, from typed facts alone.

    A proposal may always be more cautious than policy (`own`). Less cautious it may be only where policy left the case
    open, with an outcome of `ambiguous`, citing facts that exist. No proposal where one was due (None), or an outcome
    that the desk does not have: policy's answer, marked `degraded`.
    """
    own = own.model_copy(update={"action": None})
    if proposed is None or proposed.outcome not in lattice.outcomes:
        return own.model_copy(update={"degraded": True})
    if not _is_allowed(lattice, own, proposed, ambiguous, facts):
        refused = f"the agents proposed {proposed.outcome}; policy does not leave that to them here"
        return own.model_copy(update={"reasons": [*own.reasons, refused], "model": proposed.model})
    by_policy = {"policy_version": own.policy_version, "policy_hash": own.policy_hash, "findings": own.findings}
    return proposed.model_copy(update={**by_policy, "action": None})


def _is_allowed(
    lattice: Lattice, own: Decision, proposed: Decision, ambiguous: Collection[str], facts: Collection[str]
) -> bool:
    if lattice.caution(proposed.outcome) >= lattice.caution(own.outcome):
        return True
    return proposed.outcome in ambiguous and bool(proposed.cited) and set(proposed.cited) <= set(facts)
