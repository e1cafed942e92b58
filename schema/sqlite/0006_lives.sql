-- The lives of this history, oldest first: one begins each time that a core opens the database.
CREATE TABLE gorgone_life (
    id INTEGER PRIMARY KEY,
    life INTEGER NOT NULL,              -- its name, 64 random bits
    first_id INTEGER NOT NULL           -- of the first row that may be written in it
);

-- The lives of other nodes' histories whose rows are known here.
CREATE TABLE gorgone_node_life (
    node INTEGER NOT NULL,
    life INTEGER NOT NULL,
    last_id INTEGER NOT NULL,           -- the node's own id of the last row that is known
    turn INTEGER NOT NULL,              -- the order in which they were fetched last
    PRIMARY KEY (node, life)
) WITHOUT ROWID;

-- The life that each node was in when it said so last.
CREATE TABLE gorgone_node_now (
    node INTEGER PRIMARY KEY,
    life INTEGER NOT NULL
);

-- No row of one life of a node is stored twice; 0: the node does not tell its life.
ALTER TABLE gorgone_history_node ADD COLUMN life INTEGER NOT NULL DEFAULT 0;

DROP INDEX idx_gorgone_history_node;

CREATE UNIQUE INDEX idx_gorgone_history_node ON gorgone_history_node (node, life, row_id);

-- Of the rows of a task, the last number of each attempt, such as '1:3 2:5': an attempt may go
-- on after another one was handed to somebody who did not get it.
ALTER TABLE gorgone_task ADD COLUMN counted TEXT;

UPDATE gorgone_task SET counted = attempt || ':' || last_sequence
WHERE last_sequence > 0 AND finished IS NULL;

ALTER TABLE gorgone_task DROP COLUMN last_sequence;
