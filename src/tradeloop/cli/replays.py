"""tradeloop dlq replay, tradeloop dlq discard: the two answers to a dead letter."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final  # Any: JSON for stdout

import typer

from tradeloop.cli.endings import CONFLICT, FOUND, NOT_FOUND, epilog
from tradeloop.cli.letters import filter_of, numbers, with_letters
from tradeloop.cli.output import OUTPUT, JsonFlag, agreed, note, print_json, printable
from tradeloop.cli.waiting import Waiting
from tradeloop.errors import UsageInvalid

if TYPE_CHECKING:
    from tradeloop.domain.letters import LetterFilter
    from tradeloop.engine.replay import Verdict
    from tradeloop.store.letters import PostgresLetters

PAGE: Final = 20
"""Letters in hand at a time: each may have a megabyte."""
REPLAY = epilog(
    "tradeloop dlq replay 12",
    'tradeloop dlq replay --cause "no workflow" --dry-run',
    codes={NOT_FOUND: "not found", CONFLICT: "was settled before", FOUND: "some would not, or did not, pass"},
)
DISCARD = epilog(
    'tradeloop dlq discard 12 --reason "test data"',
    'tradeloop dlq discard --kind EventNotJson --reason "a producer was broken" --yes',
    codes={NOT_FOUND: "not found", CONFLICT: "was settled before"},
)
Ids = Annotated[list[str] | None, typer.Argument(help="Numbers, or beginnings of their events' or runs' ids.")]
Cause = Annotated[str, typer.Option(help="Those whose cause has these words.")]
Kind = Annotated[str, typer.Option(help="Those of this kind of error, as `dlq list --group` prints it.")]
Source = Annotated[str, typer.Option(help="Those of kafka, airflow or run.")]
Topic = Annotated[str, typer.Option(help="Those read from this topic.")]
Since = Annotated[str, typer.Option(help="Those of this time: 30m, 4h, 1d.")]
By = Annotated[str, typer.Option(help="Who does it, for the audit; your login name when not given.")]


def register(dlq: typer.Typer) -> None:
    """Add the commands."""
    dlq.command("replay", epilog=REPLAY)(replay)
    dlq.command("discard", epilog=DISCARD)(discard)


def replay(
    ids: Ids = None,
    cause: Cause = "",
    kind: Kind = "",
    source: Source = "",
    topic: Topic = "",
    since: Since = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what today's code would make of them.")] = False,
    passing: Annotated[bool, typer.Option("--passing", help="Only those that pass such a dry run.")] = False,
    rate: Annotated[str, typer.Option(help="At most so many a second, for example 50/s.")] = "50/s",
    by: By = "",
    as_json: JsonFlag = False,
) -> None:
    """Put dead letters back through the inbox: each once, by today's code. Stopped, the same command goes on.

    A dry run runs the graphs with effects off: what they read is read, and models they ask are asked.
    """
    wanted = filter_of(cause=cause, kind=kind, source=source, topic=topic, since=since)
    a_second = _rate(rate)

    async def run(letters: PostgresLetters) -> list[Verdict]:
        from tradeloop.cli.context import stack_settings
        from tradeloop.engine.replay import Replays
        from tradeloop.workflow import load_workflows

        chosen, count = await _chosen(letters, ids or [], wanted)
        if not dry_run and not ids:
            agreed(f"{count:,} open dead letters match. Put them back?")
        replays = Replays(letters, load_workflows(stack_settings().workflows), by=_name(by))
        if dry_run:
            return await _followed("rehearsed", count, replays.rehearsed(chosen))
        return await _followed("replayed", count, replays.replayed(chosen, rate=a_second, only_passing=passing))

    verdicts = asyncio.run(with_letters(run))
    print_json(_report(verdicts, dry_run=dry_run)) if as_json else _tell(verdicts, dry_run=dry_run)
    if code := _exit_code(verdicts):
        raise typer.Exit(code)


def discard(
    reason: Annotated[str, typer.Option(help="Why they are given up; kept with them and in the audit.")],
    ids: Ids = None,
    cause: Cause = "",
    kind: Kind = "",
    source: Source = "",
    topic: Topic = "",
    since: Since = "",
    by: By = "",
    as_json: JsonFlag = False,
) -> None:
    """Give dead letters up. They and their bytes are kept until retention."""
    if not reason.strip():
        raise UsageInvalid("a reason is required: --reason.")
    wanted = filter_of(cause=cause, kind=kind, source=source, topic=topic, since=since)

    async def run(letters: PostgresLetters) -> tuple[list[int], list[int]]:
        chosen, count = await _chosen(letters, ids or [], wanted)
        if not ids:
            agreed(f"{count:,} open dead letters match. Give them up?")
        done: list[int] = []
        settled: list[int] = []
        last = 0
        with Waiting("discarded", total=count) as waiting:
            while page := await letters.after(last, chosen, PAGE):
                for letter in page:
                    given_up = await letters.discard(letter.letter_id, _name(by), reason.strip())
                    (done if given_up else settled).append(letter.letter_id)
                    waiting.count(len(done) + len(settled))
                last = page[-1].letter_id
        return done, settled

    done, settled = asyncio.run(with_letters(run))
    if as_json:
        print_json({"discarded": done, "settled_before": settled})
    else:
        typer.echo(f"{len(done):,} discarded")
        for number in settled:
            note(f"dead letter {number} was settled before: tradeloop dlq show {number}")
    if settled and not done:
        raise typer.Exit(CONFLICT)


async def _chosen(letters: PostgresLetters, ids: Sequence[str], wanted: LetterFilter) -> tuple[LetterFilter, int]:
    if not ids and not wanted.is_narrow:
        raise UsageInvalid("which ones? Give numbers, or one of --cause, --kind, --source, --topic, --since.")
    # Letters that were named are told about, whatever their state; a filter means the open ones.
    chosen = replace(wanted, ids=tuple(await numbers(letters, ids)), state=None) if ids else wanted
    return chosen, await letters.count(chosen)


async def _followed(what: str, count: int, verdicts: AsyncIterator[Verdict]) -> list[Verdict]:
    found: list[Verdict] = []
    with Waiting(what, total=count) as waiting:
        async for verdict in verdicts:
            found.append(replace(verdict, letter=replace(verdict.letter, raw=b"")))
            waiting.count(len(found))
            OUTPUT.after_ctrl_c = f"{len(found):,} of {count:,} {what}; the same command goes on with the rest"
    return found


def _rate(text: str) -> float:
    found = re.fullmatch(r"(\d{1,6})(/s)?", text.strip())
    if not found or int(found[1]) == 0:
        raise UsageInvalid(f"{text!r} is no rate; a number a second is expected, for example 50/s.")
    return float(found[1])


def _name(given: str) -> str:
    import getpass

    return given or getpass.getuser()


def _report(verdicts: Sequence[Verdict], *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "matched": len(verdicts),
        "passing": sum(verdict.passes for verdict in verdicts),
        "replayed": [
            {"id": v.letter.letter_id, "run_id": str(v.replay.run_id), "generation": v.replay.generation}
            for v in verdicts
            if v.replay and v.replay.run_id
        ],
        "not_replayed": [
            {"id": v.letter.letter_id, "why": v.replay.result.value}
            for v in verdicts
            if v.replay and not v.replay.run_id
        ],
        "failing": [
            {"id": v.letter.letter_id, "error_class": v.error_class, "why": v.problem} for v in verdicts if not v.passes
        ],
    }


def _tell(verdicts: Sequence[Verdict], *, dry_run: bool) -> None:
    report = _report(verdicts, dry_run=dry_run)
    if dry_run:
        typer.echo(f"with today's code {report['passing']:,} of {report['matched']:,} would pass")
    else:
        typer.echo(f"{len(report['replayed']):,} of {report['matched']:,} replayed")
        for one in report["replayed"][:10]:
            typer.echo(f"  {one['id']}  run {one['run_id']}, generation {one['generation']}")
    for one in report["not_replayed"][:10]:
        why = {
            "settled": "was replayed or discarded before",
            "doubled": "its event came in another way: discard it",
        }[one["why"]]
        note(f"dead letter {one['id']}: {why}   next: tradeloop dlq show {one['id']}")
    groups = Counter((one["error_class"], one["why"]) for one in report["failing"])
    for (error_class, why), count in groups.most_common(10):
        typer.echo(f"  {count:,} would not: {error_class}: {printable(why[:300])}")


def _exit_code(verdicts: Sequence[Verdict]) -> int:
    if any(not verdict.passes for verdict in verdicts):
        return FOUND
    refused = [verdict for verdict in verdicts if verdict.replay and not verdict.replay.run_id]
    return CONFLICT if refused and len(refused) == len(verdicts) else 0
