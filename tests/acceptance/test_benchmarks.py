"""Every leg of the capture benchmark, as short as can be: what it counts must be right, its times may be any."""

from __future__ import annotations

from pathlib import Path

import pytest

from tradeloop.bench import call, hook, latency, missing, runs
from tradeloop.bench.report import Leg
from tradeloop.stack.processes import processes_of


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "bench"


def counts(leg: Leg) -> dict[str, object]:
    """How many measurements each case rests on."""
    return {row.case: row.figures["n"] for row in leg.rows if "n" in row.figures}


def test_hook_is_timed_with_the_broker_up_stopped_and_gone(home: Path) -> None:
    leg = hook.measure(home, calls=3, starts=1)

    assert counts(leg) == {"broker up": 3, "broker stopped": 3, "broker gone": 3}
    assert len(leg.targets) == 9
    assert processes_of(home) == []


def test_terminal_call_is_timed_on_two_servers_side_by_side(home: Path) -> None:
    leg = call.measure(home, pairs=4)

    assert counts(leg) == {
        f"broker {broker}, capture {capture}": 4 for broker in ("up", "stopped") for capture in ("off", "on")
    }
    assert [row.case for row in leg.rows][-2:] == ["broker up, difference", "broker stopped, difference"]
    assert processes_of(home) == []


def test_runs_are_timed_with_capture_off_and_on_and_with_the_stock_plugin(home: Path) -> None:
    leg = runs.measure(home, repeats=1, peer_repeats=1)

    assert counts(leg) == {
        "no event at all, capture off": 1,
        "capture off": 1,
        "capture on": 1,
        "capture on, broker stopped": 1,
        "stock plugin": 1,
        "stock plugin, broker stopped": 1,
    }
    assert "of 8 events never arrived" in leg.notes[-1]
    assert processes_of(home) == []


def test_nothing_is_missing_after_the_broker_was_away_and_the_api_server_killed(home: Path) -> None:
    leg = missing.measure(home, away_s=4)

    cases = {row.case: row.figures for row in leg.rows}
    assert list(cases) == ["broker stopped", "broker stopped, API server killed with -9"]
    for figures in cases.values():
        assert [figures[name] for name in ("missing", "phantom", "doubled")] == [0, 0, 0]
        assert figures["in_airflow"] == figures["accepted"] >= 3
    assert processes_of(home) == []


def test_latency_is_read_off_one_chain_a_lane(home: Path) -> None:
    leg = latency.measure(home, events=1)

    assert counts(leg) == {f"{lane}: {name}": 1 for lane in (latency.FAST, latency.SWEEP) for name in latency.LEGS}
    assert [target.text for target in leg.targets if not target.met] == []
    assert processes_of(home) == []
