-- Lists by total. An order's total becomes known on its way, and an index on it would make that update, too, write every index anew:
-- this word is null while an order is merely under way, and so it changes only where `listed` changes as well. What has no total
-- comes last.
ALTER TABLE orders ADD COLUMN ranked bigint GENERATED ALWAYS AS (
    CASE WHEN status NOT IN ('ENRICHING', 'RESERVING', 'PAYING') THEN coalesce(total_minor, -1) END
) STORED;
CREATE INDEX orders_ranked ON orders (ranked DESC, order_id DESC) WHERE ranked IS NOT NULL;

-- Lists of what waits for an operator: the paused ones. It changes when somebody pauses or resumes an order, and else never.
CREATE INDEX orders_paused ON orders (created_at DESC, order_id DESC) WHERE paused;
