"""The desk's page: its example is an event, and it names what the desk can answer and look at."""

from __future__ import annotations

import json
import re
from pathlib import Path

from settling import POLICY, answer, event, failing

from tradeloop.desks.settlement.findings import Rule

PAGE = (Path(__file__).parents[3] / "docs" / "desks" / "settlement.md").read_text()


def test_the_example_is_an_event_that_the_desk_answers() -> None:
    (text,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    example = json.loads(text)

    data = {**example, "message": event(failing("LACK"))["message"]}

    assert answer(data)[0].outcome == "PROPOSE_PARTIAL"


def test_every_answer_and_every_check_is_on_the_page() -> None:
    assert [outcome for outcome in POLICY.lattice if f"| {outcome} |" not in PAGE] == []
    assert [rule for rule in Rule if rule.value not in PAGE] == []


def test_the_answers_stand_in_the_order_of_caution() -> None:
    places = [PAGE.index(f"| {outcome} |") for outcome in POLICY.lattice]

    assert places == sorted(places)
