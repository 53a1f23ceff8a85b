"""What is taken as a batch, and what is refused."""

from __future__ import annotations

import json
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from desk import answer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sp500 import month

from tradeloop.desks.marketdata.batch import Bar, open_batch, period_bounds
from tradeloop.errors import EventInvalid, ReferenceInvalid


def reference(path: Path, **changed: Any) -> dict[str, Any]:
    raw = path.read_bytes()
    told = {"uri": path.as_uri(), "sha256": sha256(raw).hexdigest(), "size_bytes": len(raw)}
    return {"reference": told | changed}


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "root" / "a batch.json"
    path.parent.mkdir()
    path.write_text(json.dumps(month("2009-07")))
    return path


def test_a_referenced_batch_gives_the_same_decision_as_the_same_batch_inline(stored: Path) -> None:
    by_reference, facts = answer(reference(stored), root=stored.parent)

    inline, inline_facts = answer(month("2009-07"))
    assert (by_reference.outcome, facts) == (inline.outcome, inline_facts)


def test_fields_beside_the_reference_add_to_the_file(stored: Path) -> None:
    batch, digest = open_batch(reference(stored) | {"attempt": 2}, stored.parent)

    assert (batch.attempt, batch.symbol) == (2, "SPX")
    assert digest == sha256(stored.read_bytes()).hexdigest()


def test_an_altered_file_is_refused(stored: Path) -> None:
    told = reference(stored)
    stored.write_text(stored.read_text().replace("2009-07-14", "2009-07-15", 1))

    with pytest.raises(ReferenceInvalid, match="was altered: its sha256 is"):
        open_batch(told, stored.parent)


def test_a_file_of_another_size_is_refused_unread(stored: Path) -> None:
    told = reference(stored)
    stored.write_text("{}")

    with pytest.raises(ReferenceInvalid, match="has 2 bytes; the event says"):
        open_batch(told, stored.parent)


def test_a_path_that_leaves_the_root_is_refused(stored: Path, tmp_path: Path) -> None:
    outside = tmp_path / "secret.json"
    outside.write_text("{}")
    link = stored.parent / "link.json"
    link.symlink_to(outside)
    dotted = reference(outside, uri=f"file://{stored.parent}/../secret.json")

    for told in (reference(outside), dotted, reference(outside, uri=link.as_uri())):
        with pytest.raises(ReferenceInvalid, match="is no file below"):
            open_batch(told, stored.parent)


@pytest.mark.parametrize("uri", ["https://example.org/a.json", "a.json", "file://host/a.json", "s3://bucket/key"])
def test_only_local_file_addresses_are_taken(stored: Path, uri: str) -> None:
    with pytest.raises(ReferenceInvalid, match="is not taken"):
        open_batch(reference(stored, uri=uri), stored.parent)


@pytest.mark.parametrize("uri", ["file:///nowhere/at/all.json", "file:///nul%00byte.json"])
def test_an_unreadable_address_is_one_clear_sentence(stored: Path, uri: str) -> None:
    with pytest.raises(ReferenceInvalid, match="cannot be read"):
        open_batch(reference(stored, uri=uri), stored.parent)


@pytest.mark.parametrize(
    ("content", "told"),
    [("[1]", "holds a JSON list"), ('{"bars": NaN}', "is not JSON"), ("\x80", "is not JSON"), ("{}", "symbol")],
)
def test_a_file_that_is_no_batch_is_refused(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "batch.json"
    path.write_bytes(content.encode("latin-1"))

    with pytest.raises(ReferenceInvalid, match=told):
        open_batch(reference(path), tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("symbol", "../../etc", "payload.data.symbol"),
        ("period", "July 2009", "a month 2009-07, a day 2009-07-14 or"),
        ("bars", "none", "payload.data.bars"),
        ("bars", [1], r"payload.data.bars.0"),
        ("calendar", "no such place", "payload.data.calendar"),
        ("asset_class", "art", "payload.data.asset_class"),
        ("reference", {"uri": "file:///x"}, "payload.data.reference.sha256"),
    ],
)
def test_data_that_is_no_batch_names_its_field(field: str, value: object, told: str) -> None:
    with pytest.raises(EventInvalid, match=told):
        answer(month("2009-07") | {field: value})


def test_an_unknown_calendar_is_refused_by_name() -> None:
    with pytest.raises(EventInvalid, match=r"'NOPE'.*does not exist"):
        answer(month("2009-07") | {"calendar": "NOPE"})


def test_cells_are_kept_as_delivered() -> None:
    bar = Bar.model_validate({"date": "2009-07-01", "open": 1.10, "high": " 2.50 ", "low": [1], "close": 10**400})

    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == ("1.1", "2.50", "<list>", "<number>", None)


@pytest.mark.parametrize(
    "text", ["2009-13", "2009-07-32", "2009-07-14/2009-07-01", "", "2009", "07/2009", "２００９-07"]
)
def test_a_period_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|ends before"):
        period_bounds(text)


def test_a_period_is_a_month_a_day_or_a_span() -> None:
    texts = ("2009-02", "2009-02-03", "2009-02-03/2010-01-01")
    assert [tuple(map(str, period_bounds(text))) for text in texts] == [
        ("2009-02-01", "2009-02-28"),
        ("2009-02-03", "2009-02-03"),
        ("2009-02-03", "2010-01-01"),
    ]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(st.sampled_from(["symbol", "period", "bars", "context", "reference", "attempt"]), anything))
def test_any_json_ends_in_a_decision_or_a_typed_error(data: dict[str, Any]) -> None:
    with suppress(EventInvalid, ReferenceInvalid):
        assert answer(month("2009-07") | data)[0].outcome


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from(["date", "open", "high", "low", "close", "volume"]), anything), max_size=4)
)
def test_rows_of_any_garbage_end_in_a_decision(bars: list[dict[str, Any]]) -> None:
    assert answer(month("2009-07") | {"bars": bars})[0].outcome == "REFETCH"


def test_text_without_utf_8_is_quoted_so_that_every_store_takes_it() -> None:
    decision, _ = answer(month("2009-07") | {"bars": [{"open": "\ud800"}, {"close": "\x00"}]})

    text = decision.model_dump_json().encode().decode()
    assert (r"'\\ud800'" in text, r"'\\x00'" in text, r"\u0000" in text) == (True, True, False)


def test_text_without_utf_8_in_a_foreign_field_hurts_nobody() -> None:
    assert answer(month("2009-07") | {"remark": "\ud800"})[0].outcome == "ACCEPT"
