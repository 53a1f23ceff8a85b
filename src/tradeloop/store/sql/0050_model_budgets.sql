-- What was asked of models: one row a call, reserved at its highest before the call, set to what it used afterwards. A
-- call whose process died stays counted as it was reserved. No word of a question or an answer is in here.
CREATE TABLE model_calls (
    call_id uuid PRIMARY KEY,
    run_id uuid NOT NULL,
    desk text NOT NULL,
    day date NOT NULL,
    model text NOT NULL,
    tokens bigint NOT NULL CHECK (tokens >= 0),
    cost numeric NOT NULL CHECK (cost >= 0),
    reserved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled_at timestamptz
);
CREATE INDEX model_calls_run ON model_calls (run_id);
CREATE INDEX model_calls_reserved_at ON model_calls USING brin (reserved_at);

-- The sums of a day, UTC: of each desk, and under '' of all.
CREATE TABLE model_days (
    day date NOT NULL,
    desk text NOT NULL,
    tokens bigint NOT NULL DEFAULT 0,
    cost numeric NOT NULL DEFAULT 0,
    PRIMARY KEY (day, desk)
);

-- Reserves a call, or says which budget it would overspend and reserves nothing. All reservations of a day pass one
-- after the other, and so do those of a run, which may lie on both sides of midnight.
CREATE FUNCTION reserve_model_call(
    p_call uuid, p_run uuid, p_desk text, p_model text, p_tokens bigint, p_cost numeric,
    p_run_tokens bigint, p_desk_tokens bigint, p_day_tokens bigint,
    p_run_cost numeric, p_desk_cost numeric, p_day_cost numeric
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    today date;
    of_run record;
    of_desk model_days;
    of_day model_days;
    refusal text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('tradeloop.model_run.' || p_run, 0));
    today := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    INSERT INTO model_days (day, desk) VALUES (today, ''), (today, p_desk) ON CONFLICT DO NOTHING;
    SELECT * INTO of_day FROM model_days d WHERE d.day = today AND d.desk = '' FOR UPDATE;
    SELECT * INTO of_desk FROM model_days d WHERE d.day = today AND d.desk = p_desk FOR UPDATE;
    SELECT coalesce(sum(c.tokens), 0) AS tokens, coalesce(sum(c.cost), 0) AS cost INTO of_run
    FROM model_calls c WHERE c.run_id = p_run;
    refusal := CASE
        WHEN p_run_tokens > 0 AND of_run.tokens + p_tokens > p_run_tokens THEN 'run_tokens'
        WHEN p_desk_tokens > 0 AND of_desk.tokens + p_tokens > p_desk_tokens THEN 'desk_tokens'
        WHEN p_day_tokens > 0 AND of_day.tokens + p_tokens > p_day_tokens THEN 'day_tokens'
        WHEN p_run_cost > 0 AND of_run.cost + p_cost > p_run_cost THEN 'run_cost'
        WHEN p_desk_cost > 0 AND of_desk.cost + p_cost > p_desk_cost THEN 'desk_cost'
        WHEN p_day_cost > 0 AND of_day.cost + p_cost > p_day_cost THEN 'day_cost'
        ELSE ''
    END;
    IF refusal = '' THEN
        INSERT INTO model_calls (call_id, run_id, desk, day, model, tokens, cost)
        VALUES (p_call, p_run, p_desk, today, p_model, p_tokens, p_cost);
        UPDATE model_days d SET tokens = d.tokens + p_tokens, cost = d.cost + p_cost
        WHERE d.day = today AND d.desk IN ('', p_desk);
    END IF;
    RETURN refusal;
END $$;

-- Sets a reserved call to what it used, once; a second time changes nothing.
CREATE FUNCTION settle_model_call(p_call uuid, p_tokens bigint, p_cost numeric) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    was model_calls;
BEGIN
    SELECT * INTO was FROM model_calls c WHERE c.call_id = p_call AND c.settled_at IS NULL FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM 1 FROM model_days d WHERE d.day = was.day AND d.desk = '' FOR UPDATE;
    UPDATE model_days d
    SET tokens = d.tokens + coalesce(p_tokens, was.tokens) - was.tokens,
        cost = d.cost + coalesce(p_cost, was.cost) - was.cost
    WHERE d.day = was.day AND d.desk IN ('', was.desk);
    UPDATE model_calls c
    SET tokens = coalesce(p_tokens, c.tokens), cost = coalesce(p_cost, c.cost), settled_at = clock_timestamp()
    WHERE c.call_id = p_call;
END $$;
