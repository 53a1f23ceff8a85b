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
├── ReleaseRefused            caller: the release of a switch that was asked for does not stand any more
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

from tradeloop.errors.effects import (
    ActionDiverged,
    AirflowForbidden,
    AirflowRefused,
    DagUnavailable,
    EffectBlocked,
    EffectConflict,
    EffectInvalid,
    EffectRefused,
    EffectSettled,
    EffectUnanswered,
    OutcomeUnknown,
)
from tradeloop.errors.events import (
    EventIdReused,
    EventInvalid,
    EventNotJson,
    EventRedacted,
    EventTooLarge,
    OutboxUnusable,
    PublishFailed,
    ReferenceInvalid,
    ReferenceUnreachable,
    SchemaFromFuture,
)
from tradeloop.errors.gate import (
    ActionForbidden,
    AnswerForbidden,
    AnswerInvalid,
    AnswerRefused,
    AnswerStale,
    AnswerTooLate,
    Forbidden,
    GateClosed,
    GateFull,
    ReleaseHeld,
    ReleaseRefused,
    SwitchedOff,
    Unauthenticated,
)
from tradeloop.errors.models import (
    BudgetSpent,
    CassetteMiss,
    ModelFailed,
    ModelUnavailable,
    ToolRefused,
    ToolUnavailable,
)
from tradeloop.errors.root import (
    Actor,
    AirflowUnreachable,
    Ambiguous,
    CaptureGap,
    DatabaseUnreachable,
    KafkaUnreachable,
    NotFound,
    NotYet,
    PartFailed,
    PartUnreachable,
    PrerequisiteMissing,
    SettingInvalid,
    Settled,
    StackConflict,
    TradeloopError,
    UsageInvalid,
)
from tradeloop.errors.runs import (
    CrashLoop,
    DecisionInvalid,
    RunBroken,
    RunLost,
    RunTimedOut,
    StaleFence,
    ThreadsLeaked,
    WorkflowInvalid,
    WorkflowMissing,
)

__all__ = [
    "ActionDiverged",
    "ActionForbidden",
    "Actor",
    "AirflowForbidden",
    "AirflowRefused",
    "AirflowUnreachable",
    "Ambiguous",
    "AnswerForbidden",
    "AnswerInvalid",
    "AnswerRefused",
    "AnswerStale",
    "AnswerTooLate",
    "BudgetSpent",
    "CaptureGap",
    "CassetteMiss",
    "CrashLoop",
    "DagUnavailable",
    "DatabaseUnreachable",
    "DecisionInvalid",
    "EffectBlocked",
    "EffectConflict",
    "EffectInvalid",
    "EffectRefused",
    "EffectSettled",
    "EffectUnanswered",
    "EventIdReused",
    "EventInvalid",
    "EventNotJson",
    "EventRedacted",
    "EventTooLarge",
    "Forbidden",
    "GateClosed",
    "GateFull",
    "KafkaUnreachable",
    "ModelFailed",
    "ModelUnavailable",
    "NotFound",
    "NotYet",
    "OutboxUnusable",
    "OutcomeUnknown",
    "PartFailed",
    "PartUnreachable",
    "PrerequisiteMissing",
    "PublishFailed",
    "ReferenceInvalid",
    "ReferenceUnreachable",
    "ReleaseHeld",
    "ReleaseRefused",
    "RunBroken",
    "RunLost",
    "RunTimedOut",
    "SchemaFromFuture",
    "SettingInvalid",
    "Settled",
    "StackConflict",
    "StaleFence",
    "SwitchedOff",
    "ThreadsLeaked",
    "ToolRefused",
    "ToolUnavailable",
    "TradeloopError",
    "Unauthenticated",
    "UsageInvalid",
    "WorkflowInvalid",
    "WorkflowMissing",
]
