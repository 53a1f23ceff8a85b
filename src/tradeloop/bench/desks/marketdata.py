"""The market-data desk's labelled cases, and how its answers are scored."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any, Final, Protocol  # Any: an event's data

import numpy as np

from tradeloop.bench.desks.case import Case, Difficulty, Split, generator
from tradeloop.bench.desks.marketdata_controls import CLEAN, CONTROLS
from tradeloop.bench.desks.marketdata_defects import PUBLISHES, ROW_DEFECTS, A, E, Kind, N, Q, R, Random, Truth, applied
from tradeloop.bench.desks.marketdata_pairs import results
from tradeloop.bench.desks.marketdata_series import Draft, Source
from tradeloop.bench.desks.marketdata_wider import WIDER
from tradeloop.bench.desks.marketdata_words import whispered
from tradeloop.bench.desks.marketdata_yardstick import decide
from tradeloop.desks.desk import Desk
from tradeloop.desks.marketdata.desk import desk_of
from tradeloop.desks.marketdata.policy import SHIPPED, load_policy
from tradeloop.domain.decisions import Decision

ORDER: Final = (A, N, Q, R, "REJECT_BATCH", E)
NOTES: Final = frozenset({"MD00"})
"""Remarks about what a batch lacks, not about what is wrong with it."""
_LAST: Final = ("price_not_positive", "price_missing", "price_garbled")
"""They leave no price to go on with."""
_TOGETHER: Final = (
    *sorted(set(ROW_DEFECTS) - {"date_shift", "spike_second", "truncated", "last_bar_off", *_LAST}),
    *_LAST,
)
_PAIRS: Final = tuple(combinations(_TOGETHER, 2))
_TRIES: Final = 60
MANY: Final = 1000
"""From so many cases on, every kind has at least FLOOR."""
FLOOR: Final = 100
AIMS: Final = (
    ("anomaly_recall", "anomalies found", 0.985),
    ("anomaly_precision", "findings that are anomalies", 0.99),
    ("crash_confirmed_held", "crash days wrongly held, with a second source; at most,", 0.05),
    ("small_spike_caught", "small spikes caught, with a second source", 0.90),
)

SINGLES: Final[dict[str, Kind]] = {name: applied(defect) for name, defect in ROW_DEFECTS.items()} | WIDER
_DEAL: Final[tuple[Difficulty, ...]] = (
    "single", "clean", "compound", "single", "control", "single", "clean", "single", "adversarial", "single",
    "clean", "single", "compound", "clean", "single", "control", "single", "clean", "single", "adversarial",
)  # fmt: skip
"""Of 20 cases: 5 clean, 2 controls, 9 single, 4 compound or adversarial."""


class Answered(Protocol):
    """What became of a case, as far as the aims look at it."""

    @property
    def is_right(self) -> bool:
        """Whether the answer is one of those that fit."""
        ...


class MarketdataBench:
    """The market-data desk's part of the benchmark."""

    @cached_property
    def desk(self) -> Desk:
        """The desk under the policy that ships."""
        return desk_of(load_policy(SHIPPED))

    def cases(self, seed: int, count: int, split: Split, data: Path | None) -> Iterator[Case]:
        """Labelled cases; with a folder of price files, ordinary months of their series are the base."""
        source = Source.of(split, data)
        dealt: dict[Difficulty, int] = {}
        for number in range(count):
            difficulty = _DEAL[number % len(_DEAL)]
            turn = dealt[difficulty] = dealt.get(difficulty, -1) + 1
            yield case_of(source, seed, difficulty, turn)
        if count < MANY:
            return
        kinds: dict[Difficulty, int] = {
            "clean": len(CLEAN), "control": len(CONTROLS), "single": len(SINGLES), "compound": 1, "adversarial": 1,
        }  # fmt: skip
        for difficulty, number in kinds.items():
            for turn in range(dealt[difficulty] + 1, FLOOR * number):
                yield case_of(source, seed, difficulty, turn)

    def real(self, data: Path) -> Iterator[tuple[str, dict[str, int], bool]]:
        """Series of a vendor with real defects, repaired ones and clean ones, and whether each is as it has to be.

        Every event of a raw series must be found and none invented in a clean one. Of a repaired one nobody knows
        which other findings are true: it is shown and not judged.
        """
        for folder in sorted({path.parent for path in data.rglob("*-fixed.csv")}):
            for one in results(folder, self.desk):
                figures = {"events": one.events, "found": one.found, "invented": one.invented}
                yield one.name, figures, one.found == one.events and (one.name.endswith("-fixed") or not one.invented)

    def aims(self, answered: Sequence[Answered], scores: Mapping[str, float]) -> list[tuple[str, bool]]:
        """What the desk must reach."""
        right = fmean(float(one.is_right) for one in answered)
        aims = [(f"batch decisions {right:.4f} right; target 0.96", right >= 0.96)]
        for name, words, target in AIMS:
            if name in scores:
                value = scores[name]
                met = value <= target if name == "crash_confirmed_held" else value >= target
                aims.append((f"{words} {value:.4f}; target {target:g}", met))
        return aims

    def score(self, case: Case, facts: dict[str, Any], decision: Decision) -> Mapping[str, float]:
        """Recall and precision of anomalies, crash days held, small spikes caught, and the yardstick's answers."""
        labels, found = case.labels, [each for each in facts["findings"] if each["rule"] not in NOTES]
        figures: dict[str, float] = {}
        musts = [event for event in labels["events"] if event["must"]]
        if musts:
            figures["anomaly_recall"] = sum(any(map(_names(event), found)) for event in musts) / len(musts)
        if found:
            told = sum(any(_names(event)(finding) for event in labels["events"]) for finding in found)
            figures["anomaly_precision"] = told / len(found)
        holds = float(decision.outcome not in PUBLISHES)
        if labels["group"] == "crash_confirmed":
            figures["crash_confirmed_held"] = holds
        if labels["group"] == "small_spike_second":
            figures["small_spike_caught"] = holds
        yardstick = decide(case.data)
        figures["yardstick_accuracy"] = float(yardstick in case.acceptable)
        figures["yardstick_unsafe"] = float(yardstick in case.unsafe)
        return figures


