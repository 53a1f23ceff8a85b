"""tradeloop topics: Kafka's topics."""

from __future__ import annotations

import typer

from tradeloop.cli.endings import FOUND, MEANINGS, UNREACHABLE, epilog
from tradeloop.cli.output import JsonFlag, print_json
from tradeloop.cli.waiting import call

CREATE = epilog("tradeloop topics create", "tradeloop topics create --json", codes=(UNREACHABLE,))

CHECK = epilog(
    "tradeloop topics check",
    "tradeloop topics check --json",
    codes={0: "all as they should be", FOUND: "something is not", UNREACHABLE: MEANINGS[UNREACHABLE]},
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    topics = typer.Typer(help="Kafka's topics.", no_args_is_help=True)
    topics.command("create", epilog=CREATE)(create)
    topics.command("check", epilog=CHECK)(check)
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


def check(as_json: JsonFlag = False) -> None:
    """Compare the topics with what tradeloop needs of them. Changes nothing."""
    from tradeloop.cli.context import stack_settings
    from tradeloop.kafka.topics import TIMEOUT_S, topic_faults

    settings = stack_settings()
    settings.require("kafka_bootstrap")
    found = call(lambda: topic_faults(settings.kafka_bootstrap, settings), "Kafka", bound_s=TIMEOUT_S)
    if as_json:
        print_json([{"topic": name, "faults": faults} for name, faults in found.items()])
    else:
        for name, faults in found.items():
            typer.echo(f"  {'✗' if faults else '✓'} {name}  {'; '.join(faults)}".rstrip())
            if faults:
                fix = "tradeloop topics create" if faults == ["does not exist"] else "change it with Kafka's own tools"
                typer.echo(f"    next: {fix}")
    if any(found.values()):
        raise typer.Exit(FOUND)
