-- Until when a reservation is meant to be held, and when that is next looked at: at its expiry, and while nobody answers the
-- announcement, at growing intervals after it. Both are null where a reservation never expires. `partition`: whose sweep it is.
ALTER TABLE reservation
    ADD COLUMN partition   integer,
    ADD COLUMN expires_at  timestamptz,
    ADD COLUMN announce_at timestamptz,
    ADD COLUMN announced   integer NOT NULL DEFAULT 0;  -- how often this expiry was announced

-- Holds the few rows that are held now, however many there have ever been. docs/adr/0010-holds.md has what it costs.
CREATE INDEX reservation_held ON reservation (partition, announce_at) WHERE state = 'held';
