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
