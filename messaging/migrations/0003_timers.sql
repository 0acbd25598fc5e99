-- A timer is found by its key through the primary key alone: statements about keys name `partition`, those about the time `partition + 0`
-- (messaging/postgres_sql.py says what a plan that went by the wrong one cost).
DROP INDEX timer_due;
CREATE INDEX timer_due ON timer ((partition + 0), due_at);
