"""tradeloop events: what travels."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any  # Any: JSON for stdout

import typer

from tradeloop.cli.endings import FAILED, NOT_FOUND, STILL_WAITING, UNREACHABLE, epilog
from tradeloop.cli.output import OUTPUT, JsonFlag, moment, note, print_json, printable, say, utc
from tradeloop.cli.runs import period
from tradeloop.cli.waiting import Waiting, heeding_ctrl_c, run

if TYPE_CHECKING:
    from tradeloop.domain.records import Received
    from tradeloop.kafka.workflow_producer import Receipt
    from tradeloop.store.sightings import EventView

TAIL = epilog(
    "tradeloop events tail --since 10m --type 'marketdata.*'",
    "tradeloop events tail --since 1d --no-follow --json",
    codes=(NOT_FOUND, UNREACHABLE),
)
SHOW = epilog("tradeloop events show 5f1c9f0e", "tradeloop events show 5f1c9f0e --json", codes=(NOT_FOUND, UNREACHABLE))
PUBLISH = epilog(
    "tradeloop events publish event.json",
    "my-tool | tradeloop events publish - --json",
    codes={
        0: "all published",
        1: "some were refused",
        NOT_FOUND: "no such file",
        STILL_WAITING: "some are kept until Kafka answers",
    },
)

CAUGHT_UP_S = 2.0
"""With --no-follow: so long nothing came, so all is read; shorter ends before a slow broker's first answer."""
CHUNK = 500
"""Events handed to Kafka together: few enough that progress is seen, many enough that the round trip is nothing."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    events = typer.Typer(help="Events: watch, look up, publish.", no_args_is_help=True)
    events.command("tail", epilog=TAIL)(tail_events)
    events.command("show", epilog=SHOW)(show)
    events.command("publish", epilog=PUBLISH)(publish)
    app.add_typer(events, name="events")


def tail_events(
    type_: Annotated[str, typer.Option("--type", help="Only these types; * stands for anything.")] = "*",
    subject: Annotated[str, typer.Option(help="Only these subjects; * stands for anything.")] = "*",
    since: Annotated[str, typer.Option(help="Begin this long ago: 30s, 10m, 4h.")] = "",
    topic: Annotated[str, typer.Option(help="Another topic, for example workflow-decisions.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="End after so many; 0: never.")] = 0,
    follow: Annotated[
        bool | None, typer.Option("--follow/--no-follow", help="Go on with what comes; else end with what is there.")
    ] = None,
    idle: Annotated[float, typer.Option(min=0, help="End when nothing came for so many seconds; 0: never.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Print events as they are appended to the topic; with --json one object a line."""
    from tradeloop.cli.context import stack_settings
    from tradeloop.kafka.tail import tail

    settings = stack_settings()
    settings.require("kafka_bootstrap")
    begin = datetime.now(UTC) - period(since) if since else None
    idle_s = CAUGHT_UP_S if follow is False and not idle else idle or None
    OUTPUT.after_ctrl_c = "nothing was changed"
    if not as_json and idle_s is None:
        note(f"waiting for events on {topic or settings.events_topic}; Ctrl-C ends it")
    place = topic or settings.events_topic
    with heeding_ctrl_c():
        _follow(tail(settings.kafka_bootstrap, place, since=begin, idle_s=idle_s), type_, subject, limit, as_json)


def _follow(found: Iterator[Received], type_: str, subject: str, limit: int, as_json: bool) -> None:
    from fnmatch import fnmatchcase

    shown = 0
    for received in found:
        line = _line(received)
        if not fnmatchcase(line["event_type"], type_) or not fnmatchcase(line["subject"], subject):
            continue
        if as_json:
            print_json(line)
        else:
            place = f"{line['topic']}[{line['partition']}]@{line['offset']}"
            at = moment(datetime.fromisoformat(line["appended_at"]))
            what = printable(f"{line['event_id'][:8]}  {line['event_type']}  {line['subject']}")
            say(f"{at}  {what}  {place}  {line['lane']}")
        shown += 1
        if limit and shown >= limit:
            return


def show(
    event: Annotated[str, typer.Argument(help="The beginning of the event's id.")], as_json: JsonFlag = False
) -> None:
    """Show one event: its envelope, and where and by which lane it arrived."""
    view = run(_find(event))
    sightings = [
        {
            "place": f"{s.topic}[{s.partition}]@{s.offset}",
            "lane": s.lane,
            "at": utc(s.at),
            "accepted": s.is_accepted,
            "differs": s.differs,
        }
        for s in view.sightings
    ]
    body = _decoded(view.payload)
    if as_json:
        print_json({"event": body, "headers": dict(view.headers), "desk": view.desk, "sightings": sightings})
        return
    desk = view.desk or "none: nobody handles it"
    say(printable(f"event {view.event_id}   {view.event_type}   {view.subject}   desk {desk}"))
    for sighting in view.sightings:
        what = "accepted" if sighting.is_accepted else "dropped as a double"
        what += ", although it says something else (tradeloop dlq list)" if sighting.differs else ""
        place = f"{sighting.topic}[{sighting.partition}]@{sighting.offset}"
        typer.echo(f"  {moment(sighting.at)}  {place}  {sighting.lane or 'unknown'} lane  {what}")
    say(json.dumps(body, indent=2) if isinstance(body, dict) else printable(str(body)))


