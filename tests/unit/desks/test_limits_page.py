"""The desk's page: its example is an event, and it names what the desk can answer, bound and look at."""

from __future__ import annotations

import json
import re
from pathlib import Path

from limiting import POLICY, answer

from tradeloop.desks.limits.findings import Cause, Rule
from tradeloop.desks.limits.limit import Metric

PAGE = (Path(__file__).parents[3] / "docs" / "desks" / "limits.md").read_text()


def test_the_example_is_an_event_that_the_desk_answers() -> None:
    (text,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)

    decision, facts = answer(json.loads(text))

    assert decision.outcome == "BLOCK_NEW_RISK"
    assert facts["limits"][0]["utilisation"] == 1.2


def test_every_answer_metric_cause_and_check_is_on_the_page() -> None:
    assert [outcome for outcome in POLICY.lattice if f"| {outcome} |" not in PAGE] == []
    assert [cause for cause in Cause if f"| {cause} |" not in PAGE] == []
    assert [rule for rule in Rule if f"| {rule.value} |" not in PAGE] == []
    assert [metric for metric in Metric if metric.value not in PAGE] == []


def test_the_answers_stand_in_the_order_of_caution() -> None:
    places = [PAGE.index(f"| {outcome} |") for outcome in POLICY.lattice]

    assert places == sorted(places)
