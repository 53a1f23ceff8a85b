-- Ownership of runs. A row that does not come back was lost to another owner: its caller stops silently.

CREATE FUNCTION claim_runs(p_owner uuid, p_desks text[], p_limit integer)
RETURNS TABLE (run_id uuid, fence integer, desk text, subject text, event_type text, event_id uuid,
               generation integer, fails integer, takeovers integer, payload bytea, headers jsonb)
LANGUAGE sql AS $$
    -- MATERIALIZED: a sub-select with LIMIT and SKIP LOCKED may run more than once and lock more than it returns.
    WITH pick AS MATERIALIZED (
        SELECT c.run_id FROM unnest(p_desks) d(desk) CROSS JOIN LATERAL (
            SELECT w.run_id FROM work w
            WHERE w.desk = d.desk AND w.state = 'q' AND w.head
              AND NOT EXISTS (SELECT 1 FROM work e WHERE e.desk = w.desk AND e.subject = w.subject AND e.seq < w.seq)
            ORDER BY w.seq LIMIT greatest(1, p_limit / cardinality(p_desks)) FOR UPDATE OF w SKIP LOCKED) c
        LIMIT p_limit),
    mine AS (
        UPDATE work w SET state = 'r', owner = p_owner, fence = w.fence + 1
        FROM pick p WHERE w.run_id = p.run_id RETURNING w.*)
    SELECT m.run_id, m.fence, m.desk, m.subject, i.event_type, m.event_id, m.generation, m.fails, m.takeovers,
           i.payload, i.headers
    FROM mine m JOIN inbox i ON i.run_id = m.run_id ORDER BY m.seq
$$;

CREATE FUNCTION take_over() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    orphans integer;
    woken integer;
BEGIN
    UPDATE workers SET state = 'dead' WHERE state <> 'dead' AND lease_until < clock_timestamp();
    -- Over all running rows, not only those of the worker just buried: its last claim may commit after its burial.
    WITH o AS MATERIALIZED (
        SELECT w.run_id, w.owner, w.fence FROM work w
        WHERE w.state = 'r'
          AND NOT EXISTS (SELECT 1 FROM workers k WHERE k.worker_id = w.owner AND k.state <> 'dead')
        ORDER BY w.run_id LIMIT 500 FOR UPDATE OF w SKIP LOCKED),
    noted AS (
        INSERT INTO attempts (run_id, fence, worker_id, outcome)
        SELECT o.run_id, o.fence, o.owner, 'taken_over' FROM o ON CONFLICT DO NOTHING)
    UPDATE work w SET state = 'q', owner = NULL, takeovers = w.takeovers + 1 FROM o WHERE w.run_id = o.run_id;
    GET DIAGNOSTICS orphans = ROW_COUNT;
    WITH d AS MATERIALIZED (
        SELECT w.run_id FROM work w WHERE w.state = 'w' AND w.due_at <= clock_timestamp()
        ORDER BY w.due_at LIMIT 500 FOR UPDATE OF w SKIP LOCKED)
    UPDATE work w SET state = 'q', due_at = NULL FROM d WHERE w.run_id = d.run_id;
    GET DIAGNOSTICS woken = ROW_COUNT;
    RETURN orphans + woken;
END $$;

CREATE FUNCTION retry_run(
    p_owner uuid, p_run uuid, p_fence integer, p_delay_s double precision, p_error text, p_class text, p_stack text
) RETURNS boolean LANGUAGE sql AS $$
    WITH mine AS (
        UPDATE work SET state = 'w', owner = NULL, fails = fails + 1, error = p_error,
                        due_at = clock_timestamp() + make_interval(secs => p_delay_s)
        WHERE run_id = p_run AND owner = p_owner AND fence = p_fence AND state = 'r' RETURNING run_id),
    noted AS (
        INSERT INTO attempts (run_id, fence, worker_id, outcome, error_class, error, stack_hash)
        SELECT m.run_id, p_fence, p_owner, 'retry', p_class, p_error, p_stack FROM mine m ON CONFLICT DO NOTHING)
    SELECT EXISTS (SELECT 1 FROM mine)
$$;

