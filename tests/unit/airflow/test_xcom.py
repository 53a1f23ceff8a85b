"""The XCom backend: what a task pushes comes back equal and of the same type, or is refused with its place."""

from __future__ import annotations

import json
from collections import namedtuple
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from airflow.sdk import serde
from airflow.sdk.bases.xcom import BaseXCom
from dateutil import tz
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from tradeloop.airflow.xcom import Exact, ExactXCom, XComRefused, exact

AMOUNT = Decimal("12345678901234567.890")
BERLIN = ZoneInfo("Europe/Berlin")
Pair = namedtuple("Pair", "left right")


class Trade(BaseModel):
    """A model as users write them."""

    model_config = ConfigDict(frozen=True)
    amount: Decimal
    booked_at: datetime
    legs: dict[str, list[Decimal]]
    number: int = 0


class Loose(BaseModel):
    """A field that keeps no type."""

    anything: Any


class Strict(BaseModel):
    """A model that does not read its own JSON."""

    model_config = ConfigDict(strict=True)
    amount: Decimal


class Unknown(BaseModel):
    """A model that no configuration allows."""

    amount: Decimal


class Measure(BaseModel):
    """A model whose JSON has what JSON cannot carry."""

    value: float
    text: str = ""


class Turncoat:
    """What comes back from Airflow is something else."""

    def serialize(self) -> dict[str, str]:
        return {"name": "turncoat"}

    @staticmethod
    def deserialize(data: dict[str, str], _: int) -> str:
        return data["name"]


class Vector:
    """Like an array: whether two are equal has no single answer."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers

    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth value is ambiguous")

    __hash__ = None  # type: ignore[assignment]

    def serialize(self) -> dict[str, list[int]]:
        return {"numbers": list(self.numbers)}

    @staticmethod
    def deserialize(data: dict[str, list[int]], _: int) -> Vector:
        return Vector(*data["numbers"])


@dataclass
class Row:
    """What Airflow turns into a mapping and back."""

    amount: Decimal


@pytest.fixture(autouse=True)
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The models that a deployment allows Airflow to make."""
    monkeypatch.setattr(serde, "_extra_allowed", set(serde._extra_allowed))
    for model in (Trade, Loose, Strict, Measure, Turncoat, Vector, Row):
        serde.allow_class(model)


def handed_on(value: Any) -> Any:
    """The value as the next task gets it: through Airflow's serializer, and through JSON as in its database."""
    stored = ExactXCom.serialize_value(
        value, key="return_value", task_id="load", dag_id="etl", run_id="r", map_index=-1
    )
    return ExactXCom.deserialize_value(SimpleNamespace(value=json.loads(json.dumps(stored, allow_nan=False))))


def types_of(value: Any) -> Any:
    if isinstance(value, dict):
        return [type(value), *((types_of(key), types_of(child)) for key, child in value.items())]
    if isinstance(value, list | tuple):
        return [type(value), *map(types_of, value)]
    return type(value)


@pytest.mark.parametrize(
    "value",
    [
        AMOUNT,
        Decimal("1E+30"),
        Decimal("-0.00"),
        Decimal("Infinity"),
        {"price": AMOUNT, "legs": [{"price": (AMOUNT, "x")}]},
        {1: "one", (2, "b"): AMOUNT, date(2026, 1, 2): None},
        {"__classname__": "a", "__version__": 1, "__type": "dict", "__var": {}},
        {"a\x00b": 1},
        {AMOUNT, "x"},
        frozenset({(1, AMOUNT)}),
        datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN),
        datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=5, minutes=30, seconds=7))),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2026, 1, 2),
        date(2026, 1, 2),
        time(1, 2, 3, 4, tzinfo=UTC),
        time(1, 2, tzinfo=BERLIN),
        timedelta(days=200_000, microseconds=1),
        float("inf"),
        -0.0,
        2**63 - 1,
        "a\x00b",
        "\ud800",
        UUID(int=1),
        True,
        None,
    ],
)
def test_a_value_comes_back_equal_and_of_the_same_type(value: Any) -> None:
    back = handed_on({"inside": [value]})["inside"][0]

    assert back == value
    assert types_of(back) == types_of(value)
    assert str(back) == str(value)


@pytest.mark.parametrize("zone", [BERLIN, UTC, timezone(timedelta(hours=1))])
def test_a_moment_keeps_its_zone_and_which_of_two_hours_it_is(zone: Any) -> None:
    for fold in (0, 1):
        back = handed_on(datetime(2026, 10, 25, 2, 30, fold=fold, tzinfo=zone))

        assert (back.tzinfo, type(back.tzinfo), back.fold) == (zone, type(zone), fold)


