"""The labelled cases: the same seed is the same case, kinds do not disturb each other, labels mean what they say."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tradeloop.bench.desks.reconciliation import BENCH, KINDS, SHARES, _unsafe
from tradeloop.bench.desks.reconciliation_speed import Size, drawn
from tradeloop.cli import build_app
from tradeloop.desks.reconciliation.policy import BreakClass

GOLDEN = "8b148d93b8db83abec96d71ca3cf5ff05683ff3e14c37303f39812f394527036"
"""Of the first fifty cases of seed 1: a change of the generator is seen."""
DATA = Path(__file__).parents[4] / "shared" / "data" / "pyfolio-txns"


def spelled(seed: int, count: int, split: str = "test") -> list[str]:
    cases = BENCH.cases(seed, count, split, None)  # type: ignore[arg-type]
    return [json.dumps([case.case_id, case.data, sorted(case.acceptable)], sort_keys=True) for case in cases]


def test_the_same_seed_is_the_same_cases() -> None:
    first = spelled(1, 60)

    assert first == spelled(1, 60)
    assert first != spelled(2, 60)
    assert set(first).isdisjoint(spelled(1, 60, "tuning"))
    assert hashlib.sha256("".join(first[:50]).encode()).hexdigest() == GOLDEN


def test_more_cases_leave_the_first_ones_as_they_are() -> None:
    few, many = spelled(1, 60), spelled(1, 200)

    assert set(few) <= set(many)


def test_a_thousand_cases_hold_a_hundred_of_each_kind() -> None:
    cases = list(itertools.islice(BENCH.cases(1, 1000, "test", None), 5000))
    kinds = {kind: sum(case.kind == kind for case in cases) for kind in KINDS}

    assert min(kinds.values()) >= 100
    assert sum(SHARES.values()) == pytest.approx(1)


def test_every_class_of_break_is_injected() -> None:
    cases = BENCH.cases(3, 400, "test", None)
    injected = {kind for case in cases for kind in case.labels["kinds"]}

    assert injected == {kind.value for kind in BreakClass}


def test_no_case_that_a_person_must_see_may_be_resolved() -> None:
    for case in BENCH.cases(3, 200, "test", None):
        assert case.preferred in case.acceptable
        assert not case.unsafe & case.acceptable
        if case.difficulty == "compound" and case.kind != "budget":
            assert case.unsafe >= {"MATCH", "AUTO_RESOLVE", "WAIT_NEXT_CYCLE"}


def test_real_fills_are_a_base() -> None:
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is not there")
    names = {
        split: {
            row["security"]
            for case in BENCH.cases(1, 60, split, DATA)  # type: ignore[arg-type]
            for row in case.data.get("internal", {}).get("rows", [])
            if not row["security"].startswith("US")
        }
        for split in ("tuning", "test")
    }

    assert {"AMD"} <= names["tuning"] <= {"AMD", "CERN", "COST", "DELL", "UNKNOWN-1"}
    assert names["test"]
    assert not names["test"] & names["tuning"]


def test_the_desk_reaches_its_aims_on_a_few_cases() -> None:
    done = CliRunner().invoke(
        build_app(), ["bench", "desks", "--only", "reconciliation", "--cases", "150", "--seed", "9"]
    )

    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout.splitlines()[-1])
    assert [target["target"] for target in said["targets"] if not target["met"]] == []


def test_the_speed_leg_names_every_break_of_small_books() -> None:
    done = CliRunner().invoke(build_app(), ["bench", "reconciliation", "--trades", "5000"])

    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout.splitlines()[-1])
    figures = said["figures"]["reconciliation"]
    assert figures["desk"]["named"] == 1
    assert figures["desk"]["false_breaks"] == 0
    assert figures["pandas"]["named"] < 1
    assert said["trades"] == 5000


def test_the_speed_legs_books_differ_in_what_they_tell(tmp_path: Path) -> None:
    truth = drawn(Size(2_000, 1), tmp_path)

    assert set(truth.values()) == {1}
    assert (tmp_path / "internal.csv").read_bytes() != (tmp_path / "external.csv").read_bytes()


def test_a_process_that_fails_is_told(tmp_path: Path) -> None:
    from tradeloop.bench.desks.reconciliation_speed import _apart
    from tradeloop.errors import PartFailed

    with pytest.raises(PartFailed, match="ended with 1"):
        _apart("desk", tmp_path)


@pytest.mark.parametrize(
    ("right", "unsafe"),
    [
        ({"MATCH"}, {"AUTO_RESOLVE"}),
        ({"AUTO_RESOLVE"}, {"MATCH"}),
        ({"WAIT_NEXT_CYCLE"}, {"MATCH", "AUTO_RESOLVE"}),
        ({"AUTO_RESOLVE", "ESCALATE"}, {"MATCH"}),
        ({"PROPOSE_FIX", "ESCALATE"}, {"MATCH", "AUTO_RESOLVE", "WAIT_NEXT_CYCLE"}),
    ],
)
def test_what_is_more_cautious_than_what_is_right_is_needless_and_not_unsafe(right: set[str], unsafe: set[str]) -> None:
    assert _unsafe(right) == unsafe
