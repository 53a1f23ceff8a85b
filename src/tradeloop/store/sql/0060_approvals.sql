-- What people are asked before an effect is released (mi-24). One row a version of a question; of one slot of a run only
-- the newest version counts. Locks are taken approvals, then work; a run that is owned is never woken, so that the
-- owner's own order (work, effects, approvals) meets nobody.

CREATE TABLE approvals (
    approval_id  uuid PRIMARY KEY,
    run_id       uuid NOT NULL,
    decision_id  uuid NOT NULL,
    event_id     uuid NOT NULL,
    desk         text NOT NULL,
    subject      text NOT NULL,
    slot         text NOT NULL,
    interrupt_id text NOT NULL,
    version      integer NOT NULL,
    previous_id  uuid,
    next_id      uuid,
    kind         text NOT NULL,
    target       text NOT NULL,
    action       jsonb NOT NULL,
    digest       text NOT NULL,
    requirement  jsonb NOT NULL,
    policy_hash  text NOT NULL,
    agent        text NOT NULL,
    requester    text NOT NULL,
    context      jsonb NOT NULL,
    state        text NOT NULL DEFAULT 'pending' CHECK (state IN (
        'pending', 'approved', 'rejected', 'expired', 'cancelled', 'failed', 'outcome_unknown', 'executed')),
    step         integer NOT NULL DEFAULT 0,
    escalations  integer NOT NULL DEFAULT 0,
    asked_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    deadline_at  timestamptz NOT NULL,
    answered_at  timestamptz,
    valid_until  timestamptz,
    closed_at    timestamptz,
    note         text NOT NULL DEFAULT '',
    void_by      text NOT NULL DEFAULT '',
    revision     integer NOT NULL DEFAULT 1,
    UNIQUE (run_id, slot, version)
) WITH (fillfactor = 80);
CREATE INDEX approvals_open ON approvals (deadline_at, approval_id) WHERE state = 'pending';
CREATE INDEX approvals_desk_open ON approvals (desk) WHERE state = 'pending';
CREATE INDEX approvals_asked_at ON approvals (asked_at);
CREATE INDEX approvals_decision_id ON approvals (decision_id);
CREATE INDEX approvals_done ON approvals (desk, kind, target) WHERE state = 'executed';

CREATE TABLE approval_votes (
    approval_id uuid NOT NULL REFERENCES approvals ON DELETE CASCADE,
    principal   text NOT NULL,
    answer      text NOT NULL CHECK (answer IN ('approve', 'reject')),
    reason      text NOT NULL,
    relied_on   text[] NOT NULL,
    channel     text NOT NULL,
    step        integer NOT NULL,
    digest      text NOT NULL,
    seen        jsonb NOT NULL,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (approval_id, principal)
);
CREATE INDEX approval_votes_principal ON approval_votes (principal, at);

-- Amounts held against a limit of the policy; a row is freed when its action certainly does not happen.
CREATE TABLE reservations (
    scope   text NOT NULL,
    run_id  uuid NOT NULL,
    slot    text NOT NULL,
    amount  numeric NOT NULL,
    held    boolean NOT NULL DEFAULT true,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (scope, run_id, slot)
);
CREATE INDEX reservations_run ON reservations (run_id, slot);
CREATE INDEX reservations_at ON reservations (at);

-- Holds the amount in each scope that has room for it; returns the scopes that have none. One at a time a scope.
CREATE FUNCTION reserve_amounts(p_run uuid, p_slot text, p_scopes text[], p_amounts numeric[], p_limits numeric[])
RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    over text[] := '{}';
    one record;
