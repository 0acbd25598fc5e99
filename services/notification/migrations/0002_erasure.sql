-- A customer whose name and address were erased keeps a row with both empty: so that a mail that waits is not taken for one whose
-- customer is not known yet, and an older registration changes nothing. registered_at is the time of the erasure then.
ALTER TABLE contact ADD COLUMN erased boolean NOT NULL DEFAULT false;
