-- Which of the customer service's events told what stands here: one that comes again behind a later one changes nothing, whatever the
-- broker's time of it. 0: told before this column was there; whatever comes is later. registered_at only tells when.
ALTER TABLE contact ADD COLUMN sequence bigint NOT NULL DEFAULT 0;
