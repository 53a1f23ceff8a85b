"""The gateway: chain, repair, retries, budgets, time."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from model_answers import QUESTION, ScriptedChat, proposal

from tradeloop.errors import DatabaseUnreachable, ModelFailed, ModelUnavailable
from tradeloop.llm.chain import Link, Price
from tradeloop.llm.chat import Manner, Said
from tradeloop.llm.gateway import Bounds, Gateway
from tradeloop.llm.prompt import Prompt
from tradeloop.ports import Limits, ModelCall, Used
from tradeloop.testing.budgets import MemoryBudgets

RUN = UUID(int=7)


def gateway(*chats: Any, budgets: Any = None, manner: Manner | None = None, **bounds: Any) -> Gateway:
    return Gateway(chats, budgets or MemoryBudgets(), manner, Bounds(**{"retries": 0, **bounds}))


async def ask(one: Gateway, run_id: UUID = RUN) -> Any:
    return await one.ask(QUESTION, run_id=run_id, desk="settlement")


async def test_an_answer_carries_what_the_decision_must_show() -> None:
    chat = ScriptedChat([proposal(cited=["F-2", "F-1", "F-2"])])

    answer = await ask(gateway(chat))

    assert (answer.outcome, answer.cited, answer.rationale) == ("WAIT", ["F-2", "F-1"], "so")
    assert answer.model == {
        "name": "ollama:scripted",
        "prompt_hash": chat.prompts[0].digest,
        "params": {"temperature": 0.0, "max_tokens": 1024},
        "tokens_in": 100,
        "tokens_out": 20,
        "confidence": 70,
        "repaired": False,
    }


async def test_an_answer_that_does_not_fit_is_asked_for_again_once_with_the_reason() -> None:
    chat = ScriptedChat([proposal(outcome="RELEASE EVERYTHING"), proposal()])

    answer = await ask(gateway(chat))

    assert answer.outcome == "WAIT"
    assert (answer.model["repaired"], answer.model["tokens_in"], answer.model["tokens_out"]) == (True, 200, 40)
    assert answer.model["prompt_hash"] == chat.prompts[1].digest != chat.prompts[0].digest
    assert "outcome is none of those" in chat.prompts[1].messages[-1][1]
    assert "RELEASE EVERYTHING" not in str(chat.prompts[1].messages)


async def test_two_answers_that_do_not_fit_lead_to_the_next_model() -> None:
    bad, good = ScriptedChat(["no JSON"], "bad"), ScriptedChat([proposal()], "good")

    answer = await ask(gateway(bad, good))

    assert answer.model["name"] == "ollama:good"
    assert len(bad.prompts) == 2


async def test_a_chain_in_which_nobody_answers_says_why_of_each() -> None:
    chain = gateway(ScriptedChat(["{"], "one"), ScriptedChat([ModelFailed("it is down")], "two"))

    with pytest.raises(ModelUnavailable) as raised:
        await ask(chain)

    assert "ollama:one: two answers that do not fit" in raised.value.message
    assert "ollama:two: it is down" in raised.value.message
    with pytest.raises(ModelUnavailable, match="the chain is empty"):
        await ask(gateway())


async def test_a_passing_failure_is_tried_again_and_another_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradeloop.llm.retries.FIRST_S", 0.001)
    passing = ScriptedChat([ModelFailed("busy", passing=True), ModelFailed("busy", passing=True), proposal()])
    lasting = ScriptedChat([ModelFailed("no such model"), proposal()])

    assert (await ask(gateway(passing, retries=2))).outcome == "WAIT"
    with pytest.raises(ModelUnavailable, match="no such model"):
        await ask(gateway(lasting, retries=2))
    assert (len(passing.prompts), len(lasting.prompts)) == (3, 1)


async def test_patience_bounds_waits_retries_and_the_chain_together() -> None:
    class Slow(ScriptedChat):
        async def say(self, prompt: Prompt) -> Said:  # noqa: ARG002
            await asyncio.sleep(30)
            raise AssertionError

    busy = ScriptedChat([ModelFailed("busy", passing=True, after_s=3600)])
    with pytest.raises(ModelUnavailable, match=r"0\.05 s were over"):
        await ask(gateway(Slow([]), patience_s=0.05))
    with pytest.raises(ModelUnavailable, match=r"0\.05 s were over"):
        await ask(gateway(busy, retries=1, patience_s=0.05))


async def test_each_call_is_reserved_before_and_settled_after() -> None:
    budgets = MemoryBudgets()
    seen: list[Used] = []

    class Watching(ScriptedChat):
        async def say(self, prompt: Prompt) -> Said:
            seen.append(await budgets.used_today("settlement"))
            return await super().say(prompt)

    chat = Watching([proposal()])
    chat.link = Link("openai", "x", "http://127.0.0.1:9/v1", price=Price(Decimal(1), Decimal(2)))

    await ask(gateway(chat, budgets=budgets))

    assert seen[0].tokens > 1024 + chat.prompts[0].size_bytes
    assert seen[0].cost > Decimal("0.002")
    assert await budgets.used_today() == Used(120, Decimal("0.00014"))


async def test_a_spent_budget_asks_the_next_model_and_then_nobody() -> None:
    dear, cheap = ScriptedChat([proposal()], "dear"), ScriptedChat([proposal()], "cheap")
    dear.link = Link("openai", "dear", "http://127.0.0.1:9/v1", price=Price(Decimal(1000), Decimal(1000)))

    answer = await ask(gateway(dear, cheap, limits=Limits(run_cost=Decimal("0.01"))))
    assert answer.model["name"] == "ollama:cheap"
    assert dear.prompts == []

    with pytest.raises(ModelUnavailable, match="the run's tokens would be overspent"):
        await ask(gateway(cheap, limits=Limits(run_tokens=500)))


async def test_a_run_asks_until_its_tokens_are_spent() -> None:
    chat = ScriptedChat([proposal()], tokens=(3000, 100))
    one = gateway(chat, limits=Limits(run_tokens=10_000))

    answered = 0
    with pytest.raises(ModelUnavailable):  # noqa: PT012
        for _ in range(10):
            await ask(one)
            answered += 1

    assert answered in (2, 3)
    assert (await ask(one, uuid4())).outcome == "WAIT"


@pytest.mark.parametrize(("free", "kept"), [(True, False), (False, True)])
async def test_a_call_that_failed_counts_unless_it_certainly_cost_nothing(free: bool, kept: bool) -> None:
    budgets = MemoryBudgets()

    with pytest.raises(ModelUnavailable):
        await ask(gateway(ScriptedChat([ModelFailed("x", free=free)]), budgets=budgets))

    assert ((await budgets.used_today()).tokens > 1024) == kept


async def test_an_answer_without_a_count_of_tokens_counts_as_it_was_reserved() -> None:
    budgets = MemoryBudgets()

    answer = await ask(gateway(ScriptedChat([proposal()], tokens=(0, 0)), budgets=budgets))

    assert answer.model["tokens_in"] == 0
    assert (await budgets.used_today()).tokens > 1024


async def test_without_the_database_nothing_is_sent_and_an_answer_is_not_lost() -> None:
    class Away(MemoryBudgets):
        async def reserve(self, call: ModelCall, limits: Limits) -> str:  # noqa: ARG002
            raise DatabaseUnreachable("away")

    class AwayAfterwards(MemoryBudgets):
        async def settle(self, call_id: UUID, used: Used | None) -> None:  # noqa: ARG002
            raise DatabaseUnreachable("away")

    chat = ScriptedChat([proposal()])
    with pytest.raises(DatabaseUnreachable):
        await ask(gateway(chat, budgets=Away()))
    assert chat.prompts == []
    assert (await ask(gateway(chat, budgets=AwayAfterwards()))).outcome == "WAIT"


async def test_a_question_that_may_be_cut_off_is_not_answered() -> None:
    small = Manner(context=1100, max_tokens=1000)
    full = ScriptedChat([proposal()], tokens=(1190, 10))

    with pytest.raises(ModelUnavailable, match="too many for its context"):
        await ask(gateway(ScriptedChat([proposal()]), manner=small))
    with pytest.raises(ModelUnavailable, match="may have been cut off"):
        await ask(gateway(full, manner=Manner(context=1200, max_tokens=100)))


async def test_only_so_many_calls_are_out_at_a_time_and_the_pace_is_kept() -> None:
    out, most, paced = 0, 0, 0

    class Counting(ScriptedChat):
        async def say(self, prompt: Prompt) -> Said:  # noqa: ARG002
            nonlocal out, most
            out += 1
            most = max(most, out)
            await asyncio.sleep(0.002)
            out -= 1
            return Said(proposal(), 1, 1)

    class Pace:
        async def aacquire(self, *, blocking: bool = True) -> bool:  # noqa: ARG002
            nonlocal paced
            paced += 1
            return True

    one = gateway(Counting([]), turns=asyncio.Semaphore(3), pace=Pace())
    await asyncio.gather(*(ask(one) for _ in range(20)))

    assert (most, paced) == (3, 20)
