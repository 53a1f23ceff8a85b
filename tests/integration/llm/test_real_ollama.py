"""The gateway and its commands with a real Ollama."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from tradeloop.cli import build_app
from tradeloop.errors import PrerequisiteMissing
from tradeloop.llm.chain import Link
from tradeloop.llm.check import QUESTION
from tradeloop.llm.opening import open_gateway
from tradeloop.llm.reach import reach_of
from tradeloop.settings import Settings, load_settings
from tradeloop.testing import ollama
from tradeloop.testing.budgets import MemoryBudgets
from tradeloop.testing.random_model import write_random_model

PARAMS = "temperature=0.8,top_k=20,num_thread=1"
pytestmark = pytest.mark.timeout(ollama.BUILD_S + 300)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where neither the cache nor Go is, this fails and says so: the tests of a whole skip nothing."""
    folder = tmp_path_factory.mktemp("ollama")
    with ollama.ollama_server(folder, write_random_model(folder / "random.gguf")) as found:
        yield found


async def test_ollama_answers_by_schema_and_counts_its_tokens(url: str) -> None:
    settings = Settings(
        model=["ollama:random"],
        model_url=url,
        model_params=PARAMS,
        model_max_tokens=4096,
        model_context=16_384,
        model_timeout_s=60,
        model_patience_s=120,
        _env_file=None,
    )
    gateway = open_gateway(settings, budgets := MemoryBudgets())
    assert gateway is not None

    answers = [await gateway.ask(QUESTION, run_id=uuid4(), desk="check") for _ in range(3)]

    assert {one.outcome for one in answers} <= set(QUESTION.outcomes)
    assert {one.model["name"] for one in answers} == {"ollama:random"}
    assert answers[0].model["params"] == {"num_thread": 1, "temperature": 0.8, "top_k": 20, "max_tokens": 4096}
    used = await budgets.used_today()
    assert used.tokens >= sum(int(str(one.model["tokens_in"])) + int(str(one.model["tokens_out"])) for one in answers)
    assert all(int(str(one.model["tokens_out"])) > 10 for one in answers)


async def test_its_openai_interface_answers_the_same_way(url: str) -> None:
    settings = Settings(
        model=["openai:random"],
        model_url=f"{url}/v1",
        model_params="temperature=0.8",
        model_max_tokens=4096,
        model_timeout_s=60,
        model_patience_s=120,
        _env_file=None,
    )
    gateway = open_gateway(settings, MemoryBudgets())
    assert gateway is not None
    assert (await gateway.ask(QUESTION, run_id=uuid4(), desk="check")).outcome in QUESTION.outcomes


async def test_the_reach_of_a_model_is_told(url: str) -> None:
    assert (await reach_of(Link("ollama", "random", url))).has_model
    missing = await reach_of(Link("ollama", "other", url))
    assert (missing.is_reachable, missing.has_model) == (True, False)
    assert "it has random:latest" in missing.words


def test_models_check_asks_it(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    known = {"MODEL": "ollama:random,ollama:other", "MODEL_URL": url, "MODEL_PARAMS": PARAMS, "MODEL_MAX_TOKENS": "4096"}  # fmt: skip  # noqa: E501
    for name, value in known.items():
        monkeypatch.setenv(f"TRADELOOP_{name}", value)
    load_settings.cache_clear()
    found = CliRunner().invoke(build_app(), ["models", "check", "--json"])
    load_settings.cache_clear()

    well, ill = json.loads(found.stdout)
    assert (found.exit_code, well["is_well"], ill["is_well"]) == (6, True, False)
    assert "404" in ill["problem"]


def test_without_go_and_without_a_cache_it_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(PrerequisiteMissing, match="Go, which builds it, is not on PATH"):
        ollama.ollama_program()
