"""One model, asked once: LangChain's chat models behind a small seam."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final, Protocol  # Any: what LangChain hands through, and what a server may have sent

import httpx

from tradeloop.errors import ModelFailed, PrerequisiteMissing, SettingInvalid
from tradeloop.llm.chain import Link
from tradeloop.llm.prompt import Prompt

BUSY: Final = (408, 409, 425, 429)
NO_KEY: Final = "none"
"""OpenAI's client insists on a key; servers of one's own ask for none."""
OPENAI_ONLY: Final = ("temperature", "top_p", "seed")
"""What OpenAI's own interface names; the rest goes beside it, as compatible servers read it."""
OLLAMA_ONLY: Final = ("num_thread",)
NOTHING_KEPT: Final = httpx.Limits(max_keepalive_connections=0)
"""A connection a call: next to a model's answer it costs nothing, and none is left to be closed or found dead."""
NO_ANSWER: Final = (ConnectionError, OSError)


@dataclass(frozen=True, slots=True)
class Said:
    """What a model said."""

    text: str
    tokens_in: int
    tokens_out: int


class Chat(Protocol):
    """A model that can be asked."""

    @property
    def link(self) -> Link:
        """Which one."""
        ...

    async def say(self, prompt: Prompt) -> Said:
        """Its answer, in whatever shape.

        Raises:
            ModelFailed: it gave none; `passing` and `free` say what to make of that.
        """
        ...


@dataclass(frozen=True, slots=True)
class Manner:
    """How models are asked."""

    timeout_s: float = 30.0
    max_tokens: int = 1024
    context: int = 16_384
    params: tuple[tuple[str, float | int], ...] = (("temperature", 0.0),)

    def params_for(self, link: Link) -> dict[str, float | int]:
        """The sampling that this model is asked with."""
        given = dict(self.params)
        return {name: value for name, value in given.items() if link.provider == "ollama" or name not in OLLAMA_ONLY}


class LangChainChat:
    """A model by LangChain's `init_chat_model`."""

    def __init__(self, link: Link, manner: Manner) -> None:
        self._link = link
        self._manner = manner
        self._model = _model(link, manner)

    @property
    def link(self) -> Link:
        """Which one."""
        return self._link

    async def say(self, prompt: Prompt) -> Said:
        """Ask it once, within the time-out."""
        asked = self._model.with_structured_output(prompt.schema, method="json_schema", include_raw=True)
        try:
            async with asyncio.timeout(self._manner.timeout_s):
                answer = await asked.ainvoke(prompt.messages)
        except TimeoutError as problem:
            raise ModelFailed(f"no answer within {self._manner.timeout_s:g} s", passing=True) from problem
        except Exception as problem:
            if (cut_off := _cut_off(problem)) is not None:
                return cut_off
            raise failure_of(problem) from problem
        return _said(answer.get("raw") if isinstance(answer, dict) else None)


def _model(link: Link, manner: Manner) -> Any:
    params = manner.params_for(link)
    if link.provider == "ollama":
        own: dict[str, Any] = {
            **params,
            "num_predict": manner.max_tokens,
            "num_ctx": manner.context,
            "client_kwargs": {"timeout": manner.timeout_s, "limits": NOTHING_KEPT},
        }
    else:
        own = {name: value for name, value in params.items() if name in OPENAI_ONLY}
        beside = {name: value for name, value in params.items() if name not in OPENAI_ONLY}
        own |= {
            "extra_body": beside or None,
            "max_tokens": manner.max_tokens,
            "timeout": manner.timeout_s,
            "max_retries": 0,
            "api_key": link.key or NO_KEY,
            "use_responses_api": False,
            # Of this model alone: LangChain's own is shared by all, and bound to the event loop that first used it.
            "http_async_client": httpx.AsyncClient(timeout=manner.timeout_s, limits=NOTHING_KEPT),
        }
    try:
        from langchain.chat_models import init_chat_model

        return init_chat_model(link.name, model_provider=link.provider, base_url=link.url, **own)
    except ImportError as problem:
        raise PrerequisiteMissing(
            f"{link} needs a package that is not installed: {problem}", hint="pip install 'tradeloop[models]'"
        ) from problem
    except ValueError as problem:
        raise SettingInvalid(f"{link} cannot be asked so: {' '.join(str(problem).split())[:300]}") from problem


def failure_of(problem: BaseException) -> ModelFailed:
    """What a client's error means: whether to ask again, and whether the call can have cost anything."""
    names = {kind.__name__ for kind in type(problem).__mro__}
    status = getattr(problem, "status_code", None)
    if isinstance(status, int) and status > 0:
        words = f"the server answered {status}: {_words(problem)}"
        if status in BUSY:
            return ModelFailed(words, passing=True, free=True, after_s=_retry_after(problem))
        return ModelFailed(words, passing=status >= 500, free=400 <= status < 500)
    if names & {"APITimeoutError", "TimeoutException"}:
        return ModelFailed("the server took too long", passing=True)
    if names & {"APIConnectionError", "TransportError"} or isinstance(problem, NO_ANSWER):
        # Refused, or broken off half-way: only of the first is it sure that nothing was reckoned.
        return ModelFailed(f"the server did not answer: {_words(problem)}", passing=True, free=_was_refused(problem))
    return ModelFailed(f"the server's answer cannot be read: {type(problem).__name__}")


def _was_refused(problem: BaseException | None) -> bool:
    while problem is not None:
        if type(problem).__name__ in ("ConnectError", "ConnectTimeout", "ConnectionRefusedError", "gaierror"):
            return True
        if type(problem) is ConnectionError and "connect to Ollama" in str(problem):
            return True
        problem = problem.__cause__ or problem.__context__
    return False


def _retry_after(problem: BaseException) -> float:
    headers = getattr(getattr(problem, "response", None), "headers", {})
    try:
        return max(0.0, min(3600.0, float(headers.get("retry-after", 0))))
    except (TypeError, ValueError):
        return 0.0


def _words(problem: BaseException) -> str:
    text = " ".join(str(problem).split())
    return "".join(c for c in text if c.isprintable())[:200] or type(problem).__name__


def _said(raw: Any) -> Said:
    content = getattr(raw, "content", None)
    usage = getattr(raw, "usage_metadata", None) or {}
    if not isinstance(content, str):
        raise ModelFailed("the server's answer holds no text")
    return Said(content, _count(usage.get("input_tokens")), _count(usage.get("output_tokens")))


def _cut_off(problem: BaseException) -> Said | None:
    """The answer that was too long, which OpenAI's client raises; a shorter one may be asked for."""
    completion = getattr(problem, "completion", None)
    if type(problem).__name__ != "LengthFinishReasonError" or completion is None:
        return None
    usage = getattr(completion, "usage", None)
    choices = getattr(completion, "choices", None) or []
    text = getattr(choices[0].message, "content", "") if choices else ""
    tokens = (getattr(usage, name, 0) for name in ("prompt_tokens", "completion_tokens"))
    return Said(text or "", *(_count(one) for one in tokens))


def _count(value: Any) -> int:
    return value if isinstance(value, int) and 0 < value < 10**9 else 0
