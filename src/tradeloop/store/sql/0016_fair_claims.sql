-- Slots by desk, graph versions, cancellation, and what is tended now and then.

ALTER TABLE work ADD COLUMN unserved_since timestamptz;

-- p_desks and p_quotas are given in the order in which desks are served; an empty p_versions means any version.
DROP FUNCTION claim_runs(uuid, text[], integer);
CREATE FUNCTION claim_runs(
    p_owner uuid, p_desks text[], p_quotas integer[], p_limit integer, p_graphs text[], p_versions text[]
) RETURNS TABLE (run_id uuid, fence integer, desk text, subject text, event_type text, event_id uuid,
                 generation integer, fails integer, takeovers integer, graph_version text, cancel text, payload bytea,
                 headers jsonb)
LANGUAGE sql AS $$
    -- MATERIALIZED: a sub-select with LIMIT and SKIP LOCKED may run more than once and lock more than it returns.
    WITH pick AS MATERIALIZED (
        SELECT c.run_id FROM unnest(p_desks, p_quotas) WITH ORDINALITY d(desk, quota, place) CROSS JOIN LATERAL (
            SELECT w.run_id FROM work w
            WHERE w.desk = d.desk AND w.state = 'q' AND w.head
              AND (cardinality(p_versions) = 0
                   OR ((w.graph = '' OR w.graph = ANY (p_graphs))
                       AND (w.graph_version = '' OR w.graph_version = ANY (p_versions))))
              AND NOT EXISTS (SELECT 1 FROM work e WHERE e.desk = w.desk AND e.subject = w.subject AND e.seq < w.seq)
            ORDER BY w.seq LIMIT d.quota FOR UPDATE OF w SKIP LOCKED) c
        -- What a buried worker claims would be taken from it again, and count as one more death.
        WHERE NOT EXISTS (SELECT 1 FROM workers k WHERE k.worker_id = p_owner AND k.state = 'dead')
        LIMIT p_limit),
    mine AS (
        UPDATE work w
        SET state = 'r', owner = p_owner, fence = w.fence + 1, unserved_since = NULL,
            -- The version of the first claim stays: a run goes on with the graph that it began with.
            graph_version = CASE WHEN w.graph_version = ''
                                 THEN coalesce(p_versions[array_position(p_graphs, w.graph)], '')
                                 ELSE w.graph_version END
        FROM pick p WHERE w.run_id = p.run_id RETURNING w.*)
    SELECT m.run_id, m.fence, m.desk, m.subject, i.event_type, m.event_id, m.generation, m.fails, m.takeovers,
           m.graph_version, coalesce(m.cancel, ''), i.payload, i.headers
    FROM mine m JOIN inbox i ON i.run_id = m.run_id ORDER BY m.seq
$$;

-- What nothing else repairs. Each call is harmless beside any other; one at a time is enough.
-- heads: subjects without a head, which must not happen (a run would sleep for ever), so they are counted.
-- unserved, served: runs whose graph version no live worker has had for p_grace_s, and those that found one again.
CREATE FUNCTION tend_runs(p_grace_s double precision, OUT heads integer, OUT unserved integer, OUT served integer)
LANGUAGE plpgsql AS $$
BEGIN
    heads := 0; unserved := 0; served := 0;
    IF NOT pg_try_advisory_xact_lock(8390876182739837812) THEN
        RETURN;
    END IF;
    UPDATE work w SET head = true
    FROM (SELECT DISTINCT ON (desk, subject) run_id, head FROM work ORDER BY desk, subject, seq) h
    WHERE NOT h.head AND w.run_id = h.run_id AND NOT w.head;
    GET DIAGNOSTICS heads = ROW_COUNT;

    UPDATE work w SET unserved_since = CASE WHEN v.has THEN NULL ELSE coalesce(w.unserved_since, clock_timestamp()) END
    FROM (SELECT q.run_id, EXISTS (SELECT 1 FROM workers k WHERE k.state <> 'dead'
                                   AND k.lease_until >= clock_timestamp() AND q.graph_version = ANY (k.graphs)) AS has
          FROM work q WHERE q.state = 'q' AND q.head AND q.graph_version <> '') v
    WHERE w.run_id = v.run_id AND w.state = 'q' AND v.has = (w.unserved_since IS NOT NULL);

    WITH gone AS (
        UPDATE work SET state = 'v', unserved_since = NULL,
                        error = 'no live worker has version ' || graph_version || ' of the graph'
        WHERE state = 'q' AND head AND graph_version <> ''
          AND unserved_since < clock_timestamp() - make_interval(secs => p_grace_s)
        RETURNING run_id, fence, error),
    noted AS (
        INSERT INTO attempts (run_id, fence, outcome, error_class, error)
        SELECT gone.run_id, gone.fence, 'version_unavailable', 'VersionUnavailable', gone.error FROM gone
        ON CONFLICT (run_id, fence) DO UPDATE
        SET outcome = excluded.outcome, error_class = excluded.error_class, error = excluded.error)
    SELECT count(*) INTO unserved FROM gone;

    WITH back AS (
        UPDATE work w SET state = 'q', error = '' WHERE w.state = 'v' AND EXISTS (
            SELECT 1 FROM workers k WHERE k.state <> 'dead' AND k.lease_until >= clock_timestamp()
                                      AND w.graph_version = ANY (k.graphs))
        RETURNING 1)
    SELECT count(*) INTO served FROM back;
