"""tradeloop switch, as it is typed."""

from __future__ import annotations

import asyncio
import json

import pytest
from typer.testing import CliRunner

from tradeloop.cli import build_app
from tradeloop.domain.people import Principal, Role
from tradeloop.store.database import Database
from tradeloop.store.people import PostgresPeople
from tradeloop.store.switches import PostgresSwitches


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
    said("stop", *signed)
    assert json.loads(said("release", "--desk", "marketdata", *signed, "--json"))["changed"] is True
    assert "global released" in said("release", *signed)


async def test_with_people_a_release_by_one_name_is_refused_and_a_wish_is_shown(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRADELOOP_DATABASE_URL", database_url)
    await PostgresPeople(database).add(Principal(name="ada.a", roles=frozenset({Role.ADMINISTRATOR})), by="tests")
    switches = PostgresSwitches(database)
    await switches.turn("global", stopped=True, by="otto.o", reason="wrong prices")
    await switches.ask_release("global", by="ada.a", reason="right again", valid_s=60)

    def refused() -> tuple[int, str]:
        done = CliRunner().invoke(build_app(), ["switch", "release", "--by", "ada.a", "--reason", "alone"])
        return done.exit_code, str(done.exception)

    code, told = await asyncio.to_thread(refused)
    assert code != 0
    assert "two of them release" in told
    assert "asked by ada.a until" in await asyncio.to_thread(said, "status")
    (row,) = json.loads(await asyncio.to_thread(said, "status", "--json"))
    assert (row["state"], row["asked"]["asked_by"], row["asked"]["reason"]) == ("stopped", "ada.a", "right again")
    assert CliRunner().invoke(build_app(), ["switch", "release", "--by", "ada.a"]).exit_code == 2
