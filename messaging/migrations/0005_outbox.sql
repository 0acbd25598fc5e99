-- The outbox in four parts, each of which takes the rows of every fourth minute. When all of a part is published and old it is emptied at
-- once: nothing is deleted row by row, nothing is left for vacuum (docs/adr/0022-outbox.md).
CREATE FUNCTION outbox_part(at timestamptz) RETURNS smallint LANGUAGE sql IMMUTABLE
    RETURN (floor(extract(epoch FROM at))::bigint / 60 % 4)::smallint;

ALTER TABLE outbox RENAME TO outbox_before;
ALTER TABLE outbox_before RENAME CONSTRAINT outbox_pkey TO outbox_before_pkey;

CREATE TABLE outbox (
    partition  integer NOT NULL,
    seq        bigint NOT NULL,
    target     integer NOT NULL,                -- the partition it goes to (another one only for forwarded commands)
    topic      text NOT NULL,
    type       text NOT NULL,
    key        bytea,
    value      bytea,
    headers    jsonb,                           -- [[name, value]] in base64; null means the standard headers of the type
    created_at timestamptz NOT NULL DEFAULT now(),
    part       smallint NOT NULL DEFAULT outbox_part(now()),
    PRIMARY KEY (partition, seq, part)          -- a number is given once: the fence sees to it
) PARTITION BY LIST (part);
CREATE TABLE outbox_0 PARTITION OF outbox FOR VALUES IN (0);
CREATE TABLE outbox_1 PARTITION OF outbox FOR VALUES IN (1);
CREATE TABLE outbox_2 PARTITION OF outbox FOR VALUES IN (2);
CREATE TABLE outbox_3 PARTITION OF outbox FOR VALUES IN (3);

-- What waits to be published, and what was published of late, goes with it. A process of the release before goes on with the same statements.
INSERT INTO outbox (partition, seq, target, topic, type, key, value, headers, created_at, part)
SELECT partition, seq, target, topic, type, key, value, headers, created_at, outbox_part(created_at) FROM outbox_before;
DROP TABLE outbox_before;

-- What a part holds: nothing, only what may be forgotten, or more than that. Each partition's last row speaks for those before it: they
-- are numbered in the order in which they were written.
CREATE FUNCTION outbox_state(number integer, older_than timestamptz) RETURNS text LANGUAGE sql
BEGIN ATOMIC
    SELECT CASE WHEN count(*) = 0 THEN 'empty'
                WHEN bool_and(last.seq <= o.published_seq AND last.created_at < older_than) THEN 'over'
                ELSE 'needed' END
    FROM partition_ownership AS o
    CROSS JOIN LATERAL (
        SELECT seq, created_at FROM outbox WHERE part = number AND partition = o.partition ORDER BY seq DESC LIMIT 1
    ) AS last;
END;

-- Empty the parts in which everything is published and was written before this. Returns whether any row is left. It waits for nobody: a
-- part that somebody reads (a backup) is emptied another time, and so are all where another process is at it.
CREATE FUNCTION forget_outbox(older_than timestamptz) RETURNS boolean LANGUAGE plpgsql SET lock_timeout = '100ms' AS $$
DECLARE
    found_left boolean := false;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('forget_outbox')) THEN
        RETURN true;
    END IF;
    FOR number IN 0..3 LOOP
        CASE outbox_state(number, older_than)
        WHEN 'empty' THEN
            CONTINUE;
        WHEN 'needed' THEN
            found_left := true;
        ELSE
            BEGIN
                EXECUTE format('LOCK TABLE outbox_%s IN ACCESS EXCLUSIVE MODE', number);
                -- Who was about to write into it has written.
                IF outbox_state(number, older_than) = 'over' THEN
                    EXECUTE format('TRUNCATE outbox_%s', number);
                ELSE
                    found_left := true;
                END IF;
            EXCEPTION WHEN lock_not_available THEN
                found_left := true;
            END;
        END CASE;
    END LOOP;
    RETURN found_left;
END
$$;
