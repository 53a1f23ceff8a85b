"""The routes, a module a noun."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from tradeloop.api.routes import (
    approvals,
    audit,
    decisions,
    desks,
    document,
    effects,
    events,
    health,
    letters,
    me,
    policy_answers,
    runs,
    switches,
    trigger,
    workflows,
)

ROUTERS: Final[tuple[APIRouter, ...]] = (
    health.router,
    document.router,
    me.router,
    trigger.router,
    workflows.router,
    runs.router,
    decisions.router,
    events.router,
    policy_answers.router,
    approvals.router,
    letters.router,
    effects.router,
    switches.router,
    desks.router,
    audit.router,
)
