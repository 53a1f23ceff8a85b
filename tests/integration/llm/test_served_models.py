"""The gateway, its budgets and its commands with models that are served for real."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from typer.testing import CliRunner

from tradeloop.cli import build_app
from tradeloop.desks.settlement.workflow import workflow as settlement
from tradeloop.engine.rehearsal import rehearse
from tradeloop.errors import ModelFailed, ModelUnavailable, SettingInvalid
from tradeloop.llm.chain import Link
from tradeloop.llm.chat import LangChainChat, Manner, Said
from tradeloop.llm.check import QUESTION
from tradeloop.llm.gateway import Bounds, Gateway
from tradeloop.llm.opening import open_gateway
from tradeloop.llm.prompt import Prompt, prompt_of
from tradeloop.ports import Answer
from tradeloop.settings import Settings, load_settings
from tradeloop.store.budgets import PostgresBudgets
from tradeloop.store.database import Database
from tradeloop.testing.budgets import MemoryBudgets

WARM = Manner(timeout_s=30, max_tokens=4096, context=16_384, params=(("temperature", 0.8), ("top_k", 20)))
PARAMS = "temperature=0.8,top_k=20"


def chat(url: str, name: str = "random") -> LangChainChat:
    return LangChainChat(Link("openai", name, url), WARM)


async def ask(gateway: Gateway, run_id: UUID | None = None) -> Answer:
    return await gateway.ask(QUESTION, run_id=run_id or uuid4(), desk="check")


async def test_a_random_model_gives_answers_that_fit(random_url: str) -> None:
    gateway = Gateway([chat(random_url)], MemoryBudgets(), WARM, Bounds())

    answers = await asyncio.gather(*(ask(gateway) for _ in range(8)))

    assert {one.outcome for one in answers} <= set(QUESTION.outcomes)
    assert all(set(one.cited) <= set(QUESTION.fact_ids) for one in answers)
    assert all(int(str(one.model["tokens_in"])) > 500 for one in answers)


async def test_a_model_whose_text_is_broken_fails_in_passing_and_the_chain_goes_on(
    broken_url: str, random_url: str
) -> None:
    broken = chat(broken_url, "broken")
    failed: list[ModelFailed] = []
    for n in range(6):
        try:
            await broken.say(prompt_of(QUESTION).again(str(n)))
        except ModelFailed as problem:
            failed.append(problem)
    assert failed
    assert all(one.passing and not one.free for one in failed)
    assert "500" in failed[0].message

    chain = Gateway([broken, chat(random_url)], MemoryBudgets(), WARM, Bounds(retries=0))
    assert {(await ask(chain)).model["name"] for _ in range(4)} <= {"openai:broken", "openai:random"}


async def test_no_transaction_is_open_and_no_row_locked_while_a_model_is_asked(
    random_url: str, database: Database, database_url: str
) -> None:
    seen: list[tuple[int, int, int]] = []

    class Watching(LangChainChat):
        async def say(self, prompt: Prompt) -> Said:
            with psycopg.connect(database_url, options="-c search_path=tradeloop") as beside:
                (count,) = beside.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                    "AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND backend_type = 'client backend'"
                ).fetchone() or (-1,)
                free = beside.execute("SELECT tokens FROM model_days WHERE desk = '' FOR UPDATE NOWAIT").fetchone()
                (unsettled,) = beside.execute(
                    "SELECT count(*) FROM model_calls WHERE settled_at IS NULL"
                ).fetchone() or (-1,)
            seen.append((count, (free or (0,))[0], unsettled))
            return await super().say(prompt)

    gateway = Gateway([Watching(Link("openai", "random", random_url), WARM)], PostgresBudgets(database), WARM, Bounds())
    answer = await ask(gateway, run_id := uuid4())

    (open_transactions, reserved, unsettled), *_ = seen
    assert (open_transactions, unsettled) == (0, 1)
    (row,) = await database.rows("SELECT * FROM model_calls ORDER BY reserved_at LIMIT 1")
    assert (row["run_id"], row["desk"], row["model"]) == (run_id, "check", "openai:random")
    assert row["settled_at"] is not None
    assert row["tokens"] < reserved
    if not answer.model["repaired"]:
        assert row["tokens"] == int(str(answer.model["tokens_in"])) + int(str(answer.model["tokens_out"]))


async def test_a_desk_decides_with_the_model_and_its_name_ends_on_the_decision(
    random_url: str, open_case: dict[str, Any], event_of: Callable[[dict[str, Any]], Any]
) -> None:
    gateway = Gateway([chat(random_url)], MemoryBudgets(), WARM, Bounds())

    decision = await rehearse(settlement, event_of(open_case), gateway)

    assert decision is not None
    assert decision.model["name"] == "openai:random"
    assert {"prompt_hash", "params", "tokens_in", "tokens_out", "rationale"} <= set(decision.model)


async def test_the_settings_lead_to_the_model(random_url: str, tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    known = {
        "model": ["openai:random"],
        "model_url": random_url,
        "model_params": PARAMS,
        "model_max_tokens": 4096,
        "_env_file": None,
    }
    recording = open_gateway(Settings(**known, model_record=file), MemoryBudgets())
    assert recording is not None
    recorded = await ask(recording)
    replay = open_gateway(Settings(**known, model_replay=file), MemoryBudgets())
    assert replay is not None
    assert await ask(replay) == recorded
    poor = open_gateway(Settings(**known, model_run_tokens=100), MemoryBudgets())
    assert poor is not None
    with pytest.raises(ModelUnavailable, match="the run's tokens"):
        await ask(poor)


@pytest.fixture
def configured(random_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "MODEL": "openai:random",
        "MODEL_URL": random_url,
        "MODEL_PARAMS": PARAMS,
        "MODEL_MAX_TOKENS": "4096",
    }.items():
        monkeypatch.setenv(f"TRADELOOP_{name}", value)
    load_settings.cache_clear()
    return CliRunner()


@pytest.fixture(autouse=True)
def _fresh_settings() -> Any:
    yield
    load_settings.cache_clear()


def test_models_check_asks_each_model(configured: CliRunner) -> None:
    told = configured.invoke(build_app(), ["models", "check"])
    assert told.exit_code == 0, told.output
    assert "openai:random" in told.output

    plain = configured.invoke(build_app(), ["models", "check", "--model", "openai:random,openai:none@http://127.0.0.1:9/v1", "--json"])  # fmt: skip  # noqa: E501
    assert plain.exit_code == 6
    well, ill = json.loads(plain.stdout)
    assert (well["is_well"], well["answer"]["model"]["name"], ill["is_well"]) == (True, "openai:random", False)
    assert "did not answer" in ill["problem"]


def test_models_check_without_a_model_says_so(configured: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADELOOP_MODEL", "")
    load_settings.cache_clear()
    told = configured.invoke(build_app(), ["models", "check"])
    assert (told.exit_code, told.stdout) == (0, "no model is configured: policy decides alone\n")
    doctor = configured.invoke(build_app(), ["doctor", "models"])
    assert "no model is configured: policy decides alone" in doctor.stdout


def test_the_doctor_says_which_model_answers(configured: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    well = configured.invoke(build_app(), ["doctor", "models"])
    assert well.exit_code == 0, well.output
    assert "✓ models     openai:random answers at" in well.stdout

    monkeypatch.setenv("TRADELOOP_MODEL", "openai:other,ollama:none@http://127.0.0.1:9")
    load_settings.cache_clear()
    ill = configured.invoke(build_app(), ["doctor", "models"])
    assert ill.exit_code == 6
    assert "answers and has no other; it has random" in ill.stdout
    assert "ollama:none at http://127.0.0.1:9 does not answer" in ill.stdout

    monkeypatch.setenv("TRADELOOP_MODEL", "random")
    load_settings.cache_clear()
    wrong = configured.invoke(build_app(), ["doctor", "models"])
    assert "ollama:NAME or openai:NAME is expected" in wrong.stdout


def test_shadow_and_fork_refuse_a_model_that_is_none(
    configured: CliRunner, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRADELOOP_DATABASE_URL", database_url)
    load_settings.cache_clear()
    asked = configured.invoke(build_app(), ["shadow", "--since", "1d", "--model", "nonsense"])
    assert isinstance(asked.exception, SettingInvalid)
    fits = configured.invoke(build_app(), ["shadow", "--since", "1d", "--model", "openai:random"])
    assert fits.exit_code == 0, fits.output
