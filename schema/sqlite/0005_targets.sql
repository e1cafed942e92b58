-- A request to many nodes is a task that is run by nobody (its state is spread until it has ended),
-- and one more task for each of the nodes: its parts. They have its action and its data, which
-- stands with the whole only.
ALTER TABLE gorgone_task ADD COLUMN parent TEXT;    -- the token of the whole; NULL for what is no part
ALTER TABLE gorgone_task ADD COLUMN verdict TEXT;   -- how it ended: ok, or the reason

CREATE INDEX idx_gorgone_task_parent ON gorgone_task (parent) WHERE parent IS NOT NULL;
