"""How a draft becomes a labelled limit case: event, figures computed again, the answers that are right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tradeloop.bench.desks import limits_truth as truth
from tradeloop.bench.desks.case import Case, Split
from tradeloop.bench.desks.limits_defects import cause_of
from tradeloop.bench.desks.limits_draft import Draft, started
from tradeloop.bench.desks.limits_kinds import HISTORY, KINDS


def made(kind: str, number: int, split: Split, rng: np.random.Generator, data: Path | None) -> Case:
    """One case of a kind."""
    difficulty, inject = KINDS[kind]
    draft = started(rng, split, data, history=kind in HISTORY)
    inject(draft)
    event = draft.data()
    labels = labelled(draft, draft.plain or event)
    answer = labels.pop("answer")
    acceptable = {answer}
    if draft.plain is not None:  # a refused event reaches a person, too
        acceptable |= {"REFUSED", *truth.ORDER[truth.ORDER.index(answer) :]}
        labels = {}
    unsafe = set(truth.ORDER[: truth.ORDER.index(answer)])
    return Case(
        case_id=f"limits-{split}-{kind}-{number}",
        desk="limits",
        kind=kind,
        difficulty=difficulty,
        data=event,
        acceptable=frozenset(acceptable),
        preferred=answer,
        unsafe=frozenset(unsafe),
        labels=labels,
    )


def labelled(draft: Draft, event: dict[str, Any]) -> dict[str, Any]:
    """What is true: utilisation by limit, which limits are reached, why, and the answer."""
    used = truth.utilisations(event)
    answers = [truth.expected(event), draft.floor]
    if draft.is_doubtful:
        answers.append("RECHECK_DATA")
        if any(one["state"] in ("BREACH", "HARD") for one in draft.previous):  # what was a breach stays one
            answers.append("REQUEST_APPROVAL")
    if draft.mended is not None:
        answers.append(truth.expected({**draft.mended, "limits": event["limits"], "previous": draft.previous}))
    causes = {name: cause or cause_of(draft, name) for name, cause in draft.causes.items() if used[name] >= 1}
    return {
        "utilisation": {name: float(each) for name, each in used.items()},
        "breached": sorted(name for name, each in used.items() if each >= 1),
        "causes": {name: cause for name, cause in causes.items() if cause},
        "answer": truth.worst(*answers),
    }
