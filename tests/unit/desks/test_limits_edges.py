"""Corners of the risk-limits desk that no honest feed reaches."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl
import pytest
from limiting import PRICES, answer, event, limit, place, told

from tradeloop.desks.limits.desk import DESK


def test_what_a_worker_warms_is_what_reads_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    assert DESK.warm is not None

    DESK.warm()

    assert "polars" in sys.modules


def test_a_header_that_is_no_csv_is_refused() -> None:
    data = event("GROSS,1", positions={"text": "symbol\rx,quantity\nAAA,1\n"})

    assert place(data) == ("payload.data.positions", 1, "header")


def test_a_header_over_two_lines_is_refused() -> None:
    data = event("GROSS,1", positions={"text": '"symbol\nname",quantity\nAAA,1\n'})

    assert place(data)[0] == "payload.data.positions"


def test_nested_and_binary_columns_of_parquet_are_left_out(tmp_path: Path) -> None:
    from test_limits_inputs import reference

    frame = pl.DataFrame({"symbol": ["AAA"], "quantity": [2], "legs": [[1, 2]], "raw": [b"\xff"]})
    frame.write_parquet(tmp_path / "p.parquet")

    _, facts = answer(event("GROSS,1", positions=reference(tmp_path / "p.parquet")), tmp_path)

    assert facts["limits"][0]["value"] == 200


def test_one_price_alone_is_no_history() -> None:
    data = event(
        "GROSS,1000000", "VAR_99,5", prices="date,AAA\n2026-01-13,100\n", positions="symbol,quantity\nAAA,1\n", fx=None
    )

    assert limit(data, "L2")["value"] is None
    assert answer(data)[0].outcome == "RECHECK_DATA"


def test_an_empty_column_of_prices_is_no_price() -> None:
    data = event("GROSS,1000000", prices=PRICES.replace("CCC", "DDD"))

    assert told(data, "RL08") == ["CCC has no price"]


def test_a_flat_book_has_no_var() -> None:
    data = event("VAR_99,5", positions="symbol,quantity\nAAA,0\n", fx=None)

    assert (limit(data)["value"], answer(data)[0].outcome) == (0, "OK")


def test_a_drawdown_without_a_net_asset_value_cannot_be_told() -> None:
    data = event("DRAWDOWN_NAV,5,percent", nav=None, pnl="date,pnl\n2026-01-13,-5\n")

    assert limit(data)["value"] is None
    assert limit(event("DRAWDOWN_NAV,5,percent", nav=None, pnl="date,pnl,nav\n2026-01-13,-5,95\n"))["value"] == 0.05


def test_what_stands_still_beside_nothing_is_no_sign_of_a_dead_feed() -> None:
    rows = "".join(f"2026-01-{day:02d},100\n" for day in (7, 8, 9, 12, 13))
    data = event("GROSS,1000000", prices="date,AAA\n" + rows, positions="symbol,quantity\nAAA,1\n", fx=None)

    assert answer(data)[0].outcome == "OK"


def test_figures_that_no_float_holds_are_no_all_clear() -> None:
    rows = "".join(f"2026-01-{day:02d},{'1e24' if day % 2 else '1e-99'},1\n" for day in range(1, 14))
    rates = "".join(f"2026-01-{day:02d},{'1e24' if day % 2 else '1e-99'}\n" for day in range(1, 14))
    data = event(
        "VAR_99,1e24", "NET,1e24", "GROSS,1e-99",
        prices="date,AAA,BBB\n" + rows,
        fx="date,EUR\n" + rates,
        positions="symbol,quantity,currency\nAAA,1e24,EUR\nBBB,-5,EUR\n",
    )  # fmt: skip

    decision, facts = answer(data)

    assert decision.outcome == "BLOCK_NEW_RISK"
    assert [one["state"] for one in facts["limits"]] != ["OK"] * 3
    assert decision.canonical
