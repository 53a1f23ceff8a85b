"""The settings of models: what fits, what does not, and how that is said."""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tradeloop.errors import ModelFailed, SettingInvalid
from tradeloop.llm.chain import Price, chain_of, limits_of, params_of
from tradeloop.llm.opening import manner_of, open_gateway
from tradeloop.llm.retries import retried, wait_s
from tradeloop.ports import Used
from tradeloop.settings import Settings
from tradeloop.testing.budgets import MemoryBudgets


def settings(model: list[str] | None = None, **fields: Any) -> Settings:
    return Settings(model=model or [], _env_file=None, **fields)


def test_a_chain_is_read_in_order_with_servers_and_prices() -> None:
    links = chain_of(
        settings(
            ["openai:big@https://models.example/v1/", "ollama:llama3.2:3b", "openai:small"],
            model_url="http://127.0.0.1:8000/v1",
            model_prices="openai:big=0.25/2, openai:small=0/0",
        )
    )

    assert [str(link) for link in links] == ["openai:big", "ollama:llama3.2:3b", "openai:small"]
    assert [link.url for link in links] == ["https://models.example/v1", *["http://127.0.0.1:8000/v1"] * 2]
    assert links[0].price.of(1_000_000, 500_000) == Used(1_500_000, Decimal("1.25"))
    assert links[1].price == Price(Decimal(0), Decimal(0))
    assert chain_of(settings(["ollama:x"]))[0].url == "http://127.0.0.1:11434"


@pytest.mark.parametrize(
    "entry",
    [
        "x",
        "gpt:x",
        "openai:",
        "openai",
        "OPENAI:x",
        "ollama:a b",
        "ollama:x@localhost",
        "ollama:x@http://u:p@h",
        "ollama:x@http://",
    ],  # fmt: skip  # noqa: RUF028
)
def test_an_entry_that_does_not_fit_is_told(entry: str) -> None:
    with pytest.raises(SettingInvalid, match="ollama:NAME or openai:NAME is expected"):
        chain_of(settings([entry]))


@pytest.mark.parametrize("prices", ["openai:x", "openai:x=1", "openai:x=1/", "=1/2", "openai:x=a/b", "openai:x=-1/1", "openai:x=NaN/1", "openai:x=1/Infinity"])  # fmt: skip  # noqa: E501
def test_a_price_that_does_not_fit_is_told(prices: str) -> None:
    with pytest.raises(SettingInvalid, match="TRADELOOP_MODEL_PRICES"):
        chain_of(settings(["openai:x"], model_url="http://127.0.0.1:1", model_prices=prices))


def test_limited_cost_needs_the_price_of_every_model_that_has_one() -> None:
    limited = settings(["ollama:x", "openai:y"], model_url="http://127.0.0.1:1", model_day_cost="5")

    with pytest.raises(SettingInvalid, match="what openai:y costs is not known"):
        chain_of(limited)
    assert chain_of(limited.model_copy(update={"model_prices": "openai:y=1/1"}))
    assert limits_of(limited).day_cost == 5


@pytest.mark.parametrize(("content", "words"), [(None, "No such file"), (b"", "one word"), (b"a b", "one word"), (b"\xff", "not ASCII"), (b"a\nb", "one word")])  # fmt: skip  # noqa: E501
def test_a_key_file_that_does_not_fit_is_told(tmp_path: Path, content: bytes | None, words: str) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingInvalid, match=words):
        chain_of(settings(["openai:x"], model_key_file=file))


@pytest.mark.parametrize("params", ["warmth=1", "temperature", "temperature=hot", "top_k=1.5", "temperature=nan", "seed=99999999999"])  # fmt: skip  # noqa: E501
def test_sampling_that_does_not_fit_is_told(params: str) -> None:
    with pytest.raises(SettingInvalid, match="TRADELOOP_MODEL_PARAMS"):
        params_of(settings(model_params=params))


def test_the_sampling_is_read_and_a_context_must_hold_a_question() -> None:
    assert params_of(settings(model_params="temperature=0.5, top_k=20")) == {"temperature": 0.5, "top_k": 20}
    with pytest.raises(SettingInvalid, match="leaves no room"):
        manner_of(settings(model_max_tokens=2000, model_context=2000))


def test_without_a_model_there_is_no_gateway_and_with_one_there_is() -> None:
    assert open_gateway(settings(), MemoryBudgets()) is None
    assert open_gateway(settings(["ollama:x"], model_rate=5), MemoryBudgets()) is not None


def test_a_recording_and_a_replay_exclude_each_other(tmp_path: Path) -> None:
    both = settings(["ollama:x"], model_record=tmp_path / "a", model_replay=tmp_path / "b")
    with pytest.raises(SettingInvalid, match="both set"):
        open_gateway(both, MemoryBudgets())


async def test_the_token_bucket_keeps_its_rate() -> None:
    from tradeloop.llm.opening import _pace

    pace = _pace(50)
    assert pace is not None
    begun = time.monotonic()
    for _ in range(25):
        await pace.aacquire()
    assert time.monotonic() - begun >= 0.35


async def test_waits_grow_with_jitter_up_to_a_limit_and_obey_the_server() -> None:
    assert 0.125 <= wait_s(0) <= 0.25
    assert 4 <= wait_s(20) <= 8
    assert wait_s(0, after_s=11) == 11
    assert len({wait_s(3) for _ in range(20)}) > 10
    with pytest.raises(ModelFailed):
        await retried(_failing, 0)


async def _failing() -> None:
    raise ModelFailed("busy", passing=True)
