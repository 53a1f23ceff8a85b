"""`tradeloop bench desks`, small: every desk answers, and nothing is unsafe."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from tradeloop.bench.desks.run import wilson
from tradeloop.cli import build_app
from tradeloop.desks.shipped import NAMES
from tradeloop.errors import SettingInvalid


def test_every_desk_answers_labelled_cases_and_none_acts_where_that_is_wrong() -> None:
    done = CliRunner().invoke(build_app(), ["bench", "desks", "--seed", "3", "--cases", "80"])

    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout.splitlines()[-1])
    assert set(said["figures"]) == set(NAMES)
    assert all(target["met"] for target in said["targets"] if "unsafe" in target["target"])
    assert all(said["figures"][name]["all"]["right"] >= 0.9 for name in NAMES)


def test_the_interval_holds_the_share_and_is_whole_without_cases() -> None:
    low, high = wilson(95, 100)

    assert low < 0.95 < high
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_served_model_answers_the_open_cases_and_nothing_unsafe_comes_of_it() -> None:
    done = CliRunner().invoke(
        build_app(), ["bench", "desks", "--seed", "3", "--cases", "40", "--only", "settlement", "--model", "random"]
    )

    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout.splitlines()[-1])["figures"]["settlement"]["with random"]
    assert said["cases"] > 0
    assert said["unsafe"] == 0
    assert said["degraded"] + said["by_model"] <= said["cases"]


def test_a_model_that_the_benchmark_does_not_have_is_told() -> None:
    done = CliRunner().invoke(build_app(), ["bench", "desks", "--model", "gpt"])
    assert isinstance(done.exception, SettingInvalid)
