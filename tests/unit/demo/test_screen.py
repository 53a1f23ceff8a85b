"""The demo's screen: what a person reads, what a program reads."""

from __future__ import annotations

import json

import pytest

from tradeloop.demo.legs import BATCHES, Leg, LegBroken
from tradeloop.demo.screen import DemoScreen

LEG = Leg("A", "decision", "ACCEPT\nnothing was found " + "and nothing " * 10, 0.0123, {"outcome": "ACCEPT"})
BROKEN = LegBroken("graph", "the run did not end", log="logs/worker.log")


def show(screen: DemoScreen) -> None:
    screen.title()
    screen.section("the stack")
    screen.batch(BATCHES[0])
    screen.working("waiting")
    screen.leg(LEG)
    screen.leg(Leg("A", "back", "publish_batch", 2.5))
    screen.leg(Leg("A", "graph", "steps"))
    screen.broken("A", BROKEN)
    screen.line("the end")
    screen.summary({"round": False}, ["0 of 3 batches"])


def test_a_person_reads_numbered_sections_and_legs_with_their_times(capsys: pytest.CaptureFixture[str]) -> None:
    show(DemoScreen(as_json=False))

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("tradeloop demo   3 batches")
    assert lines[1:3] == [" 1 the stack", " 2 batch A   2009-07, clean"]
    assert lines[3].split() == ["decision", "ACCEPT", "12", "ms"]
    assert {len(line) <= 101 for line in lines[4:6]} == {True}
    assert "   back      publish_batch" in lines[6]
    assert lines[6].endswith("2.5 s")
    assert lines[7:10] == [
        "   graph     steps",
        "   graph     ✗ the run did not end",
        "             log: logs/worker.log",
    ]
    assert lines[10:] == ["the end", "0 of 3 batches"]


def test_a_program_reads_one_object_a_leg_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    show(DemoScreen(as_json=True))

    legs = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert legs == [
        {"batch": "A", "leg": "decision", "elapsed_s": 0.0123, "outcome": "ACCEPT"},
        {"batch": "A", "leg": "back", "elapsed_s": 2.5},
        {"batch": "A", "leg": "graph", "elapsed_s": None},
        {"batch": "A", "leg": "graph", "error": "the run did not end", "where": "log: logs/worker.log"},
        {"round": False},
    ]


def test_progress_is_wiped_from_a_terminal_before_the_next_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    screen = DemoScreen(as_json=False)

    screen.working("waiting")
    screen.line("done")

    assert capsys.readouterr().err == "\r\x1b[K   waiting\r\x1b[K"
