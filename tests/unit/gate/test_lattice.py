"""The guard lets a proposal pass when it is no less cautious, or when policy left the case open."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tradeloop.domain.actions import Action
from tradeloop.domain.decisions import Decision
from tradeloop.gate.lattice import Lattice, guarded

LATTICE = Lattice(("ACCEPT", "QUARANTINE", "REFETCH", "ESCALATE"))
FACTS = ("F-01", "F-02")
STORABLE = st.characters(codec="utf-8", exclude_characters="\0")
OWN = Decision(outcome="REFETCH", policy_version="1", policy_hash="aa", findings=[{"id": "F-01"}])


def proposal(outcome: str, *cited: str, **more: object) -> Decision:
    return Decision.model_validate({"outcome": outcome, "cited": list(cited), "decided_by": "model", **more})


def test_a_more_cautious_proposal_stands_without_citing_anything() -> None:
    found = guarded(LATTICE, OWN, proposal("ESCALATE"), facts=FACTS)

    assert (found.outcome, found.decided_by, found.policy_hash, found.degraded) == ("ESCALATE", "model", "aa", False)


def test_a_more_lenient_proposal_falls_where_policy_is_sure() -> None:
    found = guarded(LATTICE, OWN, proposal("ACCEPT", "F-01"), facts=FACTS)

    assert (found.outcome, found.decided_by) == ("REFETCH", "policy")
    assert "the agents proposed ACCEPT" in found.reasons[-1]


def test_a_more_lenient_proposal_stands_where_policy_left_it_open_and_facts_are_cited() -> None:
    found = guarded(LATTICE, OWN, proposal("ACCEPT", "F-02"), ambiguous=("ACCEPT",), facts=FACTS)

    assert (found.outcome, found.decided_by) == ("ACCEPT", "model")


def test_a_more_lenient_proposal_falls_that_cites_nothing_or_what_does_not_exist() -> None:
    for cited in ((), ("F-09",), ("F-01", "F-09")):
        assert guarded(LATTICE, OWN, proposal("ACCEPT", *cited), ambiguous=("ACCEPT",), facts=FACTS).outcome == (
            "REFETCH"
        )


def test_silence_and_unknown_words_leave_the_policys_answer_marked_degraded() -> None:
    for silent in (None, proposal("RELEASE EVERYTHING")):
        found = guarded(LATTICE, OWN, silent, ambiguous=LATTICE.outcomes, facts=FACTS)
        assert (found.outcome, found.decided_by, found.degraded) == ("REFETCH", "policy", True)


@given(
    st.sampled_from(LATTICE.outcomes),
    st.text(STORABLE, max_size=12) | st.sampled_from(LATTICE.outcomes),
    st.lists(st.sampled_from([*FACTS, "F-77", "x"])),
    st.sets(st.sampled_from(LATTICE.outcomes)),
)
def test_nothing_passes_that_is_more_lenient_than_policy_and_what_it_left_open(
    own: str, proposed: str, cited: list[str], ambiguous: set[str]
) -> None:
    action = Action(kind="trigger_dag", target="anything")
    given_own = OWN.model_copy(update={"outcome": own})
    offered = proposal(proposed or "?", *cited, action=action, policy_hash="forged")

    found = guarded(LATTICE, given_own, offered, ambiguous=ambiguous, facts=FACTS)

    assert found.action is None
    assert found.policy_hash == "aa"
    is_lenient = LATTICE.caution(found.outcome) < LATTICE.caution(own)
    assert not is_lenient or (found.outcome in ambiguous and cited and set(cited) <= set(FACTS))
