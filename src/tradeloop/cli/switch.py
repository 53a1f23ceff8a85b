"""tradeloop switch: stop what desks do, and release it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any  # Any: JSON for stdout

import typer

from tradeloop.cli.endings import UNREACHABLE, epilog
from tradeloop.cli.output import JsonFlag, note, print_json, print_rows, utc
from tradeloop.cli.waiting import run

if TYPE_CHECKING:
    from tradeloop.domain.switches import Switch

STATUS = epilog("tradeloop switch status", "tradeloop switch status --json", codes=(UNREACHABLE,))
STOP = epilog(
    'tradeloop switch stop --by anna.k --reason "wrong prices from the vendor"',
    'tradeloop switch stop --desk marketdata --by anna.k --reason "wrong prices from the vendor"',
    codes={UNREACHABLE: "PostgreSQL is unreachable: nothing was switched"},
)
RELEASE = epilog(
    'tradeloop switch release --by ben.m --reason "prices are right again"',
    'tradeloop switch release --desk marketdata --by ben.m --reason "prices are right again" --json',
    codes=(UNREACHABLE,),
)
COLUMNS = {"scope": "SCOPE", "state": "STATE", "changed_by": "BY", "changed_at": "SINCE", "reason": "REASON"}
Desk = Annotated[str, typer.Option(help="One desk; all of them when it is left out.")]
By = Annotated[str, typer.Option(help="Your name, for the audit.")]
Reason = Annotated[str, typer.Option(help="Why, for those who find it stopped.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    switch = typer.Typer(help="The kill switch: stop every effect, of one desk or of all.", no_args_is_help=True)
    switch.command("status", epilog=STATUS)(status)
    switch.command("stop", epilog=STOP)(stop)
    switch.command("release", epilog=RELEASE)(release)
    app.add_typer(switch, name="switch")


def status(as_json: JsonFlag = False) -> None:
    """Show what is stopped, since when, by whom and why."""
    found = run(_all())
    if as_json:
        print_json([_json(switch) for switch in found])
        return
    rows = [_json(switch) | {"changed_at": switch.changed_at} for switch in found]
    print_rows(COLUMNS, rows, empty="Nothing is stopped, and nothing ever was.")


def stop(desk: Desk = "", by: By = "", reason: Reason = "", as_json: JsonFlag = False) -> None:
    """Let no new effect begin. Runs come to rest before their effects and lose nothing; reading goes on.

    When this returns, no effect begins any more. A call that had begun before may still be under way.
    """
    _turn(desk, stopped=True, by=by, reason=reason, as_json=as_json)


def release(desk: Desk = "", by: By = "", reason: Reason = "", as_json: JsonFlag = False) -> None:
    """Let effects begin again; the runs that waited go on at once."""
    _turn(desk, stopped=False, by=by, reason=reason, as_json=as_json)


def _turn(desk: str, *, stopped: bool, by: str, reason: str, as_json: bool) -> None:
    from tradeloop.domain.switches import scope_of

    if not by.strip() or not reason.strip():
        raise typer.BadParameter("--by and --reason are needed: the audit keeps who turned it and why")
    scope = scope_of(desk or None)
    changed, found = run(_turned(scope, stopped, by.strip(), reason.strip()))
    if as_json:
        print_json({"scope": scope, "stopped": stopped, "changed": changed})
        return
    word = "stopped" if stopped else "released"
    typer.echo(f"{scope} {word}" if changed else f"{scope} was {word} already: nothing changed")
    still = [switch.scope for switch in found if switch.stopped and switch.scope != scope]
    if not stopped and still:
        note(f"still stopped: {', '.join(still)}")


def _json(switch: Switch) -> dict[str, Any]:
    return {
        "scope": switch.scope,
        "state": "stopped" if switch.stopped else "released",
        "changed_by": switch.changed_by,
        "changed_at": utc(switch.changed_at),
        "reason": switch.reason,
    }


async def _all() -> list[Switch]:
    from tradeloop.cli.context import open_database, stack_settings
    from tradeloop.store.switches import PostgresSwitches

    async with open_database(stack_settings()) as database:
        return await PostgresSwitches(database).all()


async def _turned(scope: str, stopped: bool, by: str, reason: str) -> tuple[bool, list[Switch]]:
    from tradeloop.cli.context import open_database, stack_settings
    from tradeloop.store.switches import PostgresSwitches

    async with open_database(stack_settings()) as database:
        switches = PostgresSwitches(database)
        changed = await switches.turn(scope, stopped=stopped, by=by, reason=reason)
        return changed, await switches.all()
