"""Dead letters: by cause, one with its bytes; tried first, then put back, or given up with a reason."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter, Request, Response

from tradeloop.api.problems import Refusal
from tradeloop.domain.letters import LetterFilter, LetterState, ReplayResult
from tradeloop.domain.people import Role
from tradeloop.engine.replay import Replays, Verdict
from tradeloop.errors import NotFound, Settled, UsageInvalid
from tradeloop.web import headers
from tradeloop.web.front import PageRoute, every, form_of, front_of, person_of, shown
from tradeloop.web.rendering import pretty
from tradeloop.web.troubles import Trouble

router = APIRouter(route_class=PageRoute)
SHOWN: Final = 100
TOGETHER: Final = 200
"""Letters of one dry run on the page; the command takes any number."""
PATIENCE_S: Final = 30.0
RATE: Final = 50.0
DUMPED: Final = 2_048
ONE_AT_A_TIME: Final = asyncio.Semaphore(1)
"""Of dry runs: each runs whole graphs in this process."""
MIN_REASON, MAX_REASON = 10, 500


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one letter, or would."""

    letter_id: int
    state: str
    word: str
    why: str


@router.get("/dead-letters", name="page_letters")
async def letters(request: Request) -> Response:
    """Open ones, grouped by kind; a kind's own list by its link."""
    front = front_of(request)
    state = request.query_params.get("state", "open")
    kind, source = (request.query_params.get(name, "")[:200] for name in ("kind", "source"))
    chosen = LetterState(state) if state in set(LetterState) else LetterState.OPEN
    rows = await front.services.letters.recent(LetterFilter(kind=kind, source=source, state=chosen), SHOWN)
    groups = await front.services.letters.groups() if chosen is LetterState.OPEN and not kind and not source else []
    narrow = {"kind": kind, "source": source, "state": "" if chosen is LetterState.OPEN else chosen.value}
    told = " and ".join(f"{name}={value}" for name, value in narrow.items() if value)
    values = {
        "rows": rows,
        "groups": groups,
        "wanted": {"kind": kind, "source": source, "state": chosen.value},
        "can_act": person_of(request).has(Role.OPERATOR),
        "here": f"/dead-letters?{request.url.query}" if request.url.query else "/dead-letters",
        "filtered_words": f"No dead letter matches {told}." if told else "",
    }
    return await shown(request, "letters.html", values)


@router.get("/dead-letters/{letter_id:int}", name="page_letter")
async def letter(request: Request, letter_id: int) -> Response:
    """Cause, place, bytes, and what was done about it."""
    return await _letter_page(request, letter_id)


@router.get("/dead-letters/{letter_id:int}/raw", name="page_letter_raw")
async def raw(request: Request, letter_id: int) -> Response:
    """The original bytes, as a file that no browser opens."""
    found = await front_of(request).services.letters.find(_known(letter_id))
    known = headers.security() | {"Content-Disposition": f'attachment; filename="dead-letter-{letter_id}.bin"'}
    return Response(found.raw, media_type="application/octet-stream", headers=known)


@router.post("/dead-letters/rehearse", name="send_rehearse")
async def rehearse(request: Request) -> Response:
    """What today's code would make of them, with effects off."""
    wanted = await _wanted(request)
    results = await _results(_replays(request).rehearsed(wanted))
    passing = [one.letter_id for one in results if one.state == "done"]
    values = {
        "heading": "Dry run",
        "words": f"With today's code {len(passing)} of {len(results)} would pass. Nothing was changed.",
        "rows": results,
        "passing": passing,
    }
    return await shown(request, "rehearsed.html", values)


@router.post("/dead-letters/replay", name="send_replay")
async def replay(request: Request) -> Response:
    """Put them back through the inbox: each once, in a transaction of its own."""
    results = await _results(_replays(request).replayed(await _wanted(request), rate=RATE))
    done = sum(one.state == "replayed" for one in results)
    words = (
        f"{done} of {len(results)} replayed. Closing this page changes nothing; doing it again goes on with the rest."
    )
    return await shown(request, "rehearsed.html", {"heading": "Replay", "words": words, "rows": results, "passing": []})


