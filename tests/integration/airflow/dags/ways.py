"""DAGs that announce what their tasks return, and that hand on values which Airflow alone would change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import dag, task
from airflow.sdk.serde import allow_class
from pydantic import BaseModel

from tradeloop.airflow import emit, emit_after, emits, event

AMOUNT = Decimal("12345678901234567.890")
"""Twenty digits: no float holds them."""
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


class Trade(BaseModel):
    """A model of the DAG's own file."""

    amount: Decimal
    booked_at: datetime
    legs: dict[str, dict[str, Decimal]]


allow_class(Trade)


def values() -> dict[str, Any]:
    """What is handed from task to task."""
    import pandas as pd

    return {
        "decimal": AMOUNT,
        "model": Trade(amount=AMOUNT, booked_at=MOMENT, legs={"a": {"b": AMOUNT}}),
        "moment": datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
        "moment_of_offset": datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        "nested": {"a": {"b": [{"c": AMOUNT, "d": (1, "x")}], "when": datetime(2026, 1, 2, tzinfo=UTC)}},
        "numbered": {1: "one", 2: {3: AMOUNT}},
        # No infinity here: Airflow itself fails a task whose rendered arguments hold one (seen on 3.3.2).
        "odd": {"text": "zero width \u200b", "number": -0.0},
        "frame": pd.DataFrame(
            {
                "amount": [AMOUNT, None],
                "price": [1.1, float("nan")],
                "name": ["Zürich", None],
                "size": pd.Series([2**62 + 1, None], dtype="Int64"),
            },
            index=pd.DatetimeIndex(["2026-01-02", "2026-01-05"], tz="Europe/Berlin", name="day"),
        ),
    }  # fmt: skip


def kinds(value: Any) -> Any:
    """The types of a value and of everything in it."""
    if isinstance(value, dict):
        return {repr(key): kinds(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [type(value).__name__, *(kinds(child) for child in value)]
    return type(value).__name__


@dag(dag_id="edge_xcom", schedule=None)
def xcom() -> None:
    @task
    def gives(name: str) -> Any:
        return values()[name]

    @task
    def takes(name: str, value: Any) -> dict[str, Any]:
        """Whether the value came as it was given."""
        given = values()[name]
        if name == "frame":
            import pandas as pd

            pd.testing.assert_frame_equal(value, given, check_exact=True)
            given, value = given["amount"].tolist(), value["amount"].tolist()
        return {"equal": value == given, "kinds": kinds(value), "given_kinds": kinds(given), "text": repr(value)}

    for name in ("decimal", "model", "moment", "moment_of_offset", "nested", "numbered", "odd", "frame"):
        takes.override(task_id=f"takes_{name}")(name, gives.override(task_id=f"gives_{name}")(name))


@dag(dag_id="edge_ways", schedule=None)
def ways() -> None:
    @emits("edge.ways.returned", subject=lambda loaded: loaded["symbol"])
    @task
    def returns() -> dict[str, Any]:
        return {"symbol": "SPX", "amount": AMOUNT}

    @task
    def reads(loaded: dict[str, Any]) -> str:
        return f"{loaded['symbol']} {loaded['amount']}"

    @emits("edge.ways.model", subject="trade")
    @task
    def returns_a_model() -> Trade:
        return Trade(amount=AMOUNT, booked_at=datetime(2026, 1, 2, tzinfo=UTC), legs={})

    @emits("edge.ways.mapped", lambda number: {"number": number}, subject=lambda number: f"edge/{number}")
    @task
    def mapped(number: int) -> int:
        return number

    @emits("edge.ways.bash", lambda line: {"line": line})
    @task.bash
    def prints() -> str:
        return "echo first; echo last"

    @task.bash(outlets=[event("edge.ways.explicit")])
    def explicit(*, outlet_events: Any = None) -> str:
        emit(outlet_events, "edge.ways.explicit", {"before": "the command"})
        return "true"

    @emits("edge.ways.twice")
    @task(outlets=[event("edge.ways.beside")])
    def also_explicit(*, outlet_events: Any = None) -> dict[str, str]:
        emit(outlet_events, "edge.ways.twice", {"number": "first"})
        emit(outlet_events, "edge.ways.beside", {})
        return {"number": "second"}

    reads(returns())
    returns_a_model()
    mapped.expand(number=[0, 1, 2])
    prints()
    explicit()
    also_explicit()
    PythonOperator(
        task_id="classic",
        python_callable=lambda: {"symbol": "SPX"},
        outlets=[event("edge.ways.classic")],
        post_execute=emit_after("edge.ways.classic", dict, subject=lambda result: result["symbol"]),
    )
    BashOperator.partial(
        task_id="classic_mapped",
        outlets=[event("edge.ways.classic_mapped")],
        post_execute=emit_after("edge.ways.classic_mapped", lambda line: {"line": line}),
    ).expand(bash_command=["echo a", "echo b"])


@dag(dag_id="edge_ways_failing", schedule=None)
def failing() -> None:
    @emits("edge.ways.never")
    @task
    def returns_no_mapping() -> int:
        return 3

    returns_no_mapping()


xcom()
ways()
failing()
