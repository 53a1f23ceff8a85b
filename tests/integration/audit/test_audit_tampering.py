"""The audit's benchmark on a database of a test's own: every change is found."""

from __future__ import annotations

import asyncio

from tradeloop.audit.keys import SigningKey
from tradeloop.bench.audit import Size, measure_tables
from tradeloop.bench.report import Leg


async def test_every_kind_of_tampering_is_found_and_every_record_verified(
    database_url: str, signing_key: SigningKey
) -> None:
    leg = Leg("audit", "")
    size = Size(changes=64, records=1_000, pairs=0, seed=2)
    await asyncio.to_thread(measure_tables, leg, database_url, signing_key, size)
    assert leg.targets[0].text == "64 of 64 changes found", leg.notes
    assert leg.targets[0].met
    assert [row.figures["tried"] for row in leg.rows[:8]] == [8] * 8
    assert leg.rows[8].case == "1,000 records"
