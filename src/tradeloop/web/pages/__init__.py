"""The pages, a module a noun."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from tradeloop.api.services import Services
from tradeloop.web.front import PageRoute, admitted
from tradeloop.web.pages import (
    airflow,
    answers,
    approval,
    audit,
    compare,
    decisions,
    desks,
    events,
    files,
    inbox,
    letters,
    me,
    runs,
    search,
    session,
    stream,
    switch,
    trace,
)

MODULES = (
    files, session, me, stream, inbox, approval, answers, runs, decisions, events, search, letters, switch, desks,
    audit, airflow, compare, trace,
)  # fmt: skip


def router(services: Services) -> APIRouter:  # noqa: ARG001 - the app's state has them
    """Every page; each behind its roles."""
    made = APIRouter(route_class=PageRoute, include_in_schema=False, dependencies=[Depends(admitted)])
    for module in MODULES:
        made.include_router(module.router)
    made.include_router(files.nowhere)
    return made
