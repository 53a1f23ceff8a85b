-- LangGraph's tables as its own migrations 0 to 9 leave them, but for three indexes on thread_id alone: the primary
-- keys begin with thread_id and answer whatever those would.

CREATE TABLE IF NOT EXISTS checkpoint_migrations (v integer PRIMARY KEY);
CREATE TABLE IF NOT EXISTS checkpoints (
    thread_id            text NOT NULL,
    checkpoint_ns        text NOT NULL DEFAULT '',
    checkpoint_id        text NOT NULL,
    parent_checkpoint_id text,
    type                 text,
    checkpoint           jsonb NOT NULL,
    metadata             jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id)
);
CREATE TABLE IF NOT EXISTS checkpoint_blobs (
    thread_id     text NOT NULL,
    checkpoint_ns text NOT NULL DEFAULT '',
    channel       text NOT NULL,
    version       text NOT NULL,
    type          text NOT NULL,
    blob          bytea,
    PRIMARY KEY (thread_id, checkpoint_ns, channel, version)
);
CREATE TABLE IF NOT EXISTS checkpoint_writes (
    thread_id     text NOT NULL,
    checkpoint_ns text NOT NULL DEFAULT '',
    checkpoint_id text NOT NULL,
    task_id       text NOT NULL,
    idx           integer NOT NULL,
    channel       text NOT NULL,
    type          text,
    blob          bytea NOT NULL,
    task_path     text NOT NULL DEFAULT '',
    PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
);
INSERT INTO checkpoint_migrations (v) SELECT generate_series(0, 9) ON CONFLICT DO NOTHING;

DROP INDEX IF EXISTS checkpoints_thread_id_idx;
DROP INDEX IF EXISTS checkpoint_blobs_thread_id_idx;
DROP INDEX IF EXISTS checkpoint_writes_thread_id_idx;

-- The saver's batch, one transaction. Returns the runs that another owner holds now; then nothing was written, and the
-- caller sends the batch again without them. Names are qualified: a pooler may give any session, with any search_path.
CREATE FUNCTION put_checkpoints(
    f_runs uuid[], f_owners uuid[], f_fences integer[],
    c_threads text[], c_spaces text[], c_ids text[], c_parents text[], c_checkpoints jsonb[], c_metadata jsonb[],
    b_threads text[], b_spaces text[], b_channels text[], b_versions text[], b_types text[], b_blobs bytea[],
    w_threads text[], w_spaces text[], w_ids text[], w_tasks text[], w_paths text[], w_indexes integer[],
    w_channels text[], w_types text[], w_blobs bytea[],
    u_threads text[], u_spaces text[], u_ids text[], u_tasks text[], u_paths text[], u_indexes integer[],
    u_channels text[], u_types text[], u_blobs bytea[]
) RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
    held uuid[];
BEGIN
    IF cardinality(f_runs) > 0 THEN
        -- FOR SHARE: a takeover updates non-key columns and passes KEY SHARE.
        SELECT array_agg(h.run_id) INTO held
        FROM (SELECT w.run_id FROM unnest(f_runs, f_owners, f_fences) f(run_id, owner, fence)
              JOIN tradeloop.work w ON w.run_id = f.run_id
              WHERE w.owner = f.owner AND w.fence = f.fence AND w.state = 'r'
              ORDER BY w.run_id FOR SHARE OF w) h;
        IF coalesce(cardinality(held), 0) < cardinality(f_runs) THEN
            RETURN ARRAY(SELECT unnest(f_runs) EXCEPT SELECT unnest(held));
        END IF;
    END IF;
    IF cardinality(b_threads) > 0 THEN
        INSERT INTO tradeloop.checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
        SELECT * FROM unnest(b_threads, b_spaces, b_channels, b_versions, b_types, b_blobs)
        ON CONFLICT DO NOTHING;
    END IF;
    IF cardinality(c_threads) > 0 THEN
        INSERT INTO tradeloop.checkpoints AS c
               (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
        SELECT * FROM unnest(c_threads, c_spaces, c_ids, c_parents, c_checkpoints, c_metadata)
        ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id)
        DO UPDATE SET checkpoint = excluded.checkpoint, metadata = excluded.metadata;
    END IF;
    IF cardinality(w_threads) > 0 THEN
        INSERT INTO tradeloop.checkpoint_writes
               (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
        SELECT * FROM unnest(w_threads, w_spaces, w_ids, w_tasks, w_paths, w_indexes, w_channels, w_types, w_blobs)
        ON CONFLICT DO NOTHING;
    END IF;
    IF cardinality(u_threads) > 0 THEN
        INSERT INTO tradeloop.checkpoint_writes
               (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
        SELECT * FROM unnest(u_threads, u_spaces, u_ids, u_tasks, u_paths, u_indexes, u_channels, u_types, u_blobs)
        ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
        DO UPDATE SET channel = excluded.channel, type = excluded.type, blob = excluded.blob;
    END IF;
    RETURN '{}';
END $$;

CREATE FUNCTION copy_thread(p_source text, p_target text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
    SELECT p_target, checkpoint_ns, channel, version, type, blob FROM checkpoint_blobs WHERE thread_id = p_source
    ON CONFLICT DO NOTHING;
    INSERT INTO checkpoint_writes
           (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
    SELECT p_target, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob
    FROM checkpoint_writes WHERE thread_id = p_source
    ON CONFLICT DO NOTHING;
    INSERT INTO checkpoints
           (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata)
    SELECT p_target, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata
    FROM checkpoints WHERE thread_id = p_source
    ON CONFLICT DO NOTHING;
$$;

-- What a run of LangGraph left, by the run_id in its metadata. No index answers this: it reads all of `checkpoints`.
-- Blobs go when no checkpoint of the thread names them any more.
CREATE FUNCTION delete_runs_checkpoints(p_runs text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    threads text[];
BEGIN
    WITH gone AS (
        DELETE FROM checkpoints c WHERE c.metadata ->> 'run_id' = ANY(p_runs)
        RETURNING c.thread_id, c.checkpoint_ns, c.checkpoint_id),
    unwritten AS (
        DELETE FROM checkpoint_writes w USING gone g
        WHERE w.thread_id = g.thread_id AND w.checkpoint_ns = g.checkpoint_ns AND w.checkpoint_id = g.checkpoint_id)
    SELECT array_agg(DISTINCT g.thread_id) INTO threads FROM gone g;
    DELETE FROM checkpoint_blobs b
    WHERE b.thread_id = ANY(threads)
      AND NOT EXISTS (SELECT 1 FROM checkpoints c
                      WHERE c.thread_id = b.thread_id AND c.checkpoint_ns = b.checkpoint_ns
                        AND c.checkpoint -> 'channel_versions' ->> b.channel = b.version);
END $$;
