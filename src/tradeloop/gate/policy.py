"""The approval policy: which actions are released at once, which after whose yes, and which never (mi-24 1a-1d, P2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, Literal  # Any: a parameter of an action

from pydantic import Field, model_validator

from tradeloop.domain.actions import Action
from tradeloop.domain.approvals import ApprovalStep, Pattern, Requirement
from tradeloop.domain.people import Amount
from tradeloop.errors import GateClosed, SettingInvalid
from tradeloop.gate.look_alikes import folded
from tradeloop.gate.policy_file import PolicyFile, PolicyPart, read_policy

SHIPPED: Final = Path(__file__).parent / "policy.yaml"
SETTING: Final = "TRADELOOP_GATE_POLICY"
BASELINE: Final = "baseline"
ASKED: Final = "asked"
MAX_MAGNITUDE: Final = 30
"""Powers of ten: what is larger or smaller is no amount of money, and would fill memory as text."""
ORDER: Final = {pattern: place for place, pattern in enumerate(Pattern)}
Impact = Literal[
    "confidentiality", "integrity", "financial_loss", "customer_harm", "legal_effect", "dissemination", "urgency"
]
"""mi-24 1a."""


class Oversight(PolicyPart):
    """Who must say yes."""

    pattern: Pattern
    tier: int = Field(default=1, ge=0, le=3)
    steps: tuple[ApprovalStep, ...] = (ApprovalStep(),)
    deadline_s: int = Field(default=14_400, ge=1, le=31_536_000)
    valid_s: int = Field(default=3_600, ge=1, le=86_400)
    on_silence: Literal["reject", "escalate"] = "reject"

    @model_validator(mode="after")
    def _agrees(self) -> Oversight:
        answers = sum(step.needs for step in self.steps)
        if self.pattern is Pattern.N_OF_M and answers < 2:
            raise ValueError("n_of_m needs at least two answers: give steps with `needs`")
        if self.pattern is Pattern.SEQUENTIAL and len(self.steps) < 2:
            raise ValueError("sequential needs at least two steps")
        if self.pattern in (Pattern.CONFIRMATION, Pattern.MAKER_CHECKER) and answers != 1:
            raise ValueError(f"{self.pattern.value} is one answer; use n_of_m or sequential for more")
        if self.pattern is Pattern.CONFIRMATION and self.tier > 1:
            raise ValueError("confirmation is for low impact only: tier 0 or 1 (mi-24 P5)")
        return self


class When(PolicyPart):
    """Which actions; every given condition must hold."""

    desk: str = "*"
    kind: str = "*"
    target: str = "*"
    params: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """By path below `params`, as `counterparty` or `order.jurisdiction`: patterns, one of which must match. A parameter
    that is absent matches nothing. A rule that asks or denies matches what looks alike, too (case, accents, invisible
    characters, Cyrillic and Greek letters), and a list or an object where a text should be."""
    amount_over: Amount | None = None
    """Strictly more than this; an action whose amount cannot be read matches, too."""
    currency: str = Field(default="", pattern=r"^([A-Z]{3})?$")


class GateRule(PolicyPart):
    """One rule: these actions need that oversight."""

    id: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,40}$")
    why: str = Field(min_length=1, max_length=300)
    impact: tuple[Impact, ...] = ()
    when: When = When()
    amount: str = ""
    """Path of the amount below `params`; empty: the action has none."""
    currency: str = ""
    """Path of its currency below `params`, or three capital letters."""
    needs: Oversight


class Aggregate(PolicyPart):
    """A limit over the sum of a day's or a session's actions, reserved before each (mi-24 1b)."""

    id: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,40}$")
    why: str = Field(min_length=1, max_length=300)
    when: When = When()
    impact: tuple[Impact, ...] = ("financial_loss",)
    amount: str
    by: tuple[str, ...] = ()
    """Paths below `params`: one limit for each combination of their values."""
    per: Literal["day", "session"] = "day"
    """A day of UTC, or the workflow run that caused the event."""
    limit: Amount = Field(gt=0)
    over: Oversight
    """What an action needs for which there is no room any more."""


class GatePolicy(PolicyFile):
    """The whole approval policy."""

    version: str = Field(min_length=1, max_length=50)
    baseline: Oversight = Oversight(pattern=Pattern.NONE, tier=0)
    """For actions that no rule names: what the desk's allow-list permits, and nothing more."""
    asked: Oversight = Oversight(pattern=Pattern.MAKER_CHECKER, tier=1)
    """For actions that a decision itself puts before a person; a rule can only want more."""
    raise_first_of_kind: bool = True
    """One tier more for the first action of a kind and target on a desk."""
    raise_degraded: bool = True
    """One tier more where an agent should have answered and did not."""
    max_pending: int = Field(default=2000, ge=1, le=100_000)
    """Open questions of one desk; more are an attack or a defect, and wait (mi-24 6a)."""
    rules: tuple[GateRule, ...] = ()
    aggregates: tuple[Aggregate, ...] = ()

    @model_validator(mode="after")
    def _is_unambiguous(self) -> GatePolicy:
        ids = [one.id for one in self.rules] + [one.id for one in self.aggregates]
        if len(set(ids)) != len(ids) or {BASELINE, ASKED} & set(ids):
            raise ValueError("each rule needs an id of its own, other than `baseline` and `asked`")
        if ORDER[self.asked.pattern] < ORDER[Pattern.CONFIRMATION]:
            raise ValueError("`asked` must ask a person")
        return self


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the gate knows beside the action."""

    desk: str
    asked: bool = False
    """Whether the decision itself wants a person's yes."""
    degraded: bool = False
    first_of_kind: bool = False
    against: bool = False
    """Whether a fact speaks against the action, or its text looked like an attack."""
    session: str = ""
    """The workflow run that caused the event."""
    now: datetime | None = None


