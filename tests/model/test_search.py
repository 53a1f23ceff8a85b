"""The model keeps every promise under all rules, and breaks one as soon as a rule is off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from broken_rules import BROKEN_BY
from typer.testing import CliRunner

from tradeloop.cli import build_app
from tradeloop.errors import SettingInvalid
from tradeloop.model.rules import UNSEEN, Rules, names_of_rules, prevented_by
from tradeloop.model.schedule import run
from tradeloop.model.search import search, shrink

DOCS = Path(__file__).parents[2] / "docs" / "model.md"


@pytest.mark.timeout(900)
def test_twenty_thousand_schedules_break_no_promise() -> None:
    """As a user searches; in processes whose lines nobody counts, which takes a fifth of the time."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-m", "tradeloop", "model", "--schedules", "20000"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=850, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("rules", "seed", "invariant"), [(rules, *hit) for rules, hit in BROKEN_BY.items()])
def test_a_rule_that_is_off_is_found_out(rules: str, seed: int, invariant: str) -> None:
    """After a change of the model look anew: tradeloop model --rule-off NAME, and put its first seed here."""
    found = list(search(Rules.without(*rules.split("+")), range(seed, seed + 1)))
    assert [one.invariant for one in found] == [invariant]


def test_every_rule_is_found_out_or_excused() -> None:
    alone = {name for name in BROKEN_BY if "+" not in name}
    assert alone | set(UNSEEN) == set(names_of_rules())
    assert not alone & set(UNSEEN)


def test_the_page_names_every_rule_with_what_it_prevents() -> None:
    page = DOCS.read_text()
    for name in names_of_rules():
        assert f"| `{name}` | {prevented_by(name)} |" in page
    for name, reason in UNSEEN.items():
        assert f"`{name}`: {reason}" in page


def test_the_same_seed_is_the_same_run() -> None:
    rules = Rules.without("id_order")
    seed = BROKEN_BY["id_order"][0]
    first, second = run(seed, rules, traced=True), run(seed, rules, traced=True)
    assert first is not None
    assert first.trace
    assert first == second


def test_a_violation_is_shrunk_to_fewer_steps_with_the_same_end() -> None:
    rules = Rules.without("record_fence")
    (found,) = search(rules, range(BROKEN_BY["record_fence"][0], BROKEN_BY["record_fence"][0] + 1))
    shortest = shrink(found, rules)
    assert len(shortest.steps) < len(found.steps) / 2
    assert shortest.invariant == found.invariant
    assert run(found.seed, rules, shortest.steps) is not None


def test_an_unknown_rule_is_told_with_those_that_are_known() -> None:
    with pytest.raises(SettingInvalid, match="no rule is called 'no_such_rule'"):
        Rules.without("no_such_rule")


def test_the_command_says_that_nothing_was_found() -> None:
    answer = CliRunner().invoke(build_app(), ["model", "--schedules", "20", "--processes", "1"])
    assert answer.exit_code == 0
    assert answer.output.startswith("seeds 0 to 19: 20 schedules, 0 bad, ")


def test_the_command_shows_the_shortest_way_to_a_violation() -> None:
    seed, invariant = BROKEN_BY["id_order"]
    answer = CliRunner().invoke(
        build_app(),
        ["model", "--schedules", "1", "--seed", str(seed), "--rule-off", "id_order", "--processes", "1"],
    )
    assert answer.exit_code == 6
    assert f"  => {invariant}: " in answer.output
    assert f"without id_order: 1 schedules, 1 bad ({invariant} 1)" in answer.output


def test_the_command_answers_as_json() -> None:
    answer = CliRunner().invoke(build_app(), ["model", "--schedules", "5", "--processes", "1", "--json"])
    document = json.loads(answer.output)
    assert (document["schedules"], document["bad"], document["first_bad"]) == (5, 0, None)


def test_the_command_lists_the_rules() -> None:
    listed = CliRunner().invoke(build_app(), ["model", "--rules"]).output
    assert [line.split()[0] for line in listed.splitlines()[1:]] == list(names_of_rules())
    document = json.loads(CliRunner().invoke(build_app(), ["model", "--rules", "--json"]).output)
    assert [row["rule"] for row in document] == list(names_of_rules())
