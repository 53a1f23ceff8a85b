"""`tradeloop bench audit`: is tampering found, how long does verifying take, what does the audit cost."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Final

import psycopg
from psycopg.rows import TupleRow

from tradeloop.audit.keys import SigningKey, new_key
from tradeloop.bench.decisions import CONCURRENCY, WARM_UP, Speed, drain
from tradeloop.bench.engine_stage import EngineStage
from tradeloop.bench.report import Leg
from tradeloop.bench.stage import say, settings_for
from tradeloop.bench.tampering import prepare, tamper
from tradeloop.engine.sealer import Sealer
from tradeloop.stack import Stack
from tradeloop.store.audit_chain import PostgresAuditChain
from tradeloop.store.audit_reading import reading
from tradeloop.store.audit_verify import verify
from tradeloop.store.database import OPTIONS, Database
from tradeloop.store.migrations import migrate

WITHIN_S: Final = 60.0
SHARE: Final = 0.05
MILLION: Final = 1_000_000
SECONDS: Final = 3.0
"""How long one half of a pair takes."""
FILL_STEP: Final = 20_000
FILL: Final = """
INSERT INTO audit (stream_id, n, kind, body)
SELECT (lpad(to_hex(1700000000000 + g / 2), 12, '0') || '7' || substr(md5((g / 2)::text), 1, 3) || '8'
        || substr(md5((g / 2)::text), 4, 15))::uuid,
       1 + g %% 2, CASE g %% 2 WHEN 0 THEN 'approval_asked' ELSE 'run_done' END,
       jsonb_build_object(
           'decision', jsonb_build_object('outcome', 'ACCEPT', 'decided_by', 'policy', 'policy_hash', md5(g::text)),
           'decision_id', gen_random_uuid(), 'event_id', gen_random_uuid(), 'event_sha256', repeat('ab', 32),
           'graph', 'bench', 'graph_version', md5('v'), 'reason', 'a sentence about record ' || g)
