"""Data frames through XCom without pyarrow: every kind of column equal, or refused."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from dateutil import tz

from tradeloop.airflow.frames import MAX_FRAME_BYTES, unpack
from tradeloop.airflow.xcom import ExactXCom, XComRefused

AMOUNT = Decimal("12345678901234567.890")
DAYS = pd.to_datetime(["2026-01-02", None, "2026-10-25"])


def handed_on(value: Any) -> Any:
    stored = ExactXCom.serialize_value(value, key="return_value")
    return ExactXCom.deserialize_value(SimpleNamespace(value=json.loads(json.dumps(stored, allow_nan=False))))


def column(values: Any, **kind: Any) -> pd.DataFrame:
    return pd.DataFrame({"a": pd.Series(values, **kind)})


FRAMES = {
    "whole numbers": column([1, -(2**63), 2**63 - 1]),
    "bytes": column([0, 255], dtype="uint8"),
    "floats": column([0.1, float("nan"), float("inf"), -0.0]),
    "single floats": column([0.1, 1e-38], dtype="float32"),
    "complex": column([1 + 2j]),
    "flags": column([True, False]),
    "texts": column(["Zürich", None, "a\x00b", ""]),
    "texts with NA": column(["a", None], dtype="string"),
    "decimals": column([AMOUNT, None, Decimal("-0.00")]),
    "objects": column([AMOUNT, "x", None, [1, {"b": AMOUNT}], (1, 2), datetime(2026, 1, 2, tzinfo=UTC)], dtype=object),
    "days": column([date(2026, 1, 2), None]),
    "nothing": column([None, None], dtype=object),
    "nullable numbers": column([1, None, 2**62 + 1], dtype="Int64"),
    "nullable floats": column([0.1, None], dtype="Float32"),
    "nullable flags": column([True, None, False], dtype="boolean"),
    "categories": column(["b", "a", None, "b"], dtype="category"),
    "ordered categories": pd.DataFrame({"a": pd.Categorical([3, 1], categories=[3, 2, 1], ordered=True)}),
    "moments": pd.DataFrame({"a": DAYS}),
    "seconds": pd.DataFrame({"a": DAYS.as_unit("s")}),
    "zoned": pd.DataFrame({"a": DAYS.tz_localize("Europe/Berlin")}),
    "zoned by offset": pd.DataFrame({"a": DAYS.tz_localize(timezone(timedelta(hours=5, minutes=30)))}),
    "spans": pd.DataFrame({"a": pd.to_timedelta([1, None, 3], unit="ms")}),
    "no row": column([], dtype="float64"),
    "no column": pd.DataFrame(index=[1, 2]),
    "nothing at all": pd.DataFrame(),
    "one name twice": pd.DataFrame([[1, 2.5]], columns=["a", "a"]),
    "names of all kinds": pd.DataFrame([[1, 2, 3]], columns=pd.Index(["a", 1, ("b", 2)], tupleize_cols=False)),
    "names of two levels": pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])),
    "two levels of rows": pd.DataFrame({"d": DAYS, "s": list("xyz"), "v": [1, 2, 3]}).set_index(["d", "s"]),
    "named rows": pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name=("row", 1))),
    "every second row": pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(0, 4, 2, name="n")),
    "days in order": pd.DataFrame({"a": [1, 2]}, index=pd.date_range("2026-03-28", periods=2, freq="B", tz="UTC")),
    "categorical rows": pd.DataFrame({"a": [1, 2]}, index=pd.CategoricalIndex(["x", "y"])),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_comes_back_equal(name: str) -> None:
    frame = FRAMES[name]

    back = handed_on({"deep": [frame]})["deep"][0]

    pd.testing.assert_frame_equal(back, frame, check_exact=True, check_index_type="exact", check_column_type="exact")
    assert list(map(repr, back.to_numpy().ravel())) == list(map(repr, frame.to_numpy().ravel()))


def test_the_attributes_of_a_frame_come_along() -> None:
    frame = column([1])
    frame.attrs = {"source": "vendor", "price": AMOUNT}

    assert handed_on(frame).attrs == {"source": "vendor", "price": AMOUNT}


def test_the_frame_that_comes_back_can_be_changed() -> None:
    back = handed_on(column([1.5, 2.5]))
    back.loc[0, "a"] = 7.0

    assert back["a"].tolist() == [7.0, 2.5]


class Labelled(pd.DataFrame):  # type: ignore[misc]
    """A frame of another package."""


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (
            pd.DataFrame({"p": pd.period_range("2026-01", periods=2, freq="M")}),
            r"\['p'\] has values of the kind period",
        ),
        (pd.DataFrame({"o": [object()]}), r"\['o'\]\[0\] is object, which Airflow cannot hand on"),
        (column([1], dtype=">i8"), "XCom: return_value.frame is a data frame that would not come back equal"),
        (
            column(["2026-01-02"], dtype="datetime64[ns]").a.dt.tz_localize(tz.tzoffset(None, 60)).to_frame(),
            "of the type",
        ),
        (pd.DataFrame({"s": pd.arrays.SparseArray([1, 0])}), r"\['s'\] has values of the kind Sparse"),
        (Labelled({"a": [1]}), "is Labelled, a kind of data frame of another package"),
        (pd.DataFrame(np.zeros(MAX_FRAME_BYTES // 8 + 1)), "at most 16,777,216 are taken; write a file"),
    ],
)
def test_a_frame_that_cannot_be_carried_is_refused(frame: Any, told: str) -> None:
    with pytest.raises(XComRefused, match=told):
        handed_on({"frame": frame})


@pytest.mark.parametrize(
    "array",
    [
        {"kind": "plain", "dtype": "|O", "bytes": "AAAAAAAAAAA="},
        {"kind": "pickle", "bytes": "gAROLg=="},
        {"kind": "nullable", "name": "object", "values": {}, "missing": {}},
    ],
)
def test_a_stored_value_that_names_anything_else_is_refused(array: dict[str, Any]) -> None:
    empty = {"names": [None], "range": [0, 1, 1]}

    with pytest.raises(XComRefused):
        unpack({"index": empty, "columns": empty, "arrays": [array], "attrs": {}})
