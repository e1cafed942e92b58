-- Which node has a task, or may have it: NULL for one that is run here. The states of such a task
-- are leaving, doubtful and away.
ALTER TABLE gorgone_task ADD COLUMN node INTEGER;

-- Rows of the history that came from other nodes: which one, and the row's id there. No row of a
-- node is stored twice.
CREATE TABLE gorgone_history_node (
    id INTEGER PRIMARY KEY,             -- of gorgone_history
    node INTEGER NOT NULL,
    row_id INTEGER NOT NULL
);

CREATE UNIQUE INDEX idx_gorgone_history_node ON gorgone_history_node (node, row_id);

CREATE TRIGGER gorgone_history_node_gone AFTER DELETE ON gorgone_history
BEGIN
    DELETE FROM gorgone_history_node WHERE id = old.id;
END;