FROM generate_series(%s::bigint, %s::bigint) g
"""
EMPTY: Final = "TRUNCATE audit, audit_clear, audit_unsealed, audit_seals"
RAW: Final = (EMPTY, "ALTER TABLE audit DISABLE TRIGGER audit_chain", "ALTER TABLE audit ALTER prev DROP NOT NULL",
              "ALTER TABLE audit ALTER hash DROP NOT NULL")  # fmt: skip
CHAINED: Final = (EMPTY, "ALTER TABLE audit ENABLE TRIGGER audit_chain", "ALTER TABLE audit ALTER prev SET NOT NULL",
                  "ALTER TABLE audit ALTER hash SET NOT NULL")  # fmt: skip


@dataclass(frozen=True)
class Size:
    """How much is measured; 0 leaves a leg out."""

    changes: int = 1_000
    records: int = MILLION
    pairs: int = 30
    """Of the engine with and without the chain."""
    seed: int = 1


def measure(home: Path, size: Size) -> Leg:
    """All three on stacks of their own, one after the other."""
    leg = Leg("audit", "The audit: tampering found, time to verify, cost")
    home.mkdir(parents=True, exist_ok=True)
    key = new_key(home / "bench.key")
    if size.changes or size.records:
        with Stack(settings_for(home), ["postgres"]) as stack:
            url = stack.addresses["database_url"]
            migrate(url)
            measure_tables(leg, url, key, size)
    if size.pairs:
        _cost(leg, home, key, size.pairs)
    return leg


def measure_tables(leg: Leg, url: str, key: SigningKey, size: Size) -> None:
    """Tampering and verifying, on a migrated database of nobody else."""
    if size.changes:
        _tampering(leg, url, key, size)
    if size.records:
        _verifying(leg, url, key, size.records)


def _tampering(leg: Leg, url: str, key: SigningKey, size: Size) -> None:
    say(f"audit: {size.changes:,} changes, one at a time, each undone again")
    with psycopg.connect(url, options=OPTIONS) as connection:
        prepare(connection, 300, lambda: asyncio.run(_sealed(url, key)))
        began = time.perf_counter()
        result = tamper(connection, size.changes, size.seed, {key.public.id: key.public})
        took_s = time.perf_counter() - began
    for name, tried in result.tried.items():
        leg.add(f"tampering: {name}", {"tried": tried, "found": result.found[name]})
    found = sum(result.found.values())
    leg.notes += [f"not found: {one}" for one in result.missed[:10]]
    leg.notes.append(f"Tampering: 300 records of real tables, seed {size.seed}, {took_s:.0f} s; the head is known.")
    leg.aim(f"{found:,} of {size.changes:,} changes found", met=found == size.changes)


def _verifying(leg: Leg, url: str, key: SigningKey, records: int) -> None:
    say(f"audit: {records:,} records are written and sealed")
    with psycopg.connect(url, options=OPTIONS, autocommit=True) as connection:
        _again(connection)
        began = time.perf_counter()
        for first in range(0, records, FILL_STEP):
            connection.execute(FILL.encode(), (first, min(records, first + FILL_STEP) - 1))
        wrote_s, began = time.perf_counter() - began, time.perf_counter()
        asyncio.run(_sealed(url, key))
        sealed_s = time.perf_counter() - began
        connection.execute("VACUUM ANALYZE audit")
        connection.execute("VACUUM ANALYZE audit_clear")
    say("audit: they are verified")
    began = time.perf_counter()
    with reading(url) as reader:
        report = verify(reader, {key.public.id: key.public})
    took_s = time.perf_counter() - began
    figures = {"write_s": round(wrote_s, 1), "seal_s": round(sealed_s, 1), "verify_s": round(took_s, 1)}
    leg.add(f"{report.records:,} records", {**figures, "records_per_s": round(report.records / took_s)})
    bound_s = WITHIN_S * records / MILLION
    whole = report.is_whole and report.records == records and report.unsealed == 0
    leg.aim(f"{records:,} records verified in {took_s:.1f} s; target {bound_s:g}", met=whole and took_s <= bound_s)


def _cost(leg: Leg, home: Path, key: SigningKey, pairs: int) -> None:
    found: dict[bool, list[Speed]] = {True: [], False: []}
    settings = {"audit_key_file": home / "bench.key"}
    with EngineStage(home / "engine", concurrency=CONCURRENCY, **settings) as stage, stage.running():
        drain(stage, WARM_UP)
        count = max(WARM_UP, int(drain(stage, WARM_UP * 2).per_s * SECONDS))
        for number in range(pairs):
            say(f"audit: pair {number + 1} of {pairs}, {count} events with and without the chain")
            for chained in (True, False) if number % 2 else (False, True):
                for statement in CHAINED if chained else RAW:
                    stage.rows(statement)
                found[chained].append(drain(stage, count))
        for statement in CHAINED:
            stage.rows(statement)
    costs = _costs(found)
    cost = median(costs)
    for name, speeds in (("engine, no chain", found[False]), ("engine, chained and sealed", found[True])):
        parts = {f"{part}_cpu_ms": round(median(s.cpu_ms[part] for s in speeds), 3) for part in speeds[0].cpu_ms}
        leg.add(name, {"decisions_per_s": round(median(s.per_s for s in speeds), 1), **parts})
    low, _, high = quantiles(costs, n=4) if len(costs) > 1 else costs * 3
    spread = {"lower_quartile": round(low, 3), "upper_quartile": round(high, 3)}
    leg.add(
        "cost of the audit",
        {"share_of_decisions_per_s": round(cost, 3), **spread, "share_of_cpu": round(_cpu(found), 3)},
    )
    leg.notes.append(
        f"Cost: medians of {pairs} interleaved pairs of {count} events on one stack, order alternating, two pairs of "
        f"opposite order taken together, because a table that has grown slows the second of a pair; signed by "
        f"{key.public.id}. Without the chain there is no hash, no queue and no text apart: one plain insert."
    )
    leg.aim(f"the audit costs {100 * cost:.1f} % of decisions a second; target {100 * SHARE:g}", met=cost <= SHARE)


def _costs(found: dict[bool, list[Speed]]) -> list[float]:
    """Share of the rate that the chain takes; one figure for two neighbouring pairs, whose orders are opposite."""
    seconds = {chained: [1 / one.per_s for one in speeds] for chained, speeds in found.items()}
    firsts = range(0, len(seconds[True]), 2)
    return [1 - sum(seconds[False][at : at + 2]) / sum(seconds[True][at : at + 2]) for at in firsts]


def _cpu(found: dict[bool, list[Speed]]) -> float:
    """What the chain adds to all processor time of a decision: steadier than the rate where others compute, too."""
    return median(
        1 - sum(b.cpu_ms.values()) / sum(a.cpu_ms.values()) for a, b in zip(found[True], found[False], strict=True)
    )


async def _sealed(url: str, key: SigningKey) -> None:
    async with Database(url, size=1) as database:
        await Sealer(PostgresAuditChain(database), key).tick()


def _again(connection: psycopg.Connection[TupleRow]) -> None:
    """Empty tables, and the trigger on."""
    connection.execute("TRUNCATE audit, audit_clear, audit_unsealed, audit_seals")
    connection.execute("ALTER TABLE audit ENABLE TRIGGER audit_chain")
