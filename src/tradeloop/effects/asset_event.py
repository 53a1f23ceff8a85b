"""Effect `emit_asset_event`: an event of an Airflow asset, for the DAGs that are scheduled on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from pydantic import JsonValue

from tradeloop.domain.actions import Effect, TargetClass
from tradeloop.domain.events import WorkflowEvent
from tradeloop.effects.effector import provenance
from tradeloop.errors import AirflowRefused, AirflowUnreachable, EffectBlocked, EffectRefused, NotFound

MARK: Final = "tradeloop_effect"
"""Key in `extra` that holds the effect's key: how a call without an answer is found again."""
OWN: Final = "tradeloop"
"""Assets named so carry events to tradeloop: an effect of ours on one of them would answer itself."""
CLOCKS_DIFFER: Final = timedelta(minutes=10)
"""Airflow's clock may be behind the ledger's by this much, and the event is still found."""
PAGE: Final = 100
NO_ANSWERS: Final = frozenset({408, 409, 425, 429})


class AssetApi(Protocol):
    """The part of Airflow's REST API that this effect uses; raises as ports.AirflowApi does."""

    async def asset_id(self, name: str) -> int | None:
        """The id of the active asset of exactly this name."""
        ...

    async def create_asset_event(self, asset_id: int, extra: Mapping[str, JsonValue]) -> int:
        """POST an event; its id. NotFound when the asset is gone."""
        ...

    async def extras_of(
        self, asset_id: int, since: datetime, *, limit: int, offset: int
    ) -> Sequence[tuple[int, Mapping[str, object]]]:
        """Id and extra of the asset's events since then, the newest first."""
        ...


class EmitAssetEvent:
    """Posts the event; Airflow drops no double, but its history can be asked."""

    kind = "emit_asset_event"
    target_class = TargetClass.QUERYABLE

    def __init__(self, airflow: AssetApi) -> None:
        self._airflow = airflow

    async def execute(self, effect: Effect, cause: WorkflowEvent) -> Mapping[str, JsonValue]:
        """Emit; `params` become the event's extra."""
        name = effect.action.target
        if name.startswith(OWN):
            raise EffectRefused(f"asset {name} carries events to tradeloop: an effect on it would answer itself")
        try:
            asset_id = await self._airflow.asset_id(name)
        except AirflowUnreachable as problem:
            raise EffectBlocked(problem.message) from problem  # nothing has been posted yet
        if asset_id is None:
            raise EffectBlocked(f"no DAG of Airflow has an asset named {name}")
        extra = {**effect.action.params, **provenance(effect, cause), MARK: effect.key}
        try:
            event_id = await self._airflow.create_asset_event(asset_id, extra)
        except NotFound as problem:  # between the two calls
            raise EffectBlocked(f"asset {name}: {problem.message}") from problem
        except AirflowRefused as problem:
            if problem.status in NO_ANSWERS or problem.status >= 500:
                raise AirflowUnreachable(problem.message) from problem
            raise
        return {"asset": name, "asset_event_id": event_id}

    async def find(self, effect: Effect) -> Mapping[str, JsonValue] | None:
        """The event whose extra holds our key."""
        name = effect.action.target
        asset_id = await self._airflow.asset_id(name)
        if asset_id is None:
            return None
        since = (effect.prepared_at or datetime.now(UTC)) - CLOCKS_DIFFER
        offset = 0
        while page := await self._airflow.extras_of(asset_id, since, limit=PAGE, offset=offset):
            for event_id, extra in page:
                if extra.get(MARK) == effect.key:
                    return {"asset": name, "asset_event_id": event_id}
            offset += len(page)
        return None
