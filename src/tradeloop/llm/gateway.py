"""The gateway: a question down the chain of models, each answer checked, within time and budget."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final, Protocol
from uuid import UUID, uuid4

import structlog

from tradeloop.errors import BudgetSpent, DatabaseUnreachable, ModelFailed, ModelUnavailable
from tradeloop.llm.cassette import Cassette, NoCassette
from tradeloop.llm.chat import Chat, Manner, Said
from tradeloop.llm.prompt import Prompt, prompt_of
from tradeloop.llm.proposal import Proposal, ProposalInvalid, proposal_of
from tradeloop.llm.retries import retried
from tradeloop.ports import Answer, Budgets, Limits, ModelCall, Question, Used

ENVELOPE_TOKENS: Final = 512
"""What a server's chat template adds, and more."""
LEAST_BYTES_A_TOKEN: Final = 8
"""No text has more of them in the mean: a prompt that is too long even so is not sent."""
BUDGETS: Final = {
    "run_tokens": "the run's tokens",
    "desk_tokens": "the desk's tokens of today",
    "day_tokens": "today's tokens",
    "run_cost": "the run's cost",
    "desk_cost": "the desk's cost of today",
    "day_cost": "today's cost",
}


class Pace(Protocol):
    """A rate limiter, as LangChain has them."""

    async def aacquire(self, *, blocking: bool = True) -> bool:
        """Wait for the next call's turn."""
        ...


@dataclass
class Bounds:
    """What a question may take."""

    patience_s: float = 60.0
    retries: int = 2
    limits: Limits = field(default_factory=Limits)
    pace: Pace | None = None
    turns: AbstractAsyncContextManager[object] = field(default_factory=lambda: asyncio.Semaphore(4))
    """Calls that are out at a time."""


