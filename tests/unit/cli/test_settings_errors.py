"""A setting that does not fit is named: the variable, what was read, what is expected, and where it was read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tradeloop import cli
from tradeloop.errors import SettingInvalid
from tradeloop.settings import load_settings


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in [name for name in os.environ if name.upper().startswith("TRADELOOP_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    load_settings.cache_clear()


@pytest.fixture(autouse=True)
def _fresh_afterwards() -> object:
    yield
    load_settings.cache_clear()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("TRADELOOP_CONCURRENCY", "many", "valid integer"),
        ("TRADELOOP_LEASE_S", "1", "greater than or equal to 3"),
        ("TRADELOOP_INSTANCE", "two words", "match pattern"),
        ("TRADELOOP_SWEEP", "perhaps", "valid boolean"),
        ("TRADELOOP_DEAD_LETTERS_TOPIC", "", "match pattern"),
        ("TRADELOOP_KAFKA_PORT", "70000", "less than or equal to 65535"),
        ("TRADELOOP_KAFKA_BOOTSTRAP", "broker", "host:port, several of them separated by commas, is expected"),
        ("TRADELOOP_KAFKA_BOOTSTRAP", "kafka://broker:9092", "host:port"),
        ("TRADELOOP_DATABASE_URL", "nonsense", "postgresql://USER:PASSWORD@HOST/DATABASE is expected"),
        ("TRADELOOP_DATABASE_URL", "mysql://db/x", "postgresql://"),
        ("TRADELOOP_AIRFLOW_URL", "airflow:8080", "http://HOST:PORT or https://HOST is expected"),
    ],
)
def test_a_variable_of_the_environment_that_does_not_fit_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingInvalid) as caught:
        load_settings()
    assert caught.value.message.startswith(f"{name} is {value!r}; ")
    assert expected in caught.value.message
    assert caught.value.where == "read from: the environment"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRADELOOP_KAFKA_BOOTSTRAP", "broker-1.site:9092,[::1]:9093, 10.0.0.1:9092"),
        ("TRADELOOP_DATABASE_URL", "postgres://u:p@/db?host=/run/postgresql"),
        ("TRADELOOP_DATABASE_URL", "host=db dbname=tradeloop"),
        ("TRADELOOP_AIRFLOW_URL", "https://airflow.site/team"),
    ],
)
def test_an_address_in_each_usual_form_is_taken(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert getattr(load_settings(), name.removeprefix("TRADELOOP_").lower()) == value


def test_a_password_in_a_url_that_does_not_fit_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADELOOP_DATABASE_URL", "mysql://me:wonderful@db/x")
    with pytest.raises(SettingInvalid, match=r"TRADELOOP_DATABASE_URL is 'mysql://me:\*\*\*@db/x'; ") as caught:
        load_settings()
    assert "wonderful" not in str(caught.value)


def test_a_line_of_the_env_file_that_does_not_fit_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "# mine\nTRADELOOP_SWEEP_INTERVAL_S=2\nexport TRADELOOP_SWEEP = perhaps\nTRADELOOP_GROUP=g\n"
    )
    with pytest.raises(SettingInvalid, match="TRADELOOP_SWEEP is 'perhaps'") as caught:
        load_settings()
    assert caught.value.where == "read from: .env line 3"


def test_of_two_lines_the_one_that_counts_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TRADELOOP_CONCURRENCY=4\ntradeloop_concurrency=none\n")
    with pytest.raises(SettingInvalid) as caught:
        load_settings()
    assert caught.value.where == "read from: .env line 2"


def test_the_environment_goes_before_the_env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TRADELOOP_CONCURRENCY=4\n")
    monkeypatch.setenv("TRADELOOP_CONCURRENCY", "none")
    with pytest.raises(SettingInvalid) as caught:
        load_settings()
    assert caught.value.where == "read from: the environment"


def test_a_setting_that_is_required_and_absent_is_named() -> None:
    with pytest.raises(SettingInvalid, match="TRADELOOP_KAFKA_BOOTSTRAP is not set") as caught:
        load_settings().require("instance", "kafka_bootstrap")
    assert caught.value.hint


def test_workflows_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADELOOP_WORKFLOWS", " a.b:c , d.py:e,")
    assert load_settings().workflows == ["a.b:c", "d.py:e"]


def test_the_password_is_in_no_text_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADELOOP_AIRFLOW_PASSWORD", "open sesame")
    assert "sesame" not in repr(load_settings())


@pytest.mark.parametrize("command", [["worker"], ["relay"], ["runs", "list"], ["db", "migrate"]])
def test_a_command_with_a_setting_that_does_not_fit_ends_with_2_and_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    monkeypatch.setenv("TRADELOOP_CONCURRENCY", "many")
    monkeypatch.setattr(sys, "argv", ["tradeloop", *command])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    output = capsys.readouterr()
    assert (caught.value.code, output.out) == (2, "")
    first, second, *_ = output.err.splitlines()
    assert first.startswith("error: TRADELOOP_CONCURRENCY is 'many'; ")
    assert second == "  read from: the environment"