BEGIN
    FOR one IN SELECT * FROM unnest(p_scopes, p_amounts, p_limits) u(scope, amount, bound) ORDER BY u.scope LOOP
        PERFORM pg_advisory_xact_lock(hashtextextended('tradeloop.reservations.' || one.scope, 0));
        IF one.amount + coalesce((SELECT sum(r.amount) FROM reservations r WHERE r.scope = one.scope AND r.held
                                  AND (r.run_id, r.slot) <> (p_run, p_slot)), 0) > one.bound THEN
            over := over || one.scope;
        ELSE
            INSERT INTO reservations (scope, run_id, slot, amount) VALUES (one.scope, p_run, p_slot, one.amount)
            ON CONFLICT (scope, run_id, slot) DO UPDATE SET amount = excluded.amount, held = true;
        END IF;
    END LOOP;
    RETURN over;
END $$;

CREATE FUNCTION free_amounts(p_run uuid, p_slot text) RETURNS void LANGUAGE sql AS $$
    UPDATE reservations SET held = false WHERE run_id = p_run AND slot = p_slot AND held
$$;

-- p -> q once no question of the run is open.
CREATE FUNCTION wake_asked(p_run uuid) RETURNS void LANGUAGE sql AS $$
    UPDATE work w SET state = 'q', error = '', park = NULL
    WHERE w.run_id = p_run AND w.state = 'p'
      AND NOT EXISTS (SELECT 1 FROM approvals a WHERE a.run_id = p_run AND a.state = 'pending')
$$;

