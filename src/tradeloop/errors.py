"""Every error that tradeloop raises, in one tree.

TradeloopError
├── SettingInvalid            operator: a setting is missing or malformed
├── PrerequisiteMissing       operator: a program or permission of the machine is missing
├── EventInvalid              producer: bytes that are no event
│   ├── EventNotJson          not JSON, or JSON that has two meanings (duplicate keys, NaN)
│   ├── EventTooLarge         more bytes than a topic takes
│   ├── SchemaFromFuture      written by a newer release than this one
│   ├── EventIdReused         an accepted event's id with other content
│   └── EventRedacted         body and digest differ: something masked it on its way
├── ReferenceInvalid          producer: a batch by reference is missing, foreign or altered
├── WorkflowInvalid           developer: a workflow cannot be loaded
├── WorkflowMissing           operator: this worker has no workflow for the run's type; another may
├── DecisionInvalid           developer: a graph ended without a decision that fits
├── RunTimedOut               developer: a graph did not end before its deadline
├── ThreadsLeaked             platform: too many nodes never returned; the worker is started anew
├── RunBroken                 developer: a graph cancelled itself
├── CrashLoop                 developer: a run whose workers die
├── RunLost                   platform: another worker owns the run now; stop silently
│   └── StaleFence            its checkpoint was refused for that reason
├── PartUnreachable           platform: Kafka, PostgreSQL or Airflow does not answer
│   ├── KafkaUnreachable
│   ├── DatabaseUnreachable
│   └── AirflowUnreachable
├── PublishFailed             platform: the broker did not acknowledge
├── OutboxUnusable            operator: the file that keeps events for Kafka can be neither read nor written
├── AirflowRefused            operator: Airflow answered no
│   ├── AirflowForbidden      a permission is missing
│   └── DagUnavailable        the DAG is missing, paused or does not import
├── EffectConflict            human: the target holds something else under our key
├── EffectInvalid             developer: an effect of one's own cannot be loaded
├── EffectRefused             operator: the target of an effect said no, for good
├── EffectBlocked             operator: the target of an effect says no for now; certainly nothing happened
├── EffectUnanswered          platform: no clear answer; whether the effect happened is not known yet
├── ActionDiverged            human: a run wants another action than the one that stands in its slot
├── ActionForbidden           human: a graph wants what its desk's allow-list does not hold
├── SwitchedOff               human: somebody stopped the desk's effects; the run waits for the release
├── GateClosed                operator: the approval policy cannot be read; nothing is released
├── GateFull                  human: too many questions of the desk wait for people already
├── ReleaseHeld               platform: the ledger holds an effect back whose approval does not stand
├── AnswerRefused             caller: an answer to an approval did not count
│   ├── AnswerInvalid         what it must say is missing: reason, facts relied on, the digest's last four digits
│   ├── AnswerForbidden       this person may not answer: no authority, their own request, or they have voted
│   ├── AnswerTooLate         it is closed: answered, expired or cancelled
│   └── AnswerStale           the action changed: the answer was for another digest or version
├── Unauthenticated           caller: no valid token, key or session
├── Forbidden                 caller: the role does not allow this
├── ModelUnavailable          operator: no model answered in time, sensibly and within its budget; policy decides
│   ├── ModelFailed           one model of the chain gave no answer that fits
│   └── BudgetSpent           a budget of tokens or cost would be overspent
├── ToolUnavailable           operator: a tool of an MCP server gave no answer; the specialist goes on without
│   └── ToolRefused           it is not the tool that was allowed: unknown, changed, or it writes
├── CassetteMiss              developer: a recording of a model's answers does not hold this question
├── OutcomeUnknown            human: nobody but a person can tell whether an effect happened
├── EffectSettled             caller: the effect's outcome is known already
├── CaptureGap                operator: the sweep's cursor is older than Airflow's oldest row
├── StackConflict             operator: another stack runs, or a port is taken
├── PartFailed                operator: a part of the local stack did not start
├── UsageInvalid              caller: a word of the command line does not fit
│   └── Ambiguous             several things begin with what was given
├── NotYet                    platform: it will be there in a moment; ask again
├── Settled                   caller: it was replayed, discarded or ended before
└── NotFound                  caller: no such run, event or part
"""

from __future__ import annotations

from typing import ClassVar, Literal

Actor = Literal["operator", "producer", "developer", "human", "platform", "caller"]


