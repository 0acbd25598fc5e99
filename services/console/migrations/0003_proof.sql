-- Since when every look of the watcher found the books balanced; it outlives the console's process.
CREATE TABLE proof (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    since timestamptz,                       -- null: they are not
    seen  timestamptz NOT NULL,
    looks bigint NOT NULL
);