def case_of(source: Source, seed: int, difficulty: Difficulty, turn: int) -> Case:
    """Case number `turn` of a difficulty; the kinds take turns."""
    kind, maker = _kind(difficulty, turn)
    random = generator(seed, "marketdata", f"{difficulty}/{kind}", turn, source.split)
    draft, truth = maker(source, random)
    return Case(
        case_id=f"MD-{source.split}-{seed}-{difficulty}-{turn:05d}",
        desk="marketdata",
        kind=kind,
        difficulty=difficulty,
        data=draft.data,
        acceptable=truth.acceptable,
        preferred=truth.preferred,
        unsafe=truth.unsafe,
        labels={
            "group": truth.group,
            "events": [
                {"rules": sorted(each.rules), "dates": sorted(each.dates), "must": each.must} for each in truth.events
            ],
        },
    )


def _kind(difficulty: Difficulty, turn: int) -> tuple[str, Kind]:
    if difficulty == "compound":
        names = _PAIRS[turn * 7 % len(_PAIRS)]
        return "compound", lambda source, random: _together(source, random, names)
    kinds = {"clean": CLEAN, "control": CONTROLS, "single": SINGLES}.get(difficulty) or SINGLES | CLEAN | CONTROLS
    name = list(kinds)[turn % len(kinds)]
    if difficulty != "adversarial":
        return name, kinds[name]
    return "words", lambda source, random: whispered(*kinds[name](source, random), random)


def _together(source: Source, random: Random, names: tuple[str, ...]) -> tuple[Draft, Truth]:
    """Two defects on bars that do not touch each other."""
    for _ in range(_TRIES):
        draft = source.month(random)
        truths: list[Truth] = []
        taken: set[int] = set()
        for name in names:
            truths.append(ROW_DEFECTS[name](draft, random))
            places = {place for event in truths[-1].events for day in event.dates for place in _around(draft, day)}
            if places & taken:
                break
            taken |= places
        else:
            return draft, merged(truths)
    return _together(source, random, ("price_missing", "closed_day"))


def _around(draft: Draft, day: str) -> set[int]:
    at = bisect_left([each.isoformat() for each in draft.sessions], day)
    return {at - 1, at, at + 1}


def merged(truths: list[Truth]) -> Truth:
    """What is right when several things are wrong: no less than each of them asks for."""
    least = max(min(map(ORDER.index, truth.acceptable)) for truth in truths)
    every = {outcome for truth in truths for outcome in truth.acceptable} | {R}  # two rows are many: fetch again
    acceptable = frozenset(outcome for outcome in every if ORDER.index(outcome) >= least)
    preferred = max((truth.preferred for truth in truths), key=ORDER.index)
    unsafe = frozenset(outcome for truth in truths for outcome in truth.unsafe) - acceptable
    return Truth(preferred, acceptable | {preferred}, unsafe, [event for truth in truths for event in truth.events])


def _names(event: Mapping[str, Any]) -> Any:
    rules, dates = set(event["rules"]), set(event["dates"])
    return lambda finding: finding["rule"] in rules and (not dates or bool(dates & set(finding["dates"])))


def summary(bench: MarketdataBench, cases: Iterator[Case]) -> dict[str, Any]:
    """The desk's own figures by policy alone: shares over all cases, and the kinds that went wrong most."""
    desk_, root = bench.desk, Path("/nowhere")
    sums: dict[str, list[float]] = {}
    kinds: dict[str, list[int]] = {}
    for case in cases:
        facts = desk_.facts(case.data, root)
        decision = desk_.judge(desk_.load(case.data, root), facts).decision
        right = decision.outcome in case.acceptable
        counts = kinds.setdefault(case.kind, [0, 0, 0])
        for at, is_so in enumerate((True, right, decision.outcome in case.unsafe)):
            counts[at] += is_so
        figures: dict[str, float] = dict(bench.score(case, facts, decision))
        figures |= {"accuracy": right, "unsafe": decision.outcome in case.unsafe}
        figures["preferred"] = decision.outcome == case.preferred
        for name, value in figures.items():
            sums.setdefault(name, []).append(float(value))
    return {
        "cases": len(sums["accuracy"]),
        **{name: round(float(np.mean(values)), 5) for name, values in sorted(sums.items())},
        "kinds": {name: tuple(counts) for name, counts in kinds.items()},
    }


BENCH: Final = MarketdataBench()
