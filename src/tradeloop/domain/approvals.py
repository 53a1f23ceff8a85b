"""What a person is asked: one fully resolved action, who may answer, and what was answered."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, Literal  # Any: JSON from a graph
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from tradeloop.domain.actions import Action
from tradeloop.domain.people import Amount

MIN_REASON: Final = 10
MAX_REASON: Final = 500


class ApprovalState(StrEnum):
    """Where an approval stands (mi-24 2d); all but `pending` and `approved` are final."""

    PENDING = "pending"
    APPROVED = "approved"
    """Released once; not carried out yet."""
    REJECTED = "rejected"
    EXPIRED = "expired"
    """Nobody answered in time: not done."""
    CANCELLED = "cancelled"
    """Void: changed into another version, its run was cancelled, or what it was given for no longer holds."""
    FAILED = "failed"
    """Released; the target said no."""
    OUTCOME_UNKNOWN = "outcome_unknown"
    """Released; only a person can tell whether it happened."""
    EXECUTED = "executed"

    @property
    def is_open(self) -> bool:
        """Whether somebody can still answer."""
        return self is ApprovalState.PENDING


class Pattern(StrEnum):
    """The oversight pattern (mi-24 P5, 3a)."""

    NONE = "none"
    CONFIRMATION = "confirmation"
    """One person with authority, who may be the requester."""
    MAKER_CHECKER = "maker_checker"
    """One person with authority who is not the requester."""
    N_OF_M = "n_of_m"
    """Several independent persons, in any order."""
    SEQUENTIAL = "sequential"
    """One after the other, by the steps."""
    DENY = "deny"
    """Never, whoever would approve: a limit that cannot be waived."""


class ApprovalStep(BaseModel):
    """How many answers of whom."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    needs: int = Field(default=1, ge=1, le=9)
    approvers: tuple[str, ...] = ()
    """Names that may answer in this step; empty: everyone with authority for desk and amount."""


class Requirement(BaseModel):
    """What policy wants before an action is released."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    pattern: Pattern
    tier: int = Field(default=1, ge=0, le=3)
    """Friction by risk: 0 none, 1 a reason, 2 and the facts relied on, 3 and a fresh sign-in and the digest typed."""
    rule: str
    """Id of the rule that asked; `baseline` when none named the action."""
    why: str = ""
    """The rule in words, for people."""
    steps: tuple[ApprovalStep, ...] = (ApprovalStep(),)
    deadline_s: int = Field(default=14_400, ge=1)
    valid_s: int = Field(default=3_600, ge=1)
    """How long after the last answer the release may wait (mi-24 1f)."""
    on_silence: Literal["reject", "escalate"] = "reject"
    raised_by: tuple[str, ...] = ()
    """Why the tier is higher than the rule's own: `first_of_kind`, `degraded`, `fact_against`, `escalated`, ..."""
    amount: Amount | None = None
    """Of the action, as the rule finds it; None: it has none, or it cannot be read."""
    currency: str = ""
    amount_unread: bool = False
    """Whether a rule expected an amount and could read none: only authority without a bound covers it."""
    impact: tuple[str, ...] = ()
    """What the rules that name the action say it can hurt (mi-24 1a)."""

    @property
    def needs(self) -> int:
        """Answers in all."""
        return sum(step.needs for step in self.steps)


class Vote(BaseModel):
    """One person's answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    principal: str
    answer: Literal["approve", "reject"]
    reason: str
    relied_on: tuple[str, ...] = ()
    """Ids of facts."""
    channel: str
    """web, cli, api or airflow."""
    step: int = 0
    digest: str
    at: AwareDatetime
    seen: dict[str, JsonValue] = Field(default_factory=dict)
    """When the page was opened, whether model text was: `opened_at`, `model_text_opened`, `phrase`."""


class Approval(BaseModel):
    """One version of a question to people; bound to `digest`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    approval_id: UUID
    run_id: UUID
    decision_id: UUID
    event_id: UUID
    desk: str
    subject: str
    slot: str
    interrupt_id: str
    """LangGraph's; by it the run is resumed."""
    version: int = 1
    previous_id: UUID | None = None
    next_id: UUID | None = None
    action: Action
    digest: str
    requirement: Requirement
    policy_hash: str
    agent: str
    """Who proposes: the desk's agent; it can never answer."""
    requester: str = ""
    """Who caused the event, where a person or service is known; cannot check. Of a changed version: who changed it."""
    earlier_requesters: tuple[str, ...] = ()
    """Of the versions before this one; they cannot check, either."""
    void_by: str = ""
    """Who made it void by asking for the action again after its outcome was unknown: the requester of what follows."""
    context: dict[str, Any] = Field(default_factory=dict)
    """For the page: `question`, `facts` (id, sentence, source, at, `against`), `proposal` (untrusted model text and
    citations), `outcome`, `reasons`, `consequences`, `degraded`, `graph_version`, `event_type`."""
    state: ApprovalState = ApprovalState.PENDING
    step: int = 0
    """Of a sequence: which step is to be answered now."""
    escalations: int = 0
    asked_at: AwareDatetime
    deadline_at: AwareDatetime
    answered_at: AwareDatetime | None = None
    valid_until: AwareDatetime | None = None
    """Set with the last approval."""
    closed_at: AwareDatetime | None = None
    note: str = ""
    """Why it ended, where no vote says so."""
    revision: int = 1
    """Counts every change; the ETag."""
    votes: tuple[Vote, ...] = ()

    @property
    def approvals(self) -> tuple[Vote, ...]:
        """The votes for it, oldest first."""
        return tuple(vote for vote in self.votes if vote.answer == "approve")

    @property
    def short_digest(self) -> str:
        """The form for people: first 8 and last 4, in groups of four."""
        return f"{self.digest[:4]} {self.digest[4:8]} … {self.digest[-4:]}"


class Ballot(BaseModel):
    """What a person sends."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    answer: Literal["approve", "reject"]
    digest: str = Field(pattern=r"^(sha256:)?[0-9a-f]{8,64}$")
    """Of the action that the person saw; at least its first 8 digits on a command line, whole from a page."""
    version: int | None = Field(default=None, ge=1)
    reason: str = Field(min_length=MIN_REASON, max_length=MAX_REASON)
    relied_on: tuple[str, ...] = Field(default=(), max_length=50)
    channel: Literal["web", "cli", "api", "airflow"] = "api"
    last_four: str = Field(default="", pattern=r"^([0-9a-f]{4})?$")
    """Tier 3: the digest's last four digits, typed."""
    signed_in_at: AwareDatetime | None = None
    """When the person last proved who they are; None: the channel cannot tell."""
    seen: dict[str, JsonValue] = Field(default_factory=dict)


class ApprovalFilter(BaseModel):
    """Which approvals; empty fields mean any."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    states: tuple[ApprovalState, ...] = (ApprovalState.PENDING,)
    """Empty: all."""
    desk: str = ""
    tier: int | None = None
    run_id: UUID | None = None
    text: str = ""
    """In subject, action target or id's beginning."""
    order: Literal["deadline", "newest"] = "deadline"
    limit: int = Field(default=100, ge=1, le=1000)
    after: str = ""
    """Cursor of the last one seen."""
