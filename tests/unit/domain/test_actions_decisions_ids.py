"""Digests, idempotency keys and derived ids: equal for equal meaning, on every machine, for ever."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from pydantic import ValidationError

from tradeloop import Action, Decision
from tradeloop.domain.canonical import canonical_json, sha256_hex, unstorable, utc_text
from tradeloop.domain.runs import FINAL_STATES, RunState, decision_id_of, derive_id, new_run_id

CAUSE = UUID("5f1c9f0e-7a52-5f3c-9d3c-0d8f4a6c1b2e")
REFETCH = Action(kind="trigger_dag", target="refetch", params={"b": [1, True, None], "a": {"amount": "10.50"}})


def test_the_digest_of_an_action_never_changes() -> None:
    text = '{"kind":"trigger_dag","params":{"a":{"amount":"10.50"},"b":[1,true,null]},"target":"refetch"}'
    assert REFETCH.digest == sha256_hex(text) == "877908f2f28f25485f2ac054681fa7924ae9a13261e992372b6c3dc118c51a35"


def test_the_order_of_parameters_changes_nothing() -> None:
    other = Action(kind="trigger_dag", target="refetch", params={"a": {"amount": "10.50"}, "b": [1, True, None]})
    assert other.digest == REFETCH.digest


@pytest.mark.parametrize(
    "change", [{"kind": "publish_event"}, {"target": "publish"}, {"params": {"a": {"amount": "10.51"}}}]
)
def test_another_action_has_another_digest(change: dict[str, object]) -> None:
    assert REFETCH.model_copy(update=change).digest != REFETCH.digest


@pytest.mark.parametrize(
    ("params", "path"),
    [({"a": 1.5}, "params.a"), ({"a": [{"b": 0.0}]}, r"params.a\[0\].b"), ({"a": 1e999}, "params.a")],
)
def test_a_float_is_refused_and_named(params: dict[str, object], path: str) -> None:
    with pytest.raises(ValidationError, match=f"{path} is the float"):
        Action(kind="trigger_dag", target="refetch", params=params)


def test_the_key_of_an_effect_knows_no_run_and_no_attempt() -> None:
    keys = {REFETCH.key(subject="SPX", cause=CAUSE, slot="act") for _ in range(2)}
    assert keys == {
        sha256_hex(canonical_json({**REFETCH.model_dump(), "subject": "SPX", "cause": str(CAUSE), "slot": "act"}))
    }


@pytest.mark.parametrize("change", [{"subject": "NDX"}, {"cause": UUID(int=1)}, {"slot": "notify"}])
def test_the_key_tells_subjects_causes_and_slots_apart(change: dict[str, object]) -> None:
    given = {"subject": "SPX", "cause": CAUSE, "slot": "act"}
    assert REFETCH.key(**given | change) != REFETCH.key(**given)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"findings": [{"id": "f", "x": float("nan")}]}, "Out of range float"),
        ({"reasons": ["a\x00"]}, r"U\+0000"),
        ({"reasons": ["\ud800"]}, "lone surrogate|unicode string"),
        ({"reasons": ["x" * 500_000]}, "at most 500,000"),
        ({"outcome": ""}, "outcome"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_decision_that_could_not_be_recorded_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Decision.model_validate({"outcome": "ACCEPT"} | fields)


def test_a_decision_is_the_same_after_its_json() -> None:
    decision = Decision(outcome="REFETCH", reasons=["é"], findings=[{"id": "f", "rows": 22}], action=REFETCH)
    assert Decision.model_validate_json(decision.model_dump_json()) == decision


def test_derived_ids_never_change() -> None:
    assert str(derive_id("local", "asset_event", 7)) == "d367dcbb-9d2a-56da-b3b1-ff725d7d00ab"
    assert str(decision_id_of("local", CAUSE, 0)) == "a18fd8ea-1781-5061-88fb-f57f7d9c0e0f"


def test_a_replay_and_another_instance_have_decisions_of_their_own() -> None:
    ids = {decision_id_of("local", CAUSE, 0), decision_id_of("local", CAUSE, 1), decision_id_of("prod", CAUSE, 0)}
    assert len(ids) == 3


def test_the_parts_of_a_derived_id_are_not_run_together() -> None:
    assert derive_id("ab", "c") != derive_id("a", "bc")


def test_run_ids_are_uuid7_of_this_moment_and_in_the_order_of_time() -> None:
    ids = []
    for _ in range(5):
        before_ms = time.time_ns() // 1_000_000
        found = new_run_id()
        assert before_ms <= found.int >> 80 <= time.time_ns() // 1_000_000
        assert (found.version, found.variant) == (7, "specified in RFC 4122")
        ids.append(found)
        while time.time_ns() // 1_000_000 == found.int >> 80:
            pass  # the next millisecond
    assert ids == sorted(ids)


def test_run_ids_of_one_moment_differ() -> None:
    assert len({new_run_id() for _ in range(1000)}) == 1000


def test_final_states_are_those_in_which_nothing_will_happen() -> None:
    live = {RunState.QUEUED, RunState.RUNNING, RunState.RETRYING, RunState.PARKED, RunState.OUTCOME_UNKNOWN}
    assert set(RunState) - live - {RunState.VERSION_UNAVAILABLE} == FINAL_STATES
    assert all(state.is_final == (state in FINAL_STATES) for state in RunState)


def test_canonical_json_sorts_keys_and_refuses_nan() -> None:
    assert canonical_json({"b": "é", "a": [1, None]}) == '{"a":[1,null],"b":"é"}'
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json(float("nan"))


def test_times_are_spelled_in_utc_with_microseconds() -> None:
    moment = datetime(2026, 11, 23, 1, 0, tzinfo=timezone(timedelta(hours=2)))
    assert utc_text(moment) == "2026-11-22T23:00:00.000000Z"
    assert len(utc_text(datetime(1, 1, 1, tzinfo=UTC))) == 27


def test_text_that_no_store_takes_is_told_from_text_that_spells_it() -> None:
    assert unstorable(canonical_json(["\x00"]))
    assert unstorable(canonical_json(["\ud800"]))
    assert unstorable(canonical_json(["\\u0000", "\\\\u0000", "\n\\"])) == ""
