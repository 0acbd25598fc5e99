-- Orders that have been at rest for long (docs/adr/0021-archive.md): one compressed row each, out of the way of those that move. Their ids
-- are not forgotten: what comes for one of them puts it back where it was.
CREATE TABLE archive (
    order_id    text COLLATE "C" PRIMARY KEY,
    status      text NOT NULL,
    currency    text,
    total_minor bigint,
    archived_at timestamptz NOT NULL DEFAULT now(),
    document    json NOT NULL                   -- {"order": its row, "commands": [rows], "history": [rows]}
);

-- What they come to, so that nobody has to count them.
CREATE TABLE archive_sum (
    what   text NOT NULL,                       -- status, verdict, owed
    word   text NOT NULL,                       -- the status; the verdict; the currency
    reason text NOT NULL,                       -- the verdict's
    total  bigint NOT NULL,
    PRIMARY KEY (what, word, reason)
);

-- What is on record about one order, wherever it is.
CREATE VIEW every_order AS
    SELECT order_id, version, workflow, workflow_version, status, phase, reason, waiting_for, deadline, paused, customer_id,
           currency, total_minor, items, created_at, updated_at, state
    FROM orders
UNION ALL
    SELECT a.order_id, r.version, r.workflow, r.workflow_version, r.status, r.phase, r.reason, r.waiting_for, r.deadline, r.paused,
           r.customer_id, r.currency, r.total_minor, r.items, r.created_at, r.updated_at, r.state
    FROM archive AS a CROSS JOIN LATERAL json_populate_record(NULL::orders, a.document -> 'order') AS r;

CREATE VIEW every_command AS
    SELECT order_id, source, id, type, accepted, reason, message, at, data FROM command
UNION ALL
    SELECT a.order_id, r.source, r.id, r.type, r.accepted, r.reason, r.message, r.at, r.data
    FROM archive AS a CROSS JOIN LATERAL json_populate_recordset(NULL::command, a.document -> 'commands') AS r;

CREATE VIEW every_entry AS
    SELECT order_id, seq, at, type, cause, cause_type, cause_at, cause_topic, cause_partition, cause_offset, answers, event_id,
           worker, data, sent
    FROM history
UNION ALL
    SELECT a.order_id, r.seq, r.at, r.type, r.cause, r.cause_type, r.cause_at, r.cause_topic, r.cause_partition, r.cause_offset,
           r.answers, r.event_id, r.worker, r.data, r.sent
    FROM archive AS a CROSS JOIN LATERAL json_populate_recordset(NULL::history, a.document -> 'history') AS r;

-- A row is made with version 1 and then changed. A batch that read an order before it went into the archive would make it anew, beside
-- what is kept there. (A trigger after the insert: where the row is there, and is changed, nothing is fired.)
CREATE FUNCTION refuse_to_make_anew() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the order went into the archive after it was read' USING ERRCODE = 'OP001';
END
$$;
CREATE TRIGGER never_made_anew AFTER INSERT ON orders FOR EACH ROW
    WHEN (NEW.version > 1 AND current_setting('orders.restoring', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION refuse_to_make_anew();

-- Puts orders back where they were; returns the ids of those that were in the archive. What was written about one meanwhile (a verdict
-- on something that came too late) stands already.
CREATE FUNCTION restore_orders(ids text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
PERFORM set_config('orders.restoring', 'on', true);
RETURN QUERY
WITH back AS (DELETE FROM archive AS a WHERE a.order_id = ANY (ids) RETURNING a.order_id, a.document),
one AS (SELECT r.* FROM back CROSS JOIN LATERAL json_populate_record(NULL::orders, document -> 'order') AS r),
asked AS (SELECT r.* FROM back CROSS JOIN LATERAL json_populate_recordset(NULL::command, document -> 'commands') AS r),
kept AS (
    INSERT INTO orders (order_id, version, workflow, workflow_version, status, phase, reason, waiting_for, deadline, paused,
                        customer_id, currency, total_minor, items, created_at, updated_at, state)
    SELECT order_id, version, workflow, workflow_version, status, phase, reason, waiting_for, deadline, paused,
           customer_id, currency, total_minor, items, created_at, updated_at, state FROM one
),
listed AS (
    INSERT INTO order_sku (sku, created_at, order_id)
    SELECT DISTINCT line ->> 'sku', created_at, order_id FROM one CROSS JOIN json_array_elements(items) AS line
    ON CONFLICT DO NOTHING
),
told AS (
    INSERT INTO command (order_id, source, id, type, accepted, reason, message, at, data)
    SELECT order_id, source, id, type, accepted, reason, message, at, data FROM asked ON CONFLICT DO NOTHING
),
past AS (
    INSERT INTO history (order_id, seq, at, type, cause, cause_type, cause_at, cause_topic, cause_partition, cause_offset, answers,
                         event_id, worker, data, sent)
    SELECT r.order_id, r.seq, r.at, r.type, r.cause, r.cause_type, r.cause_at, r.cause_topic, r.cause_partition, r.cause_offset,
           r.answers, r.event_id, r.worker, r.data, r.sent
    FROM back CROSS JOIN LATERAL json_populate_recordset(NULL::history, document -> 'history') AS r
    ON CONFLICT DO NOTHING
),
summed AS (
    INSERT INTO archive_sum AS s (what, word, reason, total)
        SELECT 'status', status, '', -count(*) FROM one GROUP BY status
    UNION ALL
        SELECT 'owed', currency, '', -sum(total_minor) FROM one
        WHERE status = 'COMPLETED' AND currency IS NOT NULL AND total_minor IS NOT NULL GROUP BY currency
    UNION ALL
        SELECT 'verdict', CASE accepted WHEN true THEN 'accepted' WHEN false THEN 'rejected' ELSE 'undecided' END,
               coalesce(reason, 'none'), -count(*)
        FROM asked GROUP BY 2, 3
    ON CONFLICT (what, word, reason) DO UPDATE SET total = s.total + excluded.total
)
SELECT b.order_id FROM back AS b;
PERFORM set_config('orders.restoring', '', true);
END
$$;
