"""The desk as a pure function, for tests: an event's data in, decision and facts out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tradeloop.desks.marketdata.batch import open_batch
from tradeloop.desks.marketdata.facts import gather
from tradeloop.desks.marketdata.findings import Facts, Finding
from tradeloop.desks.marketdata.policy import SHIPPED, Policy, load_policy
from tradeloop.desks.marketdata.verdict import BatchHeader, guard, judge
from tradeloop.domain.decisions import Decision

POLICY = load_policy(SHIPPED)


def answer(data: dict[str, Any], policy: Policy = POLICY, root: Path = Path("/nowhere")) -> tuple[Decision, Facts]:
    batch, digest = open_batch(data, root)
    header = BatchHeader.of(batch, digest)
    facts = gather(batch, policy.thresholds)
    return guard(policy, header, facts, judge(policy, header, facts)), facts


def findings(data: dict[str, Any], rule: str) -> list[Finding]:
    return [finding for finding in answer(data)[1].findings if finding.rule == rule]


def rules(data: dict[str, Any]) -> set[str]:
    return {finding.rule.value for finding in answer(data)[1].findings}
