"""A firm's own policy: what it may change, and what it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
from reconciling import POLICY, pair

from tradeloop.desks.reconciliation.desk import desk_of
from tradeloop.desks.reconciliation.policy import SHIPPED, load_policy
from tradeloop.errors import SettingInvalid


def changed(tmp_path: Path, before: str, after: str) -> Path:
    text = SHIPPED.read_text()
    assert before in text
    path = tmp_path / "policy.yaml"
    path.write_text(text.replace(before, after, 1))
    return path


def test_a_firms_own_policy_decides(tmp_path: Path) -> None:
    policy = load_policy(changed(tmp_path, 'rounding: {absolute: "0.05"', 'rounding: {absolute: "0.01"'))
    desk = desk_of(policy)
    data = pair(net="10010.05")

    header, facts = desk.load(data, tmp_path), desk.facts(data, tmp_path)

    assert desk.judge(header, facts).decision.outcome == "ESCALATE"
    assert policy.digest != POLICY.digest


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("RB17: {title: several differences, decision: ESCALATE", "RB17: {title: x, decision: AUTO_RESOLVE", "RB17"),
        ("RB05: {title: price differs, decision: ESCALATE", "RB05: {title: x, decision: AUTO_RESOLVE", "RB05"),
        ("RB02: {title: missing internally, decision: ESCALATE", "RB02: {title: x, decision: MATCH", "a break is none"),
        ("ESCALATE: null", "ESCALATE: {kind: trigger_dag, target: post_all}", "a person's to act on"),
        ("target: post_adjustment", "target: amend_trade", "target"),
        ("target: post_adjustment", "target: reconciliation_x", "must begin with post_"),
        ("[MATCH, AUTO_RESOLVE, WAIT", "[AUTO_RESOLVE, MATCH, WAIT", "lattice must begin"),
        ("ambiguous: [PROPOSE_FIX]", "ambiguous: [AUTO_RESOLVE]", "agents alone never resolve"),
        ("  RB03: {title", "  RB99: {title", "RB99"),
        ("  RB03: {title: quantity differs, decision: ESCALATE}\n", "", "lacks RB03"),
        ('fee: {absolute: "1.00"', 'fee: {absolute: "-1"', "fee.absolute"),
        ("batch_adjustments_max: 200", "batch_adjustments_max: 100000", "batch_adjustments_max"),
        (
            "RB10: {title: fee or commission differs, decision: AUTO_RESOLVE",
            "RB10: {title: x, otherwise: AUTO_RESOLVE, decision: ESCALATE",
            "may not be AUTO_RESOLVE",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, before: str, after: str, told: str) -> None:
    path = changed(tmp_path, before, after)

    with pytest.raises(SettingInvalid) as caught:
        load_policy(path)

    assert told in caught.value.message
    assert str(path) in caught.value.message
    assert "line " in caught.value.message


def test_the_setting_names_the_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADELOOP_RECONCILIATION_POLICY", str(changed(tmp_path, "1.0.0", "9.9.9")))

    assert load_policy().version == "9.9.9"
