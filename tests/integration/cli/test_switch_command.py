"""tradeloop switch, as it is typed."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from tradeloop.cli import build_app


def said(*words: str) -> str:
    done = CliRunner().invoke(build_app(), ["switch", *words])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_desk_is_stopped_shown_and_released(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADELOOP_DATABASE_URL", database_url)
    signed = ("--by", "anna.k", "--reason", "wrong prices")

    assert json.loads(said("status", "--json")) == []
    assert "desk:marketdata stopped" in said("stop", "--desk", "marketdata", *signed)
    assert "nothing changed" in said("stop", "--desk", "marketdata", *signed)
    (row,) = json.loads(said("status", "--json"))
    assert (row["scope"], row["state"], row["changed_by"]) == ("desk:marketdata", "stopped", "anna.k")
    assert json.loads(said("release", "--desk", "marketdata", *signed, "--json"))["changed"] is True
