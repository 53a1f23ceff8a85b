"""Effects: what was done, and what only a person can tell."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal  # Any: JSON of targets
from uuid import UUID

from fastapi import Path, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from tradeloop.api.identity import principal_of, services_of
from tradeloop.api.paging import Cursor, Limit, Page, cursor_of, page, places_in
from tradeloop.api.problems import Refusal
from tradeloop.api.router import new_router, reading, writing
from tradeloop.domain.actions import Action, Effect, EffectState

router = new_router("effects")
MAX_REASON = 500
MIN_REASON = 10
Key = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]
WORDS = {"happened": EffectState.EXECUTED, "did_not_happen": EffectState.FAILED, "do_it": EffectState.PREPARED}


class EffectModel(BaseModel):
    """One row of the ledger."""

    key: str
    run_id: UUID
    decision_id: UUID
    slot: str
    action: Action
    digest: str
    state: EffectState
    calls: int
    blocked_reason: str
    result: dict[str, Any]
    error: str
    prepared_at: AwareDatetime | None
    executing_at: AwareDatetime | None
    finished_at: AwareDatetime | None


class Word(BaseModel):
    """A person's word on an effect whose outcome is unknown."""

    model_config = ConfigDict(extra="forbid")
    outcome: Literal["happened", "did_not_happen", "do_it"]
    reason: str = Field(min_length=MIN_REASON, max_length=MAX_REASON)
    """What was seen at the target."""


@router.get("/effects", responses=reading())
async def list_effects(
    request: Request,
    state: Annotated[EffectState | None, Query(description="`outcome_unknown`: what waits for a person.")] = None,
    cursor: Cursor = "",
    limit: Limit = 50,
) -> Page[EffectModel]:
    """The ledger, the newest first."""
    before = places_in("effects", cursor, datetime, str)
    if before and not (len(before[1]) == 64 and set(before[1]) <= set("0123456789abcdef")):
        raise Refusal(422, "cursor", "this is no cursor of this list.", field="query.cursor")
    found = await services_of(request).effect_history.recent(
        state=state.value if state else "", limit=limit + 1, before=(before[0], before[1]) if before else None
    )
    last = found[:limit][-1] if found else None
    at = (last.prepared_at or datetime.now(UTC)).astimezone(UTC).isoformat() if last else ""
    return page([_model(one) for one in found], limit, cursor_of("effects", at, last.key if last else ""))


@router.get("/effects/{key}", responses=reading(404))
async def get_effect(request: Request, key: Key) -> EffectModel:
    """One effect: action, calls, what its target said."""
    return _model(await services_of(request).effect_history.find(key))


@router.post("/effects/{key}/resolve", responses=writing(404))
async def resolve_effect(request: Request, key: Key, body: Word) -> EffectModel:
    """Say what became of an effect whose outcome is unknown; its run goes on. Audited."""
    services, principal = services_of(request), await principal_of(request)
    return _model(await services.effects.resolve(key, WORDS[body.outcome], principal.name, body.reason))


def _model(effect: Effect) -> EffectModel:
    return EffectModel(
        **{name: getattr(effect, name) for name in EffectModel.model_fields if name != "digest"},
        digest=effect.action.digest,
    )
