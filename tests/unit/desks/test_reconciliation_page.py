"""The desk's page: its example is an event, and it names what the desk can answer and find."""

from __future__ import annotations

import json
import re
from pathlib import Path

from reconciling import POLICY, answer

from tradeloop.desks.reconciliation.policy import BreakClass

PAGE = (Path(__file__).parents[3] / "docs" / "desks" / "reconciliation.md").read_text()


def test_the_example_is_an_event_that_the_desk_answers() -> None:
    (text,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)

    decision, facts, _ = answer(json.loads(text))

    assert (decision.outcome, facts["kinds"]) == ("AUTO_RESOLVE", {"RB04": 1})


def test_every_answer_and_every_class_is_on_the_page() -> None:
    assert [outcome for outcome in POLICY.lattice if f"| {outcome} |" not in PAGE] == []
    assert [kind for kind in BreakClass if f"| {kind} |" not in PAGE] == []


def test_the_answers_stand_in_the_order_of_caution() -> None:
    places = [PAGE.index(f"| {outcome} |") for outcome in POLICY.lattice]

    assert places == sorted(places)
