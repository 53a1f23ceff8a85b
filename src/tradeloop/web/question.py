"""An approval as its page shows it: evidence, what would happen, the rule, the model's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final  # Any: JSON of a graph

from tradeloop.domain.approvals import Approval, ApprovalState, Pattern, Vote
from tradeloop.domain.people import Principal

SOON: Final = timedelta(minutes=10)
PATTERNS: Final = {
    Pattern.NONE: "nobody is asked",
    Pattern.CONFIRMATION: "one person confirms",
    Pattern.MAKER_CHECKER: "one person who did not ask for it",
    Pattern.N_OF_M: "independent persons, in any order",
    Pattern.SEQUENTIAL: "one person after the other",
    Pattern.DENY: "never, whoever would approve",
}
RAISED: Final = {
    "first_of_kind": "the first of its kind on this desk",
    "degraded": "an agent should have answered and did not",
    "fact_against": "a fact speaks against it",
    "injection": "text from outside tried to instruct",
    "escalated": "it was escalated",
}
NAMED: Final = frozenset({"id", "sentence", "source", "at", "against", "kind", "rule", "value", "stale"})
CHANNELS: Final = {
    "web": "",
    "cli": "through the command line",
    "api": "through the API",
    "airflow": "through Airflow Required Actions",
}
"""How an answer came; on the page is nothing to be told."""
PHRASES: Final = (
    "checked against the second source",
    "checked with the counterparty",
    "the evidence does not carry it",
    "within the desk's tolerance",
)
"""Ready words; how often a reason is nothing else is shown on /audit/oversight."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One row of the evidence."""

    id: str
    sentence: str
    source: str
    at: str
    against: bool
    stale: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One row of what will happen."""

    field: str
    now: str
    after: str
    difference: str

    @property
    def removed(self) -> bool:
        """Whether something that is there goes."""
        return self.now not in ("", "—") and self.after in ("", "—")


@dataclass(frozen=True, slots=True)
class Quoted:
    """What a model wrote: shown as it is, and believed by nobody."""

    author: str
    text: str
    outcome: str
    cites: tuple[tuple[str, bool], ...]
    """Cited ids, and whether there is such a fact."""


def facts_of(approval: Approval) -> list[Fact]:
    """The evidence; what speaks against the action stands first."""
    found = [fact_of(one) for one in _listed(approval.context.get("facts"))]
    return sorted(found, key=lambda one: not one.against)


def changes_of(approval: Approval) -> list[Change]:
    """Field, now, after, difference, as the desk tells what will change."""
    return [_change(one) for one in _listed(approval.context.get("consequences")) if "field" in one]


def params_of(approval: Approval) -> list[tuple[str, str]]:
    """Every parameter of the action, as it is bound by the digest."""
    return [(name, value_words(value)) for name, value in approval.action.params.items()]


def sentences_of(approval: Approval) -> list[str]:
    """Consequences that are told in words."""
    given = approval.context.get("consequences")
    if isinstance(given, str):
        return [given]
    if isinstance(given, Mapping):
        return [f"{name}: {value_words(value)}" for name, value in given.items()]
    return [one for one in given if isinstance(one, str)] if isinstance(given, Sequence) else []


def quoted_of(approval: Approval) -> Quoted | None:
    """The model's proposal, if one was made."""
    given = approval.context.get("proposal")
    if not given:
        return None
    if not isinstance(given, Mapping):
        return Quoted("a model", str(given), "", ())
    model = given.get("model")
    named: Mapping[str, Any] = model if isinstance(model, Mapping) else {}
    known = {one.id for one in facts_of(approval)}
    author = str(given.get("name") or named.get("name") or model or "a model")
    if prompt := given.get("prompt_hash") or named.get("prompt_hash"):
        author += f", prompt {str(prompt)[:8]}"
    text = given.get("rationale") or given.get("text") or named.get("rationale") or ""
    cited = [str(one) for one in _sequence(given.get("cited"))]
    return Quoted(author, str(text), str(given.get("outcome") or ""), tuple((one, one in known) for one in cited))


def against(earlier: Approval, later: Approval) -> list[Change]:
    """What the later version changes, by parameter."""
    before, after = earlier.action.params, later.action.params
    names = list(dict.fromkeys([*before, *after]))
    rows = [
        Change(name, _value(before, name), _value(after, name), difference(before.get(name), after.get(name)))
        for name in names
        if before.get(name) != after.get(name)
    ]
    if earlier.action.target != later.action.target:
        rows.insert(0, Change("target", earlier.action.target, later.action.target, "changed"))
    return rows


