"""Which parts a stack has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tradeloop.errors import SettingInvalid
from tradeloop.settings import PREFIX, Settings
from tradeloop.stack.plan import names_of
from tradeloop.stack.services import as_environment


def settings(**fields: Any) -> Settings:
    return Settings(_env_file=None, **fields)


def test_all_parts_but_the_triggerer_start_by_default() -> None:
    assert names_of(None, settings()) == [
        "postgres",
        "kafka",
        "api-server",
        "scheduler",
        "dag-processor",
        "relay",
        "worker",
        "api",
    ]


def test_triggerer_starts_when_it_is_set_or_named() -> None:
    assert "triggerer" in names_of(None, settings(airflow_triggerer=True))
    assert names_of(["triggerer"], settings()) == ["triggerer"]


@pytest.mark.parametrize(
    ("field", "value", "absent"),
    [
        ("database_url", "postgresql://me@db/tradeloop", {"postgres"}),
        ("kafka_bootstrap", "kafka:9092", {"kafka"}),
        ("airflow_url", "http://airflow:8080", {"api-server", "scheduler", "dag-processor"}),
    ],
)
def test_part_whose_address_is_set_is_not_started(field: str, value: str, absent: set[str]) -> None:
    names = names_of(None, settings(**{field: value}))

    assert set(names_of(None, settings())) - set(names) == absent


def test_unknown_part_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingInvalid, match="there is no part 'redis'") as refused:
        names_of(["redis"], settings())

    assert "dag-processor" in refused.value.hint


def test_child_reads_the_settings_that_its_parent_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = settings(
        home=tmp_path,
        database_url="postgresql://me:secret@db/tradeloop",
        airflow_password="hidden",
        workflows=["a:b", "c:d"],
        sweep=False,
        wake_port=5000,
        lease_s=7.5,
    )
    monkeypatch.setenv(f"{PREFIX}GROUP", "of the parent's environment")
    for name, value in as_environment(given).items():
        monkeypatch.setenv(name, value)

    assert Settings(_env_file=None) == given
