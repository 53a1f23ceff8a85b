"""Dead letters: what could not be read or decided, and the two answers to it."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final
from uuid import UUID

from fastapi import Path, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from tradeloop.api.identity import principal_of, services_of
from tradeloop.api.paging import Cursor, Limit, Page, Since, cursor_of, page, places_in
from tradeloop.api.problems import Refusal
from tradeloop.api.router import new_router, reading, writing
from tradeloop.domain.letters import Letter, LetterFilter, LetterState, ReplayResult
from tradeloop.engine.replay import Replays
from tradeloop.errors import Settled

router = new_router("dead letters")
DRY_RUN_S: Final = 30.0
MAX_REASON: Final = 500
LetterId = Annotated[int, Path(ge=1, lt=2**63)]


class LetterModel(BaseModel):
    """A dead letter, without its bytes."""

    letter_id: int
    state: LetterState
    source: str
    cause: str
    error_class: str
    stack_hash: str
    topic: str
    partition: int | None
    offset: int | None
    event_id: UUID | None
    run_id: UUID | None
    attempts: int
    graph_version: str
    size_bytes: int
    decided_by: str
    reason: str
    created_at: AwareDatetime
    decided_at: AwareDatetime | None
    replay_run_id: UUID | None


class Order(BaseModel):
    """How to put it back."""

    model_config = ConfigDict(extra="forbid")
    dry_run: bool = False
    """Only say what today's code would make of it: the graph runs with its effects off."""


class Judged(BaseModel):
    """What became of it, or would."""

    letter_id: int
    dry_run: bool
    passes: bool
    problem: str
    """Why today's code does not take it."""
    run_id: UUID | None
    """The new run."""
    generation: int | None


class GivenUp(BaseModel):
    """Why it is given up."""

    model_config = ConfigDict(extra="forbid")
    reason: str = Field(min_length=1, max_length=MAX_REASON)


@router.get("/dead-letters", responses=reading())
async def list_letters(
    request: Request,
    state: Annotated[LetterState | None, Query(description="Null: all.")] = LetterState.OPEN,
    cause: Annotated[str, Query(max_length=200, description="Part of the cause.")] = "",
    kind: Annotated[str, Query(max_length=200, description="The error's class.")] = "",
    source: Annotated[str, Query(max_length=50)] = "",
    since: Since = None,
    cursor: Cursor = "",
    limit: Limit = 50,
) -> Page[LetterModel]:
    """Dead letters, the newest first."""
    before = places_in("letters", cursor, int)
    wanted = LetterFilter(cause=cause, kind=kind, source=source, state=state, since=since)
    found = await services_of(request).letters.recent(wanted, limit + 1, before[0] if before else None)
    last = found[:limit][-1].letter_id if found else 0
    return page([_model(letter) for letter in found], limit, cursor_of("letters", last))


@router.get("/dead-letters/{letter_id}", responses=reading(404))
async def get_letter(request: Request, letter_id: LetterId) -> LetterModel:
    """One dead letter."""
    return _model(await services_of(request).letters.find(letter_id))


@router.get(
    "/dead-letters/{letter_id}/raw",
    response_class=Response,
    responses={
        **reading(404),
        200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
    },
)
async def get_letter_raw(request: Request, letter_id: LetterId) -> Response:
    """Its original bytes."""
    letter = await services_of(request).letters.find(letter_id)
    return Response(
        letter.raw,
        media_type="application/octet-stream",
        headers={"Content-Disposition": f'attachment; filename="dead-letter-{letter_id}.bin"'},
    )


@router.post("/dead-letters/{letter_id}/replay", responses=writing(404))
async def replay_letter(request: Request, letter_id: LetterId, body: Order) -> Judged:
    """Put it back through the inbox, once; or only say whether it would pass. Audited."""
    services, principal = services_of(request), await principal_of(request)
    letter = await services.letters.find(letter_id)
    if letter.state is not LetterState.OPEN:
        raise Settled(f"dead letter {letter_id} was {letter.state} by {letter.decided_by}.")
    replays = Replays(services.letters, services.workflows, by=principal.name)
    wanted = LetterFilter(ids=(letter_id,), state=None)
    if body.dry_run:
        try:
            async with asyncio.timeout(DRY_RUN_S), services.dry_runs:
                (verdict,) = [one async for one in replays.rehearsed(wanted)]
        except TimeoutError as problem:
            raise Refusal(
                503, "took_too_long", "the dry run took too long; nothing was done.", headers={"Retry-After": "30"}
            ) from problem
    else:
        (verdict,) = [one async for one in replays.replayed(wanted, rate=1000.0)]
    if not body.dry_run and not verdict.passes:
        raise Refusal(422, "would_not_pass", f"{verdict.error_class}: {verdict.problem}.")
    replay = verdict.replay
    if replay and replay.result is ReplayResult.SETTLED:
        raise Settled(f"dead letter {letter_id} was replayed or discarded meanwhile.")
    if replay and replay.result is ReplayResult.DOUBLED:
        raise Refusal(409, "doubled", "its event came in by another way: discard the letter.")
    return Judged(
        letter_id=letter_id,
        dry_run=body.dry_run,
        passes=verdict.passes,
        problem=verdict.problem,
        run_id=replay.run_id if replay else None,
        generation=replay.generation if replay else None,
    )


@router.post("/dead-letters/{letter_id}/discard", responses=writing(404))
async def discard_letter(request: Request, letter_id: LetterId, body: GivenUp) -> LetterModel:
    """Give it up, with a reason; it is kept. Audited."""
    services, principal = services_of(request), await principal_of(request)
    await services.letters.find(letter_id)
    if not await services.letters.discard(letter_id, principal.name, body.reason):
        raise Settled(f"dead letter {letter_id} was replayed or discarded before.")
    return _model(await services.letters.find(letter_id))


def _model(letter: Letter) -> LetterModel:
    facts = {name: getattr(letter, name) for name in LetterModel.model_fields if name != "size_bytes"}
    return LetterModel(**facts, size_bytes=len(letter.raw))
