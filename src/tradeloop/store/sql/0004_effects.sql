-- The ledger of side effects. FOR SHARE in every fence: a takeover updates non-key columns and passes KEY SHARE.

CREATE FUNCTION prepare_effect(
    p_owner uuid, p_run uuid, p_fence integer, p_key bytea, p_decision uuid, p_slot text, p_kind text, p_target text,
    p_action jsonb, p_digest text
) RETURNS SETOF effects LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM work w WHERE w.run_id = p_run AND w.owner = p_owner AND w.fence = p_fence AND w.state = 'r'
    FOR SHARE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    INSERT INTO effects (effect_key, run_id, decision_id, slot, kind, target, action, digest, state, fence, worker_id)
    VALUES (p_key, p_run, p_decision, p_slot, p_kind, p_target, p_action, p_digest, 'prepared', p_fence, p_owner)
    ON CONFLICT DO NOTHING;
    RETURN QUERY SELECT * FROM effects e WHERE e.effect_key = p_key;
    IF NOT FOUND THEN -- the slot was taken by another action: the first one is the action
        RETURN QUERY SELECT * FROM effects e WHERE e.run_id = p_run AND e.slot = p_slot;
    END IF;
END $$;

CREATE FUNCTION start_effect(p_owner uuid, p_run uuid, p_fence integer, p_key bytea, p_timeout_s double precision)
RETURNS boolean LANGUAGE sql AS $$
    WITH me AS MATERIALIZED (
        SELECT 1 FROM work w WHERE w.run_id = p_run AND w.owner = p_owner AND w.fence = p_fence AND w.state = 'r'
        FOR SHARE),
    started AS (
        UPDATE effects e SET state = 'executing', fence = p_fence, worker_id = p_owner, calls = e.calls + 1,
                             blocked_reason = '', executing_at = clock_timestamp(),
                             execute_by = clock_timestamp() + make_interval(secs => p_timeout_s)
        FROM me WHERE e.effect_key = p_key AND e.state IN ('prepared', 'executing') RETURNING 1)
    SELECT EXISTS (SELECT 1 FROM started)
$$;
