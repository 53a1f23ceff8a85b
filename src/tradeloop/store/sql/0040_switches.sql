-- The kill switch: one row for everything, one a desk. A stop holds effects back; nothing is lost, and nothing decided.
CREATE TABLE switches (
    scope text PRIMARY KEY CHECK (scope = 'global' OR scope LIKE 'desk:_%'),
    stopped boolean NOT NULL,
    changed_by text NOT NULL,
    reason text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Why effects of the desk are stopped; empty when they are not.
CREATE FUNCTION stopped_because(p_desk text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT 'switched off: ' || s.scope || ' stopped by ' || s.changed_by || ': ' || s.reason FROM switches s
                     WHERE s.stopped AND s.scope IN ('global', 'desk:' || p_desk) ORDER BY s.scope DESC LIMIT 1), '')
$$;

-- Stops and begins of effects exclude each other: once a stop has committed, every begin sees it.
CREATE FUNCTION turn_switch(p_scope text, p_stopped boolean, p_by text, p_reason text, p_stream uuid)
RETURNS SETOF switches LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('tradeloop.switches', 0));
    RETURN QUERY
        INSERT INTO switches AS s (scope, stopped, changed_by, reason) VALUES (p_scope, p_stopped, p_by, p_reason)
        ON CONFLICT (scope) DO UPDATE SET stopped = p_stopped, changed_by = p_by, reason = p_reason,
                                          changed_at = clock_timestamp()
        WHERE s.stopped <> p_stopped
        RETURNING s.*;
    IF FOUND THEN
        PERFORM append_audit(p_stream, CASE WHEN p_stopped THEN 'switch_stopped' ELSE 'switch_released' END,
            jsonb_build_object('scope', p_scope, 'by', p_by, 'reason', p_reason));
        IF NOT p_stopped THEN
            UPDATE work w SET due_at = clock_timestamp(), fails = 0
            WHERE w.state = 'w' AND w.error LIKE 'switched off: %' AND stopped_because(w.desk) = '';
        END IF;
    END IF;
END $$;

DROP FUNCTION begin_effect(uuid, uuid, integer, bytea, text, double precision);
CREATE FUNCTION begin_effect(
    p_owner uuid, p_run uuid, p_fence integer, p_key bytea, p_class text, p_within_s double precision,
    OUT turn text, OUT overdue boolean, OUT told text
) LANGUAGE plpgsql AS $$
DECLARE
    was effects;
    its_desk text;
BEGIN
    overdue := false;
    told := '';
    SELECT w.desk INTO its_desk FROM work w
    WHERE w.run_id = p_run AND w.owner = p_owner AND w.fence = p_fence AND w.state = 'r' FOR SHARE;
    IF NOT FOUND THEN
        turn := 'lost';
        RETURN;
    END IF;
    SELECT * INTO was FROM effects e WHERE e.effect_key = p_key AND e.run_id = p_run FOR UPDATE;
    overdue := coalesce(was.state = 'executing' AND was.execute_by < clock_timestamp(), false);
    IF was.state = 'prepared' OR (was.state = 'executing' AND p_class = 'keyed') THEN
        PERFORM pg_advisory_xact_lock_shared(hashtextextended('tradeloop.switches', 0));
        told := stopped_because(its_desk);
        IF told <> '' THEN
            turn := 'stopped';
            RETURN;
        END IF;
        turn := 'call';
        UPDATE effects e
        SET state = 'executing', fence = p_fence, worker_id = p_owner, calls = e.calls + 1, blocked_reason = '',
            executing_at = clock_timestamp(),
            execute_by = CASE WHEN e.state = 'executing' THEN e.execute_by
                              ELSE clock_timestamp() + make_interval(secs => p_within_s) END
        WHERE e.effect_key = p_key;
    ELSIF was.state = 'executing' AND p_class = 'queryable' THEN
        turn := 'ask';
    ELSIF was.state = 'executing' THEN
        turn := 'unknown';
        UPDATE effects e SET state = 'outcome_unknown', error = 'its caller did not come back'
        WHERE e.effect_key = p_key;
        PERFORM append_audit(p_run, 'effect_outcome_unknown', jsonb_build_object(
            'effect_key', encode(p_key, 'hex'), 'reason', 'its caller did not come back'));
    ELSE
        turn := CASE was.state WHEN 'outcome_unknown' THEN 'unknown' ELSE 'settled' END;
    END IF;
END $$;
