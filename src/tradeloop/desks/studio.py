"""The desks' graphs for LangGraph's own developer server and Studio, which `langgraph.json` points to.

No effect is ever started there, and no model is asked: a graph without the engine's context rehearses. The input is a
graph's own state, `{"event": {...}}`, as `tradeloop events show ID --json` prints the event.
"""

from __future__ import annotations

from typing import Final

from tradeloop.desks.limits.workflow import workflow as _limits
from tradeloop.desks.marketdata.workflow import workflow as _marketdata
from tradeloop.desks.reconciliation.workflow import workflow as _reconciliation
from tradeloop.desks.settlement.workflow import workflow as _settlement

limits: Final = _limits.graph.compile(name="limits")
marketdata: Final = _marketdata.graph.compile(name="marketdata")
reconciliation: Final = _reconciliation.graph.compile(name="reconciliation")
settlement: Final = _settlement.graph.compile(name="settlement")