class TradeloopError(Exception):
    """tradeloop could not do what was asked."""

    retriable: ClassVar[bool] = False
    """Whether the same call may succeed later without anybody changing anything."""
    actor: ClassVar[Actor] = "operator"
    """Who must act."""
    exit_code: ClassVar[int] = 1
    attempts: ClassVar[int | None] = None
    """How often a run is tried that meets this, when it is retriable; None: as often as any other."""

    def __init__(self, message: str = "", *, where: str = "", hint: str = "") -> None:
        self.message = message or str(type(self).__doc__).strip()
        self.where = where
        self.hint = hint
        super().__init__(self.message)


class SettingInvalid(TradeloopError):
    """A setting is missing or malformed."""

    exit_code = 2


class PrerequisiteMissing(TradeloopError):
    """This machine lacks something that tradeloop needs."""


class EventInvalid(TradeloopError):
    """The bytes are no event."""

    actor = "producer"


class EventNotJson(EventInvalid):
    """The bytes are not JSON, or JSON with two meanings."""


class EventTooLarge(EventInvalid):
    """The event has more bytes than a topic takes."""


class SchemaFromFuture(EventInvalid):
    """The event was written by a newer release of tradeloop than this one."""


class EventIdReused(EventInvalid):
    """An event with this id and other content was accepted before."""


class EventRedacted(EventInvalid):
    """The event's body does not match its digest: something masked it on its way."""


class ReferenceInvalid(TradeloopError):
    """The batch that the event refers to is missing, foreign or altered."""

    actor = "producer"


class ReferenceUnreachable(ReferenceInvalid):
    """The store of the batch did not answer, or not in time."""

    retriable = True


class WorkflowInvalid(TradeloopError):
    """A workflow cannot be loaded."""

    actor = "developer"


class WorkflowMissing(TradeloopError):
    """This worker has no workflow for the run's type."""

    retriable = True


class DecisionInvalid(TradeloopError):
    """The graph ended without a decision that fits."""

    actor = "developer"


class RunTimedOut(TradeloopError):
    """The graph did not end before its deadline."""

    actor = "developer"
    retriable = True
    attempts = 3


class ThreadsLeaked(TradeloopError):
    """Too many nodes never returned: their threads are lost to this process."""

    actor = "platform"


class RunBroken(TradeloopError):
    """The graph cancelled itself: a node let a cancellation of its own escape."""

    actor = "developer"


class CrashLoop(TradeloopError):
    """Several workers died with this run in hand."""

    actor = "developer"


class RunLost(TradeloopError):
    """Another worker owns the run now."""

    actor = "platform"


class StaleFence(RunLost):
    """Another worker owns the thread's run now: its checkpoint was not stored."""


class PartUnreachable(TradeloopError):
    """A part that tradeloop needs does not answer."""

    actor = "platform"
    retriable = True
    exit_code = 7


class KafkaUnreachable(PartUnreachable):
    """Kafka does not answer."""


class DatabaseUnreachable(PartUnreachable):
    """PostgreSQL does not answer."""


class AirflowUnreachable(PartUnreachable):
    """Airflow does not answer."""


class PublishFailed(TradeloopError):
    """The broker did not acknowledge every record."""

    actor = "platform"
    retriable = True

    def __init__(self, message: str = "", *, acknowledged: frozenset[int] = frozenset()) -> None:
        super().__init__(message)
        self.acknowledged = acknowledged
        """Which of the records, by their place in the call, are on the log all the same."""


