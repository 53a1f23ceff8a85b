"""The gateway that the settings describe."""

from __future__ import annotations

import asyncio

from tradeloop.errors import SettingInvalid
from tradeloop.llm.cassette import Cassette, NoCassette, Recording, Replay
from tradeloop.llm.chain import chain_of, limits_of, params_of
from tradeloop.llm.chat import Chat, LangChainChat, Manner
from tradeloop.llm.gateway import Bounds, Gateway, Pace
from tradeloop.ports import Budgets
from tradeloop.settings import Settings

CHECK_S = 0.02
"""How often a call that waits for its turn looks: a token bucket of 100 a second still keeps its rate."""


def open_gateway(settings: Settings, budgets: Budgets) -> Gateway | None:
    """The gateway of TRADELOOP_MODEL; None when no model is configured.

    Raises:
        SettingInvalid: a setting of the models does not fit.
        PrerequisiteMissing: LangChain, or its package for a provider, is not installed.
    """
    if not settings.model:
        return None
    manner = manner_of(settings)
    chats: list[Chat] = [LangChainChat(link, manner) for link in chain_of(settings)]
    bounds = Bounds(
        patience_s=settings.model_patience_s,
        retries=settings.model_retries,
        limits=limits_of(settings),
        pace=_pace(settings.model_rate),
        turns=asyncio.Semaphore(settings.model_concurrency),
    )
    return Gateway(chats, budgets, manner, bounds, _cassette(settings))


def manner_of(settings: Settings) -> Manner:
    """How the settings ask."""
    if settings.model_max_tokens >= settings.model_context:
        raise SettingInvalid("TRADELOOP_MODEL_MAX_TOKENS leaves no room for a question in TRADELOOP_MODEL_CONTEXT.")
    return Manner(
        timeout_s=settings.model_timeout_s,
        max_tokens=settings.model_max_tokens,
        context=settings.model_context,
        params=tuple(sorted(params_of(settings).items())),
    )


def _pace(rate: float) -> Pace | None:
    if not rate:
        return None
    from langchain_core.rate_limiters import InMemoryRateLimiter

    return InMemoryRateLimiter(
        requests_per_second=rate, check_every_n_seconds=min(CHECK_S, 1 / rate), max_bucket_size=max(1.0, rate)
    )


def _cassette(settings: Settings) -> Cassette:
    if settings.model_record and settings.model_replay:
        raise SettingInvalid("TRADELOOP_MODEL_RECORD and TRADELOOP_MODEL_REPLAY are both set; one of them is possible.")
    if settings.model_record:
        return Recording(settings.model_record)
    return Replay(settings.model_replay) if settings.model_replay else NoCassette()
