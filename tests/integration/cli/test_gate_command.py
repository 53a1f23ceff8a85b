"""`tradeloop gate check`, beside the desks that ship."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from tradeloop.cli import build_app

RULE = """
version: "7"
rules:
  - {id: P01, why: prices go out to clients, when: {target: publish_batch}, needs: {pattern: maker_checker}}
  - {id: P02, why: large, when: {target: post_adjustment, amount_over: 10}, amount: amount, needs: {pattern: deny}}
"""


def test_every_action_of_the_desks_is_told_with_who_must_say_yes(tmp_path: Path) -> None:
    policy = tmp_path / "gate.yaml"
    policy.write_text(RULE)
    done = CliRunner().invoke(build_app(), ["gate", "check", str(policy), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    by_target = {row["target"]: row for row in told["actions"]}
    assert (told["version"], by_target["publish_batch"]["needs"]) == ("7", "maker_checker")
    assert by_target["refetch_batch"] == {
        "desk": "marketdata", "kind": "trigger_dag", "target": "refetch_batch", "needs": "none", "rule": "baseline",
    }  # fmt: skip
    (posting,) = [row for target, row in by_target.items() if target.startswith("post_")]
    assert posting["rule"] == "baseline, perhaps P02"
    shown = CliRunner().invoke(build_app(), ["gate", "check"])
    assert (shown.exit_code, "publish_batch" in shown.output, "fall to the baseline" in shown.output) == (0, True, True)
