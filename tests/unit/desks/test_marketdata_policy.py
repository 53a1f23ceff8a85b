"""The policy file: what it must hold, and how it says what is wrong."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from tradeloop.desks.marketdata.policy import SHIPPED, Outcome, Rule, load_policy
from tradeloop.errors import SettingInvalid

TEXT = SHIPPED.read_text()


def changed(folder: Path, old: str, new: str) -> Path:
    assert TEXT.count(old) == 1
    path = folder / "policy.yaml"
    path.write_text(TEXT.replace(old, new))
    return path


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(TEXT.splitlines(), 1) if text in line)


def test_the_shipped_policy_answers_every_rule_and_acts_only_by_its_three_dags() -> None:
    policy = load_policy()

    assert set(policy.rules) == set(Rule)
    assert {action.target for action in policy.actions.values() if action} == {
        "publish_batch", "quarantine_rows", "refetch_batch",
    }  # fmt: skip
    assert policy.actions[Outcome.ESCALATE] is None


def test_every_threshold_says_where_it_comes_from() -> None:
    block = TEXT.split("thresholds:")[1].split("\nrules:")[0]
    lines = block.splitlines()
    uncommented = [
        line.split(":")[0].strip()
        for before, line in itertools.pairwise(lines)
        if re.match(r"  \w+:", line) and not before.lstrip().startswith("#")
    ]

    # The second of a pair that one comment explains.
    assert uncommented == ["outlier_mad", "displaced_move"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("outlier_mad: 8", "outlier_mad: -8", r"field thresholds.outlier_mad: -8: input should be greater than 0"),
        ("outlier_mad: 8", "outlier_mad: eight", r"thresholds.outlier_mad: 'eight': input should be a valid number"),
        ("outlier_mad: 8", "outlyer_mad: 8", r"field thresholds.outlyer_mad: 8: the policy has no such field"),
        ("reversal_share: 0.65", "reversal_share: 65", r"reversal_share: 65: .*less than or equal to 1"),
        ("stale bar, decision: REFETCH", "stale bar, decision: SHRUG", r"'SHRUG': .*'ACCEPT'"),
        ("refetches_max: 2", "refetches_max: 2.5", r"field refetches_max: 2.5: .*valid integer"),
        ("target: refetch_batch", "target: rm -rf", r"field actions.REFETCH.target: 'rm -rf'"),
    ],
)  # fmt: skip
def test_an_error_names_line_field_value_and_what_is_expected(tmp_path: Path, old: str, new: str, told: str) -> None:
    path = changed(tmp_path, old, new)
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if new.splitlines()[0] in text)

    with pytest.raises(SettingInvalid, match=told) as caught:
        load_policy(path)
    assert f"policy.yaml line {line}, " in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("lattice: [ACCEPT, ACCEPT_WITH_NOTE,", "lattice: [ACCEPT_WITH_NOTE, ACCEPT,", "must begin with ACCEPT"),
        ("REJECT_BATCH, ESCALATE]", "ESCALATE]", "lattice lacks REJECT_BATCH"),
        ("REJECT_BATCH, ESCALATE]", "REJECT_BATCH, ESCALATE, ESCALATE]", "lattice names one twice"),
        ("  ESCALATE: null\n", "", "actions lacks ESCALATE"),
        ("name: marketdata", "name: limits", "'limits'"),
    ],
)
def test_a_policy_that_leaves_a_case_open_is_refused(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(SettingInvalid, match=told):
        load_policy(changed(tmp_path, old, new))


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    path = changed(tmp_path, "  outlier_mad: 8\n", "  outlier_mad: 8\n  outlier_mad: 80\n")

    with pytest.raises(
        SettingInvalid, match=f"line {line_of('  outlier_mad: 8') + 1}, field outlier_mad: is given twice"
    ):
        load_policy(path)


@pytest.mark.parametrize(
    ("text", "told"), [("a: [", "is not YAML"), ("", "policy"), ("- 1", "policy"), ("\x00", "YAML")]
)
def test_a_file_that_is_no_policy_is_one_clear_sentence(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)

    with pytest.raises(SettingInvalid, match=told):
        load_policy(path)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingInvalid, match=r"nowhere\.yaml cannot be read"):
        load_policy(tmp_path / "nowhere.yaml")


def test_the_digest_is_of_the_meaning_and_not_of_the_spelling(tmp_path: Path) -> None:
    assert (
        load_policy(changed(tmp_path, "outlier_mad: 8", "outlier_mad: 8.0 # as before")).digest == load_policy().digest
    )
    assert load_policy(changed(tmp_path, "outlier_mad: 8", "outlier_mad: 9")).digest != load_policy().digest


def test_a_firms_own_policy_is_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADELOOP_MARKETDATA_POLICY", str(changed(tmp_path, 'version: "1.1.0"', 'version: "7"')))

    assert load_policy().version == "7"
