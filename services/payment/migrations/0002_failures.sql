-- Of which kind a failure was, beside its text: a repeated request gets the very same answer again. Null: it did not fail, or it did
-- before there were kinds.
ALTER TABLE charge ADD COLUMN failure text, ADD COLUMN void_failure text;
ALTER TABLE refund ADD COLUMN failure text;
