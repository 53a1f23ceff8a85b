-- The release of a switch needs two people, where there are people: one asks, another one confirms exactly that, in time.
CREATE TABLE switch_releases (
    release_id  uuid PRIMARY KEY,
    scope       text NOT NULL REFERENCES switches (scope),
    asked_by    text NOT NULL,
    reason      text NOT NULL,
    asked_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    valid_until timestamptz NOT NULL,
    state       text NOT NULL DEFAULT 'asked' CHECK (state IN ('asked', 'confirmed', 'cancelled', 'expired')),
    ended_by    text NOT NULL DEFAULT '',
    ended_at    timestamptz,
    CHECK (state <> 'confirmed' OR lower(ended_by) <> lower(asked_by))
);
CREATE UNIQUE INDEX switch_releases_asked ON switch_releases (scope) WHERE state = 'asked';

-- Ends what was asked of a switch: expired when its time is over, else cancelled. Under the lock of the switches.
CREATE FUNCTION end_asked_release(p_scope text, p_by text, p_stream uuid) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    was switch_releases;
BEGIN
    UPDATE switch_releases r
    SET state = CASE WHEN r.valid_until <= clock_timestamp() THEN 'expired' ELSE 'cancelled' END,
        ended_by = CASE WHEN r.valid_until <= clock_timestamp() THEN '' ELSE p_by END, ended_at = clock_timestamp()
    WHERE r.scope = p_scope AND r.state = 'asked' RETURNING r.* INTO was;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM append_audit(p_stream, 'switch_release_' || was.state, jsonb_build_object(
        'scope', was.scope, 'release_id', was.release_id, 'asked_by', was.asked_by, 'by', was.ended_by));
    RETURN was.state = 'cancelled';
END $$;

-- The runs that rested because of a stop, and of none any more, go on at once.
CREATE FUNCTION wake_released() RETURNS void LANGUAGE sql AS $$
    UPDATE work w SET due_at = clock_timestamp(), fails = 0
    WHERE w.state = 'w' AND w.error LIKE 'switched off: %' AND stopped_because(w.desk) = ''
$$;

-- A stop is one person's, at once. A release is here only where there are no people: no row, and the switch stays.
CREATE OR REPLACE FUNCTION turn_switch(p_scope text, p_stopped boolean, p_by text, p_reason text, p_stream uuid)
RETURNS SETOF switches LANGUAGE plpgsql AS $$
DECLARE
    was_asked boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('tradeloop.switches', 0));
    IF NOT p_stopped AND EXISTS (SELECT FROM principals p WHERE p.kind = 'person' AND p.is_active) THEN
        RETURN;
    END IF;
    was_asked := end_asked_release(p_scope, p_by, p_stream);
    RETURN QUERY
        INSERT INTO switches AS s (scope, stopped, changed_by, reason) VALUES (p_scope, p_stopped, p_by, p_reason)
        ON CONFLICT (scope) DO UPDATE SET stopped = p_stopped, changed_by = p_by, reason = p_reason,
                                          changed_at = clock_timestamp()
        WHERE s.stopped <> p_stopped OR was_asked
        RETURNING s.*;
    IF FOUND THEN
        PERFORM append_audit(p_stream, CASE WHEN p_stopped THEN 'switch_stopped' ELSE 'switch_released' END,
            jsonb_build_object('scope', p_scope, 'by', p_by, 'reason', p_reason));
        IF p_stopped AND p_scope = 'global' THEN
            PERFORM end_asked_release(r.scope, p_by, p_stream) FROM switch_releases r WHERE r.state = 'asked';
        END IF;
        IF NOT p_stopped THEN
            PERFORM wake_released();
        END IF;
    END IF;
END $$;

-- What stands afterwards: the new release; another's that stands; nothing when the switch is not stopped.
CREATE FUNCTION ask_switch_release(
    p_id uuid, p_scope text, p_by text, p_reason text, p_valid_s double precision, p_stream uuid
) RETURNS SETOF switch_releases LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('tradeloop.switches', 0));
    IF NOT EXISTS (SELECT FROM switches s WHERE s.scope = p_scope AND s.stopped) THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT r.* FROM switch_releases r
        WHERE r.scope = p_scope AND r.state = 'asked' AND r.valid_until > clock_timestamp()
          AND lower(r.asked_by) <> lower(p_by);
    IF FOUND THEN
        RETURN;
    END IF;
    PERFORM end_asked_release(p_scope, p_by, p_stream);
    RETURN QUERY INSERT INTO switch_releases (release_id, scope, asked_by, reason, valid_until)
        VALUES (p_id, p_scope, p_by, p_reason, clock_timestamp() + make_interval(secs => p_valid_s))
        RETURNING *;
    PERFORM append_audit(p_stream, 'switch_release_asked', jsonb_build_object(
        'scope', p_scope, 'release_id', p_id, 'by', p_by, 'reason', p_reason, 'valid_s', p_valid_s));
END $$;

-- 'done' by this call; else 'unknown', 'same' (the one who asked), or how it ended, with who and when.
CREATE FUNCTION confirm_switch_release(
    p_id uuid, p_by text, p_stream uuid, OUT told text, OUT ended_by text, OUT ended_at timestamptz
) LANGUAGE plpgsql AS $$
DECLARE
    was switch_releases;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('tradeloop.switches', 0));
    SELECT * INTO was FROM switch_releases r WHERE r.release_id = p_id FOR UPDATE;
    IF NOT FOUND THEN
        told := 'unknown';
        RETURN;
    END IF;
    IF was.state = 'asked' AND was.valid_until <= clock_timestamp() THEN
        PERFORM end_asked_release(was.scope, p_by, p_stream);
        SELECT * INTO was FROM switch_releases r WHERE r.release_id = p_id;
    END IF;
    told := was.state;
    ended_by := was.ended_by;
    ended_at := coalesce(was.ended_at, was.valid_until);
    IF was.state <> 'asked' THEN
        RETURN;
    END IF;
    IF lower(was.asked_by) = lower(p_by) THEN
        told := 'same';
        RETURN;
    END IF;
    UPDATE switch_releases r SET state = 'confirmed', ended_by = p_by, ended_at = clock_timestamp()
    WHERE r.release_id = p_id;
    UPDATE switches s SET stopped = false, changed_by = was.asked_by || ' and ' || p_by, reason = was.reason,
                          changed_at = clock_timestamp()
    WHERE s.scope = was.scope;
    PERFORM append_audit(p_stream, 'switch_released', jsonb_build_object(
        'scope', was.scope, 'release_id', p_id, 'asked_by', was.asked_by, 'by', p_by, 'reason', was.reason));
    PERFORM wake_released();
    told := 'done';
END $$;
