"""The risk-limits policy: mistakes are named by line and field, and no copy of it can loosen what is the desk's."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from limiting import DESK, NOWHERE, event

from tradeloop.desks.limits.desk import desk_of
from tradeloop.desks.limits.policy import SHIPPED, Outcome, load_policy
from tradeloop.errors import SettingInvalid
from tradeloop.gate.allowed import check

TEXT = SHIPPED.read_text()
ACTION = "{kind: trigger_dag, target: limits_notify}"


def test_every_threshold_says_why_it_is_what_it_is() -> None:
    block = TEXT.split("\nthresholds:")[1].split("\n\n")[0]
    known = ("breach_at", "hard_at", "yellow_max")
    uncommented = [
        line
        for before, line in itertools.pairwise(block.splitlines())
        if re.match(r"  \w+:", line) and not before.lstrip().startswith("#") and not line.strip().startswith(known)
    ]

    assert uncommented == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('warn_at: "0.80"', 'warn_at: "1.10"', "warn_at < breach_at < hard_at <= kill_at is expected"),
        ('breach_at: "1.00"', 'breach_at: "1.10"', "breach_at is above 1"),
        ('hard_at: "1.20"', 'hard_at: "NaN"', "thresholds.hard_at"),
        ("observations: 500", "observations: 100", "observations >= observations_min"),
        ("yellow_max: 9", "yellow_max: 3", "yellow_max > green_max"),
        ("rechecks_max: 2", "recheck_max: 2", "the policy has no such field"),
        ("lattice: [OK, WARN,", "lattice: [WARN, OK,", "the order is the desk's"),
        ("BREACH: REQUEST_APPROVAL, HARD", "BREACH: WARN, HARD", "states.BREACH is WARN; at least BREACH_NOTIFY"),
        ("HARD: BLOCK_NEW_RISK}", "HARD: REQUEST_APPROVAL}", "states.HARD is REQUEST_APPROVAL"),
        ("WARN: WARN, BREACH", "WARN: OK, BREACH", "states.WARN is OK; at least WARN"),
        ("soft_breach: BREACH_NOTIFY", "soft_breach: RECHECK_DATA", "soft_breach is RECHECK_DATA"),
        ("consecutive: BLOCK_NEW_RISK", "consecutive: OK", "consecutive is OK"),
        ("loss_breach: BLOCK_NEW_RISK", "loss_breach: WARN", "loss_breach is WARN"),
        ("\ndata: RECHECK_DATA", "\ndata: OK", "data is OK; at least RECHECK_DATA"),
        ("data_again: REQUEST_APPROVAL", "data_again: OK", "data_again is OK"),
        ("zones: {GREEN: OK, ", "zones: {", "lacks GREEN"),
        ("  OK: null", f"  OK: {ACTION}", "actions.OK must be null"),
        ("  BLOCK_NEW_RISK: {kind: trigger_dag, target: limits_block}", "  BLOCK_NEW_RISK: null", "acts at once"),
        ("target: limits_case", "target: limits_notify", "REQUEST_APPROVAL.target must begin with limits_case"),
        ("target: limits_case", "target: limits_unblock", "actions.REQUEST_APPROVAL.target"),
    ],
)
def test_a_mistake_or_a_loosening_is_one_sentence_with_its_place(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in TEXT
    path = tmp_path / "policy.yaml"
    path.write_text(TEXT.replace(old, new, 1))

    with pytest.raises(SettingInvalid) as caught:
        load_policy(path)

    assert re.search(r"line \d+, field ", caught.value.message)
    assert told in caught.value.message


def test_a_firm_s_own_copy_is_named_by_its_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(TEXT.replace('warn_at: "0.80"', 'warn_at: "0.70"'))
    monkeypatch.setenv("TRADELOOP_LIMITS_POLICY", str(path))

    assert str(load_policy().thresholds.warn_at) == "0.70"
    assert load_policy().digest != load_policy(SHIPPED).digest


def test_a_firm_names_dags_of_its_own_behind_the_desk_s_verb(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(TEXT.replace("target: limits_case", "target: limits_case_london"))
    desk = desk_of(load_policy(path))
    data = event("GROSS,100000")

    header, facts = desk.load(data, NOWHERE), desk.facts(data, NOWHERE)
    action = desk.action(header, facts, desk.judge(header, facts).decision.outcome)

    assert action is not None
    check(action, desk.allowed, desk.name)
    assert action.target == "limits_case_london"


def test_doubt_stands_below_every_answer_to_a_breach() -> None:
    order = DESK.lattice.outcomes

    assert order == tuple(outcome.value for outcome in Outcome)
    assert order.index("WARN") < order.index("RECHECK_DATA") < order.index("BREACH_NOTIFY")
