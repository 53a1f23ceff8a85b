"""tradeloop db, tradeloop topics: the schema and the topics."""

from __future__ import annotations

import json
from typing import Annotated

import typer

JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    db = typer.Typer(help="The database's schema.", no_args_is_help=True)
    db.command("migrate", epilog="Example: tradeloop db migrate --json")(migrate)
    app.add_typer(db, name="db")
    topics = typer.Typer(help="Kafka's topics.", no_args_is_help=True)
    topics.command("create", epilog="Example: tradeloop topics create")(create)
    topics.callback()(lambda: None)
    db.command("status", epilog="Example: tradeloop db status. Exit codes: 0 up to date, 6 migrations wait.")(status)
    app.add_typer(topics, name="topics")


def migrate(as_json: JsonFlag = False) -> None:
    """Bring the schema up to this release. Running it again changes nothing."""
    from tradeloop.cli.context import stack_settings
    from tradeloop.store.migrations import migrate as apply

    settings = stack_settings()
    settings.require("database_url")
    applied = apply(settings.database_url)
    if as_json:
        typer.echo(json.dumps({"applied": applied}))
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
        typer.echo(json.dumps({"server": found.server, "applied": found.applied, "pending": found.pending}))
    else:
        typer.echo(found.server)
        for name in found.applied:
            typer.echo(f"  ✓ {name}")
        for name in found.pending:
            typer.echo(f"  … {name}   next: tradeloop db migrate")
    if found.pending:
        raise typer.Exit(6)


def create(as_json: JsonFlag = False) -> None:
    """Create the topics that are missing."""
    from tradeloop.cli.context import stack_settings
    from tradeloop.kafka.topics import create_topics

    settings = stack_settings()
    settings.require("kafka_bootstrap")
    created = create_topics(settings.kafka_bootstrap, settings)
    if as_json:
        typer.echo(json.dumps({"created": created}))
    else:
        typer.echo("\n".join(f"created {name}" for name in created) or "nothing to do: all topics exist")
