"""What a benchmark prints: a table, then one JSON object on the last line."""

from __future__ import annotations

import json

import pytest

from tradeloop.bench.capture import run
from tradeloop.bench.report import Leg, as_json, print_table
from tradeloop.errors import SettingInvalid


def leg() -> Leg:
    found = Leg("hook", "(a) the hook")
    found.add("broker up", {"n": 2, "p50_ms": 0.25})
    found.add("broker gone", {"n": 2, "p50_ms": 0.5})
    found.aim("p50 0.250 ms, at most 1 ms", met=True)
    found.aim("p99 9.000 ms, at most 5 ms", met=False)
    return found


def test_table_says_which_target_was_met(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([leg()])

    printed = capsys.readouterr().out
    assert "broker gone" in printed
    assert "  met      p50 0.250 ms" in printed
    assert "  NOT MET  p99 9.000 ms" in printed


def test_json_has_every_figure_on_one_line() -> None:
    line = as_json("capture", [leg()], quick=True)

    assert "\n" not in line
    found = json.loads(line)
    assert found["figures"]["hook"]["broker gone"] == {"n": 2, "p50_ms": 0.5}
    assert [target["met"] for target in found["targets"]] == [True, False]


def test_unknown_leg_is_refused_before_anything_starts() -> None:
    with pytest.raises(SettingInvalid, match="no leg 'all'") as refused:
        run(["all"], quick=True, json_alone=True)

    assert "hook, call, runs, missing, latency" in refused.value.hint