@dataclass(frozen=True, slots=True)
class Reservation:
    """Room that an action takes of one limit."""

    scope: str
    amount: Decimal
    limit: Decimal
    rule: Aggregate


def requirement(
    policy: GatePolicy, action: Action, around: Circumstances, over: Sequence[Aggregate] = ()
) -> Requirement:
    """What the action needs: the strictest of all rules that name it; `over`: limits without room for it."""
    found = [
        _of(rule.needs, rule.id, rule.why, rule.impact, action, rule.amount, rule.currency)
        for rule in policy.rules
        if _matches(
            rule.when, action, around.desk, rule.amount, rule.currency, frees=rule.needs.pattern is Pattern.NONE
        )
    ]
    found += [_of(one.over, one.id, one.why, one.impact, action, one.amount, one.when.currency) for one in over]
    if not found:
        found.append(_of(policy.baseline, BASELINE, "no rule of the approval policy names this action"))
    if around.asked:
        found.append(_of(policy.asked, ASKED, "the decision itself asks a person"))
    wanted = _with_the_most(max(found, key=_strictness), found)
    return _raised(policy, wanted, around) if wanted.pattern not in (Pattern.NONE, Pattern.DENY) else wanted


def strictest(one: Requirement, other: Requirement) -> Requirement:
    """The one that wants more; of both the higher tier."""
    return _with_the_most(max((one, other), key=_strictness), (one, other))


def reservations(policy: GatePolicy, action: Action, around: Circumstances) -> list[Reservation]:
    """What is to be reserved before the action may be released. An amount that cannot be read takes all the room."""
    day = (around.now or datetime.now(UTC)).astimezone(UTC).date().isoformat()
    found = []
    for one in policy.aggregates:
        if not _matches(one.when, action, around.desk, one.amount, one.when.currency):
            continue
        amount, _ = _amount(action, one.amount, "")
        period = day if one.per == "day" else f"session {around.session}"
        parts = [one.id, around.desk, period, *(folded(str(_at(action, path))) for path in one.by)]
        found.append(Reservation("|".join(parts), abs(amount) if amount is not None else one.limit + 1, one.limit, one))
    return found


class PolicySource:
    """The policy in force: read again when its file changes. Unreadable means that nothing is released."""

    def __init__(self, path: Path | None = None) -> None:
        """`path`: the firm's own file; None: the one that ships."""
        self.path = path or SHIPPED
        self._read: tuple[tuple[int, int], GatePolicy] | None = None

    def current(self) -> GatePolicy:
        """The policy as the file has it now.

        Raises:
            GateClosed: it cannot be read, or is wrong.
        """
        try:
            status = self.path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            if self._read is None or self._read[0] != stamp:
                self._read = (stamp, read_policy(GatePolicy, self.path, setting=SETTING))
            return self._read[1]
        except (SettingInvalid, OSError) as problem:
            self._read = None
            raise GateClosed(
                f"nothing is released: the approval policy {self.path.name} cannot be used: {problem}",
                hint="tradeloop gate check",
            ) from problem


