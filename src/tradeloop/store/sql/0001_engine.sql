-- Tables of the engine. All times are the database's clock; run ids are UUIDv7, so indexes grow at one end.

CREATE TABLE workers (
    worker_id   uuid PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('worker', 'relay')),
    host        text NOT NULL,
    pid         integer NOT NULL,
    build       text NOT NULL,
    graphs      text[] NOT NULL DEFAULT '{}',
    state       text NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'draining', 'dead')),
    lease_until timestamptz NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- The database owns the Kafka position; keyed by the topic's id, because a topic made again starts at 0.
CREATE TABLE cursors (
    group_id    text NOT NULL,
    topic_id    uuid NOT NULL,
    partition   integer NOT NULL,
    topic       text NOT NULL,
    next_offset bigint NOT NULL DEFAULT 0,
    moved_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (group_id, topic_id, partition)
) WITH (fillfactor = 50);

CREATE TABLE capture_cursors (
    name     text PRIMARY KEY,
    at       timestamptz NOT NULL,
    moved_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE captured (
    event_id uuid PRIMARY KEY,
    origin   jsonb NOT NULL DEFAULT '{}',
    seen_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX captured_seen_at ON captured (seen_at);

CREATE TABLE inbox_keys (
    event_id   uuid PRIMARY KEY,
    run_id     uuid NOT NULL,
    generation integer NOT NULL DEFAULT 0,
    seen_at    timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- Arrivals that changed nothing: the other lane, a relay's repeat. Rare, and the proof that doubles were dropped.
CREATE TABLE inbox_doubles (
    topic_id  uuid NOT NULL,
    partition integer NOT NULL,
    "offset"  bigint NOT NULL,
    event_id  uuid NOT NULL,
    lane      text NOT NULL,
    seen_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic_id, partition, "offset")
);
CREATE INDEX inbox_doubles_seen_at ON inbox_doubles (seen_at);

CREATE TABLE inbox (
    run_id      uuid NOT NULL,
    event_id    uuid NOT NULL,
    topic       text NOT NULL,
    topic_id    uuid NOT NULL,
    partition   integer NOT NULL,
    "offset"    bigint NOT NULL,
    desk        text NOT NULL,
    subject     text NOT NULL,
    event_type  text NOT NULL,
    lane        text NOT NULL,
    payload     bytea NOT NULL,
    headers     jsonb NOT NULL,
    appended_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_id)
) PARTITION BY RANGE (run_id);
CREATE TABLE inbox_default PARTITION OF inbox DEFAULT;
CREATE INDEX inbox_event_id ON inbox (event_id);
CREATE INDEX inbox_received_at ON inbox (received_at);

CREATE SEQUENCE run_seq AS bigint CACHE 1;

-- Live runs only: a finished run is deleted here and inserted into runs in one statement.
-- q queued, r running, w retrying, p waiting for a person, u outcome unknown, v version unavailable.
CREATE TABLE work (
    run_id        uuid PRIMARY KEY,
    seq           bigint NOT NULL,
    desk          text NOT NULL,
    subject       text NOT NULL,
    state         "char" NOT NULL CHECK (state IN ('q', 'r', 'w', 'p', 'u', 'v')),
    head          boolean NOT NULL,
    owner         uuid,
    fence         integer NOT NULL DEFAULT 0,
    fails         integer NOT NULL DEFAULT 0,
    takeovers     integer NOT NULL DEFAULT 0,
    due_at        timestamptz,
    deadline_at   timestamptz,
    cancel        text,
    graph         text NOT NULL DEFAULT '',
    graph_version text NOT NULL DEFAULT '',
    event_id      uuid NOT NULL,
    generation    integer NOT NULL DEFAULT 0,
    error         text NOT NULL DEFAULT '',
    resume        jsonb,
    park          jsonb
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX work_order ON work (desk, subject, seq);
CREATE INDEX work_claim ON work (desk, seq) WHERE state = 'q' AND head;
CREATE INDEX work_owner ON work (owner) WHERE state = 'r';
CREATE INDEX work_due ON work (due_at) WHERE state = 'w';

CREATE TABLE runs (
    run_id        uuid NOT NULL,
    seq           bigint NOT NULL,
    desk          text NOT NULL,
    subject       text NOT NULL,
    state         text NOT NULL CHECK (state IN ('done', 'failed', 'cancelled', 'expired', 'unhandled')),
    event_id      uuid NOT NULL,
    generation    integer NOT NULL DEFAULT 0,
    graph         text NOT NULL,
    graph_version text NOT NULL,
    fence         integer NOT NULL,
    fails         integer NOT NULL,
    decision_id   uuid,
    decision      jsonb,
    effect        jsonb NOT NULL DEFAULT '{}',
    error         text NOT NULL DEFAULT '',
    started_at    timestamptz,
    finished_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_id)
) PARTITION BY RANGE (run_id);
CREATE TABLE runs_default PARTITION OF runs DEFAULT;
CREATE INDEX runs_desk_finished_at ON runs (desk, finished_at);
CREATE INDEX runs_event_id ON runs (event_id);
CREATE INDEX runs_decision_id ON runs (decision_id);

-- Written only when an attempt does not simply succeed.
CREATE TABLE attempts (
    run_id      uuid NOT NULL,
    fence       integer NOT NULL,
    worker_id   uuid,
    ended_at    timestamptz NOT NULL DEFAULT now(),
    outcome     text NOT NULL,
    error_class text NOT NULL DEFAULT '',
    error       text NOT NULL DEFAULT '',
    stack_hash  text NOT NULL DEFAULT '',
    PRIMARY KEY (run_id, fence)
);

CREATE TABLE effects (
    effect_key     bytea PRIMARY KEY CHECK (length(effect_key) = 32),
    run_id         uuid NOT NULL,
    decision_id    uuid NOT NULL,
    slot           text NOT NULL,
    kind           text NOT NULL,
    target         text NOT NULL,
    action         jsonb NOT NULL,
    digest         text NOT NULL,
    state          text NOT NULL CHECK (state IN ('prepared', 'executing', 'executed', 'failed', 'outcome_unknown')),
    fence          integer NOT NULL,
    worker_id      uuid,
    calls          integer NOT NULL DEFAULT 0,
    execute_by     timestamptz,
    blocked_reason text NOT NULL DEFAULT '',
    result         jsonb NOT NULL DEFAULT '{}',
    error          text NOT NULL DEFAULT '',
    prepared_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    executing_at   timestamptz,
    finished_at    timestamptz,
    UNIQUE (run_id, slot)
);
CREATE INDEX effects_open ON effects (state) WHERE state IN ('executing', 'outcome_unknown');

CREATE TABLE outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane       smallint NOT NULL,
    topic      text NOT NULL,
    key        bytea NOT NULL,
    value      bytea NOT NULL,
    headers    jsonb NOT NULL,
    run_id     uuid,
    created_at timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX outbox_lane ON outbox (lane, id);

-- A lane (hash of the key) belongs to one relay at a time: several relays on rows would break the order per key.
CREATE TABLE outbox_lanes (
    lane        smallint PRIMARY KEY,
    owner       uuid,
    fence       integer NOT NULL DEFAULT 0,
    lease_until timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO outbox_lanes (lane) SELECT generate_series(0, 15);

CREATE TABLE dead_letters (
    dl_id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source        text NOT NULL CHECK (source IN ('kafka', 'airflow', 'run', 'outbox')),
    topic         text NOT NULL DEFAULT '',
    topic_id      uuid,
    partition     integer,
    "offset"      bigint,
    event_id      uuid,
    run_id        uuid,
    cause         text NOT NULL,
    error_class   text NOT NULL DEFAULT '',
    stack_hash    text NOT NULL DEFAULT '',
    attempts      integer NOT NULL DEFAULT 0,
    graph_version text NOT NULL DEFAULT '',
    raw           bytea NOT NULL,
    state         text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'replayed', 'discarded')),
    decided_by    text NOT NULL DEFAULT '',
    reason        text NOT NULL DEFAULT '',
    created_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (source, topic_id, partition, "offset", run_id, event_id)
);

-- Append only. The hash chain (prev, hash) is filled by the audit component.
CREATE TABLE audit (
    stream_id uuid NOT NULL,
    n         integer NOT NULL,
    id        bigint GENERATED ALWAYS AS IDENTITY,
    kind      text NOT NULL,
    body      jsonb NOT NULL,
    prev      bytea,
    hash      bytea,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (stream_id, n)
);
CREATE INDEX audit_id ON audit (id);
