-- When a partition's offsets last changed, for whoever watches. `updated_at` also goes on with a take-over, a timer or the end of an effect, and
-- none of these is progress with what waits on a topic: a process that ends and starts again and again would look like one that works.
-- A trigger, so that no statement can forget it, and so that it holds as well where a process of the release before owns the partition.
ALTER TABLE partition_ownership ADD COLUMN moved_at timestamptz NOT NULL DEFAULT now();

CREATE FUNCTION offsets_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.moved_at := now();
    RETURN NEW;
END
$$;

CREATE TRIGGER offsets_moved BEFORE UPDATE OF offsets ON partition_ownership
    FOR EACH ROW WHEN (OLD.offsets IS DISTINCT FROM NEW.offsets) EXECUTE FUNCTION offsets_moved();
