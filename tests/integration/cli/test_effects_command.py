"""`tradeloop effects` against a real database: what is unknown is listed, shown, and settled by a person, once."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from tradeloop import Action, cli
from tradeloop.domain.actions import Effect, TargetClass
from tradeloop.domain.records import Received
from tradeloop.domain.runs import RunState, new_run_id
from tradeloop.ports import Arrival
from tradeloop.settings import load_settings
from tradeloop.store.database import Database
from tradeloop.store.effects import PostgresEffects
from tradeloop.store.inbox import PostgresInbox
from tradeloop.store.runs import PostgresRuns

HOLD = Action(kind="webhook", target="oms", params={"amount": "12.40", "note": "\x1b[31m"})
WORD = ("--by", "anna.k", "--reason", "the desk shows it")

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, database_url: str
) -> Call:
    """Run a command in this process: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADELOOP_DATABASE_URL", database_url)
    monkeypatch.setenv("TRADELOOP_HOME", str(tmp_path / "home"))

    def run(*words: str) -> tuple[int, str, str]:
        load_settings.cache_clear()
        monkeypatch.setattr(sys, "argv", ["tradeloop", "effects", *words])
        code: Any = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
        output = capsys.readouterr()
        return int(code or 0), output.out, output.err

    return run


@pytest.fixture(autouse=True)
def _fresh_afterwards() -> Any:
    yield
    load_settings.cache_clear()


@pytest.fixture
def unknown(database_url: str) -> Effect:
    """An effect whose outcome nobody knows; its run is suspended."""
    return asyncio.run(_seed(database_url))


async def _seed(database_url: str) -> Effect:
    owner = uuid4()
    async with Database(database_url, size=1) as database:
        runs, effects = PostgresRuns(database), PostgresEffects(database)
        await runs.enlist(owner, "test", 60)
        received = Received("events", UUID(int=1), 0, 0, b"k", b"{}")
        arrival = Arrival(received, uuid4(), "some.type", "desk", "s", new_run_id())
        (claim,) = await PostgresInbox(database).accept("g", owner, [arrival], [], 1)
        effect = await effects.prepare(owner, claim, "act", uuid4(), HOLD)
        done = await effects.prepare(owner, claim, "2", uuid4(), Action(kind="trigger_dag", target="refetch"))
        await effects.begin(owner, claim, done.key, TargetClass.KEYED, 60)
        await effects.finish(owner, claim, done.key, executed=True, result={"dag_run_id": "x"}, error="")
        await effects.begin(owner, claim, effect.key, TargetClass.BLIND, 60)
        await effects.doubt(owner, claim, effect.key, "webhook oms: reset")
        await runs.suspend(owner, claim, RunState.OUTCOME_UNKNOWN, "webhook oms: reset")
    return effect


def test_what_is_unknown_is_listed_with_its_reason(call: Call, unknown: Effect) -> None:
    code, out, err = call("list", "--state", "outcome_unknown")
    assert (code, err) == (0, "")
    (line,) = out.splitlines()[1:]
    assert line.split()[0] == unknown.key[:8]
    assert {"outcome_unknown", "webhook", "oms"} <= set(line.split())
    assert "webhook oms: reset" in out
    code, out, _ = call("list", "--json")
    assert (code, [row["state"] for row in json.loads(out)]) == (0, ["executed", "outcome_unknown"])


def test_an_empty_ledger_says_so(call: Call) -> None:
    assert call("list") == (0, "", "There is no effect.\n")
    assert call("list", "--state", "failed") == (0, "", "No effect is failed.\n")


def test_a_state_that_does_not_exist_names_those_that_do(call: Call) -> None:
    code, _, err = call("list", "--state", "lost")
    assert code == 2
    assert "outcome_unknown" in err


@pytest.mark.parametrize("by", ["key", "decision_id"])
def test_an_effect_is_shown_by_the_beginning_of_its_key_or_decision(call: Call, unknown: Effect, by: str) -> None:
    code, out, err = call("show", str(getattr(unknown, by))[:12])
    assert code == 0
    assert "webhook oms" in out
    assert "error     webhook oms: reset" in out
    assert "\x1b" not in out
    assert f"effects resolve {unknown.key[:8]}" in err
    code, out, _ = call("show", str(getattr(unknown, by))[:12], "--json")
    assert json.loads(out)["params"] == HOLD.params


def test_an_executed_effect_shows_what_its_target_said(call: Call, unknown: Effect) -> None:
    rows = json.loads(call("list", "--json")[1])
    code, out, err = call("show", rows[0]["id"])
    assert (code, err) == (0, "")
    assert 'result    {"dag_run_id": "x"}' in out


@pytest.mark.parametrize(("word", "state"), [("--happened", "executed"), ("--did-not-happen", "failed")])
def test_a_persons_word_settles_it_once(call: Call, unknown: Effect, word: str, state: str) -> None:
    code, out, _ = call("resolve", unknown.key[:10], word, *WORD)
    assert code == 0
    assert f"is {state}; its run goes on" in out
    code, _, err = call("resolve", unknown.key[:10], "--do-it", *WORD)
    assert code == 5
    assert f"is {state}" in err


def test_do_it_prepares_it_again(call: Call, unknown: Effect) -> None:
    code, out, _ = call("resolve", unknown.key[:10], "--do-it", *WORD, "--json")
    assert (code, json.loads(out)["state"]) == (0, "prepared")


@pytest.mark.parametrize(
    "words", [[], ["--happened", "--do-it", *WORD], ["--happened", "--by", "anna.k"], ["--happened", "--reason", "x"]]
)
def test_half_a_word_is_wrong_usage(call: Call, unknown: Effect, words: list[str]) -> None:
    assert call("resolve", unknown.key[:10], *words)[0] == 2


@pytest.mark.parametrize("prefix", ["ffffffffffff", "xyz", ""])
def test_a_key_that_does_not_exist_is_not_found(call: Call, unknown: Effect, prefix: str) -> None:
    assert call("show", prefix)[0] == 3


def test_an_ambiguous_key_lists_what_begins_so(call: Call, unknown: Effect, database_url: str) -> None:
    twin = unknown.key[:6] + "0" * 58
    asyncio.run(_copy(database_url, unknown.key, twin))
    code, _, err = call("show", unknown.key[:6])
    assert code == 2
    assert unknown.key[:8] in err
    assert twin[:8] in err


async def _copy(database_url: str, key: str, twin: str) -> None:
    async with Database(database_url, size=1) as database:
        await database.rows(
            "INSERT INTO effects (effect_key, run_id, event_id, decision_id, slot, kind, target, action, digest, "
            "state, fence) SELECT %s, run_id, event_id, decision_id, '3', kind, target, action, digest, 'prepared', 1 "
            "FROM effects WHERE effect_key = %s",
            (bytes.fromhex(twin), bytes.fromhex(key)),
        )
