-- What a command asked for, as its sender wrote it: a cancellation's reason, who approved. Null: it could not be read, or it came
-- before this was kept.
ALTER TABLE command ADD COLUMN data json;
