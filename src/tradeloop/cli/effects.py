"""tradeloop effects: what was done, and what nobody but a person can tell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any  # Any: JSON for stdout

import typer

from tradeloop.cli.endings import CONFLICT, NOT_FOUND, UNREACHABLE, epilog
from tradeloop.cli.output import JsonFlag, moment, note, print_json, print_rows, printable, utc
from tradeloop.cli.waiting import run

if TYPE_CHECKING:
    from tradeloop.domain.actions import Effect

LIST = epilog("tradeloop effects list --state outcome_unknown", "tradeloop effects list --json", codes=(UNREACHABLE,))
SHOW = epilog(
    "tradeloop effects show 7f3a91c2", "tradeloop effects show 7f3a91c2 --json", codes=(NOT_FOUND, UNREACHABLE)
)
RESOLVE = epilog(
    'tradeloop effects resolve 7f3a91c2 --happened --by anna.k --reason "the desk shows the hold"',
    'tradeloop effects resolve 7f3a91c2 --do-it --by anna.k --reason "the desk shows nothing"',
    codes={NOT_FOUND: "not found", CONFLICT: "its outcome is known already", UNREACHABLE: "PostgreSQL is unreachable"},
)
COLUMNS = {
    "id": "ID",
    "state": "STATE",
    "kind": "KIND",
    "target": "TARGET",
    "calls": "CALLS",
    "decision_id": "DECISION",
    "prepared_at": "PREPARED",
    "why": "WHY",
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    effects = typer.Typer(help="Effects: what was done, and what only a person can tell.", no_args_is_help=True)
    effects.command("list", epilog=LIST)(list_effects)
    effects.command("show", epilog=SHOW)(show)
    effects.command("resolve", epilog=RESOLVE)(resolve)
    app.add_typer(effects, name="effects")


def list_effects(
    state: Annotated[
        str, typer.Option(help="Only these: prepared, executing, executed, failed, outcome_unknown.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    as_json: JsonFlag = False,
) -> None:
    """List effects, the newest first."""
    found = run(_recent(state, limit))
    if as_json:
        print_json([_json(effect) for effect in found])
        return
    rows = [
        {
            "id": effect.key[:8],
            "state": effect.state.value,
            "kind": effect.action.kind,
            "target": effect.action.target,
            "calls": effect.calls,
            "decision_id": str(effect.decision_id)[:8],
            "prepared_at": effect.prepared_at,
            "why": (effect.error or effect.blocked_reason)[:100],
        }
        for effect in found
    ]
    print_rows(COLUMNS, rows, empty=f"No effect is {state}." if state else "There is no effect.")


def show(
    key: Annotated[str, typer.Argument(help="The beginning of an effect's key or of its decision's id.")],
    as_json: JsonFlag = False,
) -> None:
    """Show one effect: action, state, what its target said."""
    effect = run(_one(key))
    if as_json:
        print_json(_json(effect))
        return
    lines = [
        f"effect {effect.key}   {effect.state.value}",
        f"  action    {effect.action.kind} {effect.action.target}   digest {effect.action.digest[:12]}",
        f"  params    {json.dumps(effect.action.params)}",
        f"  decision  {effect.decision_id}   run {effect.run_id}   slot {effect.slot}",
        f"  calls     {effect.calls}   prepared {moment(effect.prepared_at)}, called {moment(effect.executing_at)}, "
        f"ended {moment(effect.finished_at)}",
    ]
    for name, value in (("blocked", effect.blocked_reason), ("error", effect.error)):
        if value:
            lines.append(f"  {name:<9} {value}")
    if effect.result:
        lines.append(f"  result    {json.dumps(effect.result)}")
    typer.echo("\n".join(printable(line) for line in lines))
    if effect.state.value == "outcome_unknown":
        note(f"Look at the target for key {effect.key}, then: tradeloop effects resolve {effect.key[:8]} --help")


def resolve(
    key: Annotated[str, typer.Argument(help="The beginning of an effect's key or of its decision's id.")],
    happened: Annotated[bool, typer.Option("--happened", help="It was done: the run goes on with it.")] = False,
    did_not_happen: Annotated[
        bool, typer.Option("--did-not-happen", help="It was not done, and shall not be: the effect has failed.")
    ] = False,
    do_it: Annotated[bool, typer.Option("--do-it", help="It was not done: do it now.")] = False,
    by: Annotated[str, typer.Option(help="Your name, for the audit.")] = "",
    reason: Annotated[str, typer.Option(help="What you saw at the target.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Say what became of an effect whose outcome is unknown; its run goes on. Audited."""
    from tradeloop.domain.actions import EffectState

    words = {EffectState.EXECUTED: happened, EffectState.FAILED: did_not_happen, EffectState.PREPARED: do_it}
    chosen = [state for state, is_chosen in words.items() if is_chosen]
    if len(chosen) != 1:
        raise typer.BadParameter("say one of --happened, --did-not-happen and --do-it")
    if not by.strip() or not reason.strip():
        raise typer.BadParameter("--by and --reason are needed: the audit keeps who said so and why")
    # Four eyes: when the approval gate exists, a second person's word is asked for here.
    effect = run(_resolve(key, chosen[0], by.strip(), reason.strip()))
    if as_json:
        print_json(_json(effect))
        return
    typer.echo(f"effect {effect.key[:8]} is {effect.state.value}; its run goes on: tradeloop runs show {effect.run_id}")


def _json(effect: Effect) -> dict[str, Any]:
    return {
        "id": effect.key,
        "state": effect.state.value,
        "kind": effect.action.kind,
        "target": effect.action.target,
        "params": effect.action.params,
        "digest": effect.action.digest,
        "slot": effect.slot,
        "decision_id": str(effect.decision_id),
        "run_id": str(effect.run_id),
        "calls": effect.calls,
        "blocked_reason": effect.blocked_reason,
        "result": effect.result,
        "error": effect.error,
        "prepared_at": utc(effect.prepared_at),
        "executing_at": utc(effect.executing_at),
        "finished_at": utc(effect.finished_at),
    }


async def _recent(state: str, limit: int) -> list[Effect]:
    from tradeloop.cli.context import open_database, stack_settings
    from tradeloop.store.effect_history import EffectHistory

    async with open_database(stack_settings()) as database:
        return await EffectHistory(database).recent(state=state, limit=limit)


async def _one(prefix: str) -> Effect:
    from tradeloop.cli.context import open_database, stack_settings
    from tradeloop.store.effect_history import EffectHistory

    async with open_database(stack_settings()) as database:
        return await EffectHistory(database).find(prefix)


async def _resolve(prefix: str, outcome: Any, by: str, reason: str) -> Effect:
    from tradeloop.cli.context import open_database, stack_settings
    from tradeloop.store.effect_history import EffectHistory
    from tradeloop.store.effects import PostgresEffects

    async with open_database(stack_settings()) as database:
        effect = await EffectHistory(database).find(prefix)
        return await PostgresEffects(database).resolve(effect.key, outcome, by, reason)