END $$;

-- Of the runs that a worker has in hand, those that somebody wants cancelled and whose effects allow it.
CREATE FUNCTION cancellable_runs(p_owner uuid) RETURNS TABLE (run_id uuid, cancel text)
LANGUAGE sql STABLE AS $$
    SELECT w.run_id, w.cancel FROM work w
    WHERE w.owner = p_owner AND w.state = 'r' AND w.cancel IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM effects e WHERE e.run_id = w.run_id
                      AND e.state IN ('executing', 'executed', 'outcome_unknown'))
$$;

CREATE FUNCTION backlog(p_limit integer) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT count(*)::integer FROM (SELECT 1 FROM work WHERE state = 'q' LIMIT p_limit) q
$$;

-- accept_batch as in 0002, with slots by desk (s_desks, s_counts; empty: p_slots for all) and the graph's version of
-- each record, which is stamped on what starts at once.
DROP FUNCTION accept_batch(
    text, uuid, integer, text, uuid[], text[], integer[], bigint[], uuid[], uuid[], text[], text[], text[], text[],
    bytea[], jsonb[], timestamptz[], uuid[], text[], integer[], bigint[], uuid[], text[], text[], bytea[]);
CREATE FUNCTION accept_batch(
    p_group text, p_owner uuid, p_slots integer, p_dead_topic text,
    p_topic_ids uuid[], p_topics text[], p_parts integer[], p_offsets bigint[], p_events uuid[], p_runs uuid[],
    p_types text[], p_desks text[], p_subjects text[], p_lanes text[], p_payloads bytea[], p_headers jsonb[],
    p_appended timestamptz[], p_versions text[], s_desks text[], s_counts integer[],
    d_topic_ids uuid[], d_topics text[], d_parts integer[], d_offsets bigint[], d_events uuid[], d_causes text[],
    d_classes text[], d_raws bytea[]
) RETURNS TABLE (claimed_run uuid, claimed_fence integer)
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO cursors (group_id, topic_id, partition, topic)
    SELECT DISTINCT p_group, u.topic_id, u.part, u.topic
    FROM (SELECT * FROM unnest(p_topic_ids, p_parts, p_topics) a(topic_id, part, topic)
          UNION SELECT * FROM unnest(d_topic_ids, d_parts, d_topics) b(topic_id, part, topic)) u
    WHERE NOT EXISTS (SELECT 1 FROM cursors c
                      WHERE c.group_id = p_group AND c.topic_id = u.topic_id AND c.partition = u.part)
    ORDER BY 2, 3
    ON CONFLICT DO NOTHING;

    PERFORM 1 FROM cursors c
    WHERE c.group_id = p_group
      AND (c.topic_id, c.partition) IN (
          SELECT * FROM unnest(p_topic_ids, p_parts) UNION SELECT * FROM unnest(d_topic_ids, d_parts))
    ORDER BY c.topic_id, c.partition FOR UPDATE;

    -- Meet the record of a predecessor that is just finishing: wait for its commit, or make it wait for ours.
    PERFORM 1
    FROM (SELECT DISTINCT d, s FROM unnest(p_desks, p_subjects) u(d, s) ORDER BY 1, 2) x
    CROSS JOIN LATERAL (SELECT 1 FROM work w WHERE w.desk = x.d AND w.subject = x.s
                        ORDER BY w.seq DESC LIMIT 1 FOR KEY SHARE) l;

    RETURN QUERY
    WITH b AS MATERIALIZED (
        SELECT u.*
        FROM unnest(p_topic_ids, p_topics, p_parts, p_offsets, p_events, p_runs, p_types, p_desks, p_subjects,
                    p_lanes, p_payloads, p_headers, p_appended, p_versions) WITH ORDINALITY
             u(topic_id, topic, part, off, event_id, run_id, event_type, desk, subject, lane, payload, headers,
               appended_at, version, ord)
        JOIN cursors c ON c.group_id = p_group AND c.topic_id = u.topic_id AND c.partition = u.part
        WHERE u.off >= c.next_offset),
    -- One event may come twice in one batch, by both lanes: the join below would make two runs of it.
    ok AS MATERIALIZED (SELECT DISTINCT ON (b.event_id) b.* FROM b ORDER BY b.event_id, b.ord),
    k AS (INSERT INTO inbox_keys (event_id, run_id)
          SELECT ok.event_id, ok.run_id FROM ok ORDER BY ok.event_id
          ON CONFLICT DO NOTHING RETURNING inbox_keys.event_id),
    nw AS MATERIALIZED (
        SELECT ok.*, ok.desk <> ''
               AND row_number() OVER (PARTITION BY ok.desk, ok.subject ORDER BY ok.ord) = 1
               AND NOT EXISTS (SELECT 1 FROM work w WHERE w.desk = ok.desk AND w.subject = ok.subject) AS head
        FROM ok JOIN k ON k.event_id = ok.event_id),
    numbered AS MATERIALIZED (
        SELECT o.*, nextval('run_seq') AS seq,
               o.head AND CASE WHEN cardinality(s_desks) = 0
                               THEN count(*) FILTER (WHERE o.head) OVER (ORDER BY o.ord) <= p_slots
                               ELSE count(*) FILTER (WHERE o.head) OVER (PARTITION BY o.desk ORDER BY o.ord)
                                    <= coalesce(s_counts[array_position(s_desks, o.desk)], 0) END
               AND NOT EXISTS (SELECT 1 FROM workers k WHERE k.worker_id = p_owner AND k.state = 'dead') AS go
        FROM (SELECT * FROM nw ORDER BY nw.ord) o),
    doubles AS (
        INSERT INTO inbox_doubles (topic_id, partition, "offset", event_id, lane)
        SELECT b.topic_id, b.part, b.off, b.event_id, b.lane FROM b
        WHERE NOT EXISTS (SELECT 1 FROM nw WHERE nw.ord = b.ord)
        ON CONFLICT DO NOTHING),
    kept AS (
        INSERT INTO inbox (run_id, event_id, topic, topic_id, partition, "offset", desk, subject, event_type, lane,
                           payload, headers, appended_at)
        SELECT n.run_id, n.event_id, n.topic, n.topic_id, n.part, n.off, n.desk, n.subject, n.event_type, n.lane,
               n.payload, n.headers, n.appended_at
        FROM numbered n),
    unhandled AS (
        INSERT INTO runs (run_id, seq, desk, subject, state, event_id, graph, graph_version, fence, fails)
        SELECT n.run_id, n.seq, '', n.subject, 'unhandled', n.event_id, '', '', 0, 0
        FROM numbered n WHERE n.desk = ''),
    live AS (
        INSERT INTO work (run_id, seq, desk, subject, state, head, owner, fence, event_id, graph, graph_version)
        SELECT n.run_id, n.seq, n.desk, n.subject, CASE WHEN n.go THEN 'r' ELSE 'q' END::"char", n.head,
               CASE WHEN n.go THEN p_owner END, n.go::integer, n.event_id, n.event_type,
               CASE WHEN n.go THEN n.version ELSE '' END
        FROM numbered n WHERE n.desk <> ''
        RETURNING work.run_id, work.fence, work.state),
    buried AS (
        INSERT INTO dead_letters (source, topic, topic_id, partition, "offset", event_id, cause, error_class, raw)
        SELECT 'kafka', u.* FROM unnest(d_topics, d_topic_ids, d_parts, d_offsets, d_events, d_causes, d_classes,
                                        d_raws) u
        ON CONFLICT DO NOTHING
        RETURNING dl_id, topic, topic_id, partition, "offset", cause, error_class, raw),
    mirrored AS (
        INSERT INTO outbox (lane, topic, key, value, headers)
        SELECT outbox_lane(k.key), p_dead_topic, k.key, d.raw,
               jsonb_build_array(
                   jsonb_build_array('cause', d.cause), jsonb_build_array('error_class', d.error_class),
                   jsonb_build_array('topic', d.topic), jsonb_build_array('partition', d.partition::text),
                   jsonb_build_array('offset', d."offset"::text), jsonb_build_array('dl_id', d.dl_id::text))
        FROM buried d
        CROSS JOIN LATERAL (SELECT convert_to(d.topic || '/' || d.partition, 'UTF8') AS key) k
        WHERE p_dead_topic <> ''
        ORDER BY d.dl_id),
    moved AS (
        UPDATE cursors c SET next_offset = m.hi, moved_at = now()
        FROM (SELECT u.topic_id, u.part, max(u.off) + 1 AS hi
              FROM (SELECT * FROM unnest(p_topic_ids, p_parts, p_offsets) a(topic_id, part, off)
                    UNION ALL SELECT * FROM unnest(d_topic_ids, d_parts, d_offsets) e(topic_id, part, off)) u
              GROUP BY 1, 2) m
        WHERE c.group_id = p_group AND c.topic_id = m.topic_id AND c.partition = m.part AND c.next_offset < m.hi)
    SELECT live.run_id, live.fence FROM live WHERE live.state = 'r';

    IF cardinality(d_offsets) > 0 THEN
        PERFORM pg_notify('tradeloop_outbox', '');
    END IF;
