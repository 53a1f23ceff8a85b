-- A trigger through the API wakes the relay after its commit, not in it (`Database.hint`): a notification makes every commit
-- of the database wait for the one before, its write to the disk too, and two requests could not share one write.
CREATE OR REPLACE FUNCTION trigger_event(
    p_event uuid, p_digest text, p_principal text, p_type text, p_topic text, p_key bytea, p_value bytea, p_headers jsonb,
    OUT first boolean, OUT digest text
) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO api_triggers (event_id, body_digest, principal, event_type)
    VALUES (p_event, p_digest, p_principal, p_type) ON CONFLICT DO NOTHING;
    first := FOUND;
    IF first THEN
        digest := p_digest;
        INSERT INTO outbox (lane, topic, key, value, headers)
        VALUES (outbox_lane(p_key), p_topic, p_key, p_value, p_headers);
    ELSE
        SELECT t.body_digest INTO digest FROM api_triggers t WHERE t.event_id = p_event;
    END IF;
END $$;
