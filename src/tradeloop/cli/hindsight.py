"""tradeloop runs fork, tradeloop shadow: decisions again, with effects off."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any  # Any: JSON for stdout

import typer

from tradeloop.cli.endings import FOUND, NOT_FOUND, UNREACHABLE, epilog
from tradeloop.cli.output import JsonFlag, note, print_json, print_rows, printable, say
from tradeloop.cli.runs import period
from tradeloop.cli.waiting import run as run_to_end

if TYPE_CHECKING:
    from tradeloop.domain.decisions import Decision
    from tradeloop.domain.runs import RunView
    from tradeloop.engine.fork import Forked
    from tradeloop.engine.shadow import Compared, PastDecision
    from tradeloop.ports import Agents
    from tradeloop.settings import Settings
    from tradeloop.workflow import Workflow

FORK = epilog(
    "tradeloop runs fork 0b1e77aa --from policy",
    "tradeloop runs fork 0b1e77aa --model ollama:llama3.2 --json",
    codes=(NOT_FOUND, UNREACHABLE),
)
SHADOW = epilog(
    "tradeloop shadow --since 7d --policy stricter.yaml",
    "tradeloop shadow --since 1d --desk settlement --model ollama:llama3.2 --json",
    codes={FOUND: "some decisions differ", UNREACHABLE: "PostgreSQL is unreachable"},
)
ModelOption = Annotated[
    str, typer.Option(help="Models to ask, by commas, as in TRADELOOP_MODEL; without it none is asked.")
]
COLUMNS = {"run": "RUN", "subject": "SUBJECT", "was": "WAS", "now": "NOW", "because": "BECAUSE"}
REASONS_SHOWN = 3


def register(app: typer.Typer) -> None:
    """Add the command; `runs fork` is added by `runs`."""
    app.command("shadow", epilog=SHADOW)(shadow)


def fork(
    run: Annotated[str, typer.Argument(help="The beginning of a run's, event's or decision's id.")],
    step: Annotated[str, typer.Option("--from", help="The step to begin with; the first when it is left out.")] = "",
    model: ModelOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Run it again from one of its steps with the code at hand: nothing is written, no effect carried out."""
    view, forked = run_to_end(_forked(run, step, model), "the run's graph")
    if as_json:
        print_json(
            {
                "run_id": str(view.run_id),
                "from": step or None,
                "steps": [list(one.nodes) for one in forked.steps],
                "was": _plain(view.decision),
                "now": _plain(forked.decision),
                "effect": forked.effect,
            }
        )
        return
    say(f"run {view.run_id}   {view.subject}   again: {' > '.join('+'.join(one.nodes) for one in forked.steps)}")
    for word, decision in (("was", view.decision), ("now", forked.decision)):
        _tell(word, decision)
    if forked.effect:
        say(f"  would  {forked.effect.get('kind')} {forked.effect.get('target')} (effects are off)")


def shadow(
    since: Annotated[str, typer.Option(help="Decisions made within this time: 4h, 7d.")],
    policy: Annotated[Path | None, typer.Option(help="A policy file of the desk that its `name` says.")] = None,
    model: ModelOption = "",
    desk: Annotated[str, typer.Option(help="Only decisions of this desk.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Differences to list.")] = 50,
    as_json: JsonFlag = False,
) -> None:
    """Decide a period's events again, effects off, and list the decisions that differ, reasons side by side."""
    compared = run_to_end(_shadowed(since, policy, model, desk), "a period's decisions")
    differing = [one for one in compared if one.differs]
    if as_json:
        print_json([_compared(one) for one in differing])
    else:
        say(f"{len(compared):,} decisions, {len(differing):,} would be others")
        moves = Counter((one.past.decision.outcome, _outcome(one)) for one in differing)
        for (was, now), count in moves.most_common():
            say(f"  {count:,} {was} -> {now}")
        print_rows(COLUMNS, [_row(one) for one in differing[:limit]], empty="No decision differs.")
        if len(differing) > limit:
            note(f"{len(differing) - limit:,} more: --limit")
    if differing:
        raise typer.Exit(FOUND)