@router.post("/dead-letters/{letter_id:int}/discard", name="send_discard")
async def discard(request: Request, letter_id: int) -> Response:
    """Give one up, with a reason; record and bytes are kept."""
    front, typed = front_of(request), (await form_of(request)).get("reason", "").strip()
    if not MIN_REASON <= len(typed) <= MAX_REASON:
        trouble = Trouble(422, "invalid", "The reason needs 10 to 500 characters.", field="reason")
        return await _letter_page(request, letter_id, trouble, typed)
    if not await front.services.letters.discard(_known(letter_id), person_of(request).name, typed):
        raise Settled(f"dead letter {letter_id} was replayed or discarded before.")
    return await _letter_page(request, letter_id)


async def _letter_page(request: Request, letter_id: int, trouble: Trouble | None = None, typed: str = "") -> Response:
    found = await front_of(request).services.letters.find(_known(letter_id))
    try:
        decoded = pretty(json.loads(found.raw))
    except (ValueError, RecursionError):
        decoded = ""
    values = {
        "letter": found,
        "decoded": decoded,
        "dumped": dumped(found.raw),
        "can_act": person_of(request).has(Role.OPERATOR),
        "problem": trouble,
        "typed": typed,
    }
    return await shown(request, "letter.html", values, status=trouble.status if trouble else 200)


def dumped(raw: bytes, most: int = DUMPED) -> str:
    """Hexadecimal digits with ASCII beside."""
    lines = []
    for start in range(0, min(len(raw), most), 16):
        part = raw[start : start + 16]
        told = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{start:06x}  {part.hex(' '):<47}  {told}")
    if len(raw) > most:
        lines.append(f"… {len(raw) - most:,} bytes more: take the file")
    return "\n".join(lines)


def _replays(request: Request) -> Replays:
    services = front_of(request).services
    return Replays(services.letters, services.workflows, by=person_of(request).name)


async def _wanted(request: Request) -> LetterFilter:
    form = await form_of(request)
    ids = tuple(int(one) for one in (await every(request, "letter"))[:TOGETHER] if one.isdecimal() and len(one) < 19)
    wanted = LetterFilter(ids=ids, kind=form.get("kind", ""), source=form.get("source", ""))
    if not wanted.is_narrow:
        raise UsageInvalid("which letters? None was chosen.", hint="the list of dead letters")
    count = await front_of(request).services.letters.count(wanted)
    if count > TOGETHER:
        raise UsageInvalid(
            f"{count:,} letters match; the page takes {TOGETHER} together.",
            hint=f"tradeloop dlq replay --kind {wanted.kind or 'KIND'} --dry-run",
        )
    return wanted


async def _results(verdicts: AsyncIterator[Verdict]) -> list[Result]:
    try:
        async with asyncio.timeout(PATIENCE_S), ONE_AT_A_TIME:
            return [_result(one) async for one in verdicts]
    except TimeoutError as problem:
        raise Refusal(
            503, "took_too_long", "this took too long; what was put back stays so.", hint="tradeloop dlq replay"
        ) from problem


def _result(verdict: Verdict) -> Result:
    number = verdict.letter.letter_id
    if not verdict.passes:
        return Result(number, "failed", "would not pass", f"{verdict.error_class}: {verdict.problem}")
    if verdict.replay is None:
        return Result(number, "done", "would pass", "")
    match verdict.replay.result:
        case ReplayResult.REPLAYED:
            return Result(number, "replayed", f"run {str(verdict.replay.run_id)[:8]}", "")
        case ReplayResult.SETTLED:
            return Result(number, "skipped", "", "it was replayed or discarded before")
        case ReplayResult.DOUBLED:
            return Result(number, "skipped", "", "its event came in by another way: discard the letter")


def _known(letter_id: int) -> int:
    if letter_id >= 2**63:
        raise NotFound("no dead letter has such a number.")
    return letter_id
