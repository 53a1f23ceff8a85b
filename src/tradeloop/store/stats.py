"""How the database does: rows and sizes, what waits, and what holds the vacuum back."""

from __future__ import annotations

from typing import Any, Final, LiteralString  # Any: cells of a table

from tradeloop.store.database import Database
from tradeloop.store.history import LIVE_STATES

# Partitions are told with their parent. Rows are the server's estimate: counting them would read every table.
TABLES: Final[LiteralString] = """
SELECT coalesce(p.relname, c.relname)::text AS "table", sum(coalesce(s.n_live_tup, 0))::bigint AS rows,
       sum(coalesce(s.n_dead_tup, 0))::bigint AS dead_rows, sum(pg_total_relation_size(c.oid))::bigint AS size_bytes,
       max(greatest(s.last_autovacuum, s.last_vacuum)) AS vacuumed_at
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = i.inhparent
LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
WHERE n.nspname = current_schema() AND c.relkind = 'r' GROUP BY 1 ORDER BY size_bytes DESC, 1
"""
# Each by the first entry of an index.
OLDEST: Final[LiteralString] = """
SELECT (SELECT received_at FROM inbox ORDER BY received_at LIMIT 1) AS inbox,
       (SELECT finished_at FROM runs ORDER BY run_id LIMIT 1) AS runs,
       (SELECT ended_at FROM attempts ORDER BY run_id LIMIT 1) AS attempts,
       (SELECT prepared_at FROM effects ORDER BY run_id LIMIT 1) AS effects,
       (SELECT created_at FROM outbox ORDER BY id LIMIT 1) AS outbox,
       (SELECT seen_at FROM inbox_doubles ORDER BY seen_at LIMIT 1) AS inbox_doubles,
       (SELECT seen_at FROM captured ORDER BY seen_at LIMIT 1) AS captured,
       (SELECT created_at FROM dead_letters ORDER BY dl_id LIMIT 1) AS dead_letters,
       (SELECT at FROM audit ORDER BY id LIMIT 1) AS audit
"""
BACKLOG: Final[LiteralString] = """
SELECT w.desk, w.state::text AS state, count(*) AS runs, count(*) FILTER (WHERE w.head) AS heads,
       min(i.received_at) AS oldest_at
FROM work w LEFT JOIN inbox i ON i.run_id = w.run_id GROUP BY 1, 2 ORDER BY 1, 2
"""
OUTBOX: Final[LiteralString] = """
SELECT count(*) AS rows, extract(epoch FROM clock_timestamp() - min(created_at))::float AS lag_s FROM outbox
"""
LANES: Final[LiteralString] = """
SELECT l.lane, l.owner::text AS owner, l.fence, (l.lease_until > clock_timestamp()) AS is_held,
       (SELECT count(*) FROM outbox o WHERE o.lane = l.lane) AS rows
FROM outbox_lanes l ORDER BY l.lane
"""
WORKERS: Final[LiteralString] = """
SELECT k.worker_id::text AS worker_id, k.kind, k.host, k.pid, k.state, k.started_at, k.lease_until,
       (SELECT count(*) FROM work w WHERE w.owner = k.worker_id AND w.state = 'r') AS runs
FROM workers k WHERE k.state <> 'dead' ORDER BY k.started_at
"""
HORIZON: Final[LiteralString] = """
SELECT coalesce(max(age(h.xmin)), 0)::bigint AS oldest_xmin_age,
       (array_agg(h.holder ORDER BY age(h.xmin) DESC))[1] AS held_by
FROM (SELECT backend_xmin AS xmin, 'process ' || pid || ' ' || application_name || ' ' || coalesce(state, '') AS holder
      FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid()
      UNION ALL SELECT transaction, 'prepared transaction ' || gid FROM pg_prepared_xacts
      UNION ALL SELECT xmin, 'replication slot ' || slot_name FROM pg_replication_slots WHERE xmin IS NOT NULL) h
"""


async def stats_of(database: Database) -> dict[str, Any]:
    """Everything at once: tables, backlog, outbox, lanes, workers, and the oldest snapshot that somebody holds."""
    oldest = await database.row(OLDEST) or {}
    tables = [row | {"oldest_at": oldest.get(row["table"])} for row in await database.rows(TABLES)]
    backlog = [row | {"state": LIVE_STATES[row["state"]].value} for row in await database.rows(BACKLOG)]
    return {
        "tables": tables,
        "backlog": backlog,
        "outbox": await database.row(OUTBOX),
        "lanes": await database.rows(LANES),
        "workers": await database.rows(WORKERS),
        "horizon": await database.row(HORIZON),
    }
