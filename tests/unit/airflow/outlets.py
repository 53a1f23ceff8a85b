"""A task's context for `emit`, with Airflow's own accessors of outlet events."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from airflow.sdk.execution_time.context import OutletEventAccessors

from tradeloop.airflow import emit_after, event

TASK_INSTANCE = UUID("01a20afc-b552-7106-b7e9-146450e954b6")


def context_of(*types: str, conf: Any = None, ti_id: UUID = TASK_INSTANCE, **outlets: Any) -> dict[str, Any]:
    """The context of a task that declares outlets for these types of events."""
    declared = [event(event_type) for event_type in types]
    return {
        "ti": SimpleNamespace(
            id=ti_id, dag_id="load", run_id="manual__1", task_id="publish", map_index=-1, try_number=1
        ),
        "dag_run": SimpleNamespace(conf=conf),
        "task": SimpleNamespace(outlets=outlets.get("outlets", declared)),
        "outlet_events": OutletEventAccessors(),
    }


def attach(context: dict[str, Any], event_type: str, data: Any, subject: str = "") -> None:
    """Emit as a classic operator's hook does."""
    emit_after(event_type, lambda result: result, subject=subject)(context, data)


def elements(context: dict[str, Any], event_type: str) -> list[dict[str, str]]:
    """What Airflow would store with the asset's event."""
    extra = context["outlet_events"][event(event_type)].extra
    found: list[dict[str, str]] = json.loads(json.dumps(extra))["events"]
    return found
