-- The ledger's transitions. Locks are taken work, then effects, by a run's owner, and effects, then work, by all others;
-- the two never meet on one run: the owner's guard wants state r, the others change state u alone.

ALTER TABLE effects ADD COLUMN event_id uuid;
UPDATE effects e SET event_id = i.event_id FROM inbox i WHERE i.run_id = e.run_id;
-- The latch: one row an (event, slot), whichever run or replay of the event asks.
CREATE UNIQUE INDEX effects_event_slot ON effects (event_id, slot);
CREATE INDEX effects_prepared_at ON effects (prepared_at);

-- Records of one stream are numbered without gaps; the lock is of this stream and ends with the transaction.
CREATE FUNCTION append_audit(p_stream uuid, p_kind text, p_body jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(p_stream::text, 0));
    INSERT INTO audit (stream_id, n, kind, body)
    SELECT p_stream, coalesce(max(a.n), 0) + 1, p_kind, p_body FROM audit a WHERE a.stream_id = p_stream;
END $$;

-- The row of (event, slot), made or found. It follows the newest run of its event, and keeps its decision's id.
-- What has certainly not happened (failed, or prepared and never called) gives way to a later run's or owner's wish.
CREATE OR REPLACE FUNCTION prepare_effect(
    p_owner uuid, p_run uuid, p_fence integer, p_key bytea, p_decision uuid, p_slot text, p_kind text, p_target text,
    p_action jsonb, p_digest text
) RETURNS SETOF effects LANGUAGE plpgsql AS $$
DECLARE
    cause uuid;
    found_row effects;
    is_other boolean;
BEGIN
    SELECT w.event_id INTO cause FROM work w
    WHERE w.run_id = p_run AND w.owner = p_owner AND w.fence = p_fence AND w.state = 'r' FOR SHARE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    INSERT INTO effects (effect_key, run_id, event_id, decision_id, slot, kind, target, action, digest, state, fence,
                         worker_id)
    VALUES (p_key, p_run, cause, p_decision, p_slot, p_kind, p_target, p_action, p_digest, 'prepared', p_fence, p_owner)
    ON CONFLICT DO NOTHING RETURNING * INTO found_row;
    IF FOUND THEN
        RETURN NEXT found_row;
        RETURN;
    END IF;
    SELECT * INTO found_row FROM effects e WHERE e.event_id = cause AND e.slot = p_slot FOR UPDATE;
    is_other := found_row.effect_key <> p_key;
    IF (found_row.state = 'failed' AND found_row.run_id <> p_run)
       OR (is_other AND found_row.state = 'prepared' AND found_row.calls = 0
           AND (found_row.run_id <> p_run OR found_row.fence < p_fence)) THEN
        PERFORM append_audit(p_run, 'effect_prepared_again', to_jsonb(found_row) || jsonb_build_object(
            'effect_key', encode(found_row.effect_key, 'hex'), 'new_effect_key', encode(p_key, 'hex')));
        UPDATE effects e
        SET run_id = p_run, effect_key = p_key, decision_id = CASE WHEN is_other THEN p_decision ELSE e.decision_id END,
            kind = p_kind, target = p_target, action = p_action, digest = p_digest, state = 'prepared', calls = 0,
            fence = p_fence, worker_id = p_owner, execute_by = NULL, blocked_reason = '', result = '{}', error = '',
            prepared_at = clock_timestamp(), executing_at = NULL, finished_at = NULL
        WHERE e.effect_key = found_row.effect_key RETURNING * INTO found_row;
    ELSIF found_row.run_id <> p_run THEN
        UPDATE effects e SET run_id = p_run WHERE e.effect_key = found_row.effect_key RETURNING * INTO found_row;
    END IF;
    RETURN NEXT found_row;
END $$;

-- What the run's owner has to do next: call, ask the target, leave it to a person (unknown), or read again (settled).
-- fence and worker_id name the last caller, so they change only with a call.
CREATE FUNCTION begin_effect(
    p_owner uuid, p_run uuid, p_fence integer, p_key bytea, p_class text, p_within_s double precision,
    OUT turn text, OUT overdue boolean
) LANGUAGE plpgsql AS $$
DECLARE
    was effects;
BEGIN
    overdue := false;
    PERFORM 1 FROM work w WHERE w.run_id = p_run AND w.owner = p_owner AND w.fence = p_fence AND w.state = 'r'
    FOR SHARE;
    IF NOT FOUND THEN
        turn := 'lost';
        RETURN;
    END IF;
    SELECT * INTO was FROM effects e WHERE e.effect_key = p_key AND e.run_id = p_run FOR UPDATE;
    overdue := coalesce(was.state = 'executing' AND was.execute_by < clock_timestamp(), false);
    IF was.state = 'prepared' OR (was.state = 'executing' AND p_class = 'keyed') THEN
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

