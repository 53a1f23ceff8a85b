-- Dead letters are answered: put back through the inbox, or discarded with a reason. The bytes stay.

ALTER TABLE dead_letters ADD COLUMN decided_at timestamptz, ADD COLUMN replay_run_id uuid;
-- What an open letter needs for its replay is kept; housekeeping asks by these.
CREATE INDEX dead_letters_open_event ON dead_letters (event_id) WHERE state = 'open';
CREATE INDEX dead_letters_open_run ON dead_letters (run_id) WHERE state = 'open';

-- One letter back through the inbox. The event's key decides: it is moved on from the generation that the letter
-- knows, or made when it never was in; otherwise nothing happens. Locks as in intake: the subject, then its last row.
CREATE FUNCTION replay_letter(
    p_letter bigint, p_run uuid, p_event uuid, p_type text, p_desk text, p_subject text, p_payload bytea,
    p_stream uuid, p_by text
) RETURNS TABLE (result text, new_run uuid, new_generation integer) LANGUAGE plpgsql AS $$
DECLARE
    letter dead_letters;
    entered integer;
BEGIN
    SELECT * INTO letter FROM dead_letters d WHERE d.dl_id = p_letter AND d.state = 'open' FOR UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'settled', NULL::uuid, 0;
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(concat_ws(E'\x1f', p_desk, p_subject), 0));
    PERFORM 1 FROM work w WHERE w.desk = p_desk AND w.subject = p_subject ORDER BY w.seq DESC LIMIT 1 FOR KEY SHARE;

    IF letter.source = 'run' THEN
        INSERT INTO inbox_keys AS k (event_id, run_id, generation)
        SELECT p_event, p_run, r.generation + 1 FROM runs r WHERE r.run_id = letter.run_id AND r.event_id = p_event
        ON CONFLICT (event_id) DO UPDATE SET generation = excluded.generation, run_id = p_run, seen_at = now()
        WHERE k.generation = excluded.generation - 1
        RETURNING k.generation INTO entered;
    ELSE
        INSERT INTO inbox_keys AS k (event_id, run_id) VALUES (p_event, p_run)
        ON CONFLICT DO NOTHING RETURNING k.generation INTO entered;
    END IF;
    IF entered IS NULL THEN
        RETURN QUERY SELECT 'doubled', NULL::uuid, 0;
        RETURN;
    END IF;

    INSERT INTO inbox (run_id, event_id, topic, topic_id, partition, "offset", desk, subject, event_type, lane, payload,
                       headers, appended_at)
    SELECT p_run, p_event, coalesce(i.topic, letter.topic),
           coalesce(i.topic_id, letter.topic_id, '00000000-0000-0000-0000-000000000000'),
           coalesce(i.partition, letter.partition, -1), coalesce(i."offset", letter."offset", -1),
           p_desk, p_subject, p_type, coalesce(i.lane, ''), p_payload, coalesce(i.headers, '[]'),
           coalesce(i.appended_at, letter.created_at)
    FROM (SELECT 1) one LEFT JOIN inbox i ON i.run_id = letter.run_id;
    INSERT INTO work (run_id, seq, desk, subject, state, head, event_id, generation, graph)
    SELECT p_run, nextval('run_seq'), p_desk, p_subject, 'q',
           NOT EXISTS (SELECT 1 FROM work w WHERE w.desk = p_desk AND w.subject = p_subject), p_event, entered, p_type;
    UPDATE dead_letters d SET state = 'replayed', decided_by = p_by, decided_at = clock_timestamp(),
                              replay_run_id = p_run
    WHERE d.dl_id = p_letter;
    PERFORM append_audit(p_stream, 'dead_letter_replayed', jsonb_build_object(
        'letter', p_letter, 'by', p_by, 'event_id', p_event, 'run_id', p_run, 'generation', entered,
        'former_run_id', letter.run_id, 'cause', letter.cause));
    RETURN QUERY SELECT 'replayed', p_run, entered;
END $$;

CREATE FUNCTION discard_letter(p_letter bigint, p_stream uuid, p_by text, p_reason text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    letter dead_letters;
BEGIN
    UPDATE dead_letters d SET state = 'discarded', decided_by = p_by, reason = p_reason,
                              decided_at = clock_timestamp()
    WHERE d.dl_id = p_letter AND d.state = 'open' RETURNING * INTO letter;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM append_audit(p_stream, 'dead_letter_discarded', jsonb_build_object(
        'letter', p_letter, 'by', p_by, 'reason', p_reason, 'event_id', letter.event_id, 'run_id', letter.run_id,
        'cause', letter.cause));
    RETURN true;
END $$;
