"""tradeloop gate: the approval policy, before it is in force."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any  # Any: JSON for stdout

import typer

from tradeloop.cli.endings import USAGE, epilog
from tradeloop.cli.output import JsonFlag, note, print_json, print_rows, say
from tradeloop.errors import SettingInvalid

if TYPE_CHECKING:
    from tradeloop.gate.policy import GatePolicy
    from tradeloop.workflow import Workflow

CHECK = epilog(
    "tradeloop gate check",
    "tradeloop gate check policies/gate.yaml --json",
    codes={0: "it can be put in force", USAGE: "it is wrong: line, field and value are named"},
)
COLUMNS = {"desk": "DESK", "kind": "KIND", "target": "TARGET", "needs": "NEEDS", "rule": "RULE"}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    gate = typer.Typer(help="The approval policy: check it before it is in force.", no_args_is_help=True)
    gate.command("check", epilog=CHECK)(check)
    gate.callback()(lambda: None)
    app.add_typer(gate, name="gate")


def check(
    file: Annotated[Path | None, typer.Argument(help="A policy; the one in force when left out.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Read an approval policy and tell, for every action that a desk's allow-list permits, who must say yes.

    What depends on amounts or parameters is told as the rules that may want more.
    """
    from tradeloop.cli.context import stack_settings
    from tradeloop.gate.policy import SETTING, SHIPPED, GatePolicy
    from tradeloop.gate.policy_file import read_policy
    from tradeloop.workflow import load_workflows

    settings = stack_settings()
    path = file or settings.gate_policy or SHIPPED
    if not path.exists():
        raise SettingInvalid(f"{path} does not exist.", where=SETTING)
    policy = read_policy(GatePolicy, path, setting=SETTING)
    rows = [row for workflow in load_workflows(settings.workflows).values() for row in _rows(policy, workflow)]
    if as_json:
        print_json({"file": str(path), "version": policy.version, "hash": policy.digest, "actions": rows})
        return
    say(f"{path}   version {policy.version}   hash {policy.digest[:12]}   rules {len(policy.rules)}")
    print_rows(COLUMNS, rows, empty="No desk has an allow-list.")
    unnamed = sum(row["rule"] == "baseline" for row in rows)
    note(f"{unnamed} of {len(rows)} kinds of action are named by no rule and fall to the baseline.")


def _rows(policy: GatePolicy, workflow: Workflow) -> list[dict[str, Any]]:
    from fnmatch import fnmatchcase

    from tradeloop.domain.actions import Action
    from tradeloop.gate.policy import Circumstances, requirement

    found = []
    for one in workflow.allowed or ():
        target = one.target.replace("\\", "")
        try:
            action = Action(kind=one.kind, target=target)
        except ValueError:
            continue
        wanted = requirement(policy, action, Circumstances(workflow.desk, asked=one.asked))
        perhaps = [
            rule.id
            for rule in policy.rules
            if rule.id != wanted.rule
            and fnmatchcase(workflow.desk, rule.when.desk)
            and fnmatchcase(one.kind, rule.when.kind)
            and (fnmatchcase(target, rule.when.target) or re.fullmatch(one.target, rule.when.target))
        ]
        row = {
            "desk": workflow.desk,
            "kind": one.kind,
            "target": target,
            "needs": wanted.pattern.value if wanted.needs == 1 else f"{wanted.pattern.value} ({wanted.needs})",
            "rule": wanted.rule + (f", perhaps {', '.join(perhaps)}" if perhaps else ""),
        }
        if row not in found:
            found.append(row)
    return found
