-- Intake and claim of a poll batch: one call, one transaction. Three groups of statements, because under READ
-- COMMITTED each takes a fresh snapshot: the lock on the cursor first, numbers after it, or a stopped poller that
-- wakes up late breaks the order; the predecessor's row lock in a statement of its own, or a run sleeps for ever.

CREATE FUNCTION outbox_lane(key bytea) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT (get_byte(sha256(key), 0) % 16)::smallint $$;

CREATE FUNCTION accept_batch(
    p_group text, p_owner uuid, p_slots integer, p_dead_topic text,
    p_topic_ids uuid[], p_topics text[], p_parts integer[], p_offsets bigint[], p_events uuid[], p_runs uuid[],
    p_types text[], p_desks text[], p_subjects text[], p_lanes text[], p_payloads bytea[], p_headers jsonb[],
    p_appended timestamptz[],
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
                    p_lanes, p_payloads, p_headers, p_appended) WITH ORDINALITY
             u(topic_id, topic, part, off, event_id, run_id, event_type, desk, subject, lane, payload, headers,
               appended_at, ord)
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
               o.head AND count(*) FILTER (WHERE o.head) OVER (ORDER BY o.ord) <= p_slots AS go
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
        INSERT INTO work (run_id, seq, desk, subject, state, head, owner, fence, event_id)
        SELECT n.run_id, n.seq, n.desk, n.subject, CASE WHEN n.go THEN 'r' ELSE 'q' END::"char", n.head,
               CASE WHEN n.go THEN p_owner END, n.go::integer, n.event_id
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
