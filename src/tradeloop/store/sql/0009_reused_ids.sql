-- An id that is used twice with other content. The first one counts; the other one is marked among the doubles and put
-- among the dead letters with its bytes, because somebody believes it was heard.

ALTER TABLE inbox_doubles ADD COLUMN differs boolean NOT NULL DEFAULT false;

CREATE FUNCTION same_content(one bytea, other bytea) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN one = other OR convert_from(one, 'UTF8')::jsonb = convert_from(other, 'UTF8')::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN false; -- a number that jsonb cannot hold: the bytes differ, and that is all that is known
END $$;

-- Called behind accept_batch in its transaction, whose doubles have this transaction's time: nothing to look for costs
-- one probe of an index. `p_after` only makes the caller's statement run in that order.
CREATE FUNCTION mark_reused_ids(
    p_after bigint, p_dead_topic text, p_topic_ids uuid[], p_topics text[], p_parts integer[], p_offsets bigint[],
    p_payloads bytea[]
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    n_buried bigint;
BEGIN
    IF NOT EXISTS (SELECT 1 FROM inbox_doubles d WHERE d.seen_at = now()) THEN
        RETURN;
    END IF;

    WITH reused AS MATERIALIZED (
        SELECT d.topic_id, u.topic, d.partition, d."offset", d.event_id, u.payload,
               i.topic || '[' || i.partition || ']@' || i."offset" AS first,
               -- The sweep tells a run's or an attempt's end from Airflow's history: told again after a crash, it may
               -- know more or less of the error than the first time. That is nobody's mistake.
               d.lane = 'sweep' AND i.lane = 'sweep' AS is_told_again
        FROM inbox_doubles d
        JOIN unnest(p_topic_ids, p_topics, p_parts, p_offsets, p_payloads) u(topic_id, topic, part, off, payload)
             ON (u.topic_id, u.part, u.off) = (d.topic_id, d.partition, d."offset")
        JOIN inbox_keys k ON k.event_id = d.event_id
        JOIN inbox i ON i.run_id = k.run_id
        WHERE d.seen_at = now() AND NOT same_content(i.payload, u.payload)),
    marked AS (
        UPDATE inbox_doubles d SET differs = true FROM reused r
        WHERE (d.topic_id, d.partition, d."offset") = (r.topic_id, r.partition, r."offset")),
    buried AS (
        INSERT INTO dead_letters (source, topic, topic_id, partition, "offset", event_id, cause, error_class, raw)
        SELECT 'kafka', r.topic, r.topic_id, r.partition, r."offset", r.event_id,
               'event_id ' || r.event_id || ' was accepted before with other content, from ' || r.first,
               'EventIdReused', r.payload
        FROM reused r WHERE NOT r.is_told_again
        ORDER BY r.topic_id, r.partition, r."offset"
        ON CONFLICT DO NOTHING
        RETURNING dl_id, topic, topic_id, partition, "offset", cause, error_class, raw),
    mirrored AS (
        INSERT INTO outbox (lane, topic, key, value, headers)
        SELECT outbox_lane(k.key), p_dead_topic, k.key, b.raw,
               jsonb_build_array(
                   jsonb_build_array('cause', b.cause), jsonb_build_array('error_class', b.error_class),
                   jsonb_build_array('topic', b.topic), jsonb_build_array('partition', b.partition::text),
                   jsonb_build_array('offset', b."offset"::text), jsonb_build_array('dl_id', b.dl_id::text))
        FROM buried b
        CROSS JOIN LATERAL (SELECT convert_to(b.topic || '/' || b.partition, 'UTF8') AS key) k
        WHERE p_dead_topic <> ''
        ORDER BY b.dl_id)
    SELECT count(*) INTO n_buried FROM buried;
    IF n_buried > 0 THEN
        PERFORM pg_notify('tradeloop_outbox', '');
    END IF;
END $$;
