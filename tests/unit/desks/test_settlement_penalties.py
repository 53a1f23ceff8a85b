"""Penalties: exact to 0.01, by the rate of the day, on business days, and as far as real statements tell."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from settling import POLICY, answer, event, failing, sentences, told

from tradeloop.desks.settlement.fin import read_fin
from tradeloop.desks.settlement.penalties import (
    Exposure,
    cash_rate,
    charged,
    charges,
    late_matching,
    securities_rate,
    total,
)
from tradeloop.desks.settlement.penalty_statement import penalties_of
from tradeloop.desks.settlement.policy import AssetKind, load_policy
from tradeloop.desks.settlement.refusal import MessageInvalid

D = Decimal


@pytest.mark.parametrize(
    ("asset", "basis_points"),
    [
        ("liquid_share", "1"), ("illiquid_share", "0.5"), ("sme_growth", "0.25"), ("sovereign_bond", "0.1"),
        ("corporate_bond", "0.2"), ("sme_growth_bond", "0.15"), ("other", "0.5"),
    ],
)  # fmt: skip
def test_the_rates_are_those_of_the_annex(asset: str, basis_points: str) -> None:
    assert securities_rate(POLICY, AssetKind(asset), date(2026, 1, 13)) * 10_000 == D(basis_points)


def test_before_the_regime_nothing_was_charged() -> None:
    assert securities_rate(POLICY, AssetKind.LIQUID_SHARE, date(2022, 1, 31)) == 0
    assert securities_rate(POLICY, AssetKind.LIQUID_SHARE, date(2022, 2, 1)) == D("0.0001")
    assert cash_rate(POLICY, "EUR", D("4.4"), date(2022, 1, 31)) == 0


def test_a_new_rate_counts_from_its_day_and_not_before(tmp_path: Path) -> None:
    old = '      other: "0.50"\n'
    later = old + "  - from: 2026-07-01\n    source: a later regulation\n    basis_points:\n" + "".join(
        f'      {kind}: "0.75"\n' for kind in AssetKind
    )  # fmt: skip
    from tradeloop.desks.settlement.policy import SHIPPED

    path = tmp_path / "policy.yaml"
    path.write_text(SHIPPED.read_text().replace(old, later))
    policy = load_policy(path)

    assert securities_rate(policy, AssetKind.OTHER, date(2026, 6, 30)) == D("0.00005")
    assert securities_rate(policy, AssetKind.OTHER, date(2026, 7, 1)) == D("0.000075")


@pytest.mark.parametrize(
    ("rate", "value", "cents"),
    [("0.0001", "50", "0.01"), ("0.0001", "49.99", "0.00"), ("0.0001", "150", "0.02"), ("0.00001", "9206000", "92.06")],
)
def test_half_a_cent_is_rounded_up(rate: str, value: str, cents: str) -> None:
    assert charged(D(rate), D(value)) == D(cents)


@given(st.integers(1, 10**12), st.integers(1, 10**9), st.sampled_from(["0.0001", "0.00005", "0.000015", "0.00001"]))
def test_a_charge_is_the_exact_product_rounded_once(quantity: int, price: int, rate: str) -> None:
    value = Exposure(D(quantity), D(price).scaleb(-4), is_percent=True, prices={}).value(date(2026, 1, 13))
    exact = Fraction(rate) * quantity * price / 1_000_000

    assert charged(D(rate), value) == D(int((exact * 100 + Fraction(1, 2)) // 1)).scaleb(-2)


def test_late_matching_is_charged_back_to_the_settlement_date_and_fails_follow() -> None:
    days = [date(2026, 1, 12), date(2026, 1, 13), date(2026, 1, 14)]
    exposure = Exposure(D(1000), D(150), is_percent=False, prices={date(2026, 1, 14): D(200)})
    rates = [D("0.0001")] * 3

    found = charges(days, rates, exposure, matched_on=date(2026, 1, 14))

    assert [(one.kind, one.amount) for one in found] == [
        ("LMFP", D("15.00")), ("LMFP", D("15.00")), ("SEFP", D("20.00")),
    ]  # fmt: skip
    assert total(found) == late_matching(days, rates, exposure) == D("50.00")
    assert charges(days, rates, exposure, matched_on=None) == ()


PRICE = {"price": "150.00", "by_day": {"2026-01-13": "160.00"}}


def priced(what: Any, **more: Any) -> dict[str, Any]:
    given = {"asset": "liquid_share", "reference_price": PRICE, "today": "2026-01-19"} | more
    facts: dict[str, Any] = answer(event(what, **given))[1]["penalty"]
    return facts


def test_a_fail_costs_each_business_day_and_no_weekend() -> None:
    # Monday the 12th to Friday the 16th; the Tuesday has a price of its own.
    found = priced(failing("LACK"))

    assert (found["accrued"], found["per_day"], found["days"], found["kind"]) == ("76.00", "15.00", 5, "SEFP")


def test_holidays_of_the_place_of_settlement_cost_nothing() -> None:
    easter = failing("LACK", isd=date(2026, 4, 2), trade_date=date(2026, 3, 31))

    assert priced(easter, today="2026-04-07")["days"] == 1


def test_on_a_day_without_settlement_no_further_day_is_charged() -> None:
    assert priced(failing("LACK"), today="2026-01-17")["per_day"] == "0.00"


def test_unmatched_it_is_told_what_matching_late_would_charge() -> None:
    found = priced(told(("MTCH", "NMAT", ("CMIS",))))

    assert (found["accrued"], found["kind"]) == ("76.00", "LMFP")


def test_a_bond_is_priced_in_per_cent_of_its_face_amount() -> None:
    found = priced(
        failing("LACK", quantity=D(7_500_000), face=True), asset="sovereign_bond",
        reference_price={"price": "122.7467", "per": "percent"}, today="2026-01-13",
    )  # fmt: skip

    assert (found["accrued"], found["per_day"]) == ("92.06", "92.06")


def test_a_lack_of_cash_costs_the_official_rate() -> None:
    mony = failing("MONY", is_delivery=False)
    found = priced(mony, cash_rate="2.40", today="2026-01-13")
    pounds = priced(failing("MONY", is_delivery=False, currency="GBP"), cash_rate="4.00", today="2026-01-13")

    assert found["accrued"] == "10.00"  # 150,000 x 2.40 % / 360
    assert pounds["accrued"] == "16.44"  # 150,000 x 4.00 % / 365


def test_what_a_penalty_lacks_is_named() -> None:
    assert priced(failing("LACK"), asset=None, reference_price=None)["missing"] == ["asset", "reference_price"]
    assert priced(failing("MONY", is_delivery=False))["missing"] == ["cash_rate"]
    _, facts, _ = answer(event(failing("LACK")))
    assert sentences(facts, "SS08") == ["penalty unknown: asset, reference_price not given"]


def test_outside_of_the_union_none_is_charged() -> None:
    assert priced(failing("LACK"), market="US", calendar="XNYS")["accrued"] is None


def test_none_of_the_62_penalties_of_the_large_statement_can_be_computed_again(shared_data: Path) -> None:
    text = (shared_data / "csdr-penalties-mt537" / "MT537_large.fin").read_text()

    found = penalties_of(read_fin(text))

    # Each states its amount alone: no rate (92A::GOMB), no quantity (36B::PSTA), no price.
    assert len(found.penalties) == 62
    assert {(one.kind, f"{one.currency} {one.amount}", one.status) for one in found.penalties} == {
        ("SEFP", "USD 1", "REMO")
    }
    assert {one.missing for one in found.penalties} == {("rate", "quantity", "price")}
    assert {one.recomputed for one in found.penalties} == {None}
    # Nor do its totals add up: it was made anonymous.
    assert {(one.stated, one.summed, one.agrees) for one in found.totals} == {(D(100), D(1), False)}


def test_the_other_real_statement_tells_rate_and_quantity_and_implies_a_price(shared_data: Path) -> None:
    text = (shared_data / "swift-mt5xx" / "MT537_Issue78_1.fin").read_text()

    found = penalties_of(read_fin(text)).penalties

    assert {one.missing for one in found} == {("price",)}
    assert {one.rate for one in found} == {securities_rate(POLICY, AssetKind.SOVEREIGN_BOND, date(2026, 1, 13))}
    # Its last penalty kept true figures: 7,500,000 at 122.75 % and 0.10 basis points is 92.06.
    last = found[-1]
    assert last.implied_price is not None
    assert round(last.implied_price, 4) == D("1.2275")
    assert charged(D("0.00001"), D(7_500_000) * round(last.implied_price, 6)) == last.amount == D("92.06")


STATEMENT = """{{1:F01X}}{{2:O5370000}}{{4:
:16R:GENL
:28E:1/ONLY
:22H::STST//PENA
:16S:GENL
:16R:PENA
:16R:PENACUR
:16R:PENACOUNT
:19A::AGNT//EUR{total}
:16R:PENDET
:20C::PREF//P1
:22H::PNTP//SEFP
:25D::PNST//ACTV
:19A::AMCO//EUR{amount}
:16R:CALDET
:98A::PEDA//20260113
:16R:FIA
:35B:ISIN DE0007236101
:92A::GOMB//0,01
{price}
:16S:FIA
:16S:CALDET
:16R:RELTRAN
:16R:TRAN
:36B::PSTA//UNIT/1234,5
:16S:TRAN
:16S:RELTRAN
:16S:PENDET
:16S:PENACOUNT
:16S:PENACUR
:16S:PENA
-}}"""


@pytest.mark.parametrize(
    ("price", "amount"), [(":90B::MRKT//ACTU/EUR150,37", "18,56"), (":90A::MRKT//PRCT/102,5", "0,13")]
)
def test_a_penalty_whose_factors_are_told_is_computed_to_the_cent(price: str, amount: str) -> None:
    found = penalties_of(read_fin(STATEMENT.format(total=amount, amount=amount, price=price)))

    (one,) = found.penalties
    assert one.recomputed == one.amount
    assert (one.isin, one.is_isin, one.day) == ("DE0007236101", True, date(2026, 1, 13))
    assert found.totals[0].agrees


def test_a_penalty_without_amount_is_refused_by_line() -> None:
    text = STATEMENT.format(total="1,", amount="1,", price=":90A::MRKT//PRCT/1,").replace(":19A::AMCO//EUR1,\n", "")

    with pytest.raises(MessageInvalid, match="line 10, field 19A: PENDET lacks AMCO"):
        penalties_of(read_fin(text))
