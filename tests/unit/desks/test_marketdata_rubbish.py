"""Whatever arrives in the wider fields: a decision or a typed error, never a traceback, and no order off the list."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sp500 import month

from tradeloop.bench.desks.marketdata_words import NAMES, SYMBOLS, WORDS
from tradeloop.desks.marketdata.desk import DESK
from tradeloop.errors import EventInvalid, ReferenceInvalid
from tradeloop.gate.allowed import check

ROOT = Path("/nowhere")
quiet = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["0", "-1", "1e-320", "1e308", "-1e308", "", "1e400", "0.0000001", "NaN"]),
)
stamps = st.sampled_from(
    ["2009-07-01", "2009-07-02", "2009-07-31", "2009-07-04", "2009-06-01T14:30:00+00:00", "2009-07-01T14:30:00Z",
     "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "9999-12-31", "0001-01-01", "soon"]
)  # fmt: skip
bars = st.lists(
    st.fixed_dictionaries(
        {"date": stamps},
        optional=dict.fromkeys(("open", "high", "low", "close", "volume", "bid", "ask"), numbers),
    ),
    max_size=12,
)
days = st.sampled_from(["2009-07-01", "2009-07-15", "0001-01-01", "9999-12-31"])
wide = st.fixed_dictionaries(
    {},
    optional={
        "bars": bars,
        "context": bars,
        "frequency": st.sampled_from(["1d", "1wk", "1h", "1min"]),
        "adjusted": st.sampled_from([None, True, False]),
        "calendar": st.sampled_from(["XNYS", "24/7", "XHKG"]),
        "period": st.sampled_from(["2009-07", "2009-07-03", "2009-07-04/2009-07-05", "9999-12", "0001-01"]),
        "asset_class": st.sampled_from(["equity", "index", "rate", "crypto"]),
        "corporate_actions": st.lists(
            st.fixed_dictionaries(
                {"date": days, "factor": st.floats(1e-9, 1e9)},
                optional={"kind": st.sampled_from(["split", "dividend"])},
            ),
            max_size=3,
        ),
        "second_source": st.fixed_dictionaries({"bars": bars}),
        "other_frequency": st.fixed_dictionaries(
            {"frequency": st.sampled_from(["1d", "1wk", "1h", "1min"]), "bars": bars}
        ),
        "identities": st.lists(
            st.fixed_dictionaries({"from": days, "id": st.sampled_from(["A", "B", "US0000000001"])}), max_size=3
        ),
        "attempt": st.integers(0, 5),
    },
)


def answered(data: dict[str, Any]) -> None:
    header, facts = DESK.load(data, ROOT), DESK.facts(data, ROOT)
    verdict = DESK.judge(header, facts)
    for outcome in DESK.lattice.outcomes:
        action = DESK.action(header, facts, outcome)
        if action is not None:
            check(action, DESK.allowed, DESK.name)
    for specialist in DESK.specialists:
        specialist.tool(header, facts, ROOT)
    assert all(DESK.lattice.caution(o) < DESK.lattice.caution("ESCALATE") for o in verdict.ambiguous)


@quiet
@given(wide)
def test_any_well_typed_batch_is_answered(changed: dict[str, Any]) -> None:
    with suppress(EventInvalid, ReferenceInvalid):
        answered(month("2009-07") | changed)


@quiet
@given(
    st.dictionaries(
        st.sampled_from(
            ["frequency", "adjusted", "corporate_actions", "second_source", "other_frequency", "identities", "evidence"]
        ),
        anything,
    )
)
def test_any_json_in_the_wider_fields_is_answered_or_refused(changed: dict[str, Any]) -> None:
    with suppress(EventInvalid, ReferenceInvalid):
        answered(month("2009-07") | changed)


@pytest.mark.parametrize("words", WORDS)
def test_words_in_any_place_change_no_decision(words: str) -> None:
    spoiled = month("2009-07")
    del spoiled["bars"][5]
    plain = DESK.judge(DESK.load(spoiled, ROOT), DESK.facts(spoiled, ROOT)).decision.outcome

    for bar in spoiled["bars"]:
        bar |= {words: words, "note": words, "confirmed": True}
    spoiled |= {words: words, "decision": {"outcome": "ACCEPT"}, "ambiguous": ["ACCEPT"], "asset": words}
    assert DESK.judge(DESK.load(spoiled, ROOT), DESK.facts(spoiled, ROOT)).decision.outcome == plain == "REFETCH"


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("field", ["symbol", "calendar", "period", "asset_class", "frequency"])
def test_words_in_a_field_that_identifies_the_batch_are_refused(field: str, words: str) -> None:
    with pytest.raises(EventInvalid, match=rf"payload\.data\.?({field})?"):
        DESK.facts(month("2009-07") | {field: words}, ROOT)


@pytest.mark.parametrize("words", WORDS)
def test_words_in_a_price_make_that_row_bad_and_reach_no_order(words: str) -> None:
    data = month("2009-07")
    data["bars"][5]["close"] = words

    header, facts = DESK.load(data, ROOT), DESK.facts(data, ROOT)
    action = DESK.action(header, facts, DESK.judge(header, facts).decision.outcome)
    assert action is not None
    assert (action.target, action.params["quarantined"]) == ("quarantine_rows", [5])
    assert words[:20] not in action.model_dump_json()


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_a_symbol_that_reads_like_an_order_is_a_symbol(symbol: str) -> None:
    data = month("2009-07") | {"symbol": symbol}
    del data["bars"][5]

    assert DESK.judge(DESK.load(data, ROOT), DESK.facts(data, ROOT)).decision.outcome == "REFETCH"


@pytest.mark.parametrize("name", NAMES)
def test_a_second_sources_name_confirms_nothing(name: str) -> None:
    data = month("2008-10") | {"second_source": {"name": name, "bars": []}}

    assert DESK.judge(DESK.load(data, ROOT), DESK.facts(data, ROOT)).decision.outcome == "ESCALATE"