class Gateway:
    """ports.Agents by language models; the first of the chain that answers sensibly is heard."""

    def __init__(
        self,
        chats: Sequence[Chat],
        budgets: Budgets,
        manner: Manner | None = None,
        bounds: Bounds | None = None,
        cassette: Cassette | None = None,
    ) -> None:
        self._chats = chats
        self._budgets = budgets
        self._manner = manner or Manner()
        self._bounds = bounds or Bounds()
        self._cassette = cassette or NoCassette()
        self._log = structlog.get_logger()

    async def ask(self, question: Question, *, run_id: UUID, desk: str) -> Answer:
        """The first answer of the chain that fits the question; a log line when there is none.

        Raises: as `first_answer`.
        """
        try:
            return await self.first_answer(question, run_id=run_id, desk=desk)
        except ModelUnavailable as problem:
            told = {"desk": desk, "role": question.role, "run_id": str(run_id), "reason": problem.message}
            self._log.warning("model_unavailable", **told)
            raise

    async def first_answer(self, question: Question, *, run_id: UUID, desk: str) -> Answer:
        """The first answer of the chain that fits the question.

        Raises:
            ModelUnavailable: none did in time and within the budget; says of each model why.
            CassetteMiss: answers are played from a recording, which does not hold this one.
            DatabaseUnreachable: the budget could not be asked; nothing was sent.
        """
        prompt, why = prompt_of(question), list[str]()
        for_whom = _Asking(question, run_id, desk)
        try:
            async with asyncio.timeout(self._bounds.patience_s) as limit:
                for chat in self._chats:
                    try:
                        return await self._answer(chat, prompt, for_whom)
                    except ModelUnavailable as problem:
                        why.append(f"{chat.link}: {problem.message}")
        except TimeoutError:
            if not limit.expired():
                raise
            why.append(f"{self._bounds.patience_s:g} s were over")
        raise ModelUnavailable("; ".join(why) or "the chain is empty", hint="tradeloop models check")

    async def _answer(self, chat: Chat, prompt: Prompt, asking: _Asking) -> Answer:
        """One model's answer, asked a second time when the first does not fit."""
        said = await self._said(chat, prompt, asking)
        tokens_in, tokens_out = said.tokens_in, said.tokens_out
        try:
            proposal = proposal_of(said.text, asking.question)
        except ProposalInvalid as fault:
            prompt = prompt.again(str(fault))
            said = await self._said(chat, prompt, asking)
            tokens_in, tokens_out = tokens_in + said.tokens_in, tokens_out + said.tokens_out
            try:
                proposal = proposal_of(said.text, asking.question)
            except ProposalInvalid as second:
                raise ModelFailed(f"two answers that do not fit: {fault}; {second}") from second
        return self._as_answer(chat, prompt, proposal, tokens_in, tokens_out)

    def _as_answer(self, chat: Chat, prompt: Prompt, proposal: Proposal, tokens_in: int, tokens_out: int) -> Answer:
        return Answer(
            outcome=proposal.outcome,
            cited=proposal.cited,
            rationale=proposal.rationale,
            model={
                "name": str(chat.link),
                "prompt_hash": prompt.digest,
                "params": {**self._manner.params_for(chat.link), "max_tokens": self._manner.max_tokens},
                "tokens_in": tokens_in,
                "tokens_out": tokens_out,
                "confidence": proposal.confidence,
                "repaired": bool(prompt.fault),
            },
        )

    async def _said(self, chat: Chat, prompt: Prompt, asking: _Asking) -> Said:
        """What the model says, or what a recording says that it said."""
        played = self._cassette.played(chat.link, self._manner, prompt)
        if played is not None:
            return played
        try:
            said = await retried(lambda: self._reckoned(chat, prompt, asking), self._bounds.retries)
        except ModelFailed as failed:
            self._cassette.keep(chat.link, self._manner, prompt, failed)
            raise
        self._cassette.keep(chat.link, self._manner, prompt, said)
        return said

    async def _reckoned(self, chat: Chat, prompt: Prompt, asking: _Asking) -> Said:
        """One call: reserved at its highest, made, and set to what it used. No transaction is open meanwhile."""
        if prompt.size_bytes / LEAST_BYTES_A_TOKEN + self._manner.max_tokens > self._manner.context:
            raise ModelFailed(f"the question has {prompt.size_bytes:,} bytes, too many for its context")
        async with self._bounds.turns:
            if self._bounds.pace is not None:
                await self._bounds.pace.aacquire()
            # A token is a byte at least, so this is the most that the call can use.
            most = chat.link.price.of(prompt.size_bytes + ENVELOPE_TOKENS, self._manner.max_tokens)
            call = ModelCall(
                call_id=uuid4(),
                run_id=asking.run_id,
                desk=asking.desk,
                model=str(chat.link),
                tokens=most.tokens,
                cost=most.cost,
            )
            if refusal := await self._budgets.reserve(call, self._bounds.limits):
                raise BudgetSpent(f"{BUDGETS[refusal]} would be overspent")
            try:
                said = await chat.say(prompt)
            except ModelFailed as failed:
                await self._settle(call, chat.link.price.of(0, 0) if failed.free else None)
                raise
        has_usage = bool(said.tokens_in and said.tokens_out)
        await self._settle(call, chat.link.price.of(said.tokens_in, said.tokens_out) if has_usage else None)
        if said.tokens_in + said.tokens_out >= self._manner.context:
            raise ModelFailed("the question may have been cut off: it fills the model's context")
        return said

    async def _settle(self, call: ModelCall, used: Used | None) -> None:
        """Count what was used; without the database the whole reservation stays counted, on the safe side."""
        try:
            await self._budgets.settle(call.call_id, used)
        except DatabaseUnreachable as problem:
            self._log.warning("model_call_unsettled", call_id=str(call.call_id), error=problem.message)


@dataclass(frozen=True, slots=True)
class _Asking:
    question: Question
    run_id: UUID
    desk: str
