-- The audit's chain. Every record is hashed as it is written, by this trigger, whoever writes; its id then waits in
-- audit_unsealed, in the same transaction, until a sealer has put the record's hash into a signed seal. So a record that
-- commits late, with a lower id than others, is sealed late, and never missed.

-- What may have to be erased stands here, and in the record only its salted hash:
-- "key": {"$redacted": {"sha256": sha256(salt || text)}}. `text` is the JSON of the value.
CREATE TABLE audit_clear (
    stream_id uuid NOT NULL,
    n         integer NOT NULL,
    key       text NOT NULL,
    salt      bytea NOT NULL,
    text      text NOT NULL,
    PRIMARY KEY (stream_id, n, key)
);

CREATE TABLE audit_unsealed (
    id bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- header: the canonical JSON that hash and signature are of. leaves: 52 bytes a record, stream, n and hash, in the order
-- of the ids; NULL once retention has removed every record of the seal.
CREATE TABLE audit_seals (
    seal      bigint PRIMARY KEY,
    header    text NOT NULL,
    hash      bytea NOT NULL,
    key_id    text NOT NULL DEFAULT '',
    signature bytea,
    leaves    bytea,
    first_id  bigint NOT NULL,
    last_id   bigint NOT NULL,
    last_at   timestamptz NOT NULL,
    pruned_at timestamptz
);
CREATE INDEX audit_seals_pruned ON audit_seals (seal) WHERE pruned_at IS NOT NULL;
CREATE INDEX audit_seals_first_id ON audit_seals (first_id);

CREATE TABLE audit_verifications (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    verified_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    records     bigint NOT NULL,
    seals       bigint NOT NULL,
    findings    bigint NOT NULL,
    head        text NOT NULL,
    report      jsonb NOT NULL
);

-- Texts by people and from outside, wherever they stand in a record's first level. A writer may also give `$clear`:
-- {"key": {"salt": hex, "text": JSON text}}, and the marks itself.
CREATE FUNCTION chain_audit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    part record;
    fresh bytea;
BEGIN
    IF NEW.body ? '$clear' THEN
        INSERT INTO audit_clear (stream_id, n, key, salt, text)
        SELECT NEW.stream_id, NEW.n, c.key, decode(c.value ->> 'salt', 'hex'), c.value ->> 'text'
        FROM jsonb_each(NEW.body -> '$clear') c;
        NEW.body := NEW.body - '$clear';
    END IF;
    IF NEW.body ?| '{reason,error,comment,cause,note,rationale,blocked_reason,result,action,payload,params,facts}' THEN
        FOR part IN
            SELECT b.key, b.value::text AS text FROM jsonb_each(NEW.body) b
            WHERE b.key = ANY('{reason,error,comment,cause,note,rationale,blocked_reason,result,action,payload,params,facts}')
              AND CASE jsonb_typeof(b.value)
                  WHEN 'string' THEN b.value <> '""' AND b.key NOT IN ('result', 'action')
                  WHEN 'object' THEN b.value <> '{}' AND NOT b.value ? '$redacted'
                  WHEN 'array' THEN b.value <> '[]'
                  ELSE false END
        LOOP
            fresh := uuid_send(gen_random_uuid());
            INSERT INTO audit_clear (stream_id, n, key, salt, text)
            VALUES (NEW.stream_id, NEW.n, part.key, fresh, part.text);
            NEW.body := NEW.body || jsonb_build_object(part.key, jsonb_build_object('$redacted', jsonb_build_object(
                'sha256', encode(sha256(fresh || convert_to(part.text, 'UTF8')), 'hex'))));
        END LOOP;
    END IF;
    NEW.prev := '\x0000000000000000000000000000000000000000000000000000000000000000';
    IF NEW.n > 1 THEN
        SELECT a.hash INTO NEW.prev FROM audit a WHERE a.stream_id = NEW.stream_id AND a.n = NEW.n - 1;
        IF NEW.prev IS NULL THEN
            RAISE EXCEPTION 'audit record % of stream % has no predecessor', NEW.n, NEW.stream_id;
        END IF;
    END IF;
    NEW.hash := sha256('\x746c6131'::bytea || uuid_send(NEW.stream_id) || int4send(NEW.n) || int8send(NEW.id)
                       || timestamptz_send(NEW.at) || int4send(octet_length(NEW.kind)) || convert_to(NEW.kind, 'UTF8')
                       || NEW.prev || convert_to(NEW.body::text, 'UTF8'));
    INSERT INTO audit_unsealed (id) VALUES (NEW.id);
    RETURN NEW;
END $$;

-- Records of former releases: chained now, as they stand, in the order in which they follow each other.
DO $$
DECLARE
    r record;
    last bytea;
    zero CONSTANT bytea := '\x0000000000000000000000000000000000000000000000000000000000000000';
BEGIN
    FOR r IN SELECT * FROM audit ORDER BY stream_id, n LOOP
        last := coalesce((SELECT a.hash FROM audit a WHERE a.stream_id = r.stream_id AND a.n = r.n - 1), zero);
        UPDATE audit a SET prev = last, hash = sha256(
            '\x746c6131'::bytea || uuid_send(r.stream_id) || int4send(r.n) || int8send(r.id) || timestamptz_send(r.at)
            || int4send(octet_length(r.kind)) || convert_to(r.kind, 'UTF8') || last
            || convert_to(r.body::text, 'UTF8'))
        WHERE a.stream_id = r.stream_id AND a.n = r.n;
    END LOOP;
    INSERT INTO audit_unsealed (id) SELECT id FROM audit ORDER BY id;
END $$;
ALTER TABLE audit ALTER COLUMN prev SET NOT NULL, ALTER COLUMN hash SET NOT NULL;

CREATE TRIGGER audit_chain BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION chain_audit();

-- Records as people read them: with the clear texts that were not erased.
CREATE VIEW audit_records AS
SELECT a.stream_id, a.n, a.id, a.kind, a.at,
       a.body || coalesce((SELECT jsonb_object_agg(c.key, c.text::jsonb) FROM audit_clear c
                           WHERE c.stream_id = a.stream_id AND c.n = a.n), '{}') AS body
FROM audit a;

-- One seal more; false when another sealer was faster. `p_prev` is the hash of the seal before it.
CREATE FUNCTION append_seal(
    p_seal bigint, p_prev bytea, p_header text, p_hash bytea, p_key_id text, p_signature bytea, p_leaves bytea,
    p_ids bigint[], p_first bigint, p_last bigint, p_last_at timestamptz
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    gone bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('tradeloop.audit_seals', 0));
    IF p_seal <> coalesce((SELECT max(s.seal) FROM audit_seals s), 0) + 1
       OR p_prev <> coalesce((SELECT s.hash FROM audit_seals s WHERE s.seal = p_seal - 1), p_prev) THEN
        RETURN false;
    END IF;
    DELETE FROM audit_unsealed u WHERE u.id = ANY(p_ids);
    GET DIAGNOSTICS gone = ROW_COUNT;
    IF gone <> cardinality(p_ids) THEN
        RAISE EXCEPTION 'of % audit records to seal, % were waiting', cardinality(p_ids), gone;
    END IF;
    INSERT INTO audit_seals (seal, header, hash, key_id, signature, leaves, first_id, last_id, last_at)
    VALUES (p_seal, p_header, p_hash, p_key_id, p_signature, p_leaves, p_first, p_last, p_last_at);
    RETURN true;
END $$;

-- The streams of seals that are over, with the last number that each has in them. Only whole seals go, the oldest first.
CREATE FUNCTION prunable_audit(p_before timestamptz, p_seals integer)
RETURNS TABLE (seal bigint, stream_id uuid, n integer) LANGUAGE sql STABLE AS $$
    WITH over AS (
        SELECT s.seal, s.leaves FROM audit_seals s
        WHERE s.seal > coalesce((SELECT max(d.seal) FROM audit_seals d WHERE d.pruned_at IS NOT NULL), 0)
          AND s.seal < coalesce((SELECT min(k.seal) FROM audit_seals k WHERE k.pruned_at IS NULL AND k.last_at >= p_before),
                                (SELECT max(m.seal) + 1 FROM audit_seals m))
        ORDER BY s.seal LIMIT p_seals)
    SELECT o.seal, encode(substr(o.leaves, 52 * g + 1, 16), 'hex')::uuid,
           max(('x' || encode(substr(o.leaves, 52 * g + 17, 4), 'hex'))::bit(32)::integer)
    FROM over o LEFT JOIN LATERAL generate_series(0, length(o.leaves) / 52 - 1) g ON true
    GROUP BY 1, 2
$$;

-- Which records those are: the newest of a lasting stream has the number and the hash that the next one follows.
CREATE FUNCTION over_audit(p_before timestamptz, p_seals integer)
RETURNS TABLE (stream_id uuid, n integer) LANGUAGE sql STABLE AS $$
    SELECT DISTINCT a.stream_id, a.n
    FROM prunable_audit(p_before, p_seals) p JOIN audit a ON a.stream_id = p.stream_id AND a.n <= p.n
    WHERE substr(a.stream_id::text, 15, 1) = '7'
       OR EXISTS (SELECT 1 FROM audit b WHERE b.stream_id = a.stream_id AND b.n > a.n)
$$;

-- Remove records of whole seals, some seals at a time; returns how many records went, 0 when none is left to go.
CREATE FUNCTION prune_audit(p_before timestamptz, p_records integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    seals bigint[];
    gone bigint;
    total bigint := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('tradeloop.audit_seals', 0));
    LOOP
        SELECT array_agg(DISTINCT p.seal) INTO seals FROM prunable_audit(p_before, 1) p;
        EXIT WHEN seals IS NULL;
        WITH over AS MATERIALIZED (SELECT * FROM over_audit(p_before, 1)),
        c AS (DELETE FROM audit_clear t USING over o WHERE t.stream_id = o.stream_id AND t.n = o.n)
        DELETE FROM audit t USING over o WHERE t.stream_id = o.stream_id AND t.n = o.n;
        GET DIAGNOSTICS gone = ROW_COUNT;
        UPDATE audit_seals s SET pruned_at = clock_timestamp(),
            leaves = CASE WHEN EXISTS (SELECT 1 FROM prunable_audit(p_before, 1) p
                                       JOIN audit a ON a.stream_id = p.stream_id AND a.n = p.n) THEN s.leaves END
        WHERE s.seal = ANY(seals);
        total := total + gone;
        EXIT WHEN total >= p_records;
    END LOOP;
    RETURN total;
END $$;

-- Erase clear texts of one record; the chain keeps their salted hashes. Returns the keys that were erased.
CREATE FUNCTION erase_audit(p_audit uuid, p_stream uuid, p_from integer, p_to integer, p_keys text[], p_by text, p_reason text)
RETURNS TABLE (n integer, key text) LANGUAGE plpgsql AS $$
DECLARE
    parts jsonb;
BEGIN
    WITH gone AS (
        DELETE FROM audit_clear c WHERE c.stream_id = p_stream AND c.n BETWEEN p_from AND p_to
          AND (cardinality(p_keys) = 0 OR c.key = ANY(p_keys)) RETURNING c.n, c.key)
    SELECT jsonb_agg(jsonb_build_array(g.n, g.key) ORDER BY g.n, g.key) INTO parts FROM gone g;
    IF parts IS NOT NULL THEN
        PERFORM append_audit(p_audit, 'audit_erased', jsonb_build_object(
            'stream_id', p_stream, 'parts', parts, 'by', p_by, 'reason', p_reason));
    END IF;
    RETURN QUERY SELECT (e.value ->> 0)::integer, e.value ->> 1 FROM jsonb_array_elements(parts) e;
END $$;
