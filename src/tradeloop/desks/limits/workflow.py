"""The risk-limits desk as a workflow: what the entry point `tradeloop.workflows` names."""

from __future__ import annotations

from typing import Final

from tradeloop.desks.graph import workflow_of
from tradeloop.desks.limits.desk import DESK

workflow: Final = workflow_of(DESK)
"""Answers every event of the desk's type under the policy that was in force when the process started."""
