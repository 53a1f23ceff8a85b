"""What the routes work with: one object a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final  # Any: JSON of graphs
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from pydantic_core import to_jsonable_python

from tradeloop.api.changes import Changes
from tradeloop.api.keyset import KeySet
from tradeloop.api.limits import Limits
from tradeloop.api.metrics import Metrics
from tradeloop.api.sessions import Cookies
from tradeloop.api.tokens import Tokens
from tradeloop.domain.people import Principal
from tradeloop.errors import Forbidden, NotFound, Unauthenticated
from tradeloop.gate.policy import PolicySource
from tradeloop.ports import Approvals, People, Sessions
from tradeloop.settings import Settings
from tradeloop.store.approvals import PostgresApprovals
from tradeloop.store.changes import ChangeFeed
from tradeloop.store.checkpoints import CheckpointStore
from tradeloop.store.database import Database
from tradeloop.store.desk_day import DeskDays
from tradeloop.store.effect_history import EffectHistory
from tradeloop.store.effects import PostgresEffects
from tradeloop.store.figures import Figures
from tradeloop.store.letters import PostgresLetters
from tradeloop.store.live_runs import PostgresLiveRuns
from tradeloop.store.people import PostgresPeople
from tradeloop.store.sessions import PostgresSessions
from tradeloop.store.switches import PostgresSwitches
from tradeloop.store.trail import AuditTrail
from tradeloop.store.triggers import Triggers
from tradeloop.workflow import Workflow, load_workflows

POOL: Final = 8
"""Connections of one process: statements are short, and event streams hold none."""


@dataclass
class Services:
    """Stores and parts; `days` also reads runs (it is the history)."""

    settings: Settings
    database: Database
    workflows: Mapping[str, Workflow]
    people: People
    sessions: Sessions
    cookies: Cookies
    tokens: Tokens | None
    limits: Limits
    metrics: Metrics
    changes: Changes
    days: DeskDays
    live: PostgresLiveRuns
    saver: CheckpointStore
    letters: PostgresLetters
    switches: PostgresSwitches
    effects: PostgresEffects
    effect_history: EffectHistory
    figures: Figures
    trail: AuditTrail
    triggers: Triggers
    versions: Mapping[str, str]
    """Of the workflows, by event type: a hash over source code, which is dear."""
    policy: PolicySource
    """The approval policy, for actions that people change."""
    approvals: Approvals | None = None
    """None: the gate's store is not there."""
    dry_runs: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    """One at a time: each runs a whole graph in this process."""

    async def state_of(self, run_id: UUID) -> tuple[dict[str, Any], list[str]]:
        """What a run's graph holds after its last step, and which nodes come next; empty without a checkpoint."""
        config: RunnableConfig = {"configurable": {"thread_id": str(run_id), "checkpoint_ns": ""}}
        found = await self.saver.aget_tuple(config)
        if found is None:
            return {}, []
        values = found.checkpoint["channel_values"]
        shown = {name: plain(value) for name, value in values.items() if not name.startswith(("__", "branch:"))}
        following = sorted(name.removeprefix("branch:to:") for name in values if name.startswith("branch:to:"))
        return shown, following

    async def known(self, name: str) -> Principal:
        """The principal that a token names.

        Raises:
            Forbidden: nobody of that name was added here.
            Unauthenticated: they are inactive.
        """
        try:
            principal = await self.people.find(name)
        except NotFound as problem:
            raise Forbidden("the token is good, but nobody of that name was added here.") from problem
        if not principal.is_active:
            raise Unauthenticated("the token's owner is inactive.", where="inactive")
        return principal


def services(settings: Settings, database: Database, workflows: Mapping[str, Workflow] | None = None) -> Services:
    """Everything on an open database.

    Raises:
        SettingInvalid: the issuer of tokens is set, and not all that belongs to it.
        WorkflowInvalid: a workflow cannot be loaded.
    """
    sessions = PostgresSessions(database)
    workflows = load_workflows(settings.workflows) if workflows is None else workflows
    return Services(
        settings=settings,
        database=database,
        workflows=workflows,
        versions={name: workflow.version for name, workflow in workflows.items()},
        people=PostgresPeople(database),
        sessions=sessions,
        cookies=Cookies(sessions, settings),
        tokens=Tokens(KeySet(settings), settings) if settings.oidc_issuer else None,
        limits=Limits(settings.api_rate),
        metrics=Metrics(),
        changes=Changes(ChangeFeed(database), settings.api_streams),
        days=DeskDays(database, settings.instance),
        live=PostgresLiveRuns(database),
        saver=CheckpointStore(database),
        letters=PostgresLetters(database),
        switches=PostgresSwitches(database),
        effects=PostgresEffects(database),
        effect_history=EffectHistory(database),
        figures=Figures(database),
        trail=AuditTrail(database),
        triggers=Triggers(database),
        policy=PolicySource(settings.gate_policy),
        approvals=PostgresApprovals(database),
    )


def plain(value: Any) -> Any:
    """A graph's value as JSON; what is none is told by its type."""
    return to_jsonable_python(value, fallback=lambda one: f"<{type(one).__name__}>", inf_nan_mode="strings")


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Everything on a pool of its own; the database need not answer yet."""
    settings.require("database_url")
    async with Database.of(settings, size=POOL) as database:
        yield services(settings, database)
