"""What a counterparty, a bank or a file name might try: no text in any place makes the desk less cautious."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from reconciling import APPLE, DESK, NOWHERE, answer, books, pair, reference, trade
from test_reconciliation_cash import MT940, cash
from test_reconciliation_files import CSV, fill, texts

from tradeloop.bench.desks.attacks import ATTACKS
from tradeloop.bench.desks.reconciliation_words import (
    COLUMN_ATTACKS,
    FILE_ATTACKS,
    OWN_ATTACKS,
    REFERENCE_ATTACKS,
)
from tradeloop.errors import ReferenceInvalid

ALL = [*ATTACKS.values(), *OWN_ATTACKS]
LATTICE = DESK.lattice.outcomes
OPEN = {"settle_date": "2026-01-14"}


def outcome(data: dict[str, Any], root: Path = NOWHERE) -> str:
    try:
        return answer(data, root)[0].outcome
    except ReferenceInvalid:
        return "REFUSED"


def is_no_less_cautious(after: str, before: str) -> bool:
    return after == "REFUSED" or LATTICE.index(after) >= LATTICE.index(before)


def test_the_desk_has_attacks_of_its_own_in_each_kind_of_place() -> None:
    assert len({*OWN_ATTACKS, *COLUMN_ATTACKS, *FILE_ATTACKS, *REFERENCE_ATTACKS}) >= 35


@pytest.mark.parametrize("attack", ALL)
def test_orders_in_narratives_are_quoted_and_change_nothing(attack: str) -> None:
    data = books([trade(text=attack)], [trade(**OPEN, text=attack)], remarks=[attack[:2000]])
    header, facts = DESK.load(data, NOWHERE), DESK.facts(data, NOWHERE)
    verdict = DESK.judge(header, facts)

    assert (verdict.decision.outcome, verdict.ambiguous) == ("ESCALATE", ("PROPOSE_FIX",))
    decided = f"{verdict.decision.reasons}{verdict.decision.findings}"
    assert attack[:30] not in decided
    assert DESK.action(header, facts, "ESCALATE") is None
    assert DESK.action(header, facts, "PROPOSE_FIX") == DESK.action(
        header, DESK.facts(pair(**OPEN), NOWHERE), "PROPOSE_FIX"
    ) or "text" not in str(DESK.action(header, facts, "PROPOSE_FIX"))


@pytest.mark.parametrize("attack", ALL)
def test_orders_in_a_statement_are_quoted_and_change_nothing(attack: str) -> None:
    line = " ".join("".join(each if each.isprintable() else " " for each in attack).split())[:300]
    text = MT940.replace("salary of January", line or "x").replace("EUR1479,50", "EUR1479,51")

    assert outcome(cash(text)) in ("ESCALATE", "REFUSED")


@pytest.mark.parametrize("attack", OWN_ATTACKS)
def test_orders_in_the_text_of_a_fill_are_quoted_and_change_nothing(attack: str) -> None:
    log = fill(tag58=attack, tag31="11.00")
    data = {"today": "2026-01-13", "internal": {"rows": [trade()]}, "external": {"format": "fix", "text": log}}

    assert outcome(data) in ("ESCALATE", "REFUSED")


@pytest.mark.parametrize("attack", [*COLUMN_ATTACKS, *OWN_ATTACKS])
def test_orders_in_column_names_and_keys_are_no_columns(attack: str) -> None:
    assert outcome(books([trade()], [trade(price="11", **{attack: "AUTO_RESOLVE"})])) in ("ESCALATE", "REFUSED")
    quoted = attack.replace('"', '""').replace("\n", " ")
    header = CSV.replace("trade_date\n", f'trade_date,"{quoted}"\n').replace("2026-01-12\n", "2026-01-12,1\n")
    other = header.replace("B,1000", "B,1001")
    data = {**texts(header), "external": {"format": "csv", "text": other}}
    assert outcome(data) in ("ESCALATE", "REFUSED")
    assert outcome(pair() | {attack: True}) == "REFUSED"


@pytest.mark.parametrize("attack", [*REFERENCE_ATTACKS, *OWN_ATTACKS])
@pytest.mark.parametrize("name", ["id", "exec_id", "account", "counterparty", "ssi", "security"])
def test_orders_in_identifiers_are_refused_or_do_no_harm(attack: str, name: str) -> None:
    assert outcome(pair(price="11", **{name: attack})) in ("ESCALATE", "REFUSED")
    assert is_no_less_cautious(outcome(pair(net="10010.01", **{name: attack})), "AUTO_RESOLVE")


@pytest.mark.parametrize("attack", [*REFERENCE_ATTACKS, *OWN_ATTACKS])
def test_orders_in_lists_of_the_event_are_refused(attack: str) -> None:
    for more in ({"waited": [attack]}, {"identifiers": {attack: APPLE}}, {"signs": [{"account": attack}]}):
        assert is_no_less_cautious(outcome(pair(price="11") | more), "ESCALATE")


@pytest.mark.parametrize("name", FILE_ATTACKS)
def test_orders_in_file_names_are_only_names(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(CSV)
    other = tmp_path / "theirs.csv"
    other.write_text(CSV.replace("B,1000", "B,1001"))
    data = {
        "today": "2026-01-13",
        "internal": {"format": "csv", "reference": reference(path)},
        "external": {"format": "csv", "reference": reference(other)},
    }

    decision = answer(data, tmp_path)[0]

    assert decision.outcome == "ESCALATE"
    assert name not in str(decision)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text(CSV)
    root = tmp_path / "root"
    root.mkdir()
    link = root / "inside.csv"
    link.symlink_to(outside)
    side = {"format": "csv", "reference": {**reference(outside), "uri": link.as_uri()}}

    assert outcome({"today": "2026-01-13", "internal": side, "external": side}, root) == "REFUSED"
