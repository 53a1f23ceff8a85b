"""The seams: what the engine and the sweep need from stores, brokers and Airflow.

Every port has a real implementation and one in memory (`tradeloop.testing`); both pass the suite in
`tests/conformance`.
"""

from __future__ import annotations

from tradeloop.ports.agents import Agents, Answer, Question
from tradeloop.ports.airflow import (
    AirflowApi,
    AssetEventPage,
    AssetEventRow,
    DagRunView,
    EventLogRow,
    RunHistory,
    TaskAttempt,
)
from tradeloop.ports.approvals import Approvals, Ask
from tradeloop.ports.audit import Head, NewSeal, SealStore, Unsealed
from tradeloop.ports.budgets import Budgets, Limits, ModelCall, Used
from tradeloop.ports.engine import (
    Accepted,
    Arrival,
    CaptureHistory,
    Captures,
    EffectLedger,
    FencedThreads,
    Inbox,
    Letters,
    Outbox,
    OutboxRow,
    Publisher,
    Runs,
    Switches,
    Tended,
    TopicPartition,
)
from tradeloop.ports.people import People, Sessions
from tradeloop.ports.required_actions import RefusedAnswers, RequiredAction, RequiredActions
from tradeloop.ports.tools import Tools

__all__ = [
    "Accepted",
    "Agents",
    "AirflowApi",
    "Answer",
    "Approvals",
    "Arrival",
    "Ask",
    "AssetEventPage",
    "AssetEventRow",
    "Budgets",
    "CaptureHistory",
    "Captures",
    "DagRunView",
    "EffectLedger",
    "EventLogRow",
    "FencedThreads",
    "Head",
    "Inbox",
    "Letters",
    "Limits",
    "ModelCall",
    "NewSeal",
    "Outbox",
    "OutboxRow",
    "People",
    "Publisher",
    "Question",
    "RefusedAnswers",
    "RequiredAction",
    "RequiredActions",
    "RunHistory",
    "Runs",
    "SealStore",
    "Sessions",
    "Switches",
    "TaskAttempt",
    "Tended",
    "Tools",
    "TopicPartition",
    "Unsealed",
    "Used",
]
