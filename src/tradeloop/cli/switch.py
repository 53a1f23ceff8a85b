"""tradeloop switch: stop what desks do, and release it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any  # Any: JSON for stdout

import typer

from tradeloop.cli.endings import CONFLICT, NOT_ALLOWED, NOT_FOUND, UNREACHABLE, epilog
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
    'tradeloop switch release --desk marketdata --reason "prices are right again"',
    "tradeloop switch release --confirm 5d0c1f6e-8a51-4f62-9f3f-0b1e77aa02c9 --json",
    codes=(NOT_FOUND, NOT_ALLOWED, CONFLICT, UNREACHABLE),
)
COLUMNS = {
    "scope": "SCOPE", "state": "STATE", "changed_by": "BY", "changed_at": "SINCE", "release": "RELEASE",
    "reason": "REASON",
}  # fmt: skip
Desk = Annotated[str, typer.Option(help="One desk; all of them when it is left out.")]
By = Annotated[
    str,
    typer.Option(help="Your name, for the audit; straight into the database. Left out: by the API, with your key."),
]
Confirm = Annotated[str, typer.Option(metavar="ID", help="The release that another person asked for (switch status).")]
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
    rows = [_json(switch) | {"changed_at": switch.changed_at, "release": _wish(switch)} for switch in found]
    print_rows(COLUMNS, rows, empty="Nothing is stopped, and nothing ever was.")
    for switch in found:
        if switch.asked:
            way = f"tradeloop switch release --confirm {switch.asked.release_id}"
            note(f"another person than {switch.asked.asked_by}: {way}")


def stop(desk: Desk = "", by: By = "", reason: Reason = "", as_json: JsonFlag = False) -> None:
    """Let no new effect begin. Runs come to rest before their effects and lose nothing; reading goes on.

    When this returns, no effect begins any more. A call that had begun before may still be under way.
    """
    scope, by, reason = _words(desk, by, reason)
    if not by:
        _tell(_ordered("switches/stop", {"desk": desk or None, "reason": reason}), as_json)
        return
    changed, _ = run(_turned(scope, True, by, reason))
    _tell({"scope": scope, "stopped": True, "changed": changed}, as_json)


def release(
    desk: Desk = "", by: By = "", reason: Reason = "", confirm: Confirm = "", as_json: JsonFlag = False
) -> None:
    """Let effects begin again; the runs that waited go on at once. Two people do it: one asks, another one confirms.

    Where nobody was added (`tradeloop people add`), one does, with --by.
    """
    if confirm:
        if desk or by or reason:
            raise typer.BadParameter("--confirm stands alone: what is released, and why, was asked with it")
        _tell(_ordered(f"switches/releases/{_id(confirm)}/confirm", {}), as_json)
        return
    scope, by, reason = _words(desk, by, reason)
    if not by:
        _tell(_ordered("switches/release", {"desk": desk or None, "reason": reason}), as_json)
        return
    changed, found = run(_turned(scope, False, by, reason))
    _tell({"scope": scope, "stopped": False, "changed": changed}, as_json)
    if changed:
        note("one person released it, because nobody was added here (tradeloop people add): with people it takes two")
    still = [switch.scope for switch in found if switch.stopped and switch.scope != scope]
    if still:
        note(f"still stopped: {', '.join(still)}")


def _words(desk: str, by: str, reason: str) -> tuple[str, str, str]:
    """Scope, name and reason; without a name the API takes the one of the key."""
    from tradeloop.domain.switches import scope_of

    if not reason.strip():
        raise typer.BadParameter("--reason is needed: the audit keeps who turned it and why")
    return scope_of(desk or None), by.strip(), reason.strip()


def _id(text: str) -> str:
    from uuid import UUID

    try:
        return str(UUID(text))
    except ValueError as problem:
        raise typer.BadParameter(f"{text!r} is no id of a release; tradeloop switch status shows it") from problem


def _ordered(path: str, body: dict[str, Any]) -> dict[str, Any]:
    from tradeloop.cli.remote import open_remote

    with open_remote() as remote:
        return remote.post(path, body)


def _tell(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    asked, scope = found.get("asked"), found["scope"]
    if asked:
        typer.echo(f"{scope} stays stopped: release {asked['release_id']} waits for another person")
        note(f"until {asked['valid_until']}: tradeloop switch release --confirm {asked['release_id']}")
        return
    word = "stopped" if found["stopped"] else "released"
    typer.echo(f"{scope} {word}" if found["changed"] else f"{scope} was {word} already: nothing changed")


def _json(switch: Switch) -> dict[str, Any]:
    return {
        "scope": switch.scope,
        "state": "stopped" if switch.stopped else "released",
        "changed_by": switch.changed_by,
        "changed_at": utc(switch.changed_at),
        "reason": switch.reason,
        "asked": switch.asked.model_dump(mode="json") if switch.asked else None,
    }


def _wish(switch: Switch) -> str:
    asked = switch.asked
    return f"asked by {asked.asked_by} until {utc(asked.valid_until)}" if asked else "—"


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
