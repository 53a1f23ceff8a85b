"""tradeloop db: the database's schema, its figures and its retention."""

from __future__ import annotations

from typing import Annotated

import typer

from tradeloop.cli import housekeeping
from tradeloop.cli.endings import FOUND, MEANINGS, UNREACHABLE, epilog
from tradeloop.cli.output import OUTPUT, JsonFlag, print_json
from tradeloop.cli.waiting import call

MIGRATE = epilog("tradeloop db migrate", "tradeloop db migrate --json", codes=(UNREACHABLE,))
STATUS = epilog(
    "tradeloop db status",
    "tradeloop db status --json",
    codes={0: "up to date", FOUND: "migrations wait", UNREACHABLE: MEANINGS[UNREACHABLE]},
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    db = typer.Typer(help="The database: schema, figures, retention.", no_args_is_help=True)
    db.command("migrate", epilog=MIGRATE)(migrate)
    db.command("status", epilog=STATUS)(status)
    housekeeping.register(db)
    app.add_typer(db, name="db")


def migrate(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be applied, or why nothing.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Bring the schema up to this release.

    Each migration is a transaction of its own, and two processes wait for each other: it can be broken off and run
    again at any time. It refuses, and changes nothing, when PostgreSQL is older than 15, when the schema is of a newer
    release, or when a migration that was applied has been changed since.
    """
    from tradeloop.cli.context import stack_settings
    from tradeloop.errors import SettingInvalid
    from tradeloop.store.migrations import migrate as apply
    from tradeloop.store.migrations import status as ask

    settings = stack_settings()
    settings.require("database_url")
    OUTPUT.after_ctrl_c = "what was under way was undone; what was applied before stays. Next: tradeloop db status"
    if dry_run:
        found = ask(settings.database_url)
        if found.refusal:
            raise SettingInvalid(found.refusal)
        names, word = found.pending, "would apply"
    else:
        names, word = call(lambda: apply(settings.database_url), "PostgreSQL"), "applied"
    if as_json:
        print_json({"applied": [] if dry_run else names, "pending": names if dry_run else []})
    else:
        typer.echo("\n".join(f"{word} {name}" for name in names) or "nothing to do: the schema is up to date")


def status(as_json: JsonFlag = False) -> None:
    """Show which migrations were applied and which wait."""
    from tradeloop.cli.context import stack_settings
    from tradeloop.store.migrations import status as ask

    settings = stack_settings()
    settings.require("database_url")
    found = ask(settings.database_url)
    if as_json:
        print_json(
            {"server": found.server, "applied": found.applied, "pending": found.pending, "refusal": found.refusal}
        )
    else:
        typer.echo(found.server)
        for name in found.applied:
            typer.echo(f"  ✓ {name}")
        for name in found.pending:
            typer.echo(f"  … {name}   next: tradeloop db migrate")
        if found.refusal:
            typer.echo(f"  ✗ {found.refusal}")
    if found.pending or found.refusal:
        raise typer.Exit(FOUND)
