"""The effect `webhook` against real servers on loopback that count each call, die, refuse and fall asleep."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hand import DECISION, Hand
from pydantic import SecretStr
from target import Target, listening

from tradeloop import Action
from tradeloop.domain.actions import EffectState
from tradeloop.effects import webhook
from tradeloop.effects.webhook import Webhooks, is_signed, signature
from tradeloop.effects.webhook_targets import WebhookTarget
from tradeloop.errors import EffectBlocked, EffectUnanswered, OutcomeUnknown

HOLD = Action(kind="webhook", target="oms", params={"book": "rates", "amount": "12.40"})
SECRET = "s3cret"

Making = Callable[..., Any]


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    async with listening() as found:
        yield found


@pytest.fixture
async def hand(target: Target) -> AsyncIterator[Making]:
    """Makes a run in hand whose webhook goes to the target."""
    made: list[Webhooks] = []

    async def make(**declared: Any) -> Hand:
        given = {"name": "oms", "url": target.url, "secret": SecretStr(SECRET), "timeout_s": 5} | declared
        target.honours_key = given.get("honours_key", False)
        made.append(Webhooks({"oms": WebhookTarget(**given)}))
        return await Hand(made[-1]).begin()

    yield make
    for webhooks in made:
        await webhooks.__aexit__()


async def test_a_webhook_is_posted_once_signed_with_its_key(hand: Making, target: Target) -> None:
    run = await hand()
    view = await run.perform(HOLD)
    ((headers, body),) = target.calls
    assert (view["state"], view["result"]) == ("executed", {"status": 200, "answer": '{"hold": 7}'})
    assert headers["idempotency-key"] == run.effect.key
    assert is_signed(SECRET, headers, body)
    assert json.loads(body) == {
        "effect_key": run.effect.key,
        "target": "oms",
        "params": {"book": "rates", "amount": "12.40"},
        "subject": run.cause.subject,
        "event_id": str(run.cause.event_id),
        "decision_id": str(DECISION),
        "action_digest": HOLD.digest,
        "correlation_id": str(run.cause.event_id),
        "causation_id": str(DECISION),
        "depth": 1,
    }
    assert await run.perform(HOLD) == view
    assert len(target.calls) == 1


def test_a_signature_is_refused_when_it_is_old_foreign_or_no_signature() -> None:
    good = {"TRADELOOP-SIGNATURE": signature(SECRET, "k", b"{}", 1000.0), "idempotency-key": "k"}
    assert is_signed(SECRET, good, b"{}", now=1300.0)
    assert not is_signed(SECRET, good, b"{}", now=1301.0)
    assert not is_signed(SECRET, good, b"{ }", now=1000.0)
    assert not is_signed("other", good, b"{}", now=1000.0)
    assert not is_signed(SECRET, good | {"idempotency-key": "j"}, b"{}", now=1000.0)
    for broken in ("", "v1=ab", "t=x,v1=ab", "t=1000,v1=ü", "t=1000"):
        assert not is_signed(SECRET, {"Tradeloop-Signature": broken}, b"{}", now=1000.0)


@pytest.mark.parametrize("trouble", ["dies", "500", "429", "slow"])
async def test_a_blind_target_that_gives_no_clear_answer_is_called_once_and_left_to_a_person(
    hand: Making, target: Target, trouble: str
) -> None:
    run = await hand(timeout_s=0.2 if trouble == "slow" else 5)
    target.dies, target.is_slow = trouble == "dies", trouble == "slow"
    target.status = int(trouble) if trouble.isdigit() else 200
    with pytest.raises(OutcomeUnknown, match="whether webhook oms happened is not known") as caught:
        await run.perform(HOLD)
    assert not caught.value.retriable
    target.dies = target.is_slow = False
    with pytest.raises(OutcomeUnknown):
        await run.perform(HOLD)
    assert (run.state, len(target.calls)) == ("outcome_unknown", 1)


@pytest.mark.parametrize("trouble", ["dies", "500", "409", "slow"])
async def test_a_target_that_honours_the_key_is_called_again_and_does_it_once(
    hand: Making, target: Target, trouble: str
) -> None:
    run = await hand(honours_key=True, timeout_s=0.2 if trouble == "slow" else 5)
    target.dies, target.is_slow = trouble == "dies", trouble == "slow"
    target.status = int(trouble) if trouble.isdigit() else 200
    with pytest.raises(EffectUnanswered) as caught:
        await run.perform(HOLD)
    assert caught.value.retriable
    assert run.state == "executing"
    target.dies, target.is_slow, target.status = False, False, 200
    first = target.calls[0]
    await run.taken_over()
    assert (await run.perform(HOLD))["state"] == "executed"
    assert target.calls[1][1] == first[1]
    assert target.done == [run.effect.key]


async def test_a_person_who_says_do_it_has_it_done(hand: Making, target: Target) -> None:
    run = await hand()
    target.dies = True
    with pytest.raises(OutcomeUnknown):
        await run.perform(HOLD)
    target.dies = False
    await run.store.resolve(run.effect.key, EffectState.PREPARED, "anna", "the desk has no hold")
    assert (await run.perform(HOLD))["state"] == "executed"
    assert len(target.calls) == 2


async def test_a_definite_no_fails_the_effect_and_is_not_asked_again(hand: Making, target: Target) -> None:
    run = await hand()
    target.status, target.body = 422, b"no such book \x00\xff"
    view = await run.perform(HOLD)
    assert (view["state"], view["error"]) == ("failed", "webhook oms answered 422: no such book \ufffd\ufffd")
    assert await run.perform(HOLD) == view
    assert len(target.calls) == 1


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_refusal_that_can_pass_blocks_the_effect_until_it_has(
    hand: Making, target: Target, status: int
) -> None:
    run = await hand()
    target.status = status
    with pytest.raises(EffectBlocked, match=f"answered {status}") as caught:
        await run.perform(HOLD)
    assert caught.value.retriable
    assert (run.state, run.effect.calls) == ("prepared", 0)
    assert f"answered {status}" in run.effect.blocked_reason
    target.status = 200
    assert (await run.perform(HOLD))["state"] == "executed"


@pytest.mark.parametrize("location", ["https://elsewhere.example/holds", "/other", "http://[", ""])
async def test_no_redirect_is_followed(hand: Making, target: Target, location: str) -> None:
    run = await hand()
    target.status, target.headers = 307, f"location: {location}\r\n"
    with pytest.raises(EffectBlocked, match="no redirect is followed"):
        await run.perform(HOLD)
    target.status = 303
    with pytest.raises(OutcomeUnknown, match="answered 303"):
        await run.perform(HOLD)
    assert len(target.calls) == 2


async def test_a_target_that_cannot_be_reached_was_certainly_not_called(hand: Making, target: Target) -> None:
    run = await hand(url="http://127.0.0.1:1/holds")
    with pytest.raises(EffectBlocked, match="cannot be reached"):
        await run.perform(HOLD)
    assert run.state == "prepared"


async def test_a_target_that_nobody_named_blocks_the_effect(hand: Making, target: Target) -> None:
    run = await hand()
    with pytest.raises(EffectBlocked, match="no webhook is called 'bank'; known: oms") as caught:
        await run.perform(Action(kind="webhook", target="bank"))
    assert "TRADELOOP_WEBHOOKS" in caught.value.hint
    assert target.calls == []


async def test_of_a_large_answer_the_beginning_is_kept(hand: Making, target: Target) -> None:
    run = await hand()
    target.body = b"x" * 2_000_000
    view = await run.perform(HOLD)
    assert view["state"] == "executed"
    assert view["result"]["answer"] == "x" * webhook.KEPT_CHARS + "… (cut)"


async def test_an_answer_that_breaks_off_was_an_answer(hand: Making, target: Target) -> None:
    run = await hand()
    target.headers = "transfer-encoding: chunked\r\n"
    target.body = b"5\r\nhold \r\nz"
    view = await run.perform(HOLD)
    assert view["state"] == "executed"


async def test_secrets_are_in_no_log_and_no_text(
    hand: Making, target: Target, caplog: pytest.LogCaptureFixture
) -> None:
    run = await hand()
    with caplog.at_level(logging.DEBUG):
        await run.perform(HOLD)
    assert SECRET not in caplog.text + repr(run.effector._targets) + run.effect.model_dump_json()
