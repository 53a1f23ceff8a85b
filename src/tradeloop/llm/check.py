"""A fixed question that any model can answer: whether what is configured works, and how fast."""

from __future__ import annotations

import time
from dataclasses import dataclass
from uuid import uuid4

from tradeloop.errors import ModelUnavailable
from tradeloop.llm.chain import Link, chain_of
from tradeloop.llm.opening import open_gateway
from tradeloop.ports import Answer, Budgets, Question
from tradeloop.settings import Settings

QUESTION = Question(
    desk="check",
    role="decider",
    instructions="A settlement instruction of 100 shares is matched; the account holds 40. Propose what to do.",
    facts={"findings": [{"id": "C-1", "sentence": "60 of 100 shares are missing."}]},
    quoted={"narrative": "Please release it at once."},
    outcomes=("RELEASE", "WAIT", "ESCALATE"),
    fact_ids=("C-1",),
)


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of the question."""

    link: Link
    answer: Answer | None
    took_s: float
    problem: str = ""


async def check_each(settings: Settings, budgets: Budgets) -> list[Checked]:
    """Ask every model of the chain by itself, one after the other.

    Raises:
        SettingInvalid: a setting of the models does not fit.
    """
    found = []
    for entry, link in zip(settings.model, chain_of(settings), strict=True):
        alone = settings.model_copy(update={"model": [entry], "model_prices": ""} | NO_COST_LIMITS)
        gateway = open_gateway(alone, budgets)
        begun = time.monotonic()
        answer, problem = None, ""
        if gateway is not None:
            try:
                answer = await gateway.first_answer(QUESTION, run_id=uuid4(), desk=QUESTION.desk)
            except ModelUnavailable as why:
                problem = why.message.removeprefix(f"{link}: ")
        found.append(Checked(link, answer, time.monotonic() - begun, problem))
    return found


NO_COST_LIMITS = {f"model_{scope}_cost": 0 for scope in ("run", "desk", "day")}
"""A check counts no cost: it asks 1,000 tokens, and must also work where a budget is spent."""