class OutboxUnusable(TradeloopError):
    """The file that keeps events while Kafka is away can be neither read nor written."""

    def __init__(self, message: str = "", *, acknowledged: frozenset[int] = frozenset(), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.acknowledged = acknowledged
        """Which of the events, by their place in the call, are on the log; the others may be published again."""


class AirflowRefused(TradeloopError):
    """Airflow answered no."""

    def __init__(self, message: str = "", *, status: int = 0, where: str = "", hint: str = "") -> None:
        super().__init__(message, where=where, hint=hint)
        self.status = status
        """The HTTP status of the answer."""


class AirflowForbidden(AirflowRefused):
    """Airflow's account lacks a permission."""

    retriable = True
    exit_code = 4


class DagUnavailable(AirflowRefused):
    """The DAG is missing, paused or does not import."""

    retriable = True


class EffectConflict(TradeloopError):
    """The target holds something else under our key."""

    actor = "human"


class EffectInvalid(TradeloopError):
    """An effect of one's own cannot be loaded."""

    actor = "developer"


class EffectRefused(TradeloopError):
    """The target of an effect said no, for good."""


class EffectBlocked(TradeloopError):
    """The target of an effect says no for now; certainly nothing happened."""

    retriable = True


class EffectUnanswered(TradeloopError):
    """The target of an effect gave no clear answer: whether it happened is not known yet."""

    actor = "platform"
    retriable = True


class ActionDiverged(TradeloopError):
    """The run wants another action than the one that stands in its slot of the ledger."""

    actor = "human"


class ActionForbidden(TradeloopError):
    """A graph wants an action that is not on its desk's allow-list; nothing was done."""

    actor = "human"


class SwitchedOff(TradeloopError):
    """Somebody stopped the desk's effects; the run waits for the release."""

    actor = "human"
    retriable = True
    attempts = 1_000_000_000
    """A stop may last for days, and nothing is wrong with the run."""


class GateClosed(TradeloopError):
    """The approval policy cannot be read: nothing that needs it is released."""

    retriable = True
    attempts = 1_000_000_000
    """Fail closed, and nothing is wrong with the run."""


class GateFull(TradeloopError):
    """Too many questions of the desk wait for people already; this one is asked later."""

    actor = "human"
    retriable = True
    attempts = 1_000_000_000


class ReleaseHeld(TradeloopError):
    """The ledger holds the effect back: no approval of exactly this action stands."""

    actor = "platform"
    retriable = True


class AnswerRefused(TradeloopError):
    """The answer did not count; nothing was changed."""

    actor = "caller"
    exit_code = 5


class AnswerInvalid(AnswerRefused):
    """The answer lacks what it must say."""

    exit_code = 2

    def __init__(self, message: str = "", *, field: str = "", where: str = "", hint: str = "") -> None:
        super().__init__(message, where=where, hint=hint)
        self.field = field
        """Which field of the answer."""


class AnswerForbidden(AnswerRefused):
    """This person may not answer here."""

    exit_code = 4


class AnswerTooLate(AnswerRefused):
    """Nobody can answer any more."""


class AnswerStale(AnswerRefused):
    """The action is another one now."""


class Unauthenticated(TradeloopError):
    """No valid token, key or session."""

    actor = "caller"
    exit_code = 4


class Forbidden(TradeloopError):
    """The role does not allow this."""

    actor = "caller"
    exit_code = 4


class ModelUnavailable(TradeloopError):
    """No model answered in time, sensibly and within its budget; policy decides."""


class ModelFailed(ModelUnavailable):
    """One model of the chain gave no answer that fits."""

    def __init__(
        self, message: str = "", *, passing: bool = False, free: bool = False, after_s: float = 0.0, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.passing = passing
        """Whether the same call may succeed in a moment."""
        self.free = free
        """Whether it certainly cost nothing."""
        self.after_s = after_s
        """When the server wants to be asked again."""


class BudgetSpent(ModelUnavailable):
    """A budget of tokens or cost would be overspent."""


class ToolUnavailable(TradeloopError):
    """A tool of an MCP server gave no answer; the specialist goes on without."""

    exit_code = 7


class ToolRefused(ToolUnavailable):
    """The tool is not the one that was allowed."""


class CassetteMiss(TradeloopError):
    """The recording of a model's answers does not hold this question."""

    actor = "developer"


class OutcomeUnknown(TradeloopError):
    """Whether an effect happened is not known, and nobody but a person can find out."""

    actor = "human"


class EffectSettled(TradeloopError):
    """The effect's outcome is known already."""

    actor = "caller"
    exit_code = 5


class CaptureGap(TradeloopError):
    """The sweep's cursor is older than the oldest row that Airflow keeps."""

    exit_code = 6


class StackConflict(TradeloopError):
    """Another stack runs here, or something else holds its place."""

    exit_code = 5


class PartFailed(TradeloopError):
    """A part of the local stack did not start."""


class UsageInvalid(TradeloopError):
    """A word of the command line does not fit."""

    actor = "caller"
    exit_code = 2


class Ambiguous(UsageInvalid):
    """Several things begin with what was given."""


class Settled(TradeloopError):
    """It was replayed, discarded or ended before."""

    actor = "caller"
    exit_code = 5


class NotYet(TradeloopError):
    """It is not there yet."""

    actor = "platform"
    retriable = True
    exit_code = 8


class NotFound(TradeloopError):
    """There is no such thing."""

    actor = "caller"
    exit_code = 3
