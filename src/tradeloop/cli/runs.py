"""tradeloop runs: what became of the events."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any  # Any: JSON for stdout

import typer

if TYPE_CHECKING:
    from tradeloop.domain.runs import RunView
    from tradeloop.engine.steps import Step

JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    runs = typer.Typer(help="Runs: the events and what was decided.", no_args_is_help=True)
    runs.command("list", epilog="Example: tradeloop runs list --since 1d --state failed")(list_runs)
    runs.command("show", epilog="Example: tradeloop runs show 0b1e77aa")(show)
    app.add_typer(runs, name="runs")


def list_runs(
    state: Annotated[str, typer.Option(help="Only runs in this state, for example done or retrying.")] = "",
    desk: Annotated[str, typer.Option(help="Only runs of this desk.")] = "",
    since: Annotated[str, typer.Option(help="Only runs received within this time: 30m, 4h, 1d.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    as_json: JsonFlag = False,
) -> None:
    """List runs, the newest first."""
    views = asyncio.run(_recent(state, desk, since, limit))
    if as_json:
        typer.echo(json.dumps([_json(view) for view in views]))
        return
    if not views:
        typer.echo("No run matches.")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("ID", "STATE", "DESK", "SUBJECT", "DECISION", "EFFECT", "RECEIVED"):
        table.add_column(name, no_wrap=name in {"ID", "STATE"}, overflow="fold")
    for view in views:
        decided = view.decision.outcome if view.decision else "—"
        received = view.received_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(
            str(view.decision_id)[:8], view.state.value, view.desk, view.subject, decided, _effect_words(view), received
        )
    Console().print(table)


def show(
    run: Annotated[str, typer.Argument(help="The beginning of a run's, event's or decision's id.")],
    as_json: JsonFlag = False,
) -> None:
    """Show one run: event, steps, decision with its reasons, effect."""
    view, steps = asyncio.run(_one(run))
    if as_json:
        typer.echo(json.dumps(_json(view) | {"steps": [{"nodes": s.nodes, "at": s.at.isoformat()} for s in steps]}))
        return
    lines = [
        f"run {view.run_id}   {view.state.value}",
        f"  event     {view.event_type}  {view.event_id}  {view.subject}",
        f"            {view.topic}[{view.partition}]@{view.offset}, {view.lane or 'unknown'} lane, "
        f"received {view.received_at.astimezone():%Y-%m-%d %H:%M:%S %Z}",
        f"  graph     {' '.join('+'.join(step.nodes) for step in steps) or 'no step yet'}   "
        f"{view.graph} {view.graph_version}",
    ]
    if view.decision:
        lines.append(f"  decision  {view.decision.outcome}  {view.decision_id}  decided by {view.decision.decided_by}")
        lines += [f"            {reason}" for reason in view.decision.reasons]
        if view.decision.policy_version:
            lines.append(f"            policy {view.decision.policy_version} {view.decision.policy_hash[:12]}")
    lines.append(f"  effect    {_effect_words(view)}")
    if view.error:
        lines.append(f"  error     {view.error}")
    typer.echo("\n".join(lines))


def _effect_words(view: RunView) -> str:
    effect = view.effect
    if not effect:
        return "none"
    result = effect.get("result")
    run_id = result.get("dag_run_id", "") if isinstance(result, dict) else ""
    return (
        f"{effect.get('kind')} {effect.get('target')} {effect.get('state')} {run_id or effect.get('error', '')}".strip()
    )


def _json(view: RunView) -> dict[str, Any]:
    return {
        "run_id": str(view.run_id),
        "state": view.state.value,
        "desk": view.desk,
        "subject": view.subject,
        "event_id": str(view.event_id),
        "event_type": view.event_type,
        "lane": view.lane,
        "topic": view.topic,
        "partition": view.partition,
        "offset": view.offset,
        "appended_at": view.appended_at.astimezone(UTC).isoformat(),
        "received_at": view.received_at.astimezone(UTC).isoformat(),
        "finished_at": view.finished_at.astimezone(UTC).isoformat() if view.finished_at else None,
        "decision_id": str(view.decision_id),
        "decision": view.decision.model_dump(mode="json") if view.decision else None,
        "effect": view.effect,
        "error": view.error,
        "fails": view.fails,
        "graph": view.graph,
        "graph_version": view.graph_version,
    }


def period(text: str) -> timedelta:
    """A time span as people type it: 30s, 10m, 4h, 1d."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", text.strip())
    if not found:
        raise typer.BadParameter(f"{text!r} is no time span; 30s, 10m, 4h or 1d is expected")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


async def _recent(state: str, desk: str, since: str, limit: int) -> list[RunView]:
    from tradeloop.cli.context import stack_settings
    from tradeloop.store.database import Database
    from tradeloop.store.history import RunHistory

    settings = stack_settings()
    settings.require("database_url")
    after = datetime.now(UTC) - period(since) if since else None
    async with Database(settings.database_url, size=2) as database:
        return await RunHistory(database, settings.instance).recent(limit=limit, state=state, desk=desk, since=after)


async def _one(prefix: str) -> tuple[RunView, list[Step]]:
    from tradeloop.cli.context import stack_settings
    from tradeloop.engine.steps import steps_of
    from tradeloop.store.checkpoints import CheckpointStore
    from tradeloop.store.database import Database
    from tradeloop.store.history import RunHistory

    settings = stack_settings()
    settings.require("database_url")
    async with Database(settings.database_url, size=2) as database:
        view = await RunHistory(database, settings.instance).find(prefix)
        return view, await steps_of(CheckpointStore(database), view.run_id)
