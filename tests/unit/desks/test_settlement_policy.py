"""The settlement policy: every code of the standard has its answer, and mistakes are named by line and field."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from python_iso20022 import enums
from python_iso20022.sese.enums import RejectionReason75Code
from settling import NOWHERE, event, failing

from tradeloop.desks.settlement.desk import desk_of
from tradeloop.desks.settlement.policy import SHIPPED, Outcome, ReasonList, load_policy
from tradeloop.errors import SettingInvalid
from tradeloop.gate.allowed import check

TEXT = SHIPPED.read_text()


def codes(*kinds: type) -> set[str]:
    return {member.value for kind in kinds for member in kind}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("table", "known"),
    [
        (ReasonList.UNMATCHED, codes(enums.UnmatchedReason11Code)),
        (
            ReasonList.SETTLEMENT,
            codes(
                enums.PendingReason24Code,
                enums.FailingReason4Code,
                enums.PendingProcessingReason4Code,
                enums.PendingReason6Code,
            ),
        ),
        (ReasonList.REJECTED, codes(RejectionReason75Code)),
    ],
)
def test_every_code_of_the_standard_has_its_answer(table: ReasonList, known: set[str]) -> None:
    assert known - set(load_policy(SHIPPED).reasons[table]) == set()


def test_only_reminder_and_draft_start_anything() -> None:
    actions = load_policy(SHIPPED).actions

    acting = {outcome: action.target for outcome, action in actions.items() if action is not None}
    assert acting == {Outcome.MONITOR: "settlement_reminder", Outcome.CHASE_COUNTERPARTY: "chase_counterparty"}


def test_every_threshold_says_where_it_comes_from() -> None:
    block = TEXT.split("\nthresholds:")[1].split("\n\n")[0]
    lines = block.splitlines()
    uncommented = [
        line for before, line in itertools.pairwise(lines)
        if re.match(r"  \w+:", line) and not before.lstrip().startswith("#")
    ]  # fmt: skip

    assert uncommented == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("age_escalates_bd: 4", "age_escalates_bd: -4", "field thresholds.age_escalates_bd: -4"),
        ("age_escalates_bd: 4", "age_escalate_bd: 4", "field thresholds.age_escalate_bd: 4: the policy has no such"),
        ("CMIS: {title: no instruction of the counterparty found, fault: them", "CMIS: {title: x, fault: theirs", ""),
        ('liquid_share: "1.00"', 'liquid_share: "-1"', "basis_points.liquid_share"),
        ('other: "0.50"', 'others: "0.50"', "basis_points"),
        ("  ESCALATE: null", "  ESCALATE: {kind: trigger_dag, target: settlement_x}", "its action must be null"),
        ("zone: Europe/Berlin", "zone: Europe/Nowhere", "no time zone is called 'Europe/Nowhere'"),
        ("{from: 2024-05-28, days: 1}", "{from: 2004-05-28, days: 1}", "cycles.US must be in the order of its days"),
        ("fault_order: [us, unknown, them, neither]", "fault_order: [us, them, neither]", "lacks unknown"),
        ("GBP: 365}", "GBP: 366}", "cash_days.GBP"),
        ("cash_days: {default: 360, GBP: 365}", "cash_days: {GBP: 365}", "cash_days lacks default"),
        (", CANCELLED: ESCALATE}", "}", "linked must name"),
        ("  - RELEASE_HOLD_REQUEST\n  - ESCALATE", "  - ESCALATE\n  - RELEASE_HOLD_REQUEST", "must end with ESCALATE"),
        ("target: chase_counterparty", "target: settlement_x", "CHASE_COUNTERPARTY.target must begin with chase_"),
        ("target: chase_counterparty", "target: release_hold", "actions.CHASE_COUNTERPARTY.target: 'release_hold'"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_with_its_place(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in TEXT
    path = tmp_path / "policy.yaml"
    path.write_text(TEXT.replace(old, new, 1))

    with pytest.raises(SettingInvalid) as caught:
        load_policy(path)

    assert re.search(r"line \d+, field ", caught.value.message)
    assert told in caught.value.message


def test_a_firm_s_own_copy_is_named_by_its_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(TEXT.replace("age_escalates_bd: 4", "age_escalates_bd: 7"))
    monkeypatch.setenv("TRADELOOP_SETTLEMENT_POLICY", str(path))

    assert load_policy().thresholds.age_escalates_bd == 7
    assert load_policy().digest != load_policy(SHIPPED).digest


def test_a_firm_may_open_a_case_where_a_person_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        TEXT.replace("PROPOSE_FUNDING: null", "PROPOSE_FUNDING: {kind: trigger_dag, target: settlement_case}")
    )
    desk = desk_of(load_policy(path))
    data = event(failing("MONY", is_delivery=False))

    header, facts = desk.load(data, NOWHERE), desk.facts(data, NOWHERE)
    action = desk.action(header, facts, desk.judge(header, facts).decision.outcome)

    assert action is not None
    check(action, desk.allowed, desk.name)
    assert (action.target, action.params["outcome"]) == ("settlement_case", "PROPOSE_FUNDING")
