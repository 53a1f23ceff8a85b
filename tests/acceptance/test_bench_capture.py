"""The legs of `tradeloop bench capture`, as short as can be, on real stacks; their times say nothing here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import pytest

from tradeloop.bench import call, hook, latency, missing, runs
from tradeloop.bench.figures import Figure
from tradeloop.bench.report import Leg
from tradeloop.bench.servers import Switch
from tradeloop.bench.stage import Stage

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Without a scheduler: the benchmark plays it."""
    with Stage(tmp_path_factory.mktemp("half"), parts=hook.PARTS) as stage:
        yield stage


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("whole")) as stage:
        yield stage


def on(stage: Stage, leg: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the leg run on this stage, which others use, too."""
    monkeypatch.setattr(leg, "Stage", lambda *_, **__: nullcontext(stage))


def figures_of(leg: Leg) -> dict[str, dict[str, Figure]]:
    return {row.case: row.figures for row in leg.rows}


def test_the_latency_of_a_terminal_call_is_measured_with_capture_on_and_off(
    half: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    on(half, call, monkeypatch)
    monkeypatch.setattr(call, "ROUNDS", 1)
    monkeypatch.setattr(call, "WARM_UP", 2)
    found = call.measure(tmp_path, pairs=4)
    kinds = {
        f"broker {broker}, {what}"
        for broker in ("up", "stopped")
        for what in ("capture on", "capture off", "difference")
    }
    assert figures_of(found).keys() == kinds


def test_the_hook_notes_its_own_wall_time(half: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    on(half, hook, monkeypatch)
    found = hook.measure(tmp_path, calls=4, starts=1)
    assert {name: figures["n"] for name, figures in figures_of(found).items()} == {
        "broker up": 4,
        "broker stopped": 4,
        "broker gone": 4,
    }
    assert len(found.targets) == 9


def test_nothing_is_missing_after_a_broker_was_away(
    whole: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    on(whole, missing, monkeypatch)
    found = missing.measure(tmp_path, away_s=4)
    for figures in figures_of(found).values():
        assert (figures["missing"], figures["phantom"], figures["doubled"]) == (0, 0, 0)
        assert int(figures["in_airflow"]) >= 3


def test_every_station_of_an_event_has_its_time(whole: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    on(whole, latency, monkeypatch)
    found = latency.measure(tmp_path, events=1)
    assert figures_of(found).keys() == {
        f"{lane}: {station}" for lane in (latency.FAST, latency.SWEEP) for station in latency.LEGS
    }
    assert all(target.met for target in found.targets), found.targets


def test_runs_are_timed_beside_those_of_the_stock_plugin(
    whole: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    on(whole, runs, monkeypatch)
    monkeypatch.setattr(runs, "WARM_UP", 0)
    found = runs.measure(tmp_path, repeats=1, peer_repeats=1)
    assert {case.name for case in runs.CASES} | {"stock plugin", "stock plugin, broker stopped"} < figures_of(
        found
    ).keys()


def test_the_switch_leads_to_the_target_of_the_moment(half: Stage) -> None:
    with (
        Switch() as switch,
        httpx.Client(base_url=switch.url, trust_env=False, headers={"Connection": "close"}) as asking,
    ):
        switch.target = half.settings.airflow_url
        assert asking.get("/api/v2/monitor/health").status_code == httpx.codes.OK
        switch.target = "http://127.0.0.1:9"
        with pytest.raises(httpx.HTTPError):
            asking.get("/api/v2/monitor/health")
