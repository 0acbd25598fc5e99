-- Where published messages stand in four parts, each of which takes the rows of every fourth period of 30 days. A part is emptied at once
-- before its turn comes again: places are told for 60 to 90 days (docs/adr/0023-places-forgotten.md).

-- Not IMMUTABLE, though it is: PostgreSQL then puts the expression in the place of the call.
CREATE FUNCTION published_part(at timestamptz) RETURNS smallint LANGUAGE sql STABLE
    RETURN (floor(extract(epoch FROM at))::bigint / 2592000 % 4)::smallint;

ALTER TABLE published RENAME TO published_before;

-- A part has the key, the whole has none: what was there before becomes a part as it is, with its index. A number of a partition
-- stands in two parts where a record of it was repeated after a lost answer just when the period ended; both rows say the same.
CREATE TABLE published (
    partition integer NOT NULL,
    first_seq bigint NOT NULL,
    last_seq  bigint NOT NULL,
    topics    text[] NOT NULL,
    seqs      bigint[] NOT NULL,
    offsets   bigint[] NOT NULL,
    part      smallint NOT NULL DEFAULT published_part(now())
) PARTITION BY LIST (part);

-- When the rows were written that are there is not on record: they go with those of this period. Nothing is copied; the table is read once.
DO $$
DECLARE
    this_part smallint := published_part(now());
BEGIN
    FOR number IN 0..3 LOOP
        IF number = this_part THEN
            EXECUTE format('ALTER TABLE published_before RENAME TO published_%s', number);
            EXECUTE format('ALTER TABLE published_%s RENAME CONSTRAINT published_pkey TO published_%1$s_pkey', number);
            EXECUTE format('ALTER TABLE published_%s ADD COLUMN part smallint NOT NULL DEFAULT %1$s', number);
            EXECUTE format('ALTER TABLE published ATTACH PARTITION published_%s FOR VALUES IN (%1$s)', number);
        ELSE
            EXECUTE format(
                'CREATE TABLE published_%s PARTITION OF published (PRIMARY KEY (partition, last_seq)) FOR VALUES IN (%1$s)', number
            );
        END IF;
    END LOOP;
END
$$;

-- Empty the part whose turn is next, if anything is left in it. Nobody writes there: its own period begins in an hour at the earliest, and
-- the last one ended 60 days ago. Where that was not done in time (nobody was there) new rows join the old ones, and go when it is its turn
-- again. It waits for nobody: a part that somebody reads is emptied another time.
CREATE FUNCTION forget_places(at timestamptz) RETURNS void LANGUAGE plpgsql SET lock_timeout = '100ms' AS $$
DECLARE
    next_part smallint := published_part(at + interval '721 hours');
    found_rows boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM published_%s)', next_part) INTO found_rows;
    IF found_rows THEN
        EXECUTE format('TRUNCATE published_%s', next_part);
    END IF;
EXCEPTION WHEN lock_not_available THEN
    NULL;
END
$$;
