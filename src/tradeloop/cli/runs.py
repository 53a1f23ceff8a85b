"""tradeloop runs: what became of the events."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any  # Any: JSON for stdout

import typer

from tradeloop.cli import orders, waiting
from tradeloop.cli.endings import DONE, MEANINGS, NOT_FOUND, STILL_WAITING, UNREACHABLE, epilog
from tradeloop.cli.output import JsonFlag, moment, note, print_json, print_rows, printable, state_words, utc

if TYPE_CHECKING:
    from tradeloop.domain.runs import RunView
    from tradeloop.engine.steps import Step

COLUMNS = {
    "id": "ID",
    "state": "STATE",
    "subject": "SUBJECT",
    "decision": "DECISION",
    "effect": "EFFECT",
    "desk": "DESK",
    "received_at": "RECEIVED",
}
WATCH_EVERY_S = 0.3
LIST = epilog(
    "tradeloop runs list --since 1d --state failed",
    "tradeloop runs list --json --fields id,state",
    codes=(UNREACHABLE,),
)
SHOW = epilog("tradeloop runs show 0b1e77aa", "tradeloop runs show 0b1e77aa --json", codes=(NOT_FOUND, UNREACHABLE))
WATCH = epilog(
    "tradeloop runs watch 0b1e77aa --timeout 60",
    "tradeloop runs watch 0b1e77aa --json",
    codes={
        DONE: "the run ended",
        NOT_FOUND: "no such run",
        UNREACHABLE: MEANINGS[UNREACHABLE],
        STILL_WAITING: "still waiting when --timeout ended",
    },
)
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    runs = typer.Typer(help="Runs: the events and what was decided.", no_args_is_help=True)
    runs.command("list", epilog=LIST)(list_runs)
    runs.command("show", epilog=SHOW)(show)
    runs.command("watch", epilog=WATCH)(watch)
    orders.register(runs)
    from tradeloop.cli.hindsight import FORK, fork  # it needs `period` of this module

    runs.command("fork", epilog=FORK)(fork)
    app.add_typer(runs, name="runs")


def list_runs(
    state: Annotated[str, typer.Option(help="Only runs in this state, for example done or retrying.")] = "",
    desk: Annotated[str, typer.Option(help="Only runs of this desk.")] = "",
    since: Annotated[str, typer.Option(help="Only runs received within this time: 30m, 4h, 1d.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    with_unhandled: Annotated[bool, typer.Option("--all", help="Events that no desk answers, too.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """List runs, the newest first; events that no desk answers (unhandled) only with --all or --state."""
    views = waiting.run(_recent(state, desk, since, limit, with_unhandled=with_unhandled or bool(state)))
    if as_json:
        print_json([_json(view) for view in views])
        return
    rows = [
        {
            "id": str(view.decision_id)[:8],
            "state": view.state.value,
            "subject": view.subject,
            "decision": view.decision.outcome if view.decision else "",
            "effect": _effect_words(view),
            "desk": view.desk,
            "received_at": view.received_at,
        }
        for view in views
    ]
    print_rows(COLUMNS, rows, empty="No run matches.")
    if len(rows) == limit:
        note(f"the newest {limit}; --limit shows more")


def show(
    run: Annotated[str, typer.Argument(help="The beginning of a run's, event's or decision's id.")],
    as_json: JsonFlag = False,
) -> None:
    """Show one run: event, steps, decision with its reasons, effect."""
    view, steps = waiting.run(_one(run))
    if as_json:
        print_json(_json(view) | {"steps": [{"nodes": s.nodes, "at": utc(s.at)} for s in steps]})
        return
    lines = [
        f"run {view.run_id}   {state_words(view.state.value)}",
        f"  event     {view.event_type}  {view.event_id}  {view.subject}",
        f"            {view.topic}[{view.partition}]@{view.offset}, {view.lane or 'unknown'} lane, "
        f"received {moment(view.received_at)}",
        f"  graph     {' '.join('+'.join(step.nodes) for step in steps) or 'no step yet'}   "
        f"{view.graph} {view.graph_version}",
    ]
    if view.decision:
        lines.append(f"  decision  {view.decision.outcome}  {view.decision_id}  decided by {view.decision.decided_by}")
        lines += [f"            {reason}" for reason in view.decision.reasons]
        if view.decision.policy_version:
            lines.append(f"            policy {view.decision.policy_version} {view.decision.policy_hash[:12]}")
        if told := view.decision.model:
            tokens = f"{told.get('tokens_in', '?')} + {told.get('tokens_out', '?')} tokens"
            cited = f", cites {', '.join(view.decision.cited)}" if view.decision.cited else ""
            lines.append(f"            model {told.get('name', 'unnamed')}, {tokens}{cited}")
    lines.append(f"  effect    {_effect_words(view)}")
    if view.error:
        lines.append(f"  error     {view.error}")
    typer.echo("\n".join(printable(line) for line in lines))


def watch(
    run: Annotated[str, typer.Argument(help="The beginning of a run's, event's or decision's id.")],
    timeout: Annotated[float, typer.Option(min=0, help="Give up after so many seconds; 0: never.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Follow one run until it ends: each state and each step as it happens; with --json one object a line."""
    import asyncio

    if not asyncio.run(_watch(run, timeout, as_json=as_json)):
        raise typer.Exit(STILL_WAITING)


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
        "appended_at": utc(view.appended_at),
        "received_at": utc(view.received_at),
        "finished_at": utc(view.finished_at),
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


