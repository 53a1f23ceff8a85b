"""`tradeloop bench capture`: which legs run, what is printed, what the exit code says; the legs are stubs."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tradeloop.bench import capture
from tradeloop.bench.capture import FULL, QUICK, Size
from tradeloop.bench.report import Leg
from tradeloop.cli import build_app
from tradeloop.errors import PartFailed

asked: list[tuple[str, Size]] = []


@pytest.fixture(autouse=True)
def legs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Legs that measure nothing: one that meets its target, one that misses it, one that breaks off."""
    asked.clear()

    def measured(name: str, *, met: bool) -> Leg:
        found = Leg(name, f"the leg {name}")
        found.add("broker up", {"n": 1})
        found.aim("all 0", met=met)
        return found

    def good(home: Path, size: Size) -> Leg:
        asked.append((home.name, size))
        return measured("hook", met=True)

    def short(home: Path, size: Size) -> Leg:
        asked.append((home.name, size))
        return measured("missing", met=False)

    def broken(home: Path, size: Size) -> Leg:
        asked.append((home.name, size))
        raise PartFailed("the broker did not start.")

    def stopped(home: Path, size: Size) -> Leg:
        (home.parent / "begun").touch()
        asked.append((str(home.parent), size))
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("SIGTERM ends the benchmark at once")

    monkeypatch.setattr(capture, "LEGS", {"hook": good, "missing": short, "runs": broken, "call": stopped})


def bench(*words: str) -> tuple[int, list[str], str]:
    answer = CliRunner().invoke(build_app(), ["bench", *words])
    return answer.exit_code, answer.stdout.splitlines(), answer.stderr


def test_named_legs_run_in_their_order_and_the_last_line_is_json() -> None:
    code, lines, progress = bench("capture", "--only", "hook, missing", "--quick")

    assert asked == [("hook", QUICK), ("missing", QUICK)]
    assert "the leg hook" in lines[0]
    told = json.loads(lines[-1])
    assert (told["bench"], told["quick"], set(told["figures"])) == ("capture", True, {"hook", "missing"})
    assert "hook: met: all 0" in progress
    assert "missing: NOT MET: all 0" in progress
    assert code == 6


def test_json_alone_prints_nothing_else() -> None:
    code, lines, _ = bench("capture", "--only", "hook", "--json")

    assert (code, len(lines)) == (0, 1)
    assert asked == [("hook", FULL)]


def test_a_leg_that_breaks_off_is_told_and_does_not_spoil_the_others() -> None:
    code, lines, progress = bench("capture", "--only", "runs,hook", "--json")

    told = json.loads(lines[-1])
    assert told["notes"] == {"runs": ["the broker did not start."]}
    assert told["figures"]["hook"] == {"broker up": {"n": 1}}
    assert "runs: broke off: the broker did not start." in progress
    assert code == 1


def test_a_signal_ends_the_benchmark_and_removes_its_folder() -> None:
    earlier = signal.getsignal(signal.SIGTERM)

    code, lines, _ = bench("capture", "--only", "call")

    assert (code, lines) == (130, [])
    assert not Path(asked[0][0]).exists()
    assert signal.getsignal(signal.SIGTERM) is earlier
