-- The retry policies by which orders are decided: those of the worker that started last.
CREATE TABLE policies_in_effect (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    policies    json NOT NULL,
    worker      text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
);
