-- The tables of the beginning: three whose names, columns and indexes clients and
-- administrators have always known, and beside them what durable tasks need.
-- `IF NOT EXISTS`, because a database of an older gorgoned is taken over as it stands.

CREATE TABLE IF NOT EXISTS `gorgone_identity` (
    `id` INTEGER PRIMARY KEY,
    `ctime` int(11) DEFAULT NULL,
    `identity` varchar(2048) DEFAULT NULL,
    `key` varchar(4096) DEFAULT NULL,
    `parent` INTEGER DEFAULT '0'
);

CREATE INDEX IF NOT EXISTS idx_gorgone_identity ON gorgone_identity (identity);
CREATE INDEX IF NOT EXISTS idx_gorgone_parent ON gorgone_identity (parent);

CREATE TABLE IF NOT EXISTS `gorgone_history` (
    `id` INTEGER PRIMARY KEY,
    `token` varchar(2048) DEFAULT NULL,
    `code` int(11) DEFAULT NULL,
    `etime` int(11) DEFAULT NULL,
    `ctime` int(11) DEFAULT NULL,
    `data` TEXT DEFAULT NULL
);

CREATE INDEX IF NOT EXISTS idx_gorgone_history_id ON gorgone_history (id);
CREATE INDEX IF NOT EXISTS idx_gorgone_history_token ON gorgone_history (token);
CREATE INDEX IF NOT EXISTS idx_gorgone_history_etime ON gorgone_history (etime);
CREATE INDEX IF NOT EXISTS idx_gorgone_history_code ON gorgone_history (code);
CREATE INDEX IF NOT EXISTS idx_gorgone_history_ctime ON gorgone_history (ctime);

CREATE TABLE IF NOT EXISTS `gorgone_synchistory` (
    `id` int(11) DEFAULT NULL,
    `ctime` int(11) DEFAULT NULL,
    `last_id` int(11) DEFAULT NULL
);

CREATE INDEX IF NOT EXISTS idx_gorgone_synchistory_id ON gorgone_synchistory (id);

-- What of a session has no column in gorgone_identity. Secrets (the vector) are hexadecimal.
CREATE TABLE gorgone_session (
    identity TEXT PRIMARY KEY NOT NULL,
    thumbprint TEXT NOT NULL,
    dialect TEXT NOT NULL,              -- seed, centreon
    vector TEXT NOT NULL,
    last_seen INTEGER NOT NULL,         -- seconds
    parent_until INTEGER NOT NULL       -- seconds, 0 for never
);

CREATE INDEX idx_gorgone_session_last_seen ON gorgone_session (last_seen);

-- One row for each request that was accepted; it stays after the end, so that a repeated
-- token is recognised, until it is purged together with the history of its age.
CREATE TABLE gorgone_task (
    id INTEGER PRIMARY KEY,             -- the order of acceptance
    token TEXT NOT NULL,
    digest BLOB NOT NULL,               -- SHA-256 over action, target and data
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    data TEXT,                          -- NULL once it has ended: it is not needed any more
    origin TEXT NOT NULL,
    accepted_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    state TEXT NOT NULL,                -- queued, sent, begun, finished
    runner TEXT,                        -- instance of the module that has it
    runner_epoch TEXT,                  -- and which life of that instance
    attempt INTEGER NOT NULL,
    retries INTEGER NOT NULL,
    last_sequence INTEGER NOT NULL,     -- of the rows of this attempt, 0 for none
    finished INTEGER                    -- seconds; NULL while it lives
);

CREATE UNIQUE INDEX idx_gorgone_task_token ON gorgone_task (token);
-- Finds both the living (finished IS NULL, in order of id) and those old enough to purge.
CREATE INDEX idx_gorgone_task_finished ON gorgone_task (finished);

-- Nodes of the fleet, as they were registered.
CREATE TABLE gorgone_node (
    id INTEGER PRIMARY KEY,
    definition TEXT NOT NULL            -- JSON
);

-- Numbers that only grow. `history` is the last id given to a row of gorgone_history: ids are
-- never given twice, even after the newest rows were purged.
CREATE TABLE gorgone_counter (
    name TEXT PRIMARY KEY NOT NULL,
    value INTEGER NOT NULL
);

INSERT INTO gorgone_counter (name, value) VALUES ('history', 0), ('probe', 0);
