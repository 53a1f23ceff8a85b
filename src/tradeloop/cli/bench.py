"""tradeloop bench: measurements on the real stack."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any  # Any: the options of any benchmark

import typer

from tradeloop.cli.endings import FOUND, epilog

if TYPE_CHECKING:
    from pathlib import Path

    from tradeloop.bench.report import Leg

QuickFlag = Annotated[bool, typer.Option("--quick", help="Fewer repeats: for trying it out, not for figures.")]
JsonAlone = Annotated[bool, typer.Option("--json", help="Print the last line alone, the JSON object.")]
CODES = {
    0: "measured, whatever the times",
    1: "a leg broke off",
    FOUND: "an event was missing, phantom or doubled",
}
CAPTURE = epilog("tradeloop bench capture --quick", "tradeloop bench capture --only hook,call --json", codes=CODES)
CHECKPOINTS = epilog(
    "tradeloop bench checkpoints --quick",
    "tradeloop bench checkpoints --only busy --json",
    codes={0: "measured, whatever the figures"},
)
ENGINE = {0: "measured, whatever the figures", 1: "it broke off"}
API = epilog("tradeloop bench api", "tradeloop bench api --quick --json", codes=ENGINE)
DESKS = epilog(
    "tradeloop bench desks --seed 7 --cases 5000",
    "tradeloop bench desks --only marketdata --data prices/ --json",
    "tradeloop bench desks --model all --cases 1000",
    codes={0: "measured, whatever the shares", FOUND: "a desk acted by itself where that is wrong"},
)
RECONCILIATION = epilog(
    "tradeloop bench reconciliation",
    "tradeloop bench reconciliation --trades 100000 --json",
    codes={0: "measured, whatever the times", 1: "it broke off", FOUND: "a break was named wrongly or made up"},
)
AUDIT = epilog(
    "tradeloop bench audit",
    "tradeloop bench audit --records 20000 --changes 100 --pairs 0 --json",
    codes={0: "measured, whatever the times", 1: "it broke off", FOUND: "a change was not found"},
)
GATE = epilog(
    "tradeloop bench gate",
    "tradeloop bench gate --questions 20 --answers 400 --waiting 50 --json",
    codes={0: "measured, whatever the figures", 1: "it broke off"},
)
ALL = epilog("tradeloop bench all --quick", "tradeloop bench all --json", codes=CODES)
CHAOS = epilog(
    "tradeloop bench chaos --seed 1,2,3 --kills 100 --events 5000",
    "tradeloop bench chaos --kills 10 --lease 5 --no-airflow --json",
    codes={
        0: "the account is balanced, whatever the times",
        1: "a leg broke off",
        FOUND: "an event was lost, or an effect or a decision doubled, or an order broken",
    },
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    bench = typer.Typer(
        help="Measurements: each on a real stack of its own, in a scratch folder, on free ports.", no_args_is_help=True
    )
    bench.command("capture", epilog=CAPTURE)(capture)
    bench.command("chaos", epilog=CHAOS)(chaos)
    bench.command("api", epilog=API)(api)
    bench.command("checkpoints", epilog=CHECKPOINTS)(checkpoints)
    for command in (decisions, latency, growth, workers):
        name = command.__name__
        ends = epilog(f"tradeloop bench {name}", f"tradeloop bench {name} --quick --json", codes=ENGINE)
        bench.command(name, epilog=ends)(command)
    bench.command("desks", epilog=DESKS)(desks)
    bench.command("reconciliation", epilog=RECONCILIATION)(reconciliation)
    bench.command("audit", epilog=AUDIT)(audit)
    bench.command("gate", epilog=GATE)(gate)
    bench.command("all", epilog=ALL)(everything)
    app.add_typer(bench, name="bench")


def capture(
    only: Annotated[str, typer.Option(help="Legs, by commas: hook, call, runs, missing, latency.")] = "",
    quick: QuickFlag = False,
    as_json: JsonAlone = False,
) -> None:
    """What capture costs a task, what is missing after a failure, how long an event takes.

    About 20 minutes, --quick 8. Progress is on stderr; the last line of stdout is one JSON object with its figures.
    """
    from tradeloop.bench.capture import run

    legs = run([leg.strip() for leg in only.split(",") if leg.strip()], quick=quick, json_alone=as_json)
    if any(leg.broke_off for leg in legs):
        raise typer.Exit(1)
    if any(leg.name == "missing" and not target.met for leg in legs for target in leg.targets):
        raise typer.Exit(FOUND)


def chaos(
    seed: Annotated[str, typer.Option(help="Seeds of the schedule, by commas; the same seed is the same schedule.")] = (
        "1"
    ),
    kills: Annotated[int, typer.Option(min=1, help="How many processes are killed with -9.")] = 30,
    events: Annotated[int, typer.Option(min=1, help="At least so many events; more when the kills take longer.")] = 500,
    rate: Annotated[float, typer.Option(min=0.1, max=500, help="Events a second.")] = 10.0,
    lease: Annotated[float, typer.Option(min=3, help="Lease of a worker, seconds.")] = 15.0,
    airflow: Annotated[bool, typer.Option(help="With a real Airflow, or one that only answers.")] = True,
    seed_design: Annotated[
        bool, typer.Option("--seed-design", help="The same schedule against the design that tradeloop replaced.")
    ] = False,
    as_json: JsonAlone = False,
) -> None:
    """Kill everything, count everything: nothing lost, nothing twice, order kept."""
    from tradeloop.bench.chaos.leg import Size, is_balanced
    from tradeloop.bench.chaos.run import run

    size = Size(kills=kills, events=events, rate=rate, lease_s=lease, with_airflow=airflow)
    legs = run(_seeds(seed), size, seed_design=seed_design, json_alone=as_json)
    if any(leg.broke_off for leg in legs):
        raise typer.Exit(1)
    if not all(is_balanced(leg) for leg in legs[: len(_seeds(seed))]):  # not of the other design
        raise typer.Exit(FOUND)


def _seeds(text: str) -> list[int]:
    from tradeloop.errors import SettingInvalid

    try:
        return [int(word) for word in text.split(",")]
    except ValueError as problem:
        raise SettingInvalid(f"--seed is {text!r}; numbers, separated by commas, are expected.") from problem


def checkpoints(
    only: Annotated[
        str, typer.Option(help="Legs, by commas: quiet, busy (one core kept busy by another process).")
    ] = "",
    quick: QuickFlag = False,
    as_json: JsonAlone = False,
) -> None:
    """What durable checkpoints cost, beside LangGraph's own savers in the same minutes.

    About 5 minutes, --quick half of one. Progress is on stderr; the last line of stdout is one JSON object with its
    figures.
    """
    from tradeloop.bench.checkpoints import run

    run([leg.strip() for leg in only.split(",") if leg.strip()], quick=quick, json_alone=as_json)


def decisions(quick: QuickFlag = False, as_json: JsonAlone = False) -> None:
    """Decisions a second from Kafka to Kafka, beside LangGraph alone and the design that tradeloop replaced.

    About 5 minutes, --quick half of one. Progress is on stderr; the last line of stdout is one JSON object.
    """
    from tradeloop.bench.decisions import measure

    _one("decisions", lambda home: measure(home, repeats=1 if quick else 5), quick=quick, as_json=as_json)


def latency(quick: QuickFlag = False, as_json: JsonAlone = False) -> None:
    """From the event on Kafka to the decision on Kafka at 20 events a second, beside the floor of broker and disk.

    About 1 minute. Progress is on stderr; the last line of stdout is one JSON object.
    """
    from tradeloop.bench.pace import measure

    _one("latency", lambda home: measure(home, events=40 if quick else 600), quick=quick, as_json=as_json)


def growth(quick: QuickFlag = False, as_json: JsonAlone = False) -> None:
    """What a full database, a long backlog and a long life do to the rate and to the worker's memory.

    About 20 minutes, --quick 1. Progress is on stderr; the last line of stdout is one JSON object.
    """
    from tradeloop.bench.growth import Size, measure

    size = Size(1_000, 500, 1_200, 1) if quick else Size(1_000_000, 100_000, 100_000, 5)
    _one("growth", lambda home: measure(home, size), quick=quick, as_json=as_json)


def workers(quick: QuickFlag = False, as_json: JsonAlone = False) -> None:
    """One, two and four workers, with nodes that wait as for a model and with nodes that compute.

    About 5 minutes, --quick 1. Progress is on stderr; the last line of stdout is one JSON object.
    """
    from tradeloop.bench.scaling import measure

    repeats, seconds = (1, 1.0) if quick else (5, 5.0)
    _one("workers", lambda home: measure(home, repeats=repeats, seconds=seconds), quick=quick, as_json=as_json)


def api(
    rate: Annotated[float, typer.Option(min=1, max=2000, help="Requests a second of the load.")] = 200.0,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="How long the load lasts.")] = 60.0,
    steady_rate: Annotated[float, typer.Option(min=1, max=2000, help="Triggers and status together, a second.")] = 50.0,
    steady_seconds: Annotated[float, typer.Option(min=1, max=3600, help="How long these last.")] = 30.0,
    quick: QuickFlag = False,
    as_json: JsonAlone = False,
) -> None:
    """Times of trigger and status at a steady rate, then a load of all kinds; the requests come from another process.

    Each is sent when it is due, whatever became of those before, and timed from then. About 2 minutes, --quick 10 s.
    """
    from tradeloop.bench.api import Size, measure

    size = Size(rate, seconds, steady_rate, steady_seconds)
    if quick:
        size = Size(min(rate, 60.0), min(seconds, 3.0), min(steady_rate, 50.0), min(steady_seconds, 3.0))
    _one("api", lambda home: measure(home, size), quick=quick, as_json=as_json)


def desks(
    seed: Annotated[int, typer.Option(help="Seed of the cases; the same seed is the same cases.")] = 1,
    cases: Annotated[int, typer.Option(min=20, help="How many in all, at least.")] = 5000,
    data: Annotated[str, typer.Option(help="A folder of price files and fills to make the cases of.")] = "",
    only: Annotated[str, typer.Option(help="Desks, by commas: limits, marketdata, reconciliation, settlement.")] = "",
    tuning: Annotated[bool, typer.Option("--tuning", help="The cases that thresholds may be tuned on.")] = False,
    model: Annotated[
        str,
        typer.Option(help="Which models, beside none: none, scripted, lenient, random, broken (both served), all."),
    ] = "scripted",
    as_json: JsonAlone = False,
) -> None:
    """How often the desks are right, and that they never act where that is wrong, with no model and with bad ones.

    About 8 minutes for 5,000 cases, with --model all 2 more. The last line of stdout is one JSON object, with the hash
    of all thresholds.
    """
    from pathlib import Path

    from tradeloop.bench.desks.run import MODELS, Wanted, run
    from tradeloop.desks.shipped import NAMES
    from tradeloop.errors import SettingInvalid

    if data and not Path(data).is_dir():
        raise SettingInvalid(f"--data {data}: there is no such folder.")
    names = tuple(name.strip() for name in only.split(",") if name.strip()) or NAMES
    for name in names:
        if name not in NAMES:
            raise SettingInvalid(f"there is no desk {name!r}.", hint=f"desks: {', '.join(NAMES)}")
    if model not in MODELS:
        raise SettingInvalid(f"--model is {model!r}; one of {', '.join(MODELS)} is expected.")
    wanted = Wanted(seed, cases, "tuning" if tuning else "test", Path(data) if data else None, names, model)
    legs = run(wanted, json_alone=as_json)
    if not all(target.met for leg in legs for target in leg.targets if "unsafe" in target.text):
        raise typer.Exit(FOUND)


def reconciliation(
    trades: Annotated[int, typer.Option(min=1_000, help="Trades a side.")] = 1_000_000,
    seed: Annotated[int, typer.Option(help="Seed of both books.")] = 1,
    as_json: JsonAlone = False,
) -> None:
    """Two books of a million trades through the reconciliation desk, beside a plain pandas merge of the same files.

    About 1 minute. The last line of stdout is one JSON object with seconds, peak memory and what was named.
    """
    from tradeloop.bench.desks.reconciliation_speed import Size, run

    leg = run(Size(trades, seed), json_alone=as_json)
    if not all(target.met for target in leg.targets if "breaks" in target.text):
        raise typer.Exit(FOUND)


def audit(
    changes: Annotated[
        int, typer.Option(min=0, help="How many random changes of the tables are tried; 0: none.")
    ] = 1000,
    records: Annotated[int, typer.Option(min=0, help="How many records are verified; 0: none.")] = 1_000_000,
    pairs: Annotated[int, typer.Option(min=0, help="Pairs of runs with and without the chain; 0: none.")] = 30,
    seed: Annotated[int, typer.Option(help="Seed of the changes.")] = 1,
    quick: QuickFlag = False,
    as_json: JsonAlone = False,
) -> None:
    """Tampering that is found, the time to verify a million records, and what the audit costs in decisions a second.

    About 7 minutes, --quick one. Progress is on stderr; the last line of stdout is one JSON object.
    """
    from tradeloop.bench.audit import Size, measure
    from tradeloop.bench.single import run
    from tradeloop.cli.context import quiet_logs

    quiet_logs()
    if quick:
        changes, records, pairs = min(changes, 64), min(records, 20_000), min(pairs, 2)
    size = Size(changes, records, pairs, seed)
    leg = run("audit", lambda home: measure(home, size), quick=quick, json_alone=as_json)
    if leg.broke_off:
        raise typer.Exit(1)
    if not all(target.met for target in leg.targets if "changes found" in target.text):
        raise typer.Exit(FOUND)


def _one(name: str, measure: Callable[[Path], Leg], *, quick: bool, as_json: bool) -> None:
    from tradeloop.bench.single import run

    if run(name, measure, quick=quick, json_alone=as_json).broke_off:
        raise typer.Exit(1)


def gate(
    questions: Annotated[int, typer.Option(min=1, max=10_000, help="Approvals that are answered at once.")] = 100,
    answers: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Answers to them, repeated and foreign ones.")
    ] = 10_000,
    waiting: Annotated[int, typer.Option(min=1, max=100_000, help="Approvals open at the kill.")] = 1_000,
    seed: Annotated[int, typer.Option(help="Of the order of the answers.")] = 1,
    quick: QuickFlag = False,
    as_json: JsonAlone = False,
) -> None:
    """Whether of many answers at once each approval is released once, and open questions survive kill -9 of everything.

    About 3 minutes, --quick one. Progress is on stderr; the last line of stdout is one JSON object.
    """
    from tradeloop.bench.gate import measure

    if quick:
        questions, answers, waiting = min(questions, 20), min(answers, 400), min(waiting, 50)
    _one(
        "gate",
        lambda home: measure(home, questions=questions, answers=answers, waiting=waiting, seed=seed),
        quick=quick,
        as_json=as_json,
    )


def everything(quick: QuickFlag = False, as_json: JsonAlone = False) -> None:
    """Run every benchmark, one after the other, but chaos, which takes what it is told to.

    A line of JSON each; about an hour, --quick ten minutes. One that breaks off does not keep the others from running.
    """
    few: dict[str, Any] = {"cases": 100, "model": "none"} if quick else {}
    small: dict[str, Any] = {"trades": 20_000} if quick else {}
    with_quick = (checkpoints, decisions, latency, growth, workers, gate, audit, api, capture)
    worst = 0
    for measured in (
        *(partial(one, quick=quick, as_json=as_json) for one in with_quick),
        partial(desks, as_json=as_json, **few),
        partial(reconciliation, as_json=as_json, **small),
    ):
        try:
            measured()
        except typer.Exit as end:
            worst = max(worst, end.exit_code)
    if worst:
        raise typer.Exit(worst)