END $$;

-- record_runs as in 0003, but that a run whose effect began is not cancelled.
CREATE OR REPLACE FUNCTION record_runs(
    p_owner uuid, p_topic text, p_dead_topic text, p_runs uuid[], p_fences integer[], p_states text[],
    p_decision_ids uuid[], p_graphs text[], p_versions text[], p_decisions jsonb[], p_effects jsonb[],
    p_errors text[], p_classes text[], p_stacks text[], p_values bytea[], p_headers jsonb[], p_audits jsonb[]
) RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
    done uuid[];
    desks text[];
    subjects text[];
BEGIN
    -- The locks of append_audit, before the snapshot that finds the next number: an earlier owner may be telling, late,
    -- what became of an effect of the run.
    PERFORM pg_advisory_xact_lock(hashtextextended(u.rid::text, 0))
    FROM (SELECT DISTINCT rid FROM unnest(p_runs) x(rid) ORDER BY rid) u;
    WITH r AS MATERIALIZED (
        SELECT * FROM unnest(p_runs, p_fences, p_states, p_decision_ids, p_graphs, p_versions, p_decisions, p_effects,
                             p_errors, p_classes, p_stacks, p_values, p_headers, p_audits)
               u(rid, f, state, decision_id, graph, version, decision, effect, error, class, stack, value, headers,
                 audit)),
    lk AS MATERIALIZED (
        SELECT w.run_id FROM work w JOIN r ON w.run_id = r.rid AND w.fence = r.f
        WHERE w.owner = p_owner AND w.state = 'r'
          -- What an effect began is not to be cancelled: it may have happened.
          AND (r.state <> 'cancelled' OR NOT EXISTS (
              SELECT 1 FROM effects e WHERE e.run_id = w.run_id
              AND e.state IN ('executing', 'executed', 'outcome_unknown')))
        -- In the order in which accept_batch locks predecessors: in any other, the two can meet head on.
        ORDER BY w.desk, w.subject FOR UPDATE OF w),
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