-- executing -> outcome_unknown, by the run's owner; false when the run was lost or the truth came in between.
CREATE FUNCTION doubt_effect(p_owner uuid, p_run uuid, p_fence integer, p_key bytea, p_reason text)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    WITH me AS MATERIALIZED (
        SELECT 1 FROM work w WHERE w.run_id = p_run AND w.owner = p_owner AND w.fence = p_fence AND w.state = 'r'
        FOR SHARE)
    UPDATE effects e SET state = 'outcome_unknown', error = p_reason
    FROM me WHERE e.effect_key = p_key AND e.state = 'executing';
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM append_audit(p_run, 'effect_outcome_unknown', jsonb_build_object(
        'effect_key', encode(p_key, 'hex'), 'reason', p_reason));
    RETURN true;
END $$;

-- u -> q once nothing of the run is unknown any more.
CREATE FUNCTION wake_run(p_run uuid) RETURNS void LANGUAGE sql AS $$
    UPDATE work w SET state = 'q', error = ''
    WHERE w.run_id = p_run AND w.state = 'u'
      AND NOT EXISTS (SELECT 1 FROM effects e WHERE e.run_id = p_run AND e.state = 'outcome_unknown')
$$;

-- That it was done is taken from whoever did it, whatever the ledger believes; a no only from the last caller.
CREATE FUNCTION finish_effect(
    p_owner uuid, p_fence integer, p_key bytea, p_executed boolean, p_result jsonb, p_error text
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    was effects;
BEGIN
    SELECT * INTO was FROM effects e WHERE e.effect_key = p_key FOR UPDATE;
    IF NOT FOUND OR was.state = 'executed' OR (NOT p_executed AND (
           was.state NOT IN ('executing', 'outcome_unknown') OR was.fence <> p_fence
           OR was.worker_id IS DISTINCT FROM p_owner)) THEN
        RETURN;
    END IF;
    UPDATE effects e SET state = CASE WHEN p_executed THEN 'executed' ELSE 'failed' END, result = p_result,
                         error = p_error, blocked_reason = '', finished_at = clock_timestamp()
    WHERE e.effect_key = p_key;
    IF was.state <> 'executing' THEN
        PERFORM append_audit(was.run_id, 'effect_told_late', jsonb_build_object(
            'effect_key', encode(p_key, 'hex'), 'was', was.state, 'executed', p_executed, 'worker_id', p_owner));
        PERFORM wake_run(was.run_id);
    END IF;
END $$;

-- The run leaves its worker until somebody acts: u for an unknown outcome, v for a missing graph version.
CREATE FUNCTION suspend_run(p_owner uuid, p_run uuid, p_fence integer, p_state text, p_reason text, p_word text)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    wanted text := p_state;
BEGIN
    IF p_state = 'u' THEN -- the truth may have come since: then there is nothing to wait for
        PERFORM 1 FROM effects e WHERE e.run_id = p_run AND e.state = 'outcome_unknown' FOR SHARE;
        IF NOT FOUND THEN
            wanted := 'q';
        END IF;
    END IF;
    UPDATE work w SET state = wanted::"char", owner = NULL, error = CASE wanted WHEN 'q' THEN '' ELSE p_reason END
    WHERE w.run_id = p_run AND w.owner = p_owner AND w.fence = p_fence AND w.state = 'r';
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO attempts (run_id, fence, worker_id, outcome, error) VALUES (p_run, p_fence, p_owner, p_word, p_reason)
    ON CONFLICT DO NOTHING;
    PERFORM append_audit(p_run, 'run_suspended', jsonb_build_object('state', p_word, 'reason', p_reason));
    RETURN true;
END $$;

-- A person's word. Four eyes come with the approval gate: its check belongs before this call.
CREATE FUNCTION resolve_effect(p_key bytea, p_state text, p_by text, p_reason text)
RETURNS SETOF effects LANGUAGE plpgsql AS $$
DECLARE
    now_row effects;
BEGIN
    UPDATE effects e
    SET state = p_state, finished_at = CASE p_state WHEN 'prepared' THEN NULL ELSE clock_timestamp() END,
        result = CASE p_state WHEN 'executed' THEN jsonb_build_object('resolved_by', p_by, 'reason', p_reason)
                              ELSE '{}'::jsonb END,
        error = CASE p_state WHEN 'failed' THEN p_by || ' says that it did not happen: ' || p_reason ELSE '' END
    WHERE e.effect_key = p_key AND e.state = 'outcome_unknown' RETURNING * INTO now_row;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM append_audit(now_row.run_id, 'effect_resolved', jsonb_build_object(
        'effect_key', encode(p_key, 'hex'), 'state', p_state, 'by', p_by, 'reason', p_reason));
    PERFORM wake_run(now_row.run_id);
    RETURN NEXT now_row;
END $$;
