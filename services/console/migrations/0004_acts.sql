-- An act is written down before anything is sent: what is to be said, its plan, and in the end what was answered. A page of its own
-- shows it, so that Back and reload find a page and ask nothing again. A plan that nobody sends is forgotten.
ALTER TABLE act
    ADD COLUMN state   text NOT NULL DEFAULT 'told' CHECK (state IN ('planned', 'sent', 'told')),
    ADD COLUMN asked   json,                 -- what is to be said: a command's type and data, or the names of letters
    ADD COLUMN plan    json,
    ADD COLUMN verdict json;                 -- null: there is none yet

DROP INDEX act_newest;
CREATE INDEX act_newest ON act (at DESC, id DESC) WHERE state <> 'planned';
CREATE INDEX act_planned ON act (at) WHERE state = 'planned';
CREATE INDEX act_command ON act (command_id) WHERE command_id IS NOT NULL;
