"""Workflow orchestration for trading operations: Airflow events in, guarded decisions back, proved."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tradeloop.domain.actions import Action
    from tradeloop.domain.decisions import Decision
    from tradeloop.domain.events import WorkflowEvent
    from tradeloop.errors import TradeloopError
    from tradeloop.kafka.workflow_consumer import AckPolicy, WorkflowEventConsumer
    from tradeloop.kafka.workflow_producer import WorkflowEventProducer
    from tradeloop.workflow import Workflow, act

__all__ = [
    "AckPolicy",
    "Action",
    "Decision",
    "TradeloopError",
    "Workflow",
    "WorkflowEvent",
    "WorkflowEventConsumer",
    "WorkflowEventProducer",
    "act",
]

_HOMES = {
    "AckPolicy": "tradeloop.kafka.workflow_consumer",
    "Action": "tradeloop.domain.actions",
    "Decision": "tradeloop.domain.decisions",
    "TradeloopError": "tradeloop.errors",
    "Workflow": "tradeloop.workflow",
    "WorkflowEvent": "tradeloop.domain.events",
    "WorkflowEventConsumer": "tradeloop.kafka.workflow_consumer",
    "WorkflowEventProducer": "tradeloop.kafka.workflow_producer",
    "act": "tradeloop.workflow",
}


def __getattr__(name: str) -> object:
    # Lazy: Airflow imports this package in every task process, where it must cost nothing.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