-- r -> p, with its questions; each question once, whoever asks it again. What was answered since lets the run go on.
CREATE FUNCTION park_run(
    p_owner uuid, p_run uuid, p_fence integer, p_word text, p_max_pending integer, p_asks jsonb, p_ids uuid[]
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    mine work;
    asked jsonb;
    was approvals;
    made uuid[] := '{}';
    wanted text;
    place integer := 0;
BEGIN
    SELECT * INTO mine FROM work w
    WHERE w.run_id = p_run AND w.owner = p_owner AND w.fence = p_fence AND w.state = 'r';
    IF NOT FOUND THEN
        RETURN 'lost';
    END IF;
    -- One at a time a desk, so that the bound on open questions is one.
    PERFORM pg_advisory_xact_lock(hashtextextended('tradeloop.approvals.' || mine.desk, 0));
    PERFORM 1 FROM approvals a WHERE a.run_id = p_run ORDER BY a.approval_id FOR UPDATE;
    FOR asked IN SELECT * FROM jsonb_array_elements(p_asks) LOOP
        place := place + 1;
        SELECT * INTO was FROM approvals a WHERE a.run_id = p_run AND a.slot = asked->>'slot'
        ORDER BY a.version DESC LIMIT 1;
        CONTINUE WHEN FOUND AND was.digest = asked->>'digest' AND was.state <> 'cancelled';
        CONTINUE WHEN FOUND AND was.previous_id IS NOT NULL AND was.state IN ('pending', 'approved')
            AND EXISTS (SELECT 1 FROM approvals a WHERE a.run_id = p_run AND a.slot = was.slot
                        AND a.digest = asked->>'digest' AND a.next_id IS NOT NULL);
        IF (SELECT count(*) FROM (SELECT 1 FROM approvals a WHERE a.desk = mine.desk AND a.state = 'pending'
                                  LIMIT p_max_pending) x) >= p_max_pending THEN
            DELETE FROM approvals a WHERE a.approval_id = ANY(made);
            RETURN 'full';
        END IF;
        IF was.state IN ('pending', 'approved') THEN -- the graph wants another action now
            UPDATE approvals a SET state = 'cancelled', closed_at = clock_timestamp(), revision = a.revision + 1,
                                   note = 'the run asks for another action now'
            WHERE a.approval_id = was.approval_id;
            PERFORM append_audit(p_run, 'approval_cancelled', jsonb_build_object(
                'approval_id', was.approval_id, 'digest', was.digest, 'note', 'the run asks for another action now'));
        END IF;
        INSERT INTO approvals (approval_id, run_id, decision_id, event_id, desk, subject, slot, interrupt_id, version,
                               previous_id, kind, target, action, digest, requirement, policy_hash, agent, requester,
                               context, deadline_at)
        VALUES (p_ids[place], p_run, (asked->>'decision_id')::uuid, mine.event_id, mine.desk, mine.subject,
                asked->>'slot', asked->>'interrupt_id', coalesce(was.version, 0) + 1, was.approval_id,
                asked->'action'->>'kind', asked->'action'->>'target', asked->'action', asked->>'digest',
                asked->'requirement', asked->>'policy_hash', asked->>'agent', asked->>'requester', asked->'context',
                clock_timestamp() + make_interval(secs => (asked->'requirement'->>'deadline_s')::double precision))
        ON CONFLICT DO NOTHING;
        IF FOUND THEN
            made := made || p_ids[place];
        END IF;
    END LOOP;
    wanted := CASE WHEN EXISTS (SELECT 1 FROM approvals a WHERE a.run_id = p_run AND a.state = 'pending')
                   THEN 'p' ELSE 'q' END;
    UPDATE work w SET state = wanted::"char", owner = NULL, error = '', fails = 0, takeovers = 0
    WHERE w.run_id = p_run AND w.owner = p_owner AND w.fence = p_fence AND w.state = 'r';
    IF NOT FOUND THEN
        DELETE FROM approvals a WHERE a.approval_id = ANY(made);
        RETURN 'lost';
    END IF;
    INSERT INTO attempts (run_id, fence, worker_id, outcome) VALUES (p_run, p_fence, p_owner, p_word)
    ON CONFLICT DO NOTHING;
    PERFORM append_audit(p_run, 'approval_asked', to_jsonb(a) - 'context' || jsonb_build_object(
                'context_sha256', encode(sha256(convert_to(a.context::text, 'UTF8')), 'hex')))
    FROM (SELECT * FROM approvals x WHERE x.approval_id = ANY(made) ORDER BY x.slot) a;
    IF made <> '{}' THEN
        PERFORM pg_notify('tradeloop_approvals', p_run::text);
    END IF;
    RETURN CASE wanted WHEN 'p' THEN 'parked' ELSE 'woken' END;
END $$;

-- One change of one approval, if nobody changed it since it was read: state, step, a vote, an escalation; with its audit
-- record. A vote counts only before the deadline of the database's clock. False: read it again.
CREATE FUNCTION change_approval(p_id uuid, p_revision integer, p_change jsonb, p_vote jsonb, p_kind text, p_body jsonb)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    now_row approvals;
BEGIN
    UPDATE approvals a
    SET state = coalesce(p_change->>'state', a.state), step = coalesce((p_change->>'step')::integer, a.step),
        requirement = coalesce(p_change->'requirement', a.requirement),
        policy_hash = coalesce(p_change->>'policy_hash', a.policy_hash),
        escalations = a.escalations + coalesce((p_change->>'escalations')::integer, 0),
        deadline_at = CASE WHEN p_change ? 'deadline_s'
                           THEN clock_timestamp() + make_interval(secs => (p_change->>'deadline_s')::double precision)
                           ELSE a.deadline_at END,
        answered_at = CASE WHEN p_vote IS NULL THEN a.answered_at ELSE clock_timestamp() END,
        valid_until = CASE WHEN p_change ? 'valid_s'
                           THEN clock_timestamp() + make_interval(secs => (p_change->>'valid_s')::double precision)
                           ELSE a.valid_until END,
        closed_at = CASE WHEN coalesce(p_change->>'state', 'pending') IN ('pending', 'approved') THEN a.closed_at
                         ELSE clock_timestamp() END,
        note = coalesce(p_change->>'note', a.note), next_id = coalesce((p_change->>'next_id')::uuid, a.next_id),
        revision = a.revision + 1
    WHERE a.approval_id = p_id AND a.revision = p_revision
      AND (a.state = 'pending' OR (a.state = 'approved' AND p_change->>'state' = 'cancelled'))
      AND (p_vote IS NULL OR a.deadline_at > clock_timestamp())
    RETURNING * INTO now_row;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF p_vote IS NOT NULL THEN
        INSERT INTO approval_votes (approval_id, principal, answer, reason, relied_on, channel, step, digest, seen)
        VALUES (p_id, p_vote->>'principal', p_vote->>'answer', p_vote->>'reason',
                ARRAY(SELECT jsonb_array_elements_text(p_vote->'relied_on')), p_vote->>'channel',
                (p_vote->>'step')::integer, p_vote->>'digest', p_vote->'seen');
    END IF;
    IF now_row.state IN ('rejected', 'expired', 'cancelled') THEN
        PERFORM free_amounts(now_row.run_id, now_row.slot);
    END IF;
    PERFORM append_audit(now_row.run_id, p_kind, p_body || jsonb_build_object(
        'approval_id', p_id, 'version', now_row.version, 'digest', now_row.digest, 'state', now_row.state,
        'deadline_at', now_row.deadline_at, 'valid_until', now_row.valid_until));
    PERFORM wake_asked(now_row.run_id);
    PERFORM pg_notify('tradeloop_approvals', now_row.run_id::text);
    RETURN true;
END $$;

-- The version that takes this one's place: void the one, ask for the other, in one step.
CREATE FUNCTION replace_approval(
    p_id uuid, p_revision integer, p_new uuid, p_action jsonb, p_digest text, p_requirement jsonb, p_policy_hash text,
    p_requester text, p_note text, p_body jsonb
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    was approvals;
BEGIN
    SELECT * INTO was FROM approvals a WHERE a.approval_id = p_id AND a.revision = p_revision AND a.state = 'pending'
        AND a.deadline_at > clock_timestamp() FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO approvals (approval_id, run_id, decision_id, event_id, desk, subject, slot, interrupt_id, version,
                           previous_id, kind, target, action, digest, requirement, policy_hash, agent, requester,
                           context, deadline_at)
    VALUES (p_new, was.run_id, was.decision_id, was.event_id, was.desk, was.subject, was.slot, was.interrupt_id,
            was.version + 1, p_id, p_action->>'kind', p_action->>'target', p_action, p_digest, p_requirement,
            p_policy_hash, was.agent, p_requester, was.context,
            clock_timestamp() + make_interval(secs => (p_requirement->>'deadline_s')::double precision));
    PERFORM append_audit(was.run_id, 'approval_asked', jsonb_build_object(
        'approval_id', p_new, 'previous_id', p_id, 'version', was.version + 1, 'action', p_action, 'digest', p_digest,
        'requirement', p_requirement, 'policy_hash', p_policy_hash, 'requester', p_requester));
    RETURN change_approval(p_id, p_revision, jsonb_build_object('state', 'cancelled', 'next_id', p_new, 'note', p_note),
                           NULL, 'approval_modified', p_body || jsonb_build_object('next_id', p_new));
END $$;

-- What became of a released effect becomes of its approval. What is to be done again is asked again.
CREATE FUNCTION follow_effect() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE approvals a
    SET state = CASE new.state WHEN 'prepared' THEN 'cancelled' ELSE new.state END, revision = a.revision + 1,
        closed_at = CASE WHEN new.state <> 'outcome_unknown' THEN clock_timestamp() END
    WHERE a.run_id = new.run_id AND a.slot = new.slot AND a.digest = new.digest
      AND a.state IN ('approved', 'outcome_unknown');
    IF new.state = 'failed' THEN
        PERFORM free_amounts(new.run_id, new.slot);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER effects_approvals AFTER UPDATE OF state ON effects FOR EACH ROW
    WHEN (old.state <> new.state AND (new.state IN ('executed', 'failed', 'outcome_unknown')
                                      OR (new.state = 'prepared' AND old.state = 'outcome_unknown')))
    EXECUTE FUNCTION follow_effect();

-- prepared -> failed, by the run's owner: policy or people said no, and certainly nothing was called.
CREATE FUNCTION refuse_effect(p_owner uuid, p_run uuid, p_fence integer, p_key bytea, p_kind text, p_error text)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM work w WHERE w.run_id = p_run AND w.owner = p_owner AND w.fence = p_fence AND w.state = 'r' FOR SHARE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE effects e SET state = 'failed', error = p_error, finished_at = clock_timestamp()
    WHERE e.effect_key = p_key AND e.state = 'prepared' AND e.calls = 0;
    IF FOUND THEN
        PERFORM append_audit(p_run, p_kind, jsonb_build_object(
            'effect_key', encode(p_key, 'hex'), 'reason', p_error));
    END IF;
    RETURN true;
END $$;

-- As in 0006, but that who wants it done again is the requester of the question that follows, and cannot answer it.
CREATE OR REPLACE FUNCTION resolve_effect(p_key bytea, p_state text, p_by text, p_reason text)
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
    IF p_state = 'prepared' THEN
        UPDATE approvals a SET void_by = p_by, note = p_by || ' wants it done again: its outcome was unknown'
        WHERE a.run_id = now_row.run_id AND a.slot = now_row.slot AND a.state = 'cancelled' AND a.next_id IS NULL
          AND a.version = (SELECT max(x.version) FROM approvals x WHERE x.run_id = a.run_id AND x.slot = a.slot);
    END IF;
    PERFORM append_audit(now_row.run_id, 'effect_resolved', jsonb_build_object(
        'effect_key', encode(p_key, 'hex'), 'state', p_state, 'by', p_by, 'reason', p_reason));
    PERFORM wake_run(now_row.run_id);
    RETURN NEXT now_row;
END $$;

-- Stops a run that waits for people, too; their questions are void then.
CREATE FUNCTION cancel_run(p_run uuid, p_by text, p_reason text, p_stream uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    stood text;
BEGIN
    UPDATE approvals a SET state = 'cancelled', closed_at = clock_timestamp(), revision = a.revision + 1,
                           note = 'the run was cancelled by ' || p_by
    WHERE a.run_id = p_run AND a.state IN ('pending', 'approved')
      AND NOT EXISTS (SELECT 1 FROM effects e WHERE e.run_id = a.run_id AND e.slot = a.slot AND e.state <> 'prepared');
    SELECT w.state::text INTO stood FROM work w WHERE w.run_id = p_run FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    UPDATE work w SET cancel = p_reason, state = CASE w.state WHEN 'p' THEN 'q' ELSE w.state END WHERE w.run_id = p_run;
    PERFORM append_audit(p_stream, 'run_cancel_asked', jsonb_build_object('run_id', p_run, 'by', p_by,
                                                                          'reason', p_reason));
    PERFORM pg_notify('tradeloop_approvals', p_run::text);
    RETURN stood;
END $$;

-- As in 0040, but that what people were asked about, or policy wants to be asked, begins only with a standing approval
-- of exactly this action.
DROP FUNCTION begin_effect(uuid, uuid, integer, bytea, text, double precision);
CREATE FUNCTION begin_effect(
    p_owner uuid, p_run uuid, p_fence integer, p_key bytea, p_class text, p_within_s double precision,
    p_gated boolean, OUT turn text, OUT overdue boolean, OUT told text
) LANGUAGE plpgsql AS $$
DECLARE
    was effects;
    its_desk text;
    asked approvals;
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
        SELECT * INTO asked FROM approvals a WHERE a.run_id = p_run AND a.slot = was.slot
        ORDER BY a.version DESC LIMIT 1 FOR SHARE;
        IF FOUND THEN
            IF asked.digest <> was.digest OR asked.state <> 'approved'
               OR (was.state = 'prepared' AND asked.valid_until <= clock_timestamp()) THEN
                turn := 'held';
                told := 'approval ' || left(asked.approval_id::text, 8) || ' is ' || asked.state
                        || CASE WHEN asked.digest <> was.digest THEN ', for another action' ELSE '' END
                        || CASE WHEN asked.valid_until <= clock_timestamp() THEN ', and no longer valid' ELSE '' END;
                RETURN;
            END IF;
        ELSIF p_gated THEN
            turn := 'held';
            told := 'nobody was asked';
            RETURN;
        END IF;
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
