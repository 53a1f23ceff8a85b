"""tradeloop topics: Kafka's topics."""

from __future__ import annotations

import typer

from tradeloop.cli.endings import UNREACHABLE, epilog
from tradeloop.cli.output import JsonFlag, print_json
from tradeloop.cli.waiting import call

CREATE = epilog("tradeloop topics create", "tradeloop topics create --json", codes=(UNREACHABLE,))


def register(app: typer.Typer) -> None:
    """Add the commands."""
    topics = typer.Typer(help="Kafka's topics.", no_args_is_help=True)
    topics.callback()(lambda: None)
    topics.command("create", epilog=CREATE)(create)
    app.add_typer(topics, name="topics")


def create(as_json: JsonFlag = False) -> None:
    """Create the topics that are missing."""
    from tradeloop.cli.context import stack_settings
    from tradeloop.kafka.topics import TIMEOUT_S, create_topics

    settings = stack_settings()
    settings.require("kafka_bootstrap")
    created = call(lambda: create_topics(settings.kafka_bootstrap, settings), "Kafka", bound_s=TIMEOUT_S)
    if as_json:
        print_json({"created": created})
    else:
        typer.echo("\n".join(f"created {name}" for name in created) or "nothing to do: all topics exist")
