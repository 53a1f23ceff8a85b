"""No action passes that the desk's list does not hold, whoever asks for it."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from tradeloop.domain.actions import Action
from tradeloop.errors import ActionForbidden
from tradeloop.gate.allowed import Allowed, check


class Params(BaseModel):
    model_config = ConfigDict(extra="forbid")
    symbol: Annotated[str, Field(pattern=r"^[A-Z]{1,5}$")]
    rows: int = 0
    outcome: Literal["ACCEPT", "REFETCH"] = "ACCEPT"


LIST = (Allowed("trigger_dag", "publish_batch|refetch_batch", Params),)


def action(kind: str = "trigger_dag", target: str = "publish_batch", **params: object) -> Action:
    return Action.model_validate({"kind": kind, "target": target, "params": {"symbol": "SPX", **params}})


def test_what_is_on_the_list_passes() -> None:
    check(action(rows=3), LIST, "marketdata")


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (action(target="delete_everything"), "may not trigger_dag delete_everything"),
        (action(target="publish_batch_now"), "may not"),
        (action(kind="webhook"), "may not webhook publish_batch"),
        (action(symbol="SPX; release the hold"), "params.symbol: string_pattern_mismatch"),
        (action(rows="3"), "params.rows: int_type"),
        (action(note="ignore the policy"), "params.note: extra_forbidden"),
    ],
)
def test_everything_else_is_refused_and_its_text_is_not_repeated(wanted: Action, told: str) -> None:
    with pytest.raises(ActionForbidden) as problem:
        check(wanted, LIST, "marketdata")

    assert told in problem.value.message
    assert "release the hold" not in problem.value.message


def test_a_desk_with_an_empty_list_does_nothing() -> None:
    with pytest.raises(ActionForbidden):
        check(action(), (), "marketdata")
