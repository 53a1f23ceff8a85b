"""The market-data desk as a workflow: what the entry point `tradeloop.workflows` names."""

from __future__ import annotations

from typing import Final

from tradeloop.desks.marketdata.graph import build
from tradeloop.desks.marketdata.policy import load_policy
from tradeloop.desks.marketdata.sessions import warm
from tradeloop.workflow import Workflow

EVENT_TYPE: Final = "marketdata.batch.loaded"

_policy = load_policy()
workflow: Final = Workflow(
    event_type=EVENT_TYPE, desk="marketdata", graph=build(_policy), policy_hash=_policy.digest, warm=warm
)
"""Answers every `marketdata.batch.loaded` event under the policy that was in force when the process started."""