def publish(
    source: Annotated[str, typer.Argument(help="A file with one event as JSON, or one a line; - reads stdin.")],
    timeout: Annotated[float, typer.Option(min=0.1, max=600, help="Wait so long for Kafka, in seconds.")] = 10.0,
    as_json: JsonFlag = False,
) -> None:
    """Publish events. While Kafka is away they are kept in the outbox, and go out with the next publish.

    A line that is no event is refused with its number; the others are published.
    """
    from tradeloop.cli.context import stack_settings
    from tradeloop.kafka.workflow_producer import WorkflowEventProducer

    settings = stack_settings()
    settings.require("kafka_bootstrap")
    events, refused = _read(source)
    outbox = settings.home / "outbox.sqlite3"
    receipts: list[Receipt] = []
    with (
        WorkflowEventProducer(settings.kafka_bootstrap, topic=settings.events_topic, outbox=outbox) as producer,
        Waiting("publishing", total=len(events), unit="events") as progress,
    ):
        for start in range(0, len(events), CHUNK):
            receipts += producer.publish_many(events[start : start + CHUNK], timeout_s=timeout)
            progress.count(len(receipts))
            OUTPUT.after_ctrl_c = (
                f"{len(receipts):,} of {len(events):,} events were published or kept, the next ones perhaps. "
                "The same file can be published again: what arrives twice is dropped by its id"
            )
        waiting = producer.waiting()
    kept = sum(receipt.delivery is None for receipt in receipts)
    lines: list[dict[str, Any]] = [
        {
            "event_id": str(receipt.event_id),
            "state": receipt.state.value,
            "partition": receipt.delivery.partition if receipt.delivery else None,
            "offset": receipt.delivery.offset if receipt.delivery else None,
            "reason": receipt.reason,
        }
        for receipt in receipts
    ]
    if as_json:
        print_json({"receipts": lines, "refused": refused, "kept_in_outbox": waiting})
    else:
        for line in lines:
            where = (
                f"{settings.events_topic}[{line['partition']}]@{line['offset']}"
                if line["offset"] is not None
                else line["reason"]
            )
            typer.echo(f"{line['event_id']}  {line['state']}  {where}")
        for problem in refused:
            typer.echo(f"error: {source} line {problem['line']}: {printable(problem['cause'])}", err=True)
        note(f"{len(receipts) - kept:,} published, {kept:,} kept, {len(refused):,} refused")
        if waiting:
            note(f"{waiting} events are kept in {outbox}; they go out with the next publish.")
    if refused:
        raise typer.Exit(FAILED)
    if waiting:
        raise typer.Exit(STILL_WAITING)


def _read(source: str) -> tuple[list[Any], list[dict[str, Any]]]:
    from tradeloop.domain.events import WorkflowEvent
    from tradeloop.errors import EventInvalid, NotFound

    try:
        raw = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as problem:
        raise NotFound(f"{source} cannot be read: {problem.strerror}.") from problem
    events, refused = [], []
    for number, piece in _pieces(raw):
        try:
            events.append(WorkflowEvent.from_json(piece))
        except EventInvalid as problem:
            refused.append({"line": number, "cause": problem.message})
    return events, refused


def _pieces(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """One event, a list of events, or one a line."""
    try:
        whole = json.loads(raw)
    except ValueError:
        yield from ((n, line) for n, line in enumerate(raw.splitlines(), 1) if line.strip())
        return
    if isinstance(whole, list):
        yield from ((n, json.dumps(one).encode()) for n, one in enumerate(whole, 1))
    else:
        yield 1, raw


def _line(received: Received) -> dict[str, Any]:
    body = _decoded(received.value)
    fields = body if isinstance(body, dict) else {}
    return {
        "event_id": str(fields.get("event_id") or received.header("ce_id")),
        "event_type": str(fields.get("event_type") or received.header("ce_type")),
        "subject": str(fields.get("subject") or (received.key or b"").decode("utf-8", "replace")),
        "topic": received.topic,
        "partition": received.partition,
        "offset": received.offset,
        "lane": received.header("tradeloop_lane"),
        "appended_at": utc(datetime.fromtimestamp(received.appended_at_ms / 1000, UTC)),
        "event": body,
    }


def _decoded(value: bytes) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value.decode("utf-8", "replace")


async def _find(prefix: str) -> EventView:
    from tradeloop.cli.context import open_database, stack_settings
    from tradeloop.store.sightings import Sightings

    settings = stack_settings()
    async with open_database(settings) as database:
        return await Sightings(database).find(prefix)
