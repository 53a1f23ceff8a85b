"""`tradeloop bench api`: times of trigger and status, and whether a load of all kinds is answered without an error."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final  # Any: JSON

from tradeloop.bench.figures import Figure, spread
from tradeloop.bench.paint import measure_paint
from tradeloop.bench.report import Leg
from tradeloop.bench.stage import say, settings_for
from tradeloop.domain.people import Principal, Role
from tradeloop.errors import PartFailed
from tradeloop.stack import Stack
from tradeloop.store.database import Database
from tradeloop.store.people import PostgresPeople

P99_MS: Final = 50.0
CALLERS: Final = 8
"""Each has a limit of its own: 200 requests a second of one caller are turned away, and rightly."""
STEADY: Final = {"trigger": 1, "status": 1}
LOAD: Final = {"trigger": 2, "status": 4, "me": 1, "runs": 1, "desks": 1, "workflows": 1}
"""Shares of a load."""


@dataclass(frozen=True)
class Size:
    """Requests a second and seconds, of both parts."""

    rate: float
    seconds: float
    steady_rate: float
    steady_seconds: float


def measure(home: Path, size: Size) -> Leg:
    """Both parts against one API process on a PostgreSQL of its own."""
    leg = Leg("api", "API: open-loop load from another process, timed from when each request was due")
    with Stack(settings_for(home), parts=["postgres", "api"]) as stack:
        keys = asyncio.run(_keys(stack.settings.database_url))
        url = stack.addresses["api_url"]
        _generate(url, keys, STEADY, 20.0, 1.0)  # connections, caches, the pool's first
        say(f"api: trigger and status at {size.steady_rate:g} a second for {size.steady_seconds:g} s")
        steady = _generate(url, keys, STEADY, size.steady_rate, size.steady_seconds)
        for kind in STEADY:
            row = leg.add(f"{kind} at {size.steady_rate:g}/s", spread(steady["took_ms"][kind], "ms"))
            leg.aim(f"{kind} within {P99_MS:g} ms p99", met=float(row["p99_ms"]) <= P99_MS)
        say(f"api: a load of all kinds, {size.rate:g} a second for {size.seconds:g} s")
        load = _generate(url, keys, LOAD, size.rate, size.seconds)
        times = [took for kind in LOAD for took in load["took_ms"][kind]]
        leg.add(f"all kinds at {size.rate:g}/s", spread(times, "ms") | _counts(load))
        for kind in LOAD:
            leg.add(f"{kind} at {size.rate:g}/s", spread(load["took_ms"][kind], "ms"))
        bad = _errors(steady) + _errors(load)
        leg.aim(f"{size.rate:g} requests a second for {size.seconds:g} s with no error", met=not bad)
        say("api: first paint of the web page")
        measure_paint(leg, url, keys[0], 20 if size.seconds >= 30 else 3)
        if bad:
            leg.notes.append(f"answers: {load['statuses']}")
    return leg


def _generate(url: str, keys: list[str], shares: dict[str, int], rate: float, seconds: float) -> dict[str, Any]:
    """What the load generator, in a process of its own, says."""
    order = {"url": url, "keys": keys, "shares": shares, "rate": rate, "seconds": seconds}
    found = subprocess.run(
        [sys.executable, "-m", "tradeloop.bench.load"],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        timeout=seconds + 120,
        check=False,
    )
    if found.returncode:
        raise PartFailed("the load generator failed.", where=found.stderr[-2000:])
    answer: dict[str, Any] = json.loads(found.stdout)
    return answer


async def _keys(database_url: str) -> list[str]:
    async with Database(database_url, size=2) as database:
        people = PostgresPeople(database)
        keys = []
        for number in range(CALLERS):
            name = f"bench{number}"
            await people.add(Principal(name=name, roles=frozenset({Role.VIEWER, Role.OPERATOR})), by="bench")
            keys.append((await people.new_key(name, label="", expires_at=None, by="bench")).text)
        return keys


def _errors(found: dict[str, Any]) -> int:
    return sum(n for status, n in found["statuses"].items() if status not in ("200", "202"))


def _counts(found: dict[str, Any]) -> dict[str, Figure]:
    statuses = Counter({str(status): int(n) for status, n in found["statuses"].items()})
    return {"sent": sum(statuses.values()), "errors": _errors(found), "late_max_ms": found["late_max_ms"]}