async def _recent(state: str, desk: str, since: str, limit: int, *, with_unhandled: bool) -> list[RunView]:
    from tradeloop.cli.context import open_database, stack_settings
    from tradeloop.store.history import RunHistory

    settings = stack_settings()
    after = datetime.now(UTC) - period(since) if since else None
    async with open_database(settings) as database:
        return await RunHistory(database, settings.instance).recent(
            limit=limit, state=state, desk=desk, since=after, with_unhandled=with_unhandled
        )


async def _one(prefix: str) -> tuple[RunView, list[Step]]:
    from tradeloop.cli.context import open_database, stack_settings
    from tradeloop.engine.steps import steps_of
    from tradeloop.store.checkpoints import CheckpointStore
    from tradeloop.store.history import RunHistory

    settings = stack_settings()
    async with open_database(settings) as database:
        view = await RunHistory(database, settings.instance).find(prefix)
        return view, await steps_of(CheckpointStore(database), view.run_id)


async def _watch(prefix: str, timeout_s: float, *, as_json: bool) -> bool:
    import asyncio

    from tradeloop.cli.context import open_database, stack_settings
    from tradeloop.engine.steps import steps_of
    from tradeloop.store.checkpoints import CheckpointStore
    from tradeloop.store.history import RunHistory

    settings = stack_settings()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    async with open_database(settings) as database:
        history, saver = RunHistory(database, settings.instance), CheckpointStore(database)
        first = await history.find(prefix)
        told: list[str] = []
        while True:
            view = await history.of_event(first.event_id) or first
            steps = [f"step {'+'.join(step.nodes)}" for step in await steps_of(saver, view.run_id)]
            for words in [*steps, _state_words(view)]:
                if words not in told:
                    told.append(words)
                    line = {"run_id": str(view.run_id), "at": utc(datetime.now(UTC)), "what": words}
                    typer.echo(json.dumps(line) if as_json else f"{moment(datetime.now(UTC))}  {words}")
            if view.state.is_final:
                return True
            if timeout_s and loop.time() >= deadline:
                return False
            await asyncio.sleep(WATCH_EVERY_S)


def _state_words(view: RunView) -> str:
    words = view.state.value
    if view.decision:
        words += f": {view.decision.outcome}, {_effect_words(view)}"
    return f"{words}: {view.error}" if view.error else words
