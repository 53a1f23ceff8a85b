"""Encoding of puts: what PostgreSQL reads is what it would read from the stock saver."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tradeloop.store.puts import is_finite, to_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4),
    max_leaves=12,
)


def read(text: str | bytes) -> Any:
    """What a strict reader makes of it; an error's text when it is no JSON, as NaN is none."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        return json.loads(text, parse_constant=refuse)
    except ValueError as problem:
        return f"refused: {problem}"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES)
def test_json_means_what_the_stock_savers_means(value: Any) -> None:
    assert read(to_json(value, is_plain=is_finite(value))) == read(json.dumps(value))


@pytest.mark.parametrize(
    "value",
    [2**70, -(2**63), {1: "a"}, {"n": math.nan}, [math.inf], "a\x00b", "\ud800", 1e300, -0.0, {"deep": [{"n": 2**64}]}],
)
def test_json_of_what_is_hard_means_what_the_stock_savers_means(value: Any) -> None:
    assert read(to_json(value, is_plain=is_finite(value))) == read(json.dumps(value))


def test_a_value_that_the_stock_saver_refuses_is_refused() -> None:
    for value in (object(), {"a": {1, 2}}, b"bytes", {(1, 2): "tuple"}):
        with pytest.raises(TypeError):
            to_json(value, is_plain=is_finite(value))
