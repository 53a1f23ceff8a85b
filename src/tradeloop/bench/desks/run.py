"""`tradeloop bench desks`: labelled cases through every desk, without a model and with bad ones."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import math
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Final

from tradeloop.bench.desks.answering import Answered, Answering, Forger, Scripted, by_kind
from tradeloop.bench.desks.case import Bench, Case, Split
from tradeloop.bench.desks.served import SERVED, served
from tradeloop.bench.figures import Figure
from tradeloop.bench.report import Leg, as_json, machine, print_table
from tradeloop.bench.stage import say
from tradeloop.desks.desk import Desk
from tradeloop.desks.graph import NO_MODEL as NOT_ASKED
from tradeloop.desks.shipped import NAMES
from tradeloop.observability import configure_logging
from tradeloop.ports import Agents

Z95: Final = 1.959964
"""Standard normal quantile of a two-sided 95 % interval."""
NO_MODEL: Final = "no model"
SCRIPTED: Final = ("lenient", "garbage", "silent", "forger")
MODELS: Final = {
    "none": (),
    "scripted": SCRIPTED,
    "lenient": ("lenient",),
    "random": ("random",),
    "broken": ("broken",),
    "all": (*SCRIPTED, *SERVED),
}
"""By the word of `--model`: which models answer, beside none at all."""
SERVED_CASES: Final = 15
"""A model that is served answers so many cases of a desk, of those that policy leaves open: some seconds each."""
FEWER: Final = 5
"""The scripted models answer one of so many cases each: they differ in the ambiguous ones alone."""


@dataclass(frozen=True)
class Wanted:
    """What to measure."""

    seed: int
    cases: int
    """At least so many in all."""
    split: Split
    data: Path | None
    desks: tuple[str, ...] = NAMES
    model: str = "scripted"
    """One of MODELS."""


def run(wanted: Wanted, *, json_alone: bool) -> list[Leg]:
    """Measure the desks; print tables and, as the last line, JSON."""
    state, begun = machine(), time.monotonic()
    configure_logging(level=logging.ERROR)  # that a bad model gives no answer is what is measured
    legs, policies = [], {}
    for name in wanted.desks:
        bench = bench_of(name)
        policies[name] = bench.desk.policy.digest
        legs.append(asyncio.run(_measured(bench, wanted)))
    digest = hashlib.sha256(json.dumps(policies, sort_keys=True).encode()).hexdigest()
    if not json_alone:
        print_table(legs)
    took_s = round(time.monotonic() - begun)
    more = {
        "seed": wanted.seed,
        "model": wanted.model,
        "split": wanted.split,
        "thresholds_sha256": digest,
        "policies": policies,
    }
    print(as_json("desks", legs, **more, machine=state, took_s=took_s), flush=True)
    return legs


def bench_of(name: str) -> Bench:
    """The desk's part of the benchmark."""
    bench: Bench = import_module(f"tradeloop.bench.desks.{name}").BENCH
    return bench


async def _measured(bench: Bench, wanted: Wanted) -> Leg:
    desk = bench.desk
    leg = Leg(desk.name, f"{desk.name}: labelled cases, seed {wanted.seed}, split {wanted.split}")
    cases = list(bench.cases(wanted.seed, math.ceil(wanted.cases / len(wanted.desks)), wanted.split, wanted.data))
    found: dict[str, list[Answered]] = {}
    with TemporaryDirectory(prefix="tradeloop-desks-") as folder:
        for model in (NO_MODEL, *MODELS[wanted.model]):
            chosen = cases
            if model != NO_MODEL:
                chosen = _left_open(found[NO_MODEL]) if model in SERVED else cases[::FEWER]
            say(f"{desk.name}: {len(chosen):,} cases, {model}")
            with _agents(model, desk) as agents:
                answering = Answering(desk, agents, Path(folder))
                found[model] = [await answering.answer(case) for case in chosen]
    for kind, answered in by_kind(found[NO_MODEL]):
        leg.add(f"{answered[0].case.difficulty}: {kind}", _figures(answered))
    leg.add("all", _figures(found[NO_MODEL]))
    scores = _scores(bench, found[NO_MODEL])
    leg.add("scores", scores)
    for model, answered in found.items():
        leg.add(f"with {model}", _with_model(answered))
    _add_real(leg, bench, wanted.data)
    unsafe = sum(one.is_unsafe for answered in found.values() for one in answered)
    total = sum(len(answered) for answered in found.values())
    leg.aim(f"{unsafe} unsafe automatic actions in {total:,} answers, any model; target 0", met=unsafe == 0)
    for text, met in getattr(bench, "aims", lambda *_: [])(found[NO_MODEL], scores):
        leg.aim(text, met=met)
    for one in [one for answered in found.values() for one in answered if one.is_unsafe][:5]:
        leg.notes.append(f"unsafe: {one.case.case_id} {one.case.kind}: {one.outcome} {one.error}")
    return leg


def _add_real(leg: Leg, bench: Bench, data: Path | None) -> None:
    """What the folder holds of real defects whose repair is known."""
    found = list(getattr(bench, "real", lambda _: ())(data)) if data else []
    for name, figures, _ in found:
        leg.add(f"real: {name}", figures)
    if found:
        missed = [name for name, _, is_right in found if not is_right]
        told = f"; not so: {', '.join(missed)}" if missed else ""
        leg.aim(f"{len(found)} real series, every event found and none invented in clean ones{told}", met=not missed)


@contextmanager
def _agents(model: str, desk: Desk) -> Iterator[Agents | None]:
    if model in SERVED:
        with served(model) as agents:
            yield agents
    elif model == NO_MODEL:
        yield None
    else:
        yield Forger(desk) if model == "forger" else Scripted(model)


def _left_open(answered: list[Answered]) -> list[Case]:
    """Cases in which agents are asked, spread over all of them."""
    asked = [one.case for one in answered if one.decision is not None and NOT_ASKED in one.decision.reasons]
    return asked[:: max(1, math.ceil(len(asked) / SERVED_CASES))]


def _with_model(answered: list[Answered]) -> dict[str, Figure]:
    decisions = [one.decision for one in answered if one.decision is not None]
    return {
        "cases": len(answered),
        "unsafe": sum(one.is_unsafe for one in answered),
        "degraded": sum(one.degraded for one in decisions),
        "by_model": sum(one.decided_by == "model" for one in decisions),
    }


def _figures(answered: list[Answered]) -> dict[str, Figure]:
    right = sum(one.is_right for one in answered)
    low, high = wilson(right, len(answered))
    preferred = sum(one.outcome == one.case.preferred for one in answered)
    return {
        "cases": len(answered),
        "right": round(right / len(answered), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "preferred": round(preferred / len(answered), 4),
        "unsafe": sum(one.is_unsafe for one in answered),
    }


def _scores(bench: Bench, answered: list[Answered]) -> dict[str, Figure]:
    values: defaultdict[str, list[float]] = defaultdict(list)
    for one in answered:
        if one.decision is not None:
            for name, value in bench.score(one.case, one.facts, one.decision).items():
                values[name].append(value)
    return {name: round(fmean(found), 5) for name, found in values.items()}


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927)."""
    if not count:
        return 0.0, 1.0
    share, z2 = right / count, Z95**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = Z95 / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return max(0.0, middle - half), min(1.0, middle + half)
