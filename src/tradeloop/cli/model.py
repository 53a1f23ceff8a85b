"""tradeloop model: search the engine's model for a schedule that breaks what is promised."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from tradeloop.cli.endings import FOUND, epilog

if TYPE_CHECKING:
    from tradeloop.model.rules import Rules
    from tradeloop.model.schedule import Found

EPILOG = epilog(
    "tradeloop model --schedules 100000",
    "tradeloop model --rule-off key_share --json",
    codes={0: "nothing was found", FOUND: "a promise was broken"},
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("model", epilog=EPILOG)(model)


def model(
    schedules: Annotated[int, typer.Option(min=1, help="How many schedules.")] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first; the next has the next number.")] = 0,
    rule_off: Annotated[list[str] | None, typer.Option(help="A rule that is to be broken; may be given again.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="How many search at once.")] = 2,
    rules: Annotated[bool, typer.Option("--rules", help="List the rules and what each prevents; end.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object: counts, and the first that is bad.")
    ] = False,
) -> None:
    """Search for an order of steps, crashes and stops that breaks a promise of the engine.

    The same seed is the same run; docs/model.md says how to read a trace.
    """
    from tradeloop.cli.output import print_json, print_rows
    from tradeloop.model.rules import Rules, names_of_rules, prevented_by
    from tradeloop.model.search import search

    if rules:
        listed = [{"rule": name, "prevents": prevented_by(name)} for name in names_of_rules()]
        if as_json:
            print_json(listed)
        else:
            print_rows({"rule": "rule", "prevents": "prevents"}, listed, empty="no rules")
        return
    held = Rules.without(*rule_off or ())
    began = time.monotonic()
    found = list(search(held, range(seed, seed + schedules), processes))
    seconds = round(time.monotonic() - began, 1)
    counts = dict(Counter(one.invariant for one in found).most_common())
    first = _shrunk(found[0], held) if found else None
    if as_json:
        print_json(
            {
                "first_seed": seed,
                "schedules": schedules,
                "rules_off": rule_off or [],
                "bad": len(found),
                "bad_by_invariant": counts,
                "seconds": seconds,
                "first_bad": {"seed": first.seed, "broke": first.text, "trace": first.trace} if first else None,
            }
        )
    else:
        _tell(first, f"seeds {seed} to {seed + schedules - 1}", rule_off or [])
        words = ", ".join(f"{kind} {count:,}" for kind, count in counts.items())
        typer.echo(f"{schedules:,} schedules, {len(found):,} bad{f' ({words})' if words else ''}, {seconds} s")
    if found:
        raise typer.Exit(FOUND)


def _shrunk(found: Found, rules: Rules) -> Found:
    from tradeloop.model.search import shrink

    return shrink(found, rules)


def _tell(first: Found | None, seeds: str, rules_off: list[str]) -> None:
    if first is not None:
        typer.echo(f"seed {first.seed}, shrunk to {len(first.steps)} steps:")
        for line in first.trace:
            typer.echo(f"  {line}")
        typer.echo(f"  => {first.text}")
    off = f" without {', '.join(rules_off)}" if rules_off else ""
    typer.echo(f"{seeds}{off}: ", nl=False)