def test_numbers_that_equal_nothing_come_back_as_what_they_are() -> None:
    assert str(handed_on(float("nan"))) == "nan"
    assert str(handed_on(Decimal("NaN"))) == "NaN"
    assert str(handed_on(Decimal("sNaN123"))) == "sNaN123"


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.decimals(allow_nan=False)
    | st.text(max_size=8)
    | st.datetimes(timezones=st.just(UTC) | st.just(BERLIN) | st.none(), allow_imaginary=False)
    | st.dates()
    | st.timedeltas()
)
KEYS = st.text(max_size=8) | st.integers(-9, 9) | st.dates()


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner, max_size=3),
        max_leaves=12,
    )
)
def test_any_nesting_of_such_values_comes_back_whole(value: Any) -> None:
    back = handed_on(value)

    assert back == value
    assert types_of(back) == types_of(value)


def test_a_pydantic_model_comes_back_as_itself() -> None:
    trade = Trade(amount=AMOUNT, booked_at=datetime(2026, 1, 2, tzinfo=UTC), legs={"a": [Decimal("0.10")]})

    back = handed_on({"trades": [trade]})["trades"][0]

    assert type(back) is Trade
    assert back == trade
    assert str([back.amount, back.legs]) == str([trade.amount, trade.legs])


@pytest.mark.parametrize("value", [Measure(value=float("inf")), Measure(value=-0.0, text="a\x00b")])
def test_a_model_keeps_what_json_and_the_database_cannot_hold(value: Measure) -> None:
    back = handed_on([value])[0]

    assert (type(back), back) == (Measure, value)


def test_a_moment_in_a_zone_of_another_package_stays_the_same_moment() -> None:
    moment = datetime(2026, 7, 2, 3, 4, tzinfo=tz.gettz("Europe/Berlin"))

    back = handed_on(moment)

    assert (back, back.utcoffset(), str(back.tzinfo)) == (moment, timedelta(hours=2), "Europe/Berlin")


def test_a_value_that_cannot_be_compared_is_handed_on_by_its_own_serializer() -> None:
    back = handed_on({"v": Vector(1, 2)})["v"]

    assert (type(back), back.numbers) == (Vector, (1, 2))


def test_airflow_alone_would_have_changed_the_decimal() -> None:
    # If this fails, Airflow has learnt it, and the backend may go.
    stored = json.loads(json.dumps(BaseXCom.serialize_value(AMOUNT)))

    assert BaseXCom.deserialize_value(SimpleNamespace(value=stored)) != AMOUNT


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"rows": [1, {"model": Loose(anything=AMOUNT)}]}, "XCom: return_value.rows[1].model is Loose and would not"),
        (Strict(amount=AMOUNT), "XCom: return_value is Strict, which Airflow cannot hand on (1 validation error"),
        ({"model": Unknown(amount=AMOUNT)}, "Unknown was not found in allow list"),
        (Row(amount=AMOUNT), "XCom: return_value is Row and would not come back equal"),
        ([10**20], "XCom: return_value[0] is an integer of more than 64 bits"),
        ([Trade(amount=AMOUNT, booked_at=datetime(2026, 1, 2), legs={}, number=2**64)], "more than 64 bits"),
        (b"bytes", "XCom: return_value is bytes, which Airflow cannot hand on"),
        (Turncoat(), "XCom: return_value is Turncoat and would come as str"),
        (
            {"at": datetime(2026, 1, 2, tzinfo=tz.tzoffset(None, 3600))},
            "XCom: return_value.at is datetime, which Airflow cannot hand",
        ),
    ],
)
def test_what_would_not_come_back_equal_is_refused_with_its_place(value: Any, told: str) -> None:
    with pytest.raises(XComRefused) as refused:
        handed_on(value)

    assert told in str(refused.value)


def test_a_subclass_of_a_builtin_comes_as_the_builtin_that_it_equals() -> None:
    back = handed_on([Pair(1, AMOUNT)])[0]

    assert (back, type(back)) == ((1, AMOUNT), tuple)


def test_a_page_of_airflow_shows_the_exact_text() -> None:
    from airflow.serialization.stringify import stringify

    assert stringify(ExactXCom.serialize_value(AMOUNT)) == f"tradeloop.airflow.xcom.Exact@version=1(decimal='{AMOUNT}')"


def test_exact_protects_a_value_under_another_backend() -> None:
    serde.allow_class(Exact)  # what `allowed_deserialization_classes` does for a deployment
    stored = json.loads(json.dumps(BaseXCom.serialize_value(exact({"price": AMOUNT}))))

    assert BaseXCom.deserialize_value(SimpleNamespace(value=stored)) == {"price": AMOUNT}


def test_a_value_of_a_newer_release_is_named() -> None:
    with pytest.raises(XComRefused, match="of the kind 'tensor', which this tradeloop does not know"):
        Exact.deserialize({"tensor": []}, 1)
