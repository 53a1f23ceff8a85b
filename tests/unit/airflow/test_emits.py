"""What a task returns becomes an event: `emits` above a task, `emit_after` on an operator."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from airflow.sdk import Asset, task
from outlets import context_of, elements
from pydantic import BaseModel

from tradeloop.airflow import EmitRefused, emit_after, emits, event


class Loaded(BaseModel):
    symbol: str
    price: Decimal


def told(context: dict[str, Any], event_type: str) -> list[tuple[str, Any]]:
    bodies = [json.loads(element["body"]) for element in elements(context, event_type)]
    return [(body["subject"], body["payload"]["data"]) for body in bodies]


def hook_of(decorated: Any) -> Any:
    return decorated.kwargs["post_execute"]


@task
def load() -> dict[str, Any]:
    return {"symbol": "SPX"}


def test_the_outlet_is_declared_beside_those_of_the_task() -> None:
    other = Asset("other")
    for given in ([other], (other,), other):
        decorated = emits("prices.loaded")(load.override(outlets=given))

        assert decorated.kwargs["outlets"] == [other, event("prices.loaded")]
    assert load.kwargs.get("outlets") is None


def test_a_mapping_that_is_returned_is_the_data_and_names_the_subject() -> None:
    context = context_of("prices.loaded")
    decorated = emits("prices.loaded", subject=lambda loaded: loaded["symbol"])(load)

    hook_of(decorated)(context, {"symbol": "SPX", "price": Decimal("1.10")})

    assert told(context, "prices.loaded") == [("SPX", {"symbol": "SPX", "price": "1.10"})]


def test_a_model_that_is_returned_is_the_data() -> None:
    context = context_of("prices.loaded")

    hook_of(emits("prices.loaded", subject="spx")(load))(context, Loaded(symbol="SPX", price=Decimal("1.10")))

    assert told(context, "prices.loaded") == [("spx", {"symbol": "SPX", "price": "1.10"})]


def test_build_makes_the_data_of_anything_else() -> None:
    context = context_of("prices.loaded")
    decorated = emits("prices.loaded", lambda line: {"line": line})(load)

    hook_of(decorated)(context, "last")

    assert told(context, "prices.loaded") == [("load/manual__1", {"line": "last"})]


def test_a_hook_that_the_task_had_runs_first() -> None:
    context, order = context_of("prices.loaded"), []
    decorated = emits("prices.loaded")(load.override(post_execute=lambda _, result: order.append(result)))

    hook_of(decorated)(context, {"rows": 1})

    assert order == [{"rows": 1}]
    assert told(context, "prices.loaded") == [("load/manual__1", {"rows": 1})]


def test_two_types_can_be_emitted_by_one_task() -> None:
    context = context_of("prices.loaded", "prices.counted")
    decorated = emits("prices.loaded")(emits("prices.counted", lambda loaded: {"rows": len(loaded)})(load))

    hook_of(decorated)(context, {"symbol": "SPX"})

    assert told(context, "prices.counted")[0][1] == {"rows": 1}
    assert told(context, "prices.loaded")[0][1] == {"symbol": "SPX"}


@pytest.mark.parametrize("result", [None, 3, "text", [1]])
def test_what_is_no_mapping_is_refused(result: Any) -> None:
    context = context_of("prices.loaded")

    with pytest.raises(EmitRefused, match="a mapping is expected"):
        hook_of(emits("prices.loaded")(load))(context, result)

    assert context["outlet_events"][event("prices.loaded")].extra == {}


def test_below_the_task_decorator_it_says_where_it_belongs() -> None:
    with pytest.raises(EmitRefused, match="is not above a @task; put it on top; classic operators take emit_after"):
        emits("prices.loaded")(lambda: {})


def test_a_classic_operator_names_its_subject_by_its_result() -> None:
    context = context_of("prices.loaded")

    emit_after("prices.loaded", dict, subject=lambda result: result["symbol"])(context, {"symbol": "SPX"})

    assert told(context, "prices.loaded") == [("SPX", {"symbol": "SPX"})]
