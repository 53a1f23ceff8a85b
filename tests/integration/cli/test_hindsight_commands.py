"""tradeloop shadow and tradeloop runs fork, as they are typed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tradeloop.cli import build_app
from tradeloop.desks.marketdata.policy import SHIPPED
from tradeloop.errors import NotFound, SettingInvalid
from tradeloop.settings import load_settings


@pytest.fixture(autouse=True)
def here(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TRADELOOP_DATABASE_URL", database_url)
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


def test_a_period_without_decisions_has_no_differences() -> None:
    runner = CliRunner()

    told = runner.invoke(build_app(), ["shadow", "--since", "1d", "--policy", str(SHIPPED)])
    plain = runner.invoke(build_app(), ["shadow", "--since", "1d", "--desk", "marketdata", "--json"])

    assert (told.exit_code, plain.exit_code) == (0, 0), told.output
    assert "0 decisions, 0 would be others" in told.output
    assert json.loads(plain.stdout) == []


def test_a_run_that_is_not_there_and_a_model_that_is_not_are_told() -> None:
    runner = CliRunner()

    assert isinstance(runner.invoke(build_app(), ["runs", "fork", "0b1e77aa"]).exception, NotFound)
    asked = runner.invoke(build_app(), ["shadow", "--since", "1d", "--model", "none"])
    assert isinstance(asked.exception, SettingInvalid)


def test_a_period_under_a_model_reads_the_file_of_tools_and_without_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tools.yaml").write_text("servers: {}")
    monkeypatch.setenv("TRADELOOP_TOOLS", str(tmp_path / "tools.yaml"))
    runner = CliRunner()

    assert runner.invoke(build_app(), ["shadow", "--since", "1d"]).exit_code == 0
    asked = runner.invoke(build_app(), ["shadow", "--since", "1d", "--model", "ollama:x"])
    assert isinstance(asked.exception, SettingInvalid)
    assert "TRADELOOP_TOOLS: servers" in asked.exception.message