CREATE FUNCTION retire_worker(p_owner uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE work SET state = 'q', owner = NULL WHERE owner = p_owner AND state = 'r';
    UPDATE workers SET state = 'dead', lease_until = clock_timestamp() WHERE worker_id = p_owner;
END $$;

-- The record: decision, audit, outbox, dead letter and the run's end are all there or none.
CREATE FUNCTION record_runs(
    p_owner uuid, p_topic text, p_dead_topic text, p_runs uuid[], p_fences integer[], p_states text[],
    p_decision_ids uuid[], p_graphs text[], p_versions text[], p_decisions jsonb[], p_effects jsonb[],
    p_errors text[], p_classes text[], p_stacks text[], p_values bytea[], p_headers jsonb[], p_audits jsonb[]
) RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
    done uuid[];
    desks text[];
    subjects text[];
BEGIN
    WITH r AS MATERIALIZED (
        SELECT * FROM unnest(p_runs, p_fences, p_states, p_decision_ids, p_graphs, p_versions, p_decisions, p_effects,
                             p_errors, p_classes, p_stacks, p_values, p_headers, p_audits)
               u(rid, f, state, decision_id, graph, version, decision, effect, error, class, stack, value, headers,
                 audit)),
    lk AS MATERIALIZED (
        SELECT w.run_id FROM work w JOIN r ON w.run_id = r.rid AND w.fence = r.f
        WHERE w.owner = p_owner AND w.state = 'r' ORDER BY w.run_id FOR UPDATE OF w),
    g AS MATERIALIZED (
        SELECT w.*, i.payload, i.received_at FROM lk JOIN work w ON w.run_id = lk.run_id
        JOIN inbox i ON i.run_id = lk.run_id),
    gone AS (DELETE FROM work w USING lk WHERE w.run_id = lk.run_id),
    history AS (
        INSERT INTO runs (run_id, seq, desk, subject, state, event_id, generation, graph, graph_version, fence, fails,
                          decision_id, decision, effect, error, started_at)
        SELECT g.run_id, g.seq, g.desk, g.subject, r.state, g.event_id, g.generation, r.graph, r.version, g.fence,
               g.fails, r.decision_id, r.decision, r.effect, r.error, g.received_at
        FROM g JOIN r ON r.rid = g.run_id),
    audited AS (
        INSERT INTO audit (stream_id, n, kind, body)
        SELECT g.run_id, coalesce((SELECT max(a.n) FROM audit a WHERE a.stream_id = g.run_id), 0) + 1,
               'run_' || r.state, r.audit
        FROM g JOIN r ON r.rid = g.run_id ORDER BY g.seq),
    buried AS (
        INSERT INTO dead_letters (source, run_id, event_id, cause, error_class, stack_hash, attempts, graph_version,
                                  raw)
        SELECT 'run', g.run_id, g.event_id, r.error, r.class, r.stack, g.fails + 1, r.version, g.payload
        FROM g JOIN r ON r.rid = g.run_id WHERE r.state = 'failed' ON CONFLICT DO NOTHING),
    announced AS (
        INSERT INTO outbox (lane, topic, key, value, headers, run_id)
        SELECT outbox_lane(m.key), m.topic, m.key, m.value, m.headers, m.run_id
        FROM (SELECT g.seq, p_topic AS topic, convert_to(g.subject, 'UTF8') AS key, r.value, r.headers, g.run_id
              FROM g JOIN r ON r.rid = g.run_id WHERE r.value IS NOT NULL
              UNION ALL
              SELECT g.seq, p_dead_topic, convert_to(g.subject, 'UTF8'), g.payload,
                     jsonb_build_array(jsonb_build_array('cause', r.error), jsonb_build_array('error_class', r.class),
                                       jsonb_build_array('run_id', g.run_id::text)), g.run_id
              FROM g JOIN r ON r.rid = g.run_id WHERE r.state = 'failed') m
        ORDER BY m.seq)
    SELECT array_agg(g.run_id), array_agg(g.desk), array_agg(g.subject) INTO done, desks, subjects FROM g;

    -- A new snapshot: in the statement above a run that was just taken in would be missed and sleep for ever.
    UPDATE work w SET head = true
    FROM (SELECT h.run_id FROM (SELECT DISTINCT * FROM unnest(desks, subjects) u(d, s)) x
          CROSS JOIN LATERAL (SELECT q.run_id, q.head FROM work q WHERE q.desk = x.d AND q.subject = x.s
                              ORDER BY q.seq LIMIT 1) h
          WHERE NOT h.head) n
    WHERE w.run_id = n.run_id;

    PERFORM pg_notify('tradeloop_outbox', '');
    RETURN coalesce(done, '{}');
END $$;