def _tell(word: str, decision: Decision | None) -> None:
    if decision is None:
        say(f"  {word:<6} no decision: it would wait for a person" if word == "now" else f"  {word:<6} no decision yet")
        return
    say(printable(f"  {word:<6} {decision.outcome}   by {decision.decided_by}, policy {decision.policy_version}"))
    for reason in decision.reasons[:REASONS_SHOWN]:
        say(printable(f"           {reason}"))


def _plain(decision: Decision | None) -> dict[str, Any] | None:
    return decision.plain if decision else None


def _outcome(one: Compared) -> str:
    return one.now.outcome if one.now else one.problem


def _row(one: Compared) -> dict[str, Any]:
    return {
        "run": str(one.past.run_id)[-12:],
        "subject": one.past.subject,
        "was": one.past.decision.outcome,
        "now": _outcome(one),
        "because": printable("; ".join(one.now.reasons[:1]) if one.now else "")[:120],
    }


def _compared(one: Compared) -> dict[str, Any]:
    return {
        "run_id": str(one.past.run_id),
        "subject": one.past.subject,
        "was": one.past.decision.plain,
        "now": _plain(one.now),
        "problem": one.problem,
    }


async def _forked(prefix: str, step: str, model: str) -> tuple[RunView, Forked]:
    from tradeloop.cli.context import open_database, stack_settings, with_model
    from tradeloop.engine.fork import fork as forked
    from tradeloop.errors import WorkflowMissing
    from tradeloop.llm.tools import open_tools
    from tradeloop.store.checkpoints import CheckpointStore
    from tradeloop.store.history import RunHistory
    from tradeloop.workflow import load_workflows

    settings = stack_settings()
    async with open_database(settings, size=2) as database:
        view = await RunHistory(database, settings.instance).find(prefix)
        workflow = load_workflows(settings.workflows).get(view.event_type)
        if workflow is None:
            raise WorkflowMissing(f"no workflow of this installation answers {view.event_type}")
        agents = _agents(settings, model)
        async with open_tools(with_model(settings, model)) as tools:
            return view, await forked(workflow, CheckpointStore(database), view.run_id, step, agents, tools)


async def _shadowed(since: str, policy: Path | None, model: str, desk: str) -> list[Compared]:
    from tradeloop.cli.context import open_database, stack_settings, with_model
    from tradeloop.engine import shadow as shadows
    from tradeloop.llm.tools import open_tools
    from tradeloop.store.past import PastDecisions

    settings = stack_settings()
    after = datetime.now(UTC) - period(since)
    workflows = _workflows(settings, policy)
    agents = _agents(settings, model)
    async with open_database(settings) as database, open_tools(with_model(settings, model)) as tools:
        past = _past(PastDecisions(database).each(after, desk))
        return [one async for one in shadows.shadow(past, workflows, agents, tools)]


async def _past(rows: AsyncIterator[dict[str, Any]]) -> AsyncIterator[PastDecision]:
    from tradeloop.domain.decisions import Decision
    from tradeloop.engine.shadow import PastDecision

    async for row in rows:
        yield PastDecision(
            run_id=row["run_id"],
            event_type=row["event_type"],
            desk=row["desk"],
            subject=row["subject"],
            payload=bytes(row["payload"]),
            decision=Decision.model_validate(row["decision"]),
        )


def _workflows(settings: Settings, policy: Path | None) -> dict[str, Workflow]:
    from tradeloop.workflow import load_workflows

    found = load_workflows(settings.workflows)
    if policy is not None:
        from tradeloop.desks.shipped import under_policy

        other = under_policy(policy)
        return {other.event_type: other}
    return found


def _agents(settings: Settings, model: str) -> Agents | None:
    """The gateway to these models. It keeps its own count of the budgets: nothing is written, and no desk that works
    at the same time finds its budget spent by a rehearsal."""
    from tradeloop.cli.context import with_model
    from tradeloop.llm.opening import open_gateway
    from tradeloop.testing.budgets import MemoryBudgets

    return open_gateway(with_model(settings, model), MemoryBudgets())