def question_of(approval: Approval) -> str:
    """What is asked: never what is advised."""
    told = approval.context.get("question")
    return (
        told
        if isinstance(told, str) and told
        else f"{approval.subject}: {approval.action.kind} {approval.action.target}"
    )


def amount_of(approval: Approval) -> str:
    """The amount that the rule found, with its currency."""
    wanted = approval.requirement
    return "" if wanted.amount is None else f"{wanted.amount:,f} {wanted.currency}".strip().replace("-", "−")


def raised_words(approval: Approval) -> str:
    """Why the tier is higher than the rule's own."""
    return "; ".join(RAISED.get(one, one.replace("_", " ")) for one in approval.requirement.raised_by)


def is_hidden(approval: Approval, vote: Vote, reader: Principal) -> bool:
    """Whether the reader is still to answer for themselves, and so does not see another's reason and facts."""
    answered = any(one.principal == reader.name for one in approval.votes)
    return approval.state.is_open and vote.principal != reader.name and reader.can_answer and not answered


def urgency(approval: Approval, now: datetime) -> str:
    """`overdue`, `soon`, or nothing."""
    if not approval.state.is_open:
        return ""
    return "overdue" if approval.deadline_at <= now else "soon" if approval.deadline_at - now <= SOON else ""


def ended_words(approval: Approval) -> str:
    """How it ended, by whom and why, in one sentence."""
    last = approval.votes[-1] if approval.votes else None
    match approval.state:
        case ApprovalState.PENDING:
            return "waits for an answer"
        case ApprovalState.REJECTED if last is not None and last.answer == "reject":
            return f"Rejected by {last.principal}{through(last)}"
        case ApprovalState.EXPIRED:
            return "Expired: nobody answered in time, so it counts as rejected"
        case ApprovalState.CANCELLED:
            return f"Void: {approval.note}" if approval.note else "Void"
        case ApprovalState.REJECTED:
            return f"Rejected: {approval.note}" if approval.note else "Rejected"
        case _:
            by = " and ".join(vote.principal for vote in approval.approvals) or "nobody"
            return f"Approved by {by}"


def through(vote: Vote) -> str:
    """`, through the command line`; nothing for an answer on the page."""
    told = CHANNELS.get(vote.channel, vote.channel)
    return f", {told}" if told else ""


def progress(approval: Approval) -> str:
    """`1 of 2`; nothing where one answer is enough."""
    needs = approval.requirement.needs
    return f"{len(approval.approvals)} of {needs}" if needs > 1 else ""


def value_words(value: object) -> str:
    """A value as it is read; decimal text keeps its scale, amounts of money get their thousands apart."""
    if value is None or value == "":
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace("-", "−")
    if isinstance(value, list | tuple):
        return ", ".join(value_words(one) for one in value) or "none"
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {value_words(one)}" for name, one in value.items()) or "none"
    return str(value)


def difference(now: object, after: object) -> str:
    """After minus now where both are figures, with the larger scale of the two; else what happened in a word."""
    if after in (None, "", "—"):
        return "removed" if now not in (None, "", "—") else ""
    if now in (None, "", "—"):
        return "added"
    one, other = _decimal(now), _decimal(after)
    if one is None or other is None:
        return "" if now == after else "changed"
    found = other - one
    return f"{found:+,f}".replace("-", "−") if found else "0"


def fact_of(given: Mapping[str, Any]) -> Fact:
    """One finding or fact, in whatever form a desk tells it."""
    rest = "; ".join(f"{name} {value_words(value)}" for name, value in given.items() if name not in NAMED)
    return Fact(
        id=str(given.get("id", "")),
        sentence=str(given.get("sentence") or rest or "no words"),
        source=str(given.get("source") or given.get("rule") or given.get("kind") or "the desk's own check"),
        at=str(given.get("at") or ""),
        against=bool(given.get("against")),
        stale=str(given.get("stale") or ""),
    )


def _change(given: Mapping[str, Any]) -> Change:
    now, after = given.get("now"), given.get("after")
    told = given.get("difference")
    return Change(
        str(given["field"]),
        value_words(now),
        value_words(after),
        value_words(told) if told not in (None, "") else difference(now, after),
    )


def _value(params: Mapping[str, Any], name: str) -> str:
    return value_words(params[name]) if name in params else "—"


def _decimal(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    try:
        found = Decimal(str(value).replace(",", ""))
    except InvalidOperation:
        return None
    return found if found.is_finite() and abs(found.adjusted()) < 30 else None


def _sequence(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else []


def _listed(value: object) -> list[Mapping[str, Any]]:
    return [one for one in _sequence(value) if isinstance(one, Mapping)]
