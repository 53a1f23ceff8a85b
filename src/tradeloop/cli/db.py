"""tradeloop db: the database's schema."""

from __future__ import annotations

import typer

from tradeloop.cli.endings import FOUND, MEANINGS, UNREACHABLE, epilog
from tradeloop.cli.output import JsonFlag, print_json

MIGRATE = epilog("tradeloop db migrate", "tradeloop db migrate --json", codes=(UNREACHABLE,))
STATUS = epilog(
    "tradeloop db status",
    "tradeloop db status --json",
    codes={0: "up to date", FOUND: "migrations wait", UNREACHABLE: MEANINGS[UNREACHABLE]},
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    db = typer.Typer(help="The database's schema.", no_args_is_help=True)
    db.command("migrate", epilog=MIGRATE)(migrate)
    db.command("status", epilog=STATUS)(status)
    app.add_typer(db, name="db")


def migrate(as_json: JsonFlag = False) -> None:
    """Bring the schema up to this release. Running it again changes nothing."""
    from tradeloop.cli.context import stack_settings
    from tradeloop.store.migrations import migrate as apply

    settings = stack_settings()
    settings.require("database_url")
    applied = apply(settings.database_url)
    if as_json:
        print_json({"applied": applied})
    else:
        typer.echo("\n".join(f"applied {name}" for name in applied) or "nothing to do: the schema is up to date")


def status(as_json: JsonFlag = False) -> None:
    """Show which migrations were applied and which wait."""
    from tradeloop.cli.context import stack_settings
    from tradeloop.store.migrations import status as ask

    settings = stack_settings()
    settings.require("database_url")
    found = ask(settings.database_url)
    if as_json:
        print_json({"server": found.server, "applied": found.applied, "pending": found.pending})
    else:
        typer.echo(found.server)
        for name in found.applied:
            typer.echo(f"  ✓ {name}")
        for name in found.pending:
            typer.echo(f"  … {name}   next: tradeloop db migrate")
    if found.pending:
        raise typer.Exit(FOUND)
