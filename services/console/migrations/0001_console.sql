-- The console's own: who may log in, who is logged in, and who did what. Nothing about orders stands here.

CREATE TABLE account (
    name          text PRIMARY KEY,
    role          text NOT NULL CHECK (role IN ('viewer', 'support', 'operator')),
    password_hash text NOT NULL,             -- argon2id, with its parameters
    one_time      boolean NOT NULL DEFAULT false, -- the password has to be changed at the next log-in
    created_at    timestamptz NOT NULL DEFAULT now()
);

-- The cookie holds the token; here stands its SHA-256, so that a copy of the table opens nothing.
CREATE TABLE session (
    token_hash bytea PRIMARY KEY,
    account    text NOT NULL REFERENCES account ON DELETE CASCADE,
    csrf       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);

CREATE TABLE act (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    account    text NOT NULL,
    role       text NOT NULL,
    action     text NOT NULL,
    target     text NOT NULL,
    reason     text NOT NULL,
    command_id text,
    outcome    text NOT NULL                 -- what came of it: the verdict, or why there is none
);
CREATE INDEX act_newest ON act (id DESC, target);
