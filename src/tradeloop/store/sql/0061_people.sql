-- Who may act: principals with their roles and delegations, their keys, their browser sessions. Names are never used
-- again: what was removed stays, inactive, because records name it.
CREATE TABLE principals (
    name        text PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 200),
    kind        text NOT NULL CHECK (kind IN ('person', 'service')),
    roles       text[] NOT NULL DEFAULT '{}'
                CHECK (roles <@ ARRAY['viewer', 'operator', 'approver', 'administrator', 'service']),
    delegations jsonb NOT NULL DEFAULT '[]',
    is_active   boolean NOT NULL DEFAULT true,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- Anna and anna would be two people who could check one another.
CREATE UNIQUE INDEX principals_name ON principals (lower(name));

CREATE TABLE api_keys (
    key_id       text PRIMARY KEY,
    principal    text NOT NULL REFERENCES principals (name),
    secret_hash  bytea NOT NULL CHECK (length(secret_hash) = 32),
    label        text NOT NULL DEFAULT '',
    created_by   text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    revoked_by   text NOT NULL DEFAULT '',
    last_used_at timestamptz
);
CREATE INDEX api_keys_principal ON api_keys (principal);

CREATE TABLE web_sessions (
    session_hash bytea PRIMARY KEY CHECK (length(session_hash) = 32),
    principal    text NOT NULL REFERENCES principals (name),
    key_id       text NOT NULL DEFAULT '',
    signed_in_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at   timestamptz NOT NULL,
    ended_at     timestamptz
);
CREATE INDEX web_sessions_expires_at ON web_sessions (expires_at);

CREATE TABLE signing_keys (
    name text PRIMARY KEY,
    key  bytea NOT NULL CHECK (length(key) = 32)
);

-- What was triggered through the API: by it an idempotency key that comes again is known, and an event that is on its way.
CREATE TABLE api_triggers (
    event_id     uuid PRIMARY KEY,
    body_digest  text NOT NULL,
    principal    text NOT NULL,
    event_type   text NOT NULL,
    triggered_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX api_triggers_triggered_at ON api_triggers (triggered_at);

-- The event into the outbox, once an event id. Returns the digest of the body that it was first triggered with.
CREATE FUNCTION trigger_event(
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
        PERFORM pg_notify('tradeloop_outbox', '');
    ELSE
        SELECT t.body_digest INTO digest FROM api_triggers t WHERE t.event_id = p_event;
    END IF;
END $$;