def _of(
    needs: Oversight,
    rule: str,
    why: str,
    impact: tuple[str, ...] = (),
    action: Action | None = None,
    amount_path: str = "",
    currency_path: str = "",
) -> Requirement:
    amount, currency = (None, "") if action is None else _amount(action, amount_path, currency_path)
    return Requirement(
        pattern=needs.pattern,
        tier=needs.tier,
        rule=rule,
        why=why,
        steps=needs.steps,
        deadline_s=needs.deadline_s,
        valid_s=needs.valid_s,
        on_silence=needs.on_silence,
        amount=amount,
        currency=currency,
        amount_unread=bool(amount_path) and amount is None,
        impact=impact,
    )


def _strictness(one: Requirement) -> tuple[bool, int, int, int]:
    answers = 0 if one.pattern is Pattern.NONE else one.needs
    return one.pattern is Pattern.DENY, answers, ORDER[one.pattern], one.tier


def _with_the_most(wanted: Requirement, found: Sequence[Requirement]) -> Requirement:
    """With the highest tier, the largest amount and every impact of all that was found: no rule hides another's."""
    asking = [one for one in found if one.pattern is not Pattern.NONE]
    known = max(
        (one for one in found if one.amount is not None), key=lambda one: abs(one.amount or Decimal(0)), default=None
    )
    return wanted.model_copy(
        update={
            "tier": max((one.tier for one in asking), default=wanted.tier),
            "amount": known.amount if known else None,
            "currency": known.currency if known else "",
            "amount_unread": any(one.amount_unread for one in found),
            "impact": tuple(sorted({name for one in found for name in one.impact})),
        }
    )


def _raised(policy: GatePolicy, wanted: Requirement, around: Circumstances) -> Requirement:
    reasons = [
        name
        for name, holds in (
            ("first_of_kind", policy.raise_first_of_kind and around.first_of_kind),
            ("degraded", policy.raise_degraded and around.degraded),
            ("fact_against", around.against),
        )
        if holds
    ]
    if not reasons:
        return wanted
    tier = min(3, wanted.tier + 1)
    # A confirmation is for low impact only: what is not low any more needs somebody else (mi-24 P5).
    is_too_high = wanted.pattern is Pattern.CONFIRMATION and tier > 1
    pattern = Pattern.MAKER_CHECKER if is_too_high else wanted.pattern
    return wanted.model_copy(update={"pattern": pattern, "tier": tier, "raised_by": tuple(reasons)})


def _matches(
    when: When, action: Action, desk: str, amount_path: str, currency_path: str, *, frees: bool = False
) -> bool:
    """`frees`: the rule lets actions pass, so only what is exactly meant matches."""
    fits = fnmatchcase if frees else _fits_folded
    names = ((desk, when.desk), (action.kind, when.kind), (action.target, when.target))
    if not all(fits(name, pattern) for name, pattern in names):
        return False
    for path, patterns in when.params.items():
        value = _at(action, path)
        is_unread = isinstance(value, list | dict) and not frees
        if value is None or not (is_unread or any(fits(str(value), pattern) for pattern in patterns)):
            return False
    amount, currency = _amount(action, amount_path, currency_path)
    if when.currency and currency and currency != when.currency:
        return False
    return when.amount_over is None or amount is None or abs(amount) > when.amount_over


def _fits_folded(text: str, pattern: str) -> bool:
    return fnmatchcase(folded(text), folded(pattern))


def _amount(action: Action, path: str, currency: str) -> tuple[Decimal | None, str]:
    if not path:
        return None, ""
    try:
        amount = Decimal(str(_at(action, path)))
        is_number = amount.is_finite() and abs(amount.adjusted()) <= MAX_MAGNITUDE
        known = amount if is_number else None
    except InvalidOperation:
        known = None
    unit = currency if len(currency) == 3 and currency.isupper() else str(_at(action, currency) or "")
    return known, unit if len(unit) == 3 and unit.isupper() else ""


def _at(action: Action, path: str) -> Any:
    value: Any = action.params
    for step in path.split(".") if path else [""]:
        value = value.get(step) if isinstance(value, dict) else None
    return value
